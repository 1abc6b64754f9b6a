//! What a source of updates is: something that can be asked for the next thing that happened in its log.

use tickwire_core::intake::Poison;
use tickwire_proto::v1;

/// Reads a log. It keeps its place, reconnects by itself and for ever, and tells in order what it finds.
pub(crate) trait FeedSource: Send + 'static {
    /// The next thing that happened. Cancel safe. Waits for ever on a quiet log.
    fn next(&mut self) -> impl Future<Output = SourceEvent> + Send;

    /// `message` was refused, wholly or in part. Puts a copy aside if the source has a place for it; never waits.
    fn refuse(&mut self, message: &LogMessage, poison: &[Poison]);

    /// Whether the book at position `seq` should be kept now, for nodes that start later. Asked when the book is complete.
    fn wants_checkpoint(&mut self, seq: u64) -> bool {
        let _ = seq;
        false
    }

    /// Keeps the book, in parts. Never waits.
    fn keep(&mut self, checkpoint: Vec<v1::Checkpoint>) {
        let _ = checkpoint;
    }
}

/// What a source tells, in the order of the log.
#[derive(Debug)]
pub(crate) enum SourceEvent {
    /// The log cannot be reached.
    Down(String),
    /// The log was reached; what follows may be old until `CaughtUp`.
    Connected,
    /// Where the log ended when it was reached: `CaughtUp` follows when that has been told. For people who wait; a source that does not
    /// know leaves it out.
    Behind {
        /// Position of the last message.
        tail: u64,
    },
    /// A new life of the log, from its beginning.
    Reset {
        /// Identity of the log from now on.
        epoch: String,
    },
    /// What stands for the past of the log: messages after its position follow.
    Restore(Box<v1::Checkpoint>),
    /// Messages between two positions are lost.
    Gap {
        /// Last position told.
        from: u64,
        /// First position after the loss.
        to: u64,
    },
    /// Messages, in order. Never empty.
    Messages(Vec<LogMessage>),
    /// Everything that was in the log at `Connected` has been told.
    CaughtUp,
}

/// One message of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogMessage {
    /// Position in the log: strictly increasing, not dense.
    pub(crate) seq: u64,
    /// Names the instrument.
    pub(crate) routing_key: String,
    /// As the publisher gave it.
    pub(crate) content_type: Option<String>,
    /// As the publisher gave it.
    pub(crate) content_encoding: Option<String>,
    /// As the publisher gave it.
    pub(crate) body: Vec<u8>,
}

/// A body as far as it takes to know it again: its length and CRC-32. Part of checkpoints, so every version of Tickwire has to agree.
pub(crate) fn body_hash(body: &[u8]) -> u64 {
    (body.len() as u64) << 32 | u64::from(crc32fast::hash(body))
}
