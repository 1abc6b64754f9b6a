//! Recordings of a log: files from which every message comes back byte by byte, found by position or by time.
//!
//! ```text
//! file    := magic "tickrec\n", version u32, crc32 of both           then blocks, then, if it was ended well, index and end
//! block   := header of 56 bytes, then zstd of its messages           each message is a length (varint) and a `Recorded` in protobuf
//! header  := kind u32, bytes inside u32, bytes packed u32, messages u32, first and last position u64, first and last time u64,
//!            crc32 of the packed bytes, crc32 of the header before it
//! index   := a block of another kind, whose one message lists the blocks
//! end     := place of the index u64, its crc32, magic
//! ```
//!
//! Numbers are little-endian. Blocks explain themselves: without an end (the recorder was killed) the headers are walked, what was cut
//! off inside a block is left out, and a recorder can go on behind the last whole one. A damaged block costs its own messages only.

mod block;
mod message;
mod reader;
mod state;
mod time;
mod writer;

use std::io;

use thiserror::Error;

pub use block::BlockInfo;
pub use message::{Recorded, RecordedHeader, header_value};
pub use reader::{Messages, Reader};
pub use state::{Book, state_hash};
pub use writer::Writer;

/// What is wrong with a recording.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// The file cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It does not begin as a recording does.
    #[error("is no recording of Tickwire")]
    NotARecording,
    /// It was made by a newer Tickwire.
    #[error("has version {0}, and only 1 is known here")]
    Version(u32),
    /// A block is not as it was written. Its messages are lost, those of other blocks are not.
    #[error("block {number} at byte {offset} is damaged: {what}; it had {messages}")]
    CorruptBlock {
        /// Its number, from 0, among those that were found.
        number: usize,
        /// Its place in the file.
        offset: u64,
        /// What does not fit.
        what: &'static str,
        /// How many messages it had, if that can be told.
        messages: Lost,
    },
    /// A message that no block holds.
    #[error("a message of {0} bytes is longer than a block")]
    TooLarge(usize),
    /// There are too many blocks.
    #[error("is full: it has {0} blocks")]
    Full(usize),
}

impl RecordingError {
    /// For programs, such as `corrupt_block`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io(_) => "io",
            Self::NotARecording => "not_a_recording",
            Self::Version(_) => "unsupported_version",
            Self::CorruptBlock { .. } => "corrupt_block",
            Self::TooLarge(_) => "too_large",
            Self::Full(_) => "full",
        }
    }
}

/// Messages that a damaged block had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// So many.
    Messages(u32),
    /// Its header is damaged as well.
    Unknown,
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Messages(count) => write!(f, "{count} messages"),
            Self::Unknown => f.write_str("an unknown number of messages"),
        }
    }
}

/// Where a recording begins.
const MAGIC: [u8; 8] = *b"tickrec\n";
const VERSION: u32 = 1;
/// Bytes before the first block.
const START_BYTES: u64 = 16;

/// The beginning of a file.
fn start() -> [u8; START_BYTES as usize] {
    let mut start = [0; START_BYTES as usize];
    start[..8].copy_from_slice(&MAGIC);
    start[8..12].copy_from_slice(&VERSION.to_le_bytes());
    let crc = crc32fast::hash(&start[..12]);
    start[12..].copy_from_slice(&crc.to_le_bytes());
    start
}

#[cfg(test)]
mod tests;
