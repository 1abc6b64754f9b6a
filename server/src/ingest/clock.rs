//! The clocks of the feed side: a monotonic one for deadlines, and the time of day for stamps.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tickwire_proto::Moment;

/// Reads both clocks. Moments count from the start of the feed task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    /// Moments count from now.
    pub(crate) fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// Now, for deadlines.
    pub(crate) fn now(self) -> Moment {
        Moment::from_micros(self.origin.elapsed().as_micros() as u64)
    }

    /// Now, for stamps: microseconds since 1970 UTC. 0 if the machine's clock is before that.
    pub(crate) fn unix_us(self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
    }

    /// `moment` on tokio's clock.
    pub(crate) fn instant(self, moment: Moment) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.origin + moment.since(Moment::ZERO))
    }
}
