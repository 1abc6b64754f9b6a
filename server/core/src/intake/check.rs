//! What a feed may say. Everything a decoder lets through is checked here before it reaches the book.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use tickwire_proto::image::{EXTRA_KEYS_MAX, OUTCOMES_MAX};
use tickwire_proto::v1::{self, TradingPhase, update::Body};

use super::{Cause, Poison};

/// Checks a body and removes what feeds do not decide.
pub(super) fn body(body: &mut Body) -> Result<(), Poison> {
    match body {
        Body::Quote(quote) => check_quote(quote),
        Body::Trade(trade) => check_trade(trade),
        Body::Bar(bar) => check_bar(bar),
        Body::Status(status) => check_status(status),
        Body::Score(score) => check_score(score),
        Body::Odds(odds) => check_odds(odds),
    }
}

/// Whether a body says nothing at all. Protobuf reads an empty message as such a body.
pub(super) fn says_nothing(body: &Body) -> bool {
    match body {
        Body::Quote(quote) => *quote == v1::Quote::default(),
        Body::Trade(trade) => *trade == v1::Trade::default(),
        Body::Bar(bar) => *bar == v1::Bar::default(),
        Body::Status(status) => *status == v1::Status::default(),
        Body::Score(score) => *score == v1::Score::default(),
        Body::Odds(odds) => *odds == v1::Odds::default(),
    }
}

/// Drops the numbers in `clear` that name no field a feed can clear in `body`.
pub(super) fn keep_known_clears(body: &Body, clear: &mut Vec<u32>) {
    clear.retain(|number| match body {
        Body::Quote(_) => (1..=15).contains(number),
        Body::Status(_) => *number == 3,
        Body::Score(_) => (1..=8).contains(number),
        Body::Odds(_) => matches!(number, 2 | 3) || (*number / 16 < OUTCOME_ID_END && *number >= 16 && (2..=8).contains(&(number % 16))),
        Body::Trade(_) | Body::Bar(_) => false,
    });
    clear.sort_unstable();
    clear.dedup();
}

/// Checks an announcement; its symbol and scales are checked where they are used.
pub(super) fn info(info: &v1::InstrumentInfo) -> Result<(), Poison> {
    if v1::AssetClass::try_from(info.asset_class).is_err() {
        return Err(bad(format!("info.asset_class {} is not known", info.asset_class)));
    }
    text("info.currency", &info.currency, 16)?;
    text("info.display_name", &info.display_name, 128)?;
    positive("info.tick_size", info.tick_size.unwrap_or(1))?;
    at_most("info.outcome_names", info.outcome_names.len(), OUTCOMES_MAX)?;
    for (id, name) in &info.outcome_names {
        outcome_id(*id)?;
        text("info.outcome_names", name, 64)?;
    }
    Ok(())
}

/// Checks a sign of life.
pub(super) fn alive(alive: &v1::Alive) -> Result<(), Poison> {
    text("alive.publisher", &alive.publisher, 64)?;
    if alive.interval_ms > ALIVE_INTERVAL_MS_MAX {
        return Err(bad(format!("alive.interval_ms {} is above {ALIVE_INTERVAL_MS_MAX}", alive.interval_ms)));
    }
    Ok(())
}

/// Checks a time of day. 0 = unknown.
pub(super) fn timestamp(name: &str, ts_us: u64) -> Result<(), Poison> {
    if ts_us >= YEAR_2200_US { Err(bad(format!("{name} {ts_us} is beyond the year 2200"))) } else { Ok(()) }
}

/// Refuses a text that is too long for its place, or that could harm a terminal or a log.
pub(super) fn text(name: &str, text: &str, bytes_max: usize) -> Result<(), Poison> {
    if text.len() > bytes_max {
        return Err(bad(format!("{name} is longer than {bytes_max} bytes")));
    }
    if text.chars().any(char::is_control) {
        return Err(bad(format!("{name} has control characters")));
    }
    Ok(())
}

/// Refuses a list that is too long.
pub(super) fn at_most(name: &str, len: usize, max: usize) -> Result<(), Poison> {
    if len > max { Err(bad(format!("{name} has more than {max} entries"))) } else { Ok(()) }
}

/// A value that its field cannot have.
pub(super) fn bad(detail: String) -> Poison {
    Poison::new(Cause::BadValue, detail)
}

fn check_quote(quote: &mut v1::Quote) -> Result<(), Poison> {
    // Extremes belong to lanes: the server knows how long each has been silent, the feed does not.
    quote.interval_high = None;
    quote.interval_low = None;
    let quantities = [
        ("quote.bid_quantity", quote.bid_quantity),
        ("quote.ask_quantity", quote.ask_quantity),
        ("quote.last_quantity", quote.last_quantity),
        ("quote.volume", quote.volume),
    ];
    quantities.into_iter().try_for_each(|(name, value)| not_negative(name, value.unwrap_or(0)))?;
    count("quote.trades", quote.trades.unwrap_or(0))?;
    timestamp("quote.last_ts_us", quote.last_ts_us.unwrap_or(0))?;
    match (quote.high, quote.low) {
        (Some(high), Some(low)) if high < low => Err(bad(format!("quote.high {high} is below quote.low {low}"))),
        _ => Ok(()),
    }
}

