//! Scales of an instrument, and what happens to its values when they change.

use alloc::vec::Vec;

use thiserror::Error;
use tickwire_proto::Scale;
use tickwire_proto::decimal::Decimal;
use tickwire_proto::image::Image;
use tickwire_proto::json::Places;
use tickwire_proto::v1::{self, UpdateFlag, update::Body};

/// Decimal places of prices and of quantities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scales {
    pub(crate) price: Scale,
    pub(crate) quantity: Scale,
}

/// More decimal places than an instrument can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{places} decimal places of {of}")]
pub(crate) struct ScaleOutOfRange {
    places: u32,
    of: &'static str,
}

impl Scales {
    /// Checks what an info or a value asks for.
    pub(crate) fn new(price: u32, quantity: u32) -> Result<Self, ScaleOutOfRange> {
        let scale = |places, of| Scale::new(places).map_err(|_| ScaleOutOfRange { places, of });
        Ok(Self { price: scale(price, "prices")?, quantity: scale(quantity, "quantities")? })
    }

    /// The scales that `info` names.
    pub(crate) fn of(info: &v1::InstrumentInfo) -> Result<Self, ScaleOutOfRange> {
        Self::new(info.price_scale, info.quantity_scale)
    }

    /// Enough for both: the larger of each.
    pub(crate) fn covering(self, needed: Places) -> Result<Self, ScaleOutOfRange> {
        Self::new(self.price.places().max(needed.price), self.quantity.places().max(needed.quantity))
    }

    pub(crate) fn places(self) -> Places {
        Places { price: self.price.places(), quantity: self.quantity.places() }
    }
}

/// Brings values from one pair of scales to another.
///
/// A value that needs more places than there are now, or does not fit any more, becomes unknown: wrong by rounding would be worse.
#[derive(Debug)]
pub(crate) struct Rescale {
    from: Scales,
    to: Scales,
    /// Whether every value could be kept.
    pub(crate) lossless: bool,
    /// The fields that became unknown, as `Update.clear` names them.
    unknown: Vec<u32>,
}

impl Rescale {
    pub(crate) fn new(from: Scales, to: Scales) -> Self {
        Self { from, to, lossless: true, unknown: Vec::new() }
    }

    /// Rescales everything that an instrument has said.
    pub(crate) fn image(&mut self, image: &mut Image) {
        if let Some(quote) = &mut image.quote {
            self.quote(quote);
        }
        if let Some(odds) = &mut image.odds {
            self.odds(odds);
        }
        image.bars.retain_mut(|bar| self.bar(bar).is_some());
    }

    /// Rescales one body; `None` if a value that it cannot be without is lost.
    pub(crate) fn body(&mut self, body: &mut Body) -> Option<()> {
        match body {
            Body::Quote(quote) => self.quote(quote),
            Body::Odds(odds) => self.odds(odds),
            Body::Bar(bar) => return self.bar(bar),
            Body::Trade(trade) => {
                trade.price = self.price(trade.price)?;
                trade.quantity = self.quantity(trade.quantity)?;
            }
            Body::Status(_) | Body::Score(_) => {}
        }
        Some(())
    }

    /// Rescales a record of what an instrument has said, and names in `clear` what becomes unknown; `None` if nothing is left of it.
    pub(crate) fn record(mut self, mut record: v1::Update) -> Option<v1::Update> {
        self.body(record.body.as_mut()?)?;
        // In an image what is absent is unknown.
        if record.flags & UpdateFlag::Image as u32 == 0 {
            record.clear.append(&mut self.unknown);
        }
        Some(record)
    }

    /// Rescales the smallest price step of an info.
    pub(crate) fn tick_size(&mut self, tick_size: Option<i64>) -> Option<i64> {
        tick_size.and_then(|step| self.price(step))
    }

    fn quote(&mut self, quote: &mut v1::Quote) {
        let prices = [
            (1, &mut quote.bid),
            (3, &mut quote.ask),
            (5, &mut quote.last),
            (9, &mut quote.turnover),
            (11, &mut quote.open),
            (12, &mut quote.high),
            (13, &mut quote.low),
            (14, &mut quote.previous_close),
            (15, &mut quote.settlement),
        ];
        for (number, price) in prices {
            self.set_price(price, number);
        }
        let quantities =
            [(2, &mut quote.bid_quantity), (4, &mut quote.ask_quantity), (6, &mut quote.last_quantity), (8, &mut quote.volume)];
        for (number, quantity) in quantities {
            self.set_quantity(quantity, number);
        }
        for extreme in [&mut quote.interval_high, &mut quote.interval_low] {
            *extreme = extreme.and_then(|value| self.price(value));
        }
    }

