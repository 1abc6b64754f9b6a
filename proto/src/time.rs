//! Time as a value. Machines never read a clock: their callers tell them what time it is.

use core::ops::{Add, Sub};
use core::time::Duration;

/// A point on a monotonic clock, in microseconds since an origin that the caller chose. Not a time of day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// The origin of the clock.
    pub const ZERO: Self = Self(0);

    /// The moment `micros` microseconds after the origin.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// The moment `millis` milliseconds after the origin.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// Microseconds since the origin.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to `self`, or zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(micros(span)))
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(micros(span)))
    }
}

/// A span in microseconds; one that does not fit lasts for ever.
fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_never_overflow() {
        let now = Moment::from_millis(5);
        assert_eq!(now.as_micros(), 5_000);
        assert_eq!(now + Duration::from_micros(7), Moment::from_micros(5_007));
        assert_eq!(now - Duration::from_millis(6), Moment::ZERO);
        assert_eq!(now + Duration::MAX, Moment::from_micros(u64::MAX));
        assert_eq!(now - Duration::MAX, Moment::ZERO);
        assert_eq!(Moment::from_millis(u64::MAX), Moment::from_micros(u64::MAX));
    }

    #[test]
    fn the_time_since_a_later_moment_is_zero() {
        let [early, late] = [3, 10].map(Moment::from_millis);
        assert_eq!(late.since(early), Duration::from_millis(7));
        assert_eq!(early.since(late), Duration::ZERO);
    }
}
