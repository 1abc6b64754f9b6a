//! What all connections of a crowd counted.

use hdrhistogram::Histogram;

/// Counters since [`Tally::restart`], and faults since the beginning.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Records that are updates; images of a snapshot are not.
    pub records: u64,
    /// Images.
    pub images: u64,
    /// Messages with at least one update.
    pub frames: u64,
    /// Bytes received, framing included.
    pub bytes: u64,
    /// Inputs that were merged into records, beyond the first of each.
    pub merged: u64,
    /// From the event to this process, microseconds, for each update.
    pub latency: Histogram<u64>,
    /// Age of the values held, microseconds, sampled.
    pub age: Histogram<u64>,
    /// Messages decoded whole and compared with the market.
    pub checked: u64,
    /// Times that a server said that this client is slow.
    pub slow_notices: u64,
    /// What was wrong.
    pub faults: Faults,
}

/// What no server should do. Never reset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Updates or messages that never came, reported by the server or not.
    pub lost: u64,
    /// Updates or messages behind a newer one.
    pub disordered: u64,
    /// Values that the market never had.
    pub wrong: u64,
    /// Subscriptions refused.
    pub refused: u64,
    /// Connections that the server refused or ended.
    pub cut: u64,
    /// The first of them, in words.
    pub first: Option<String>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            records: 0,
            images: 0,
            frames: 0,
            bytes: 0,
            merged: 0,
            latency: histogram(),
            age: histogram(),
            checked: 0,
            slow_notices: 0,
            faults: Faults::default(),
        }
    }
}

impl Tally {
    /// Counts from 0 again, but for the faults.
    pub fn restart(&mut self) {
        let faults = std::mem::take(&mut self.faults);
        *self = Self { faults, ..Self::default() };
    }

    /// Notes a latency.
    pub fn late_by(&mut self, us: u64) {
        self.latency.saturating_record(us);
    }
}

impl Faults {
    /// Whether nothing was wrong.
    pub fn is_none(&self) -> bool {
        self.lost + self.disordered + self.wrong + self.refused + self.cut == 0
    }

    /// Keeps the first fault in words. `text` is made only for that one.
    pub fn note(&mut self, text: impl FnOnce() -> String) {
        self.first.get_or_insert_with(text);
    }
}

/// Microseconds up to [`LATENCY_US_MAX`], to two digits: 40 KiB.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_US_MAX, 2).expect("bounds and digits are in range")
}

/// Ten minutes. What is longer counts as this.
const LATENCY_US_MAX: u64 = 600_000_000;
