//! When a node writes a checkpoint: if nobody has for a while. No lock; two at once only cost their bytes.

use std::time::Duration;

use tickwire_proto::Moment;

/// Knows the newest checkpoint that was heard, and how long or far ago that may be.
#[derive(Debug)]
pub(crate) struct Keeper {
    heard: Option<Heard>,
    /// Since when there was nothing to hear, until something is.
    waiting_since: Moment,
    /// Not again before.
    asked_until: Moment,
    /// 0 to 1, drawn anew after each checkpoint, so that nodes do not write in step.
    chance: f64,
}

#[derive(Clone, Copy, Debug)]
struct Heard {
    at: Moment,
    /// How old it was then. It may be older than this process, whose moments begin with it.
    age: Duration,
    seq: u64,
}

impl Keeper {
    /// Has heard of none.
    pub(crate) fn new(now: Moment, chance: f64) -> Self {
        Self { heard: None, waiting_since: now, asked_until: now, chance }
    }

    /// A checkpoint of the current epoch was seen on the stream, ours or another node's, `age` after it was written.
    pub(crate) fn heard(&mut self, now: Moment, age: Duration, seq: u64, chance: f64) {
        if self.heard.is_none_or(|heard| seq >= heard.seq) {
            // Nodes that start together behind an old one do not all write at once.
            self.heard = Some(Heard { at: now, age: age.min(INTERVAL), seq });
            self.chance = chance;
        }
    }

    /// A new life of the log: what was heard before does not count.
    pub(crate) fn forget(&mut self, now: Moment) {
        (self.heard, self.waiting_since) = (None, now);
    }

    /// Whether to write one at position `seq`. Says yes once, then not again for [`PATIENCE`].
    pub(crate) fn is_due(&mut self, now: Moment, seq: u64) -> bool {
        let due = match self.heard {
            None => now >= self.waiting_since + FIRST_AFTER.mul_f64(self.chance),
            Some(heard) => {
                let moved = seq.saturating_sub(heard.seq);
                let old = now.since(heard.at) + heard.age >= INTERVAL + INTERVAL_JITTER.mul_f64(self.chance);
                moved > 0 && (old || moved as f64 >= MESSAGES as f64 * (1.0 + MESSAGES_JITTER * self.chance))
            }
        };
        if !due || now < self.asked_until {
            return false;
        }
        self.asked_until = now + PATIENCE;
        true
    }
}

/// A log without a checkpoint gets one within this time, so that its epoch has a name that other nodes hear.
const FIRST_AFTER: Duration = Duration::from_secs(2);
const INTERVAL: Duration = Duration::from_secs(60);
const INTERVAL_JITTER: Duration = Duration::from_secs(30);
/// Messages behind the newest checkpoint after which one is due: what a node replays in some 2.5 s.
const MESSAGES: u64 = 50_000;
const MESSAGES_JITTER: f64 = 0.2;
/// Time for a checkpoint to be written and heard. Then it is tried again.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Moment {
        Moment::from_millis(seconds * 1_000)
    }

    const NEW: Duration = Duration::ZERO;

    #[test]
    fn names_a_new_log_soon() {
        let mut keeper = Keeper::new(s(0), 1.0);
        assert!(!keeper.is_due(s(1), 5));
        assert!(keeper.is_due(s(2), 5));
        assert!(!keeper.is_due(s(3), 5), "asked once, it waits");
        assert!(keeper.is_due(s(12), 5), "and asks again if nothing was heard");
    }

    #[test]
    fn writes_when_nobody_has_and_the_log_has_moved() {
        let mut keeper = Keeper::new(s(0), 0.0);
        keeper.heard(s(10), NEW, 100, 1.0);
        assert!(!keeper.is_due(s(99), 101));
        assert!(!keeper.is_due(s(100), 100), "nothing has moved");
        assert!(keeper.is_due(s(100), 101));
    }

    #[test]
    fn leaves_it_to_the_node_that_was_first() {
        let mut keeper = Keeper::new(s(0), 0.0);
        keeper.heard(s(0), NEW, 100, 0.5);
        keeper.heard(s(70), NEW, 200, 0.5);
        assert!(!keeper.is_due(s(80), 300));
        assert!(keeper.is_due(s(145), 300));
    }

    #[test]
    fn a_node_that_starts_goes_by_the_age_of_the_checkpoint_that_it_finds() {
        let mut keeper = Keeper::new(s(0), 0.0);
        keeper.heard(s(1), Duration::from_secs(50), 100, 0.0);
        assert!(!keeper.is_due(s(10), 101), "it is not the first of its log");
        assert!(keeper.is_due(s(11), 101));
        let mut keeper = Keeper::new(s(0), 0.0);
        keeper.heard(s(1), Duration::from_secs(3_600), 100, 0.5);
        assert!(!keeper.is_due(s(15), 101), "another node may be first");
        assert!(keeper.is_due(s(16), 101));
    }

    #[test]
    fn writes_after_many_messages() {
        let mut keeper = Keeper::new(s(0), 0.0);
        keeper.heard(s(0), NEW, 100, 0.0);
        assert!(!keeper.is_due(s(1), 50_099));
        assert!(keeper.is_due(s(1), 50_100));
    }
}
