//! How long to wait before the next try to reach the broker.

use std::time::Duration;

/// Waits double with every failure and start again after a connection that lasted.
#[derive(Debug)]
pub(crate) struct Backoff {
    failures: u32,
    longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { failures: 0, longest: LONGEST }
    }
}

impl Backoff {
    /// For a broker that is there, but not all of what is wanted of it.
    pub(crate) fn of_a_start() -> Self {
        Self { failures: 0, longest: LONGEST_OF_A_START }
    }

    /// The wait after a failure: the connection had `lived` (zero if it never was), and `chance` is uniform in 0 to 1.
    pub(crate) fn after(&mut self, lived: Duration, chance: f64) -> Duration {
        if lived >= LASTED {
            self.failures = 0;
        }
        let wait = FIRST.saturating_mul(1 << self.failures.min(DOUBLINGS_MAX)).min(self.longest);
        self.failures = self.failures.saturating_add(1);
        wait.mul_f64(1.0 - JITTER + 2.0 * JITTER * chance)
    }
}

/// A number from 0 to 1, for jitter. The middle if the system has no randomness.
pub(crate) fn chance() -> f64 {
    getrandom::u32().map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX))
}

const FIRST: Duration = Duration::from_millis(50);
/// The longest wait, so that a broker that is back is found within about half a second.
const LONGEST: Duration = Duration::from_millis(500);
/// The same while a broker starts: its port opens up to a second before its streams.
const LONGEST_OF_A_START: Duration = Duration::from_millis(200);
/// Up or down, so that nodes do not come back in step.
const JITTER: f64 = 0.3;
/// A connection that lived this long was a good one: the next wait is the shortest again.
const LASTED: Duration = Duration::from_secs(10);
/// Enough to reach `LONGEST`.
const DOUBLINGS_MAX: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_half_a_second_and_starts_again_after_a_good_connection() {
        let mut backoff = Backoff::default();
        let mut next = |lived, chance| backoff.after(Duration::from_secs(lived), chance).as_millis();
        let waits: Vec<u128> = (0..7).map(|_| next(0, 0.5)).collect();
        assert_eq!(waits, [50, 100, 200, 400, 500, 500, 500]);
        assert_eq!(next(0, 0.0), 350);
        assert_eq!(next(0, 1.0), 650);
        assert_eq!(next(9, 0.5), 500);
        assert_eq!(next(10, 0.5), 50);
    }
}
