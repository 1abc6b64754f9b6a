//! What a log is to the feed task, so that others can stand beside RabbitMQ and the built-in market.
//!
//! A log gives messages in one **order**. Each has a **position** (`seq`): strictly increasing in that order, not dense, so that nothing may be
//! concluded from a number that is missing. Several updates of one message share its position. Positions are what clients resume by
//! and what decides between an older and a newer value, so a source must not give the same position to two messages of one epoch,
//! and must not go back to a position without saying so.
//!
//! An **epoch** is the identity of a log as far as positions can be compared. It is any text without meaning to the rest. Nodes with the
//! same epoch promise each other's clients that the same position is the same message: if positions are the log's own, nodes of one log share the
//! epoch; if each node counts by itself, each has an epoch that no other can have, and a client that changes nodes gets images. Whenever
//! positions may have been given again (the log was made anew, its end was lost), the epoch is a new one.
//!
//! **Replay** is telling a past again. A source may do so only behind [`SourceEvent::Restore`] or [`SourceEvent::Reset`], which empty the book,
//! and has to tell the rest in order up to [`SourceEvent::CaughtUp`]; clients are given images then, and see nothing of the way. A source that
//! loses its connection and goes on at the next message replays nothing: it says `Down`, `Connected`, the messages, `CaughtUp`.
//!
//! What can be told neither now nor later is a **loss**, and has to be said: by [`SourceEvent::Gap`], where the book has a hole in its past and
//! the epoch stays; by [`SourceEvent::Interrupted`] and, behind `CaughtUp`, a `Gap`, where the book is only the last that was known. (A new epoch
//! ends what was to be said about the one before it: clients are told that the log was reset.) Silence about a loss is the one
//! thing that no source may do.
//!
//! ```text
//!          ┌───────────────────────────────── Down ◄────────────────────────────────┐
//!          ▼                                                                        │
//!      Connected ─► [Reset | Restore | Interrupted] ─► [Gap] [Behind] Messages… ─► CaughtUp ─► Messages | Gap …
//! ```
//!
//! The first `Connected` of a process is followed by `Reset` or `Restore`: before either, the book has no epoch. `CaughtUp` comes once for
//! each `Connected`, when everything that was in the log by then has been told. It makes the node ready, so it may not wait for a quiet log to
//! move.
//!
//! To add a log: implement [`FeedSource`] in a module beside `amqp` and `simulated`, give it a variant of `FeedSourceConfig`, and start a
//! [`Feeder`](super::feeder::Feeder) with it. Everything behind (decoding, poison, health, checkpoints' contents) is shared.

use tickwire_core::checkpoint::Part;
use tickwire_core::intake::Poison;
use tickwire_proto::v1;

/// Reads a log. It keeps its place, reconnects by itself and for ever, and tells in order what it finds.
pub(crate) trait FeedSource: Send + 'static {
    /// The next thing that happened. Cancel safe: what is not returned is returned by the next call. Waits for ever on a quiet log.
    fn next(&mut self) -> impl Future<Output = SourceEvent> + Send;

    /// `message` was refused, wholly or in part. Puts a copy aside if the source has a place for it; never waits.
    fn refuse(&mut self, message: &LogMessage, poison: &[Poison]);

    /// Whether the book at position `seq` should be kept now, for nodes that start later. Asked when the book is complete. A source whose
    /// past can always be read from the beginning has no use for it.
    fn wants_checkpoint(&mut self, seq: u64) -> bool {
        let _ = seq;
        false
    }

    /// Keeps the book, in parts of at most a megabyte. Never waits.
    fn keep(&mut self, checkpoint: Vec<Part>) {
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
    /// What stands for the past of the log: messages after its position follow. It carries the epoch.
    Restore(Box<v1::Checkpoint>),
    /// Messages were lost, and nothing stands for them: the book stays what it was, as the beginning of a new life. A `Gap` follows
    /// `CaughtUp`.
    Interrupted {
        /// Identity of the log from now on.
        epoch: String,
    },
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
