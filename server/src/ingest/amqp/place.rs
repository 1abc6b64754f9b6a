//! Where a reader goes on in the log, and whether what it finds there is what it left.
//!
//! The broker is silent where it hurts: it clamps a truncated position to the first kept message, waits for ever at a position beyond
//! the end, and gives the same positions again after a stream was made anew. So a reader asks for the last message it has seen once
//! more, and compares.

use std::time::{SystemTime, UNIX_EPOCH};

use tickwire_proto::v1;

/// Where to begin.
#[derive(Debug)]
pub(crate) enum Start {
    /// Nothing is known: look for a checkpoint.
    Unknown,
    /// After a position that has been told.
    After(Position),
    /// After a checkpoint, which has not been told.
    Checkpoint {
        /// The checkpoint.
        from: Box<v1::Checkpoint>,
        /// The last position that was told, if messages between it and the checkpoint are lost to us.
        hole_after: Option<u64>,
    },
    /// At the first message of a new life of the log.
    Beginning {
        /// Identity of that life.
        epoch: u64,
    },
}

impl Start {
    /// The message that the log has to begin with, if it still is the same log.
    pub(crate) fn expected(&self) -> Option<Position> {
        match self {
            Self::Unknown | Self::Beginning { .. } => None,
            Self::After(position) => Some(*position),
            Self::Checkpoint { from, .. } => Some(Position { seq: from.seq, body_hash: from.body_hash }),
        }
    }
}

/// A message of the log, as far as it takes to know it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// Position in the log.
    pub(crate) seq: u64,
    /// Of its body.
    pub(crate) body_hash: u64,
}

/// What the first messages say about the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// Before the position that was asked for: look at the next one.
    Earlier,
    /// The same message: the log goes on behind it.
    Same,
    /// The message is gone, and perhaps others behind it.
    Truncated,
    /// Another message at the same position: another log.
    Changed,
}

impl Position {
    /// Compares what was delivered with what was expected.
    pub(crate) fn compare(self, delivered: Self) -> Finding {
        match delivered.seq.cmp(&self.seq) {
            std::cmp::Ordering::Less => Finding::Earlier,
            std::cmp::Ordering::Greater => Finding::Truncated,
            std::cmp::Ordering::Equal if delivered.body_hash == self.body_hash => Finding::Same,
            std::cmp::Ordering::Equal => Finding::Changed,
        }
    }
}

/// The epoch that a checkpoint or token carries: milliseconds since 1970. One that is not ours counts as the oldest.
pub(crate) fn epoch_number(epoch: &str) -> u64 {
    epoch.parse().unwrap_or(0)
}

/// The name of a new life of the log: the time of day in milliseconds, and above the life before.
pub(crate) fn next_epoch(before: u64) -> u64 {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    now_ms.max(before + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_same_log_again() {
        let expected = Position { seq: 7, body_hash: 70 };
        let compare = |seq, body_hash| expected.compare(Position { seq, body_hash });
        assert_eq!(compare(6, 70), Finding::Earlier);
        assert_eq!(compare(7, 70), Finding::Same);
        assert_eq!(compare(7, 71), Finding::Changed);
        assert_eq!(compare(9, 70), Finding::Truncated);
    }

    #[test]
    fn asks_for_the_last_message_of_a_checkpoint() {
        let from = Box::new(v1::Checkpoint { seq: 40, body_hash: 4, ..Default::default() });
        assert_eq!(Start::Checkpoint { from, hole_after: None }.expected(), Some(Position { seq: 40, body_hash: 4 }));
        assert_eq!(Start::Beginning { epoch: 1 }.expected(), None);
    }
}
