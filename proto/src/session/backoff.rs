//! How long to wait before the next try: full jitter under a ceiling that doubles, and the randomness for it.

use core::time::Duration;

use crate::planted::{Fault, planted};

/// Waits between tries. Counts failures until it is reset.
#[derive(Debug)]
pub(super) struct Backoff {
    random: Random,
    ceiling_min: Duration,
    ceiling_max: Duration,
    attempt: u32,
}

impl Backoff {
    pub(super) fn new(ceiling_min: Duration, ceiling_max: Duration, seed: u64) -> Self {
        Self { random: Random(seed), ceiling_min, ceiling_max, attempt: 0 }
    }

    /// The wait after one more failure: uniform from nothing to the ceiling, which doubles with each failure.
    ///
    /// Full jitter spreads clients that failed together more evenly than any wait with a fixed part.
    pub(super) fn next(&mut self) -> Duration {
        let ceiling = self.ceiling_min.saturating_mul(1 << self.attempt.min(DOUBLINGS_MAX)).min(self.ceiling_max);
        self.attempt = self.attempt.saturating_add(u32::from(!planted(Fault::ClientNeverBacksOff)));
        if planted(Fault::ClientWithoutJitter) { ceiling } else { self.random.up_to(ceiling) }
    }

    /// Uniform from nothing to `spread`, for waits that a server chose. Counts no failure.
    pub(super) fn spread(&mut self, spread: Duration) -> Duration {
        self.random.up_to(spread)
    }

    /// The connection has proved itself.
    pub(super) fn reset(&mut self) {
        self.attempt = 0;
    }

    /// Failures since the last reset.
    pub(super) fn attempt(&self) -> u32 {
        self.attempt
    }
}

/// SplitMix64: small, seeded, the same on every platform. Not for secrets.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn up_to(&mut self, most: Duration) -> Duration {
        let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
        let scaled = (u128::from(self.next()) * (u128::from(micros) + 1)) >> 64;
        Duration::from_micros(scaled as u64)
    }
}

/// Doublings of the ceiling. More would overflow; the ceiling's maximum is reached long before.
const DOUBLINGS_MAX: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_stay_below_a_ceiling_that_doubles() {
        let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(30), 7);
        for attempt in 0..40 {
            let ceiling = Duration::from_millis(250 << attempt.min(7)).min(Duration::from_secs(30));
            assert!(backoff.next() <= ceiling, "attempt {attempt}");
        }
    }

    #[test]
    fn jitter_covers_the_whole_range() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(1), 1);
        let waits: alloc::vec::Vec<_> = (0..1_000).map(|_| backoff.next().as_millis() / 250).collect();
        assert!((0..4).all(|quarter| waits.iter().filter(|wait| **wait == quarter).count() > 150));
    }
}
