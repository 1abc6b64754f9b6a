//! What a source of updates is: something that can be asked for the next thing that happened in its log.

use tickwire_core::intake::Poison;

/// Reads a log. It keeps its place, reconnects by itself and for ever, and tells in order what it finds.
pub(crate) trait FeedSource: Send + 'static {
    /// The next thing that happened. Cancel safe. Waits for ever on a quiet log.
    fn next(&mut self) -> impl Future<Output = SourceEvent> + Send;

    /// `message` was refused, wholly or in part. Puts a copy aside if the source has a place for it; never waits.
    fn refuse(&mut self, message: &LogMessage, poison: &[Poison]);
}

/// What a source tells, in the order of the log.
#[derive(Debug)]
#[expect(dead_code, reason = "the built-in market is never away")]
pub(crate) enum SourceEvent {
    /// The log cannot be reached.
    Down(String),
    /// The log was reached; what follows may be old until `CaughtUp`.
    Connected,
    /// A new life of the log, from its beginning.
    Reset {
        /// Identity of the log from now on.
        epoch: String,
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
