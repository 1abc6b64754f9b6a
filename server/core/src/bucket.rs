//! A token bucket in eight bytes: how much of something is allowed, in the long run and at once.

use core::time::Duration;

use tickwire_proto::time::Moment;

/// Allows so many a second, and so many at once. A new one is full.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bucket {
    /// When the bucket will be full again.
    full_at: Moment,
}

impl Bucket {
    /// Takes one token.
    ///
    /// # Errors
    /// There is none; says when there will be.
    pub fn take(&mut self, now: Moment, per_s: u32, burst: u32) -> Result<(), Duration> {
        let each = Duration::from_micros(1_000_000 / u64::from(per_s.max(1)));
        let full_at = self.full_at.max(now) + each;
        let empty = each * burst.max(1);
        if full_at.since(now) > empty {
            return Err(full_at.since(now) - empty);
        }
        self.full_at = full_at;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let mut bucket = Bucket::default();
        let start = Moment::from_millis(1_000);
        assert!((0..40).all(|_| bucket.take(start, 10, 40).is_ok()));
        assert_eq!(bucket.take(start, 10, 40), Err(Duration::from_millis(100)));
        assert!(bucket.take(start + Duration::from_millis(100), 10, 40).is_ok());
        assert!(bucket.take(start + Duration::from_millis(100), 10, 40).is_err());
    }
}
