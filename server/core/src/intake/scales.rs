//! Scales of an instrument, and what happens to its values when they change.

use tickwire_proto::Scale;
use tickwire_proto::decimal::Decimal;
use tickwire_proto::image::Image;
use tickwire_proto::json::Places;
use tickwire_proto::v1::{self, update::Body};

use super::{Cause, Poison};

/// Decimal places of prices and of quantities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scales {
    pub(super) price: Scale,
    pub(super) quantity: Scale,
}

impl Scales {
    /// Checks what an info or a value asks for.
    pub(super) fn new(price: u32, quantity: u32) -> Result<Self, Poison> {
        let scale = |places: u32, what: &str| {
            Scale::new(places).map_err(|_| Poison::new(Cause::ScaleOutOfRange, alloc::format!("{places} decimal places of {what}")))
        };
        Ok(Self { price: scale(price, "prices")?, quantity: scale(quantity, "quantities")? })
    }

    /// The scales that `info` names.
    pub(super) fn of(info: &v1::InstrumentInfo) -> Result<Self, Poison> {
        Self::new(info.price_scale, info.quantity_scale)
    }

    /// Enough for both: the larger of each.
    pub(super) fn covering(self, needed: Places) -> Result<Self, Poison> {
        Self::new(self.price.places().max(needed.price), self.quantity.places().max(needed.quantity))
    }

    pub(super) fn places(self) -> Places {
        Places { price: self.price.places(), quantity: self.quantity.places() }
    }
}

/// Brings values from one pair of scales to another.
///
/// A value that needs more places than there are now, or does not fit any more, becomes unknown: wrong by rounding would be worse.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rescale {
    from: Scales,
    to: Scales,
    /// Whether every value could be kept.
    pub(super) lossless: bool,
}

impl Rescale {
    pub(super) fn new(from: Scales, to: Scales) -> Self {
        Self { from, to, lossless: true }
    }

    /// Rescales everything that an instrument has said.
    pub(super) fn image(&mut self, image: &mut Image) {
        if let Some(quote) = &mut image.quote {
            self.quote(quote);
        }
        if let Some(odds) = &mut image.odds {
            self.odds(odds);
        }
        image.bars.retain_mut(|bar| self.bar(bar).is_some());
    }

    /// Rescales one body; `None` if a value that it cannot be without is lost.
    pub(super) fn body(&mut self, body: &mut Body) -> Option<()> {
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

    /// Rescales the smallest price step of an info.
    pub(super) fn tick_size(&mut self, tick_size: Option<i64>) -> Option<i64> {
        tick_size.and_then(|step| self.price(step))
    }

    fn quote(&mut self, quote: &mut v1::Quote) {
        let prices = [
            &mut quote.bid,
            &mut quote.ask,
            &mut quote.last,
            &mut quote.turnover,
            &mut quote.open,
            &mut quote.high,
            &mut quote.low,
            &mut quote.previous_close,
            &mut quote.settlement,
        ];
        for price in prices {
            *price = price.and_then(|value| self.price(value));
        }
        for quantity in [&mut quote.bid_quantity, &mut quote.ask_quantity, &mut quote.last_quantity, &mut quote.volume] {
            *quantity = quantity.and_then(|value| self.quantity(value));
        }
    }

    fn odds(&mut self, odds: &mut v1::Odds) {
        odds.line = odds.line.and_then(|value| self.price(value));
        odds.matched = odds.matched.and_then(|value| self.quantity(value));
        for outcome in &mut odds.outcomes {
            for price in [&mut outcome.back, &mut outcome.lay, &mut outcome.last] {
                *price = price.and_then(|value| self.price(value));
            }
            for quantity in [&mut outcome.back_quantity, &mut outcome.lay_quantity] {
                *quantity = quantity.and_then(|value| self.quantity(value));
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

    fn price(&mut self, value: i64) -> Option<i64> {
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

#[cfg(test)]
mod tests {
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
        assert_eq!(Scales::new(13, 0).unwrap_err().cause, Cause::ScaleOutOfRange);
        assert_eq!(scales(2, 0).covering(Places { price: 1, quantity: 13 }).unwrap_err().cause, Cause::ScaleOutOfRange);
    }
}
