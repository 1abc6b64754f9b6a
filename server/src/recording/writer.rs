//! Writes recordings.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use prost::Message as _;

use super::block::{self, BLOCKS_MAX, BYTES_MAX, Index, Kind};
use super::reader::Reader;
use super::{BlockInfo, Recorded, RecordingError, start};

/// Appends messages to a file. What was not [`Writer::save`]d is lost with the process; what was is not.
#[derive(Debug)]
pub struct Writer {
    file: File,
    blocks: Vec<BlockInfo>,
    /// Where the next block begins.
    end: u64,
    /// Messages of the next block.
    pending: Vec<u8>,
    /// What is known of it.
    next: BlockInfo,
    last_us: u64,
}

impl Writer {
    /// A new file.
    ///
    /// # Errors
    /// It exists already, or cannot be written.
    pub fn create(path: &Path) -> Result<Self, RecordingError> {
        let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
        let start = start();
        file.write_all(&start)?;
        Ok(Self::at(file, Vec::new(), start.len() as u64))
    }

    /// Goes on behind the last whole block of a file; what was cut off behind it is removed.
    ///
    /// # Errors
    /// It is no recording, or cannot be written.
    pub fn append(path: &Path) -> Result<Self, RecordingError> {
        let reader = Reader::open(path)?;
        let (blocks, end) = (reader.blocks().to_vec(), reader.end());
        let mut file = OpenOptions::new().write(true).open(path)?;
        file.set_len(end)?;
        file.seek(SeekFrom::Start(end))?;
        Ok(Self::at(file, blocks, end))
    }

    fn at(file: File, blocks: Vec<BlockInfo>, end: u64) -> Self {
        let last_us = blocks.last().map_or(0, |block| block.last_us);
        Self { file, blocks, end, pending: Vec::new(), next: BlockInfo::default(), last_us }
    }

    /// Adds a message. Its time becomes that of the message before it, if it is an older one. A full block is saved.
    ///
    /// # Errors
    /// The message is too large, or the file cannot be written.
    pub fn push(&mut self, mut message: Recorded) -> Result<(), RecordingError> {
        message.time_us = message.time_us.max(self.last_us);
        let bytes = message.encoded_len() + LENGTH_BYTES;
        if bytes > BYTES_MAX {
            return Err(RecordingError::TooLarge(bytes));
        }
        if self.pending.len() + bytes > BYTES_MAX {
            self.save()?;
        }
        if self.pending.is_empty() {
            self.next = BlockInfo { first_seq: message.seq, first_us: message.time_us, ..BlockInfo::default() };
        }
        self.last_us = message.time_us;
        self.next.messages += 1;
        (self.next.last_seq, self.next.last_us) = (message.seq, message.time_us);
        self.pending.extend(message.encode_length_delimited_to_vec());
        if self.pending.len() >= BLOCK_BYTES { self.save() } else { Ok(()) }
    }

    /// Writes what was added as a block, however small that is.
    ///
    /// # Errors
    /// The file cannot be written, or is full.
    pub fn save(&mut self) -> Result<(), RecordingError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        if self.blocks.len() >= BLOCKS_MAX {
            return Err(RecordingError::Full(self.blocks.len()));
        }
        self.next.offset = self.end;
        block::write(&mut self.file, Kind::Messages, &self.pending, &mut self.next)?;
        self.end = self.next.end();
        self.blocks.push(self.next);
        self.pending.clear();
        Ok(())
    }

    /// Bytes that wait for their block to be saved.
    pub fn pending_bytes(&self) -> usize {
        self.pending.len()
    }

    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        self.end
    }

    /// Ends the file with an index.
    ///
    /// # Errors
    /// The file cannot be written. What was saved is readable all the same.
    pub fn finish(mut self) -> Result<(), RecordingError> {
        self.save()?;
        let index = Index { blocks: self.blocks }.encode_to_vec();
        let mut info = BlockInfo { offset: self.end, messages: 1, ..BlockInfo::default() };
        block::write(&mut self.file, Kind::Index, &index, &mut info)?;
        let place = self.end.to_le_bytes();
        self.file.write_all(&[&place[..], &crc32fast::hash(&place).to_le_bytes(), &END_MAGIC].concat())?;
        self.file.sync_all()?;
        Ok(())
    }
}

/// Bytes of messages that make a block full. Smaller ones compress worse, larger ones lose more when they are damaged.
const BLOCK_BYTES: usize = 512 << 10;
/// The longest length before a message.
const LENGTH_BYTES: usize = 10;
/// Last bytes of a recording that was ended well.
pub(super) const END_MAGIC: [u8; 4] = *b"TWEN";
/// Bytes of the end.
pub(super) const END_BYTES: usize = 16;
