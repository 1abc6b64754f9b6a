//! Prices that cannot be true: one digit too many, a bid above its ask, a fall to zero.
//!
//! A price that is refused must not shut the true one out for good. So a jump is believed when the feed says it [`SAID_TO_BELIEVE`] times
//! in a row: then it is what the market does.

use alloc::format;
use alloc::string::{String, ToString};

use tickwire_proto::Price;
use tickwire_proto::decimal::Decimal;
use tickwire_proto::v1::{self, UpdateFlag, update::Body};

use super::{Cause, Poison};
use crate::scales::Scales;

/// What the prices of a feed may be. By default everything is plausible.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plausible {
    /// The lowest price.
    pub price_min: Option<Decimal>,
    /// The highest price.
    pub price_max: Option<Decimal>,
    /// How far a last price or trade may be from the last one before, in percent of that.
    pub jump_percent_max: Option<u32>,
    /// Whether a bid above its ask is refused.
    pub refuses_crossed: bool,
}

/// A jump that was refused, and is believed when it is said again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Jump {
    to: i64,
    said: u32,
}

impl Plausible {
    /// Whether there is nothing to check.
    pub(super) fn checks_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Checks the prices of an update, whose instrument has `known` so far.
    pub(super) fn check(&self, update: &v1::Update, scales: Scales, known: Option<&v1::Quote>, jump: &mut Jump) -> Result<(), Poison> {
        let Some(body) = &update.body else { return Ok(()) };
        if self.price_min.is_some() || self.price_max.is_some() {
            each_price(body, &mut |name, value| self.check_range(name, value, scales))?;
        }
        if let (true, Body::Quote(quote)) = (self.refuses_crossed, body) {
            check_crossed(quote, update, known, scales)?;
        }
        let said = match body {
            Body::Quote(quote) => quote.last,
            // What a correction or bust names is what was wrong.
            Body::Trade(trade) if !trade.correction && !trade.bust => Some(trade.price),
            _ => None,
        };
        let is_correction = update.flags & UpdateFlag::Correction as u32 != 0;
        match (self.jump_percent_max, said, known.and_then(|known| known.last)) {
            (Some(percent), Some(said), Some(last)) if !is_correction => jump.check(said, last, percent, scales),
            _ => Ok(()),
        }
    }

    fn check_range(&self, name: &str, value: i64, scales: Scales) -> Result<(), Poison> {
        let said = Decimal { mantissa: value, places: scales.price.places() };
        let outside = |bound: &Decimal, what| {
            let (said, bound) = (shown(value, scales), shown_decimal(bound));
            Err(Poison::new(Cause::Implausible, format!("{name} {said} is {what} {bound}")))
        };
        match (&self.price_min, &self.price_max) {
            (Some(min), _) if is_less(said, *min) => outside(min, "below"),
            (_, Some(max)) if is_less(*max, said) => outside(max, "above"),
            _ => Ok(()),
        }
    }
}

impl Jump {
    fn check(&mut self, said: i64, last: i64, percent: u32, scales: Scales) -> Result<(), Poison> {
        if !is_far(said, last, percent) {
            self.said = 0;
            return Ok(());
        }
        self.said = if self.said > 0 && !is_far(said, self.to, percent) { self.said + 1 } else { 1 };
        self.to = said;
        if self.said >= SAID_TO_BELIEVE {
            self.said = 0;
            return Ok(());
        }
        let (said, last) = (shown(said, scales), shown(last, scales));
        Err(Poison::new(Cause::Implausible, format!("{said} is more than {percent} % from the last price {last}")))
    }
}

fn check_crossed(quote: &v1::Quote, update: &v1::Update, known: Option<&v1::Quote>, scales: Scales) -> Result<(), Poison> {
    if quote.bid.is_none() && quote.ask.is_none() {
        return Ok(());
    }
    let known = known.filter(|_| update.flags & UpdateFlag::Image as u32 == 0);
    let side = |said: Option<i64>, number: u32, before: Option<i64>| said.or(before.filter(|_| !update.clear.contains(&number)));
    let bid = side(quote.bid, BID, known.and_then(|known| known.bid));
    let ask = side(quote.ask, ASK, known.and_then(|known| known.ask));
    match (bid, ask) {
        (Some(bid), Some(ask)) if bid > ask => {
            let (bid, ask) = (shown(bid, scales), shown(ask, scales));
            Err(Poison::new(Cause::Implausible, format!("quote.bid {bid} is above quote.ask {ask}")))
        }
        _ => Ok(()),
    }
}

/// Visits every price of a body.
fn each_price(body: &Body, visit: &mut dyn FnMut(&str, i64) -> Result<(), Poison>) -> Result<(), Poison> {
    let mut all =
        |prices: &[(&str, Option<i64>)]| prices.iter().try_for_each(|(name, price)| price.map_or(Ok(()), |price| visit(name, price)));
    match body {
        Body::Quote(quote) => all(&[
            ("quote.bid", quote.bid),
            ("quote.ask", quote.ask),
            ("quote.last", quote.last),
            ("quote.open", quote.open),
            ("quote.high", quote.high),
            ("quote.low", quote.low),
            ("quote.previous_close", quote.previous_close),
            ("quote.settlement", quote.settlement),
        ]),
        Body::Trade(trade) if trade.correction || trade.bust => Ok(()),
        Body::Trade(trade) => all(&[("trade.price", Some(trade.price))]),
        Body::Bar(bar) => {
            all(&[("bar.open", Some(bar.open)), ("bar.high", Some(bar.high)), ("bar.low", Some(bar.low)), ("bar.close", Some(bar.close))])
        }
        Body::Odds(odds) => odds
            .outcomes
            .iter()
            .try_for_each(|outcome| all(&[("outcome.back", outcome.back), ("outcome.lay", outcome.lay), ("outcome.last", outcome.last)])),
        Body::Status(_) | Body::Score(_) => Ok(()),
    }
}

/// Whether `said` is further from `last` than `percent` of it.
fn is_far(said: i64, last: i64, percent: u32) -> bool {
    let distance = (i128::from(said) - i128::from(last)).unsigned_abs();
    distance * 100 > u128::from(last.unsigned_abs()) * u128::from(percent)
}

/// Compares decimals of any places: at the larger of both.
fn is_less(left: Decimal, right: Decimal) -> bool {
    let places = left.places.max(right.places);
    // Twelve places of 64 bits fit into 128.
    let at = |value: Decimal| i128::from(value.mantissa).saturating_mul(10_i128.saturating_pow(places - value.places));
    at(left) < at(right)
}

fn shown(mantissa: i64, scales: Scales) -> String {
    Price::new(mantissa, scales.price).to_string()
}

fn shown_decimal(value: &Decimal) -> String {
    tickwire_proto::Scale::new(value.places)
        .map_or_else(|_| value.mantissa.to_string(), |scale| Price::new(value.mantissa, scale).to_string())
}

/// Times in a row that a jump has to be said.
const SAID_TO_BELIEVE: u32 = 3;
/// Numbers of fields in `Update.clear`.
const BID: u32 = 1;
const ASK: u32 = 3;
