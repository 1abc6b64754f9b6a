//! Feeds that were there before Tickwire arrive by a mapping in the configuration alone.

use std::collections::BTreeMap;

use lapin::options::{ExchangeBindOptions, ExchangeDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties, ExchangeKind};
use tickwire::v1::{Outcome, Quote, Score, TradingPhase};
use tickwire::{Change, Client, Instrument};
use tokio::time::timeout;

use super::house::{House, WITHIN, publish};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compressed_batches_of_an_equities_feed_become_quotes_and_halts() {
    let house = House::of_example("mapping/equities.toml").await;
    // The halt leaves at once, the last price of another symbol at the end of its interval.
    let watched = tokio::spawn(watch(house.address, "stock.*", |seen| {
        let microsoft = seen.get("stock.MSFT").and_then(|seen| seen.image.quote);
        phase(seen, "stock.AAPL") == Some(TradingPhase::Halted) && microsoft.is_some_and(|quote| quote.volume == Some(99))
    }));
    publish(&house, "mapping/equities.py", &[], "");
    let seen = watched.await.unwrap();

    let apple = Quote {
        bid: Some(18_799),
        bid_quantity: Some(300),
        ask: Some(18_801),
        last: Some(18_701),
        volume: Some(9_900),
        ..Default::default()
    };
    assert_eq!(stated(seen["stock.AAPL"].image.quote), apple);
    let microsoft = Quote { bid: Some(42_100), ask: Some(42_105), last: Some(42_100), volume: Some(99), ..Default::default() };
    assert_eq!(stated(seen["stock.MSFT"].image.quote), microsoft);
    assert_eq!(seen["stock.AAPL"].image.status.as_ref().unwrap().reason, "T12");
    assert_eq!(seen.len(), 2, "the index is not mapped: {:?}", seen.keys());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_football_feed_becomes_scores_odds_and_settlement() {
    let house = House::of_example("mapping/football.toml").await;
    let watched = tokio::spawn(watch(house.address, "soccer.#", |seen| {
        let score = seen.get("soccer.epl.ARS-CHE").and_then(|seen| seen.image.score.as_ref());
        phase(seen, "soccer.epl.ARS-CHE.1x2") == Some(TradingPhase::Settled) && score.is_some_and(|score| score.r#final == Some(true))
    }));
    // It has an exchange of its own, which is bound to ours.
    let connection = Connection::connect(&house.broker.url(), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel
        .exchange_declare("football.live".into(), ExchangeKind::Fanout, ExchangeDeclareOptions::default(), FieldTable::default())
        .await
        .unwrap();
    let (options, arguments) = (ExchangeBindOptions::default(), FieldTable::default());
    channel.exchange_bind("tickwire.feed".into(), "football.live".into(), "#".into(), options, arguments).await.unwrap();
    publish(&house, "mapping/football.py", &["--exchange", "football.live"], "");
    let seen = watched.await.unwrap();

    let score = seen["soccer.epl.ARS-CHE"].image.score.clone().unwrap();
    let extra = [("corners_home", 7), ("corners_away", 5)].map(|(name, count)| (name.to_owned(), count)).into();
    let expected = Score {
        home: Some(1),
        away: Some(0),
        period: Some(2),
        clock_s: Some(5_655),
        clock_running: Some(false),
        r#final: Some(true),
        extra,
        ..Default::default()
    };
    assert_eq!(score, expected);
    let odds = seen["soccer.epl.ARS-CHE.1x2"].image.odds.clone().unwrap();
    let outcome = |id, back, result| Outcome {
        id,
        back: Some(back),
        back_quantity: Some(500),
        active: Some(false),
        result: Some(result),
        ..Default::default()
    };
    assert_eq!(odds.outcomes, [outcome(1, 101, 1), outcome(2, 10_000, 2), outcome(3, 20_000, 2)]);
}

type Seen = BTreeMap<String, Instrument>;

/// The newest state of everything that matches, when `enough`.
async fn watch(address: std::net::SocketAddr, pattern: &'static str, enough: fn(&Seen) -> bool) -> Seen {
    let client = Client::builder(format!("ws://{address}/v1/ws")).connect_lazily().await.unwrap();
    let mut changes = client.subscribe([pattern]).await.unwrap();
    let mut seen = Seen::new();
    let all = async {
        while !enough(&seen) {
            if let Change::State(instrument) | Change::Event { instrument, .. } = changes.next().await.unwrap() {
                seen.insert(instrument.symbol.to_string(), instrument);
            }
        }
    };
    let met = timeout(WITHIN, all).await;
    assert!(met.is_ok(), "seen so far: {seen:?}");
    seen
}

fn phase(seen: &Seen, symbol: &str) -> Option<TradingPhase> {
    seen.get(symbol)?.image.status.as_ref().map(|status| status.phase())
}

/// What the feed said, without what the server adds.
fn stated(quote: Option<Quote>) -> Quote {
    Quote { interval_high: None, interval_low: None, ..quote.unwrap() }
}
