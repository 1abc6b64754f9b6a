//! How many messages may be under way from the broker, by how large they are.
//!
//! AMQP counts messages, and what is under way waits in memory without another bound: 1,000 messages of a MiB would be 1 GiB. So the
//! credit begins low, and follows the size of what comes.

/// Measures messages, and says how many of their size fit.
#[derive(Debug, Default)]
pub(crate) struct Credit {
    /// Of the period that is being measured.
    messages: u64,
    bytes: u64,
    /// How many messages fit. `None`: none has come yet.
    fits: Option<u16>,
    /// Periods in a row whose messages were small enough for twice as many.
    roomy: u32,
}

impl Credit {
    /// A message of so many bytes came.
    pub(crate) fn count(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes as u64;
        if self.messages >= PERIOD_MESSAGES || self.bytes >= PERIOD_BYTES {
            let by_size = BYTES_UNDER_WAY_MAX * self.messages / self.bytes.max(1);
            self.note(u16::try_from(by_size).unwrap_or(u16::MAX).max(LEAST));
            (self.messages, self.bytes) = (0, 0);
        }
    }

    /// The credit to open with, `most` at most.
    pub(crate) fn grant(&self, most: u16) -> u16 {
        self.fits.unwrap_or(UNKNOWN).min(most)
    }

    /// Whether a credit that was granted is far from what it would be now.
    pub(crate) fn is_outdated(&self, granted: u16, most: u16) -> bool {
        let wanted = self.grant(most);
        granted > most || wanted < granted / 2 || wanted / 2 >= granted
    }

    /// Less counts at once, more when it is lasting: each change opens the log again.
    fn note(&mut self, by_size: u16) {
        match self.fits {
            Some(fits) if by_size > fits => {
                self.roomy = if by_size / 2 >= fits { self.roomy + 1 } else { 0 };
                if self.roomy >= ROOMY_PERIODS {
                    (self.fits, self.roomy) = (Some(by_size), 0);
                }
            }
            _ => (self.fits, self.roomy) = (Some(by_size), 0),
        }
    }
}

/// Takes from the front of `messages` what may be handed on at once: many parts may wait for whoever takes them.
pub(crate) fn next_part<T>(messages: &mut Vec<T>, bytes: impl Fn(&T) -> usize) -> Option<Vec<T>> {
    let mut sum = 0;
    let fitting = messages.iter().take_while(|message| {
        sum += bytes(message);
        sum <= BATCH_BYTES_MAX
    });
    let count = fitting.count().max(1).min(messages.len());
    let rest = messages.split_off(count);
    let part = std::mem::replace(messages, rest);
    (!part.is_empty()).then_some(part)
}

/// Bytes of messages handed on at once, unless one alone has more.
const BATCH_BYTES_MAX: usize = 2 << 20;
/// What may be under way from the broker, as far as sizes are known. A credit is off by half at most.
const BYTES_UNDER_WAY_MAX: u64 = 32 << 20;
/// Credit while no size is known: 128 MiB of the largest messages that are taken.
const UNKNOWN: u16 = 128;
/// The smallest credit, for messages that are too large to be taken.
const LEAST: u16 = 2;
/// A period of measuring ends after so many messages ...
const PERIOD_MESSAGES: u64 = 500;
/// ... or so many bytes: messages that have grown are noticed by then.
const PERIOD_BYTES: u64 = 8 << 20;
/// Periods with small messages after which the credit grows.
const ROOMY_PERIODS: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes under way with the credit that follows these sizes.
    fn after(credit: &mut Credit, count: usize, bytes: usize) -> u16 {
        (0..count).for_each(|_| credit.count(bytes));
        credit.grant(10_000)
    }

    #[test]
    fn small_messages_get_all_and_large_ones_what_fits() {
        let mut credit = Credit::default();
        assert_eq!(after(&mut credit, 499, 200), 128, "nothing is known");
        assert_eq!(after(&mut credit, 1, 200), 10_000);
        assert!(credit.is_outdated(128, 10_000) && !credit.is_outdated(10_000, 10_000));
        assert!(credit.is_outdated(10_000, 1_000) && !credit.is_outdated(1_000, 1_000), "the most has changed");
        // Eight of a MiB are enough to know.
        assert_eq!(after(&mut credit, 8, 1 << 20), 32);
        assert!(credit.is_outdated(10_000, 10_000) && credit.is_outdated(1_000, 1_000) && !credit.is_outdated(64, 1_000));
        assert_eq!(after(&mut Credit::default(), 1, 128 << 20), 2);
        assert_eq!(after(&mut Credit::default(), 500, 0), 10_000);
    }

    #[test]
    fn more_is_given_when_small_messages_last() {
        let mut credit = Credit::default();
        after(&mut credit, 8, 1 << 20);
        assert_eq!(after(&mut credit, 1_999, 200), 32);
        assert_eq!(after(&mut credit, 1, 200), 10_000);
        // One large message among many is no reason.
        for _ in 0..20 {
            after(&mut credit, 499, 200);
            assert!(!credit.is_outdated(10_000, 10_000));
            credit.count(1 << 20);
        }
        // Small and large in turns keep the credit of the large ones.
        for _ in 0..20 {
            after(&mut credit, 8, 1 << 20);
            assert_eq!(after(&mut credit, 1_000, 200), 32);
        }
    }

    #[test]
    fn parts_are_bounded_and_none_is_left_out() {
        let mut messages = vec![1_usize, 2 << 20, 1 << 20, 1 << 20, 1, 5 << 20, 3];
        let parts: Vec<_> = std::iter::from_fn(|| next_part(&mut messages, |bytes| *bytes)).collect();
        assert_eq!(parts, [vec![1], vec![2 << 20], vec![1 << 20, 1 << 20], vec![1], vec![5 << 20], vec![3]]);
    }

    #[test]
    fn what_is_under_way_stays_bounded_whatever_comes() {
        for size in [1, 100, 3_000, 10_000, 100_000, 1 << 20] {
            let credit = u64::from(after(&mut Credit::default(), 500, size));
            assert!(credit * size as u64 <= BYTES_UNDER_WAY_MAX, "{credit} of {size} bytes");
        }
    }
}