    fn odds(&mut self, odds: &mut v1::Odds) {
        self.set_price(&mut odds.line, 2);
        self.set_quantity(&mut odds.matched, 3);
        for outcome in &mut odds.outcomes {
            let first = outcome.id.wrapping_mul(OUTCOME_FIELDS);
            for (number, price) in [(2, &mut outcome.back), (4, &mut outcome.lay), (6, &mut outcome.last)] {
                self.set_price(price, first | number);
            }
            for (number, quantity) in [(3, &mut outcome.back_quantity), (5, &mut outcome.lay_quantity)] {
                self.set_quantity(quantity, first | number);
            }
        }
    }

    fn bar(&mut self, bar: &mut v1::Bar) -> Option<()> {
        for price in [&mut bar.open, &mut bar.high, &mut bar.low, &mut bar.close] {
            *price = self.price(*price)?;
        }
        bar.volume = self.quantity(bar.volume)?;
        Some(())
    }

    /// Rescales a price that may be unknown, the field that `clear` knows by this number.
    fn set_price(&mut self, price: &mut Option<i64>, number: u32) {
        let rescaled = price.and_then(|value| self.price(value));
        self.set(price, rescaled, number);
    }

    fn set_quantity(&mut self, quantity: &mut Option<i64>, number: u32) {
        let rescaled = quantity.and_then(|value| self.quantity(value));
        self.set(quantity, rescaled, number);
    }

    fn set(&mut self, field: &mut Option<i64>, rescaled: Option<i64>, number: u32) {
        if rescaled.is_none() && field.is_some() {
            self.unknown.push(number);
        }
        *field = rescaled;
    }

    /// Rescales a price.
    pub(crate) fn price(&mut self, value: i64) -> Option<i64> {
        self.shift(value, self.from.price, self.to.price)
    }

    fn quantity(&mut self, value: i64) -> Option<i64> {
        self.shift(value, self.from.quantity, self.to.quantity)
    }

    fn shift(&mut self, value: i64, from: Scale, to: Scale) -> Option<i64> {
        let shifted = Decimal { mantissa: value, places: from.places() }.at(to).ok();
        self.lossless &= shifted.is_some();
        shifted
    }
}

/// In `clear` a field of an outcome is its id times this, and its number.
const OUTCOME_FIELDS: u32 = 16;

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    fn scales(price: u32, quantity: u32) -> Scales {
        Scales::new(price, quantity).unwrap()
    }

    #[test]
    fn a_value_keeps_its_meaning_or_becomes_unknown() {
        let mut quote = v1::Quote { bid: Some(18_742), ask: Some(18_750), bid_quantity: Some(3), ..Default::default() };
        let mut down = Rescale::new(scales(2, 0), scales(1, 3));
        down.quote(&mut quote);
        assert_eq!((quote.bid, quote.ask, quote.bid_quantity, down.lossless), (None, Some(1_875), Some(3_000), false));
    }

    #[test]
    fn a_record_names_what_became_unknown() {
        let quote = v1::Quote { bid: Some(18_742), ask: Some(18_750), volume: Some(3), interval_high: Some(18_742), ..Default::default() };
        let outcomes = alloc::vec![v1::Outcome { id: 7, back: Some(18_742), back_quantity: Some(1), ..Default::default() }];
        let odds = v1::Odds { outcomes, line: Some(25), matched: Some(3) };
        let record = |body, flags| {
            let record = v1::Update { body: Some(body), flags, ..Default::default() };
            Rescale::new(scales(2, 0), scales(1, 1)).record(record).unwrap()
        };
        let told = record(Body::Quote(quote), 0);
        let expected = v1::Quote { ask: Some(1_875), volume: Some(30), ..Default::default() };
        assert_eq!((told.body, told.clear), (Some(Body::Quote(expected)), alloc::vec![1]));
        assert_eq!(record(Body::Odds(odds), 0).clear, [2, 7 * 16 + 2]);
        assert!(record(Body::Quote(quote), UpdateFlag::Image as u32).clear.is_empty());
    }

    #[test]
    fn a_bar_is_kept_whole_or_not_at_all() {
        let bar = v1::Bar { open: 100, high: 105, low: 95, close: 100, ..Default::default() };
        let mut image = Image { bars: alloc::vec![bar], ..Default::default() };
        let mut up = Rescale::new(scales(1, 0), scales(2, 0));
        up.image(&mut image);
        assert_eq!((image.bars[0].high, up.lossless), (1_050, true));
        Rescale::new(scales(2, 0), scales(0, 0)).image(&mut image);
        assert!(image.bars.is_empty(), "10.5 is no whole number");
    }

    #[test]
    fn scales_beyond_twelve_are_refused() {
        assert_eq!(Scales::new(13, 0).unwrap_err().to_string(), "13 decimal places of prices");
        assert_eq!(scales(2, 0).covering(Places { price: 1, quantity: 13 }).unwrap_err().to_string(), "13 decimal places of quantities");
    }
}
