//! Reads recordings, damaged ones too.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use prost::Message as _;

use super::block::{self, BLOCKS_MAX, BYTES_MAX, HEADER_BYTES, Header, Index, Kind, MESSAGES_MAGIC};
use super::writer::{END_BYTES, END_MAGIC};
use super::{BlockInfo, Lost, Recorded, RecordingError, START_BYTES, VERSION, start};

/// An open recording.
#[derive(Debug)]
pub struct Reader {
    file: File,
    blocks: Vec<BlockInfo>,
    /// Behind the last whole block.
    end: u64,
    /// Places where headers should have been and are not.
    damaged: Vec<u64>,
    cut_bytes: u64,
}

impl Reader {
    /// Opens a file and finds its blocks: by its index, or by their headers if it has none.
    ///
    /// # Errors
    /// It is no recording, or cannot be read.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut found = [0; START_BYTES as usize];
        if length < START_BYTES {
            return Err(RecordingError::NotARecording);
        }
        file.read_exact(&mut found)?;
        if found != start() {
            let version = u32::from_le_bytes([found[8], found[9], found[10], found[11]]);
            let is_newer = found[..8] == start()[..8] && version != VERSION;
            return Err(if is_newer { RecordingError::Version(version) } else { RecordingError::NotARecording });
        }
        let mut reader = Self { file, blocks: Vec::new(), end: START_BYTES, damaged: Vec::new(), cut_bytes: 0 };
        if !reader.read_index(length)? {
            reader.walk(length)?;
        }
        Ok(reader)
    }

    /// Its blocks, in order.
    pub fn blocks(&self) -> &[BlockInfo] {
        &self.blocks
    }

    /// Messages in all blocks.
    pub fn messages_len(&self) -> u64 {
        self.blocks.iter().map(|block| u64::from(block.messages)).sum()
    }

    /// Times of its first and last message.
    pub fn times_us(&self) -> Option<(u64, u64)> {
        Some((self.blocks.first()?.first_us, self.blocks.last()?.last_us))
    }

    /// Bytes at its end that are no whole block: the recorder was killed in the middle of one.
    pub fn cut_bytes(&self) -> u64 {
        self.cut_bytes
    }

    /// The last whole message.
    ///
    /// # Errors
    /// The last block cannot be read.
    pub fn last(&mut self) -> Result<Option<Recorded>, RecordingError> {
        match self.blocks.len().checked_sub(1) {
            None => Ok(None),
            Some(number) => Ok(self.block(number)?.pop()),
        }
    }

    /// The messages of block `number`.
    ///
    /// # Errors
    /// It is damaged, or cannot be read.
    pub fn block(&mut self, number: usize) -> Result<Vec<Recorded>, RecordingError> {
        let info = self.blocks[number];
        let damaged = |what| RecordingError::CorruptBlock { number, offset: info.offset, what, messages: Lost::Messages(info.messages) };
        let Some(header) = self.header(info.offset)?.filter(|header| header.info == info) else {
            return Err(damaged("its header is another one"));
        };
        if info.packed_bytes as usize > PACKED_BYTES_MAX {
            return Err(damaged("it is larger than any block"));
        }
        let mut packed = vec![0; info.packed_bytes as usize];
        self.file.read_exact(&mut packed)?;
        block::unpack(&header, &packed).and_then(|bytes| block::messages(&bytes, info.messages)).map_err(damaged)
    }

    /// The messages from `from_us` on, up to `to_us`, both inclusive. Costs nothing for what comes before.
    pub fn messages(self, from_us: u64, to_us: u64) -> Messages {
        let next = self.blocks.partition_point(|block| block.last_us < from_us);
        Messages { reader: self, next, damaged: 0, from_us, to_us, ready: Vec::new().into_iter() }
    }

    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Whether there is an index that can be used.
    fn read_index(&mut self, length: u64) -> io::Result<bool> {
        let Some(at) = length.checked_sub(END_BYTES as u64) else { return Ok(false) };
        let mut end = [0; END_BYTES];
        self.file.seek(SeekFrom::Start(at))?;
        self.file.read_exact(&mut end)?;
        let (place, rest) = end.split_at(8);
        if rest[4..] != END_MAGIC || rest[..4] != crc32fast::hash(place).to_le_bytes() {
            return Ok(false);
        }
        let place = place.try_into().map(u64::from_le_bytes).unwrap_or(0);
        if place >= at {
            return Ok(false);
        }
        let Some(header) = self.header(place)?.filter(|header| header.kind == Kind::Index) else { return Ok(false) };
        if header.info.end() + END_BYTES as u64 != length || header.info.packed_bytes as usize > PACKED_BYTES_MAX {
            return Ok(false);
        }
        let mut packed = vec![0; header.info.packed_bytes as usize];
        self.file.read_exact(&mut packed)?;
        let Some(index) = block::unpack(&header, &packed).ok().and_then(|bytes| Index::decode(&*bytes).ok()) else { return Ok(false) };
        if index.blocks.len() > BLOCKS_MAX || index.blocks.iter().any(|block| block.end() > place) {
            return Ok(false);
        }
        (self.blocks, self.end) = (index.blocks, place);
        Ok(true)
    }

    /// Goes from header to header. Where one is damaged, the next one is looked for.
    fn walk(&mut self, length: u64) -> io::Result<()> {
        let mut at = START_BYTES;
        while at < length && self.blocks.len() < BLOCKS_MAX {
            match self.header(at)? {
                // An index whose end is missing.
                Some(Header { kind: Kind::Index, .. }) => break,
                Some(header) if header.info.end() <= length => {
                    at = header.info.end();
                    self.end = at;
                    self.blocks.push(header.info);
                }
                // Cut off in the middle.
                Some(_) => break,
                None => match self.find_header(at + 1, length)? {
                    Some(next) => {
                        self.damaged.push(at);
                        at = next;
                    }
                    None => break,
                },
            }
        }
        self.cut_bytes = length - self.end;
        Ok(())
    }

    fn header(&mut self, at: u64) -> io::Result<Option<Header>> {
        let mut bytes = [0; HEADER_BYTES];
        self.file.seek(SeekFrom::Start(at))?;
        match self.file.read_exact(&mut bytes) {
            Ok(()) => Ok(Header::read(at, &bytes)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The next place with a header of messages.
    fn find_header(&mut self, mut at: u64, length: u64) -> io::Result<Option<u64>> {
        let mut window = vec![0; WINDOW_BYTES];
        while at + HEADER_BYTES as u64 <= length {
            self.file.seek(SeekFrom::Start(at))?;
            let mut filled = 0;
            while filled < window.len() {
                match self.file.read(&mut window[filled..])? {
                    0 => break,
                    more => filled += more,
                }
            }
            for place in 0..filled.saturating_sub(MESSAGES_MAGIC.len() - 1) {
                let is_magic = window[place..].starts_with(&MESSAGES_MAGIC);
                if is_magic && self.header(at + place as u64)?.is_some() {
                    return Ok(Some(at + place as u64));
                }
            }
            // The magic may lie across two windows.
            at += (filled - filled.min(MESSAGES_MAGIC.len() - 1)).max(1) as u64;
        }
        Ok(None)
    }
}

/// Messages of a recording, in order. A damaged block is an error between messages, and the next block follows.
#[derive(Debug)]
pub struct Messages {
    reader: Reader,
    /// Number of the next block.
    next: usize,
    /// Places of damaged headers that were told.
    damaged: usize,
    from_us: u64,
    to_us: u64,
    ready: std::vec::IntoIter<Recorded>,
}

impl Iterator for Messages {
    type Item = Result<Recorded, RecordingError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            for message in self.ready.by_ref() {
                if message.time_us > self.to_us {
                    return None;
                }
                if message.time_us >= self.from_us {
                    return Some(Ok(message));
                }
            }
            let block = self.reader.blocks.get(self.next);
            if let Some(offset) = self.reader.damaged.get(self.damaged).copied()
                && block.is_none_or(|block| offset < block.offset)
            {
                self.damaged += 1;
                let (number, what, messages) = (self.next, "its header cannot be read", Lost::Unknown);
                return Some(Err(RecordingError::CorruptBlock { number, offset, what, messages }));
            }
            if block?.first_us > self.to_us {
                return None;
            }
            self.next += 1;
            match self.reader.block(self.next - 1) {
                Ok(messages) => self.ready = messages.into_iter(),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// Bytes of a block as it stands in the file: zstd makes nothing much longer.
const PACKED_BYTES_MAX: usize = BYTES_MAX + (1 << 20);
/// Bytes that are searched at once.
const WINDOW_BYTES: usize = 1 << 20;
