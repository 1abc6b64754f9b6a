//! A day at the market: what it must say, how much of it, and that it says the same again.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use tickwire_proto::v1::{TradingPhase, UpdateFlag, update::Body};

use super::*;

const START: u64 = 1_700_000_000_000_000;
const SECOND: u64 = 1_000_000;

#[test]
fn the_same_seed_gives_the_same_day_however_it_is_cut() {
    let whole = play(7, &[60 * SECOND]);
    let cut: Vec<u64> = (1..=600).map(|tenth| tenth * SECOND / 10).collect();
    let odd = [1, 2, SECOND / 3, 7 * SECOND, 7 * SECOND, 59 * SECOND, 60 * SECOND];
    assert!(whole == play(7, &cut) && whole == play(7, &odd));
    assert!(whole != play(8, &[60 * SECOND]));
}

#[test]
fn it_is_lively_and_several_instruments_change_five_times_a_second() {
    let minute = play(1, &[60 * SECOND]);
    let mut updates = BTreeMap::new();
    for publication in &minute {
        *updates.entry(publication.symbol.as_str()).or_insert(0) += publication.message.updates.len();
    }
    let rate = updates.values().sum::<usize>() / 60;
    assert!((150..=350).contains(&rate), "{rate} updates/s");
    assert!(updates.values().filter(|count| **count >= 5 * 60).count() >= 6, "{updates:?}");
    assert_eq!(updates["stock.alive"], 0);
    assert_eq!(minute.iter().filter(|publication| publication.symbol == "crypto.alive").count(), 61);
}

#[test]
fn everything_that_must_not_be_lost_happens_within_ten_minutes() {
    let mut market = Market::new(3, START);
    let mut seen = BTreeMap::new();
    for publication in market.opening().into_iter().chain(market.step(START + 600 * SECOND)) {
        for update in publication.message.updates {
            let is_market = publication.symbol.ends_with(".1x2");
            let what = match update.body {
                Some(Body::Status(status)) if publication.symbol.starts_with("stock") => match status.phase() {
                    TradingPhase::Halted => "halt",
                    _ => "resume",
                },
                Some(Body::Status(status)) if status.phase() == TradingPhase::Suspended && is_market => "suspension",
                Some(Body::Status(status)) if status.phase() == TradingPhase::Settled => "settlement",
                Some(Body::Score(_)) if update.flags & UpdateFlag::Correction as u32 != 0 => "goal taken back",
                Some(Body::Score(score)) if score.r#final == Some(true) => "final score",
                Some(Body::Odds(odds)) if odds.outcomes.iter().any(|outcome| outcome.result == Some(1)) => "winner",
                Some(Body::Bar(bar)) if bar.r#final => "final bar",
                Some(Body::Trade(_)) => "trade",
                _ => continue,
            };
            *seen.entry(what).or_insert(0) += 1;
        }
    }
    let wanted = ["halt", "resume", "suspension", "settlement", "goal taken back", "final score", "winner", "final bar", "trade"];
    assert!(wanted.iter().all(|what| seen.contains_key(what)), "{seen:?}");
}

#[test]
fn every_instrument_is_announced_before_it_is_quoted_and_time_goes_on() {
    let mut market = Market::new(5, START);
    let announced: Vec<String> =
        market.opening().into_iter().filter_map(|publication| publication.message.info).map(|info| info.symbol).collect();
    assert_eq!(announced.len(), STOCKS.len() + CRYPTOS.len() + 2 * PAIRINGS.len());
    let mut newest = START;
    let mut number = announced.len() as u64;
    for publication in market.step(START + 300 * SECOND) {
        let message = publication.message;
        assert!(message.ts_publish_us >= newest && message.publisher_seq == number + 1);
        assert!(message.alive.is_some() || announced.contains(&publication.symbol), "{}", publication.symbol);
        (newest, number) = (message.ts_publish_us, message.publisher_seq);
    }
}

#[test]
fn quotes_make_sense() {
    let mut newest: BTreeMap<String, v1::Quote> = BTreeMap::new();
    for publication in play(9, &[120 * SECOND]) {
        for update in publication.message.updates {
            let Some(Body::Quote(quote)) = update.body else { continue };
            assert!(quote.bid < quote.ask && quote.bid > Some(0), "{quote:?}");
            if quote.last.is_none() {
                continue;
            }
            assert!(quote.low <= quote.last && quote.last <= quote.high);
            if let Some(before) = newest.insert(publication.symbol.clone(), quote) {
                assert!(quote.volume > before.volume && quote.trades > before.trades && quote.turnover > before.turnover);
            }
        }
    }
    assert!(newest.len() > 30, "{} traded", newest.len());
}

#[test]
fn a_steady_market_says_what_was_promised_when_it_was_promised() {
    let mut market = Market::steady(10, 1_000, START);
    let opening = market.opening();
    assert_eq!((opening.len(), quote_of(&opening[3]).last), (10, Some(steady_price(3, 0))));
    let mut versions = [0_u64; 10];
    let publications = market.step(START + 2 * SECOND);
    for publication in publications.iter().filter(|publication| publication.message.alive.is_none()) {
        let index: usize = publication.symbol.strip_prefix("bench.S").unwrap().parse().unwrap();
        versions[index] += 1;
        let quote = quote_of(publication);
        assert_eq!((quote.trades, quote.last), (Some(versions[index]), Some(steady_price(index as u64, versions[index]))));
    }
    assert_eq!(versions, [200; 10]);
}

