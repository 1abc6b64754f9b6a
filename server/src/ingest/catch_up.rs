//! How far a node is with a log that was there before it.

use std::fmt;
use std::time::Duration;

use tickwire_proto::Moment;

/// How far a node is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Position of the last message taken. `None`: none yet.
    pub seq: Option<u64>,
    /// Position to reach. `None`: not known yet.
    pub tail: Option<u64>,
    /// Messages taken in a second, of late.
    pub messages_per_s: u64,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("catching up with the log")?;
        match (self.seq, self.tail) {
            (None, None) => return Ok(()),
            (None, Some(tail)) => write!(f, ": before its first message, of {tail}")?,
            (Some(seq), None) => write!(f, ": at {seq}")?,
            (Some(seq), Some(tail)) => write!(f, ": at {seq} of {tail}")?,
        }
        write!(f, ", {} messages/s", self.messages_per_s)
    }
}

/// Counts messages between two looks.
#[derive(Debug)]
pub(crate) struct CatchUp {
    tail: Option<u64>,
    looked_at: Moment,
    /// Since `looked_at`.
    messages: u64,
}

impl CatchUp {
    /// Begins now.
    pub(crate) fn new(now: Moment) -> Self {
        Self { tail: None, looked_at: now, messages: 0 }
    }

    /// Position to reach.
    pub(crate) fn aim(&mut self, tail: u64) {
        self.tail = Some(tail);
    }

    /// Messages were taken.
    pub(crate) fn count(&mut self, messages: usize) {
        self.messages += messages as u64;
    }

    /// When to look again.
    pub(crate) fn due(&self) -> Moment {
        self.looked_at + LOOK_EVERY
    }

    /// How far it is, if it is time to say so.
    pub(crate) fn look(&mut self, now: Moment, seq: Option<u64>) -> Option<Progress> {
        let since = now.since(self.looked_at);
        if since < LOOK_EVERY {
            return None;
        }
        let messages_per_s = (self.messages as f64 / since.as_secs_f64()) as u64;
        (self.looked_at, self.messages) = (now, 0);
        Some(Progress { seq, tail: self.tail, messages_per_s })
    }
}

/// Between two words about how far it is.
const LOOK_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_every_second_how_far_it_is() {
        let at = Moment::from_millis;
        let mut catch_up = CatchUp::new(at(0));
        catch_up.count(500);
        assert_eq!(catch_up.look(at(999), Some(5)), None);
        catch_up.count(1_500);
        let said = |progress: Option<Progress>| progress.map(|progress| progress.to_string()).unwrap_or_default();
        assert_eq!(said(catch_up.look(at(2_000), Some(1_999))), "catching up with the log: at 1999, 1000 messages/s");
        catch_up.aim(9_000);
        assert_eq!(said(catch_up.look(at(3_000), Some(1_999))), "catching up with the log: at 1999 of 9000, 0 messages/s");
        assert_eq!(said(catch_up.look(at(4_000), None)), "catching up with the log: before its first message, of 9000, 0 messages/s");
        assert_eq!(Progress::default().to_string(), "catching up with the log");
    }
}
