//! What values say, whatever the scales that they are written at: the model of the tests, which does not look at how the product rescales.

use tickwire_proto::image::Image;
use tickwire_proto::v1::{self, update::Body};

/// Decimal places of prices and of quantities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scales {
    pub(crate) price: u32,
    pub(crate) quantity: u32,
}

/// A body without its values, and its values in units of 10⁻¹², which every scale can be compared in.
pub(crate) type Meaning = (Body, Vec<i128>);

/// What a value is measured in.
#[derive(Clone, Copy, Debug)]
enum Measure {
    Price,
    Quantity,
}

impl Scales {
    pub(crate) fn of(info: &v1::InstrumentInfo) -> Self {
        Self { price: info.price_scale, quantity: info.quantity_scale }
    }

    /// A price in units of 10⁻¹².
    pub(crate) fn price(self, mantissa: i64) -> i128 {
        self.units(mantissa, Measure::Price)
    }

    /// What `body` says at these scales.
    pub(crate) fn meaning(self, body: &Body) -> Meaning {
        let (mut body, mut units) = (body.clone(), Vec::new());
        each_value(&mut body, &mut |value, measure| {
            if let Some(value) = value {
                units.push(self.units(*value, measure));
                *value = 0;
            }
        });
        (body, units)
    }

    /// A body at other scales; `None` if it cannot be without a value that has no room there. Other such values become unknown.
    fn rescaled(self, body: &Body, to: Self) -> Option<Body> {
        let mut body = body.clone();
        let is_whole = each_value(&mut body, &mut |value, measure| {
            let unit = 10_i128.pow(PLACES - to.places(measure));
            *value =
                value.map(|value| self.units(value, measure)).filter(|units| units % unit == 0).and_then(|u| i64::try_from(u / unit).ok());
        });
        is_whole.then_some(body)
    }

    fn units(self, mantissa: i64, measure: Measure) -> i128 {
        i128::from(mantissa) * 10_i128.pow(PLACES - self.places(measure))
    }

    fn places(self, measure: Measure) -> u32 {
        match measure {
            Measure::Price => self.price,
            Measure::Quantity => self.quantity,
        }
    }
}

/// What a feed's node says after a change of scales: images of everything that has values, in the order of the intake.
pub(crate) fn images_at(image: &Image, from: Scales, to: Scales) -> Vec<Body> {
    let bars: Vec<_> = image.bars.iter().filter_map(|bar| from.rescaled(&Body::Bar(*bar), to)).collect();
    let lost = (bars.len() < image.bars.len()).then(|| Body::Bar(v1::Bar::default()));
    let states = image.quote.map(Body::Quote).into_iter().chain(image.odds.clone().map(Body::Odds));
    lost.into_iter().chain(states.filter_map(|body| from.rescaled(&body, to))).chain(bars).collect()
}

/// Shows every value that is there, and takes it as `visit` leaves it. Returns whether none is missing that the body cannot be without.
fn each_value(body: &mut Body, visit: &mut impl FnMut(&mut Option<i64>, Measure)) -> bool {
    use Measure::{Price, Quantity};
    let mut is_whole = true;
    let mut plain = |value: &mut i64, measure| {
        let mut visited = Some(*value);
        visit(&mut visited, measure);
        is_whole &= visited.is_some();
        *value = visited.unwrap_or_default();
    };
    match body {
        Body::Trade(trade) => {
            plain(&mut trade.price, Price);
            plain(&mut trade.quantity, Quantity);
        }
        Body::Bar(bar) => {
            for price in [&mut bar.open, &mut bar.high, &mut bar.low, &mut bar.close] {
                plain(price, Price);
            }
            plain(&mut bar.volume, Quantity);
        }
        Body::Quote(quote) => {
            for price in [&mut quote.bid, &mut quote.ask, &mut quote.last, &mut quote.interval_high, &mut quote.interval_low] {
                visit(price, Price);
            }
            visit(&mut quote.volume, Quantity);
        }
        Body::Odds(odds) => {
            odds.outcomes.iter_mut().for_each(|outcome| visit(&mut outcome.back, Price));
            visit(&mut odds.matched, Quantity);
        }
        Body::Status(_) | Body::Score(_) => {}
    }
    is_whole
}

/// The most places that a scale can have.
const PLACES: u32 = 12;