#[test]
fn a_steady_market_of_nothing_is_only_alive() {
    for (symbols, rate) in [(0, 100), (5, 0)] {
        let said = Market::steady(symbols, rate, START).step(START + SECOND);
        assert!(!said.is_empty() && said.iter().all(|publication| publication.message.alive.is_some()));
    }
}

#[test]
fn a_long_pause_is_caught_up_with_in_bounded_steps() {
    let mut market = Market::steady(10, 100_000, START);
    let mut total = 0;
    while let Some(count) = Some(market.step(START + 2 * SECOND).len()).filter(|count| *count > 0) {
        assert!(count <= PUBLICATIONS_MAX + 1);
        total += count;
    }
    assert_eq!(total, 200_000 + 3);
}

#[test]
fn every_match_tells_its_story_in_order() {
    let (event, market) = (PAIRINGS[0].symbol, PAIRINGS[0].market);
    let mut counts = BTreeMap::new();
    let mut tell = |what: &'static str| *counts.entry(what).or_insert(0) += 1;
    let minutes: Vec<u64> = (1..=15).map(|minute| minute * 60 * SECOND).collect();
    for seed in 1..=2 {
        let (mut goals, mut before_goal, mut phase) = ((0, 0), (0, 0), TradingPhase::Open);
        // What has to come next of the market: it opens with the word on the goal, or it is settled.
        let (mut looks_at_goal, mut is_over, mut clock_s) = (false, false, 0);
        for publication in play(seed, &minutes) {
            for update in publication.message.updates {
                let has = |flag: UpdateFlag| update.flags & flag as u32 != 0;
                match update.body {
                    Some(Body::Score(score)) if publication.symbol == event => {
                        let now = (score.home.unwrap(), score.away.unwrap());
                        if has(UpdateFlag::Image) {
                            assert!(now == (0, 0) && score.r#final == Some(false), "another match");
                            (goals, is_over, clock_s) = (now, false, 0);
                            tell("next match");
                            continue;
                        }
                        assert!(!is_over && score.clock_s.unwrap() >= clock_s && matches!(score.period, Some(1 | 2)));
                        clock_s = score.clock_s.unwrap();
                        if has(UpdateFlag::Correction) {
                            assert!(looks_at_goal && now == before_goal, "VAR takes back what was given");
                            tell("goal taken back");
                        } else if has(UpdateFlag::Event) {
                            assert_eq!(now.0 + now.1, goals.0 + goals.1 + 1);
                            assert_eq!(phase, TradingPhase::Suspended, "the market stops before the goal is known");
                            (before_goal, looks_at_goal) = (goals, true);
                            tell("goal");
                        } else {
                            assert_eq!(now, goals, "goals come as events");
                        }
                        goals = now;
                        if score.r#final == Some(true) {
                            assert_eq!((phase, clock_s), (TradingPhase::Closed, 5_400), "the market is closed first");
                            is_over = true;
                            tell("final whistle");
                        }
                    }
                    Some(Body::Status(status)) if publication.symbol == market => {
                        let was = core::mem::replace(&mut phase, status.phase());
                        match (phase, status.reason.as_str()) {
                            (TradingPhase::Suspended, "goal") => assert_eq!(was, TradingPhase::Open),
                            (TradingPhase::Open, "goal stands" | "goal disallowed") => {
                                assert!(core::mem::take(&mut looks_at_goal));
                                assert_eq!(status.reason == "goal disallowed", goals == before_goal);
                                tell("reopening");
                            }
                            (TradingPhase::Closed, _) => assert!(was == TradingPhase::Open && !looks_at_goal),
                            (TradingPhase::Settled, _) => assert!(is_over && was == TradingPhase::Closed),
                            (TradingPhase::PreOpen, _) => assert_eq!(was, TradingPhase::Settled),
                            (TradingPhase::Open, "kick-off") => assert_eq!(was, TradingPhase::PreOpen),
                            other => panic!("{other:?} after {was:?}"),
                        }
                    }
                    Some(Body::Odds(odds)) if publication.symbol == market && odds.outcomes.iter().any(|one| one.result.is_some()) => {
                        let winner = match goals.0.cmp(&goals.1) {
                            core::cmp::Ordering::Greater => 1,
                            core::cmp::Ordering::Equal => 2,
                            core::cmp::Ordering::Less => 3,
                        };
                        for outcome in odds.outcomes {
                            assert_eq!((outcome.active, outcome.result), (Some(false), Some(if outcome.id == winner { 1 } else { 2 })));
                        }
                        assert!(is_over);
                        tell("settlement");
                    }
                    Some(Body::Odds(odds)) if publication.symbol == market => {
                        assert_eq!(odds.outcomes.iter().map(|one| one.id).collect::<Vec<_>>(), [1, 2, 3]);
                        assert!(phase != TradingPhase::Closed && odds.outcomes.iter().all(|one| one.active == Some(true)));
                    }
                    _ => {}
                }
            }
        }
    }
    let wanted = ["goal", "goal taken back", "reopening", "final whistle", "settlement", "next match"];
    assert!(wanted.iter().all(|what| counts.contains_key(what)), "{counts:?}");
    assert!(counts["goal"] - counts["reopening"] <= 2, "every goal is decided: {counts:?}");
}

fn play(seed: u64, steps: &[u64]) -> Vec<Publication> {
    let mut market = Market::new(seed, START);
    market.opening();
    steps.iter().flat_map(|step| market.step(START + step)).collect()
}

fn quote_of(publication: &Publication) -> v1::Quote {
    match publication.message.updates[0].body {
        Some(Body::Quote(quote)) => quote,
        ref other => panic!("{other:?}"),
    }
}