fn check_trade(trade: &v1::Trade) -> Result<(), Poison> {
    text("trade.trade_id", &trade.trade_id, 64)?;
    at_most("trade.conditions", trade.conditions.len(), 16)?;
    if v1::Side::try_from(trade.side).is_err() {
        return Err(bad(format!("trade.side {} is not known", trade.side)));
    }
    if !trade.correction && !trade.bust {
        return positive("trade.quantity", trade.quantity);
    }
    if trade.trade_id.is_empty() {
        return Err(bad("a correction or bust names no trade".into()));
    }
    not_negative("trade.quantity", trade.quantity)
}

fn check_bar(bar: &v1::Bar) -> Result<(), Poison> {
    timestamp("bar.start_us", bar.start_us)?;
    if !(1..=86_400).contains(&bar.length_s) {
        return Err(bad(format!("bar.length_s {} is not 1 to 86400", bar.length_s)));
    }
    if bar.low > bar.open.min(bar.close) || bar.high < bar.open.max(bar.close) {
        return Err(bad("bar.open or bar.close is outside of bar.low to bar.high".into()));
    }
    not_negative("bar.volume", bar.volume)?;
    count("bar.trades", bar.trades)
}

fn check_status(status: &v1::Status) -> Result<(), Poison> {
    if matches!(TradingPhase::try_from(status.phase), Err(_) | Ok(TradingPhase::Unspecified)) {
        return Err(bad(format!("status.phase {} is not known", status.phase)));
    }
    text("status.reason", &status.reason, 256)?;
    timestamp("status.resume_us", status.resume_us.unwrap_or(0))
}

fn check_score(score: &v1::Score) -> Result<(), Poison> {
    if score.clock_s.is_some_and(|clock| clock > CLOCK_S_MAX) {
        return Err(bad(format!("score.clock_s is above {CLOCK_S_MAX}")));
    }
    at_most("score.extra", score.extra.len(), EXTRA_KEYS_MAX)?;
    score.extra.keys().try_for_each(|key| match key.as_str() {
        "" => Err(bad("score.extra has an empty key".into())),
        key => text("score.extra key", key, 32),
    })
}

fn check_odds(odds: &v1::Odds) -> Result<(), Poison> {
    not_negative("odds.matched", odds.matched.unwrap_or(0))?;
    at_most("odds.outcomes", odds.outcomes.len(), OUTCOMES_MAX)?;
    let mut ids: Vec<u32> = odds.outcomes.iter().map(|outcome| outcome.id).collect();
    ids.sort_unstable();
    if let Some(twice) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(bad(format!("odds.outcomes names outcome {} twice", twice[0])));
    }
    odds.outcomes.iter().try_for_each(check_outcome)
}

fn check_outcome(outcome: &v1::Outcome) -> Result<(), Poison> {
    outcome_id(outcome.id)?;
    let values = [
        ("outcome.back", outcome.back),
        ("outcome.back_quantity", outcome.back_quantity),
        ("outcome.lay", outcome.lay),
        ("outcome.lay_quantity", outcome.lay_quantity),
        ("outcome.last", outcome.last),
    ];
    values.into_iter().try_for_each(|(name, value)| not_negative(name, value.unwrap_or(0)))?;
    match outcome.result {
        Some(result) if !(1..=4).contains(&result) => Err(bad(format!("outcome.result {result} is not 1 to 4"))),
        _ => Ok(()),
    }
}

fn outcome_id(id: u32) -> Result<(), Poison> {
    if id >= OUTCOME_ID_END { Err(bad(format!("outcome id {id} is not below {OUTCOME_ID_END}"))) } else { Ok(()) }
}

fn not_negative(name: &str, value: i64) -> Result<(), Poison> {
    if value < 0 { Err(bad(format!("{name} is negative"))) } else { Ok(()) }
}

fn positive(name: &str, value: i64) -> Result<(), Poison> {
    if value <= 0 { Err(bad(format!("{name} is not positive"))) } else { Ok(()) }
}

/// Counts stay below 2^63, so that every language can read them.
fn count(name: &str, value: u64) -> Result<(), Poison> {
    if i64::try_from(value).is_err() { Err(bad(format!("{name} {value} is no count"))) } else { Ok(()) }
}

/// Outcome ids are below this, so that `outcome_id * 16 + field number` of `Update.clear` stays a positive 32-bit number.
const OUTCOME_ID_END: u32 = 1 << 27;
/// A longer announced interval (1 h) would keep a mute feed LIVE for that long; it is refused.
const ALIVE_INTERVAL_MS_MAX: u32 = 3_600_000;
/// Longest match clock (a week: a cricket test). More is refused.
const CLOCK_S_MAX: u32 = 7 * 86_400;
/// Times from here on are refused: 2200-01-01 in microseconds.
const YEAR_2200_US: u64 = 7_258_118_400_000_000;
