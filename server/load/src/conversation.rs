//! What a connection of the crowd says and understands, above a stream of bytes.

use std::time::{SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;

use crate::Tally;

/// The time of day, microseconds since 1970 UTC: servers stamp records with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(pub u64);

impl Stamp {
    /// Now. 0 if the machine's clock is before 1970.
    pub fn now() -> Self {
        Self(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64))
    }

    /// Microseconds since `earlier`; 0 if that is later, which clocks of two machines can make it.
    pub fn since(self, earlier: u64) -> u64 {
        self.0.saturating_sub(earlier)
    }
}

/// One side of one connection.
pub trait Conversation {
    /// Appends what is sent first.
    fn open(&mut self, out: &mut Vec<u8>);

    /// Takes the whole messages at the front of `bytes`, counts them in `tally`, and returns how many bytes they were. What is left comes
    /// again with more behind it. Answers are appended to `out`.
    ///
    /// # Errors
    /// The server refuses, says goodbye, or is not understood: the connection is ended, with this text.
    fn take(&mut self, bytes: &[u8], now: Stamp, tally: &mut Tally, out: &mut Vec<u8>) -> Result<usize, String>;

    /// Whether the server has given everything that was asked for at the start, so that from now on it is updates that come.
    fn is_ready(&self) -> bool;

    /// Records how old the values are that this client holds.
    fn ages(&self, _now: Stamp, _ages: &mut Histogram<u64>) {}

    /// Appends what has to be said now that no more is there to be read.
    fn acknowledge(&mut self, _out: &mut Vec<u8>) {}
}
