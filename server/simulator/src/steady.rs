//! A market for measurements: a fixed number of symbols at a fixed rate, with values that a test can work out.

use alloc::format;
use alloc::string::String;

use tickwire_proto::v1::{self, AssetClass, update::Body};

use crate::outbox::{Outbox, delta, image};

/// Symbols `bench.S0` … in turn.
#[derive(Debug)]
pub(crate) struct Steady {
    symbols: u64,
    updates_per_s: u64,
    start_us: u64,
    /// Updates so far.
    done: u64,
}

impl Steady {
    pub(crate) fn new(symbols: u32, updates_per_s: u32, start_us: u64) -> Self {
        Self { symbols: symbols.into(), updates_per_s: updates_per_s.into(), start_us, done: 0 }
    }

    /// Announces all symbols at version 0.
    pub(crate) fn open(&self, now_us: u64, out: &mut Outbox) {
        for index in 0..self.symbols {
            let info = v1::InstrumentInfo {
                symbol: name(index),
                asset_class: AssetClass::Stock as i32,
                price_scale: 2,
                currency: "USD".into(),
                display_name: format!("Bench {index}"),
                ..Default::default()
            };
            out.announce(now_us, info, [image(now_us, quote(index, 0, now_us))].into());
        }
    }

    /// When the next update happens; `None` if there is none.
    pub(crate) fn due(&self) -> Option<u64> {
        (self.symbols > 0).then_some(())?;
        // From the start, not from the last one: rounding does not add up.
        let since = u128::from(self.done + 1) * 1_000_000;
        let since = u64::try_from(since.checked_div(self.updates_per_s.into())?).ok()?;
        self.start_us.checked_add(since)
    }

    /// The next update.
    pub(crate) fn act(&mut self, now_us: u64, out: &mut Outbox) {
        let (index, version) = (self.done % self.symbols.max(1), self.done / self.symbols.max(1) + 1);
        self.done += 1;
        out.publish(now_us, &name(index), [delta(now_us, quote(index, version, now_us))].into());
    }
}

/// `last` of `bench.S<symbol>` in its `version`-th update (its `trades` field), as a mantissa with 2 decimal places.
///
/// It starts at 100.00 + symbol / 100 and goes up and down by 5.00 in steps of 0.01, one per version; bid and ask are 0.01 beside it.
/// Versions of one symbol that are less than 500 apart in the same direction have different prices.
pub const fn steady_price(symbol: u64, version: u64) -> i64 {
    let phase = version % (2 * SWING);
    let height = if phase < SWING { phase } else { 2 * SWING - phase };
    (10_000 + symbol % 1_000_000 + height) as i64
}

fn name(index: u64) -> String {
    format!("bench.S{index}")
}

fn quote(index: u64, version: u64, now_us: u64) -> Body {
    let last = steady_price(index, version);
    Body::Quote(v1::Quote {
        bid: Some(last - 1),
        ask: Some(last + 1),
        last: Some(last),
        last_ts_us: Some(now_us),
        trades: Some(version),
        ..Default::default()
    })
}

/// Height of the zigzag, in hundredths.
const SWING: u64 = 500;
