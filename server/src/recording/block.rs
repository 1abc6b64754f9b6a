//! Blocks: some thousand messages that are compressed and checked together.

use std::io::{self, Read, Write};

use prost::Message as _;

use super::Recorded;

/// What a block has, and where it is.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct BlockInfo {
    /// Place of its header in the file.
    #[prost(uint64, tag = "1")]
    pub offset: u64,
    /// Bytes of its messages, compressed.
    #[prost(uint32, tag = "2")]
    pub packed_bytes: u32,
    /// Bytes of its messages.
    #[prost(uint32, tag = "3")]
    pub bytes: u32,
    /// How many messages it has.
    #[prost(uint32, tag = "4")]
    pub messages: u32,
    /// Position of its first message.
    #[prost(uint64, tag = "5")]
    pub first_seq: u64,
    /// Position of its last message.
    #[prost(uint64, tag = "6")]
    pub last_seq: u64,
    /// Time of its first message.
    #[prost(uint64, tag = "7")]
    pub first_us: u64,
    /// Time of its last message.
    #[prost(uint64, tag = "8")]
    pub last_us: u64,
}

/// The list of blocks.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Index {
    #[prost(message, repeated, tag = "1")]
    pub(super) blocks: Vec<BlockInfo>,
}

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) info: BlockInfo,
    pub(super) crc: u32,
}

/// What is in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Messages,
    Index,
}

impl BlockInfo {
    /// Where the next block begins. An index may say anything, also that it is behind the end of all files.
    pub(super) fn end(&self) -> u64 {
        self.offset.saturating_add(HEADER_BYTES as u64 + u64::from(self.packed_bytes))
    }
}

impl Header {
    pub(super) fn write(&self) -> [u8; HEADER_BYTES] {
        let Self { kind, info, crc } = self;
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        let kind = if *kind == Kind::Messages { MESSAGES_MAGIC } else { INDEX_MAGIC };
        bytes.extend_from_slice(&kind);
        for number in [info.bytes, info.packed_bytes, info.messages] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for number in [info.first_seq, info.last_seq, info.first_us, info.last_us] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        let mut header = [0; HEADER_BYTES];
        header.copy_from_slice(&bytes);
        header
    }

    /// `None`: this is no header.
    pub(super) fn read(offset: u64, bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let kind = match &bytes[..4] {
            magic if *magic == MESSAGES_MAGIC => Kind::Messages,
            magic if *magic == INDEX_MAGIC => Kind::Index,
            _ => return None,
        };
        let short = |at: usize| bytes[at..at + 4].try_into().map(u32::from_le_bytes).unwrap_or(0);
        let long = |at: usize| bytes[at..at + 8].try_into().map(u64::from_le_bytes).unwrap_or(0);
        if short(52) != crc32fast::hash(&bytes[..52]) {
            return None;
        }
        let info = BlockInfo {
            offset,
            bytes: short(4),
            packed_bytes: short(8),
            messages: short(12),
            first_seq: long(16),
            last_seq: long(24),
            first_us: long(32),
            last_us: long(40),
        };
        Some(Self { kind, info, crc: short(48) })
    }
}

/// Compresses what stands in a block, and writes it with its header. `info` gets its sizes.
pub(super) fn write(to: &mut impl Write, kind: Kind, bytes: &[u8], info: &mut BlockInfo) -> io::Result<()> {
    let packed = zstd::bulk::compress(bytes, LEVEL)?;
    let size = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(io::Error::other);
    (info.bytes, info.packed_bytes) = (size(bytes)?, size(&packed)?);
    let header = Header { kind, info: *info, crc: crc32fast::hash(&packed) }.write();
    // One write, so that a process that is killed leaves a whole block or a part of one.
    to.write_all(&[&header[..], &packed].concat())
}

/// What stands in a block, or what is wrong with it.
pub(super) fn unpack(header: &Header, packed: &[u8]) -> Result<Vec<u8>, &'static str> {
    if crc32fast::hash(packed) != header.crc {
        return Err("its checksum is another one");
    }
    let max = if header.kind == Kind::Messages { BYTES_MAX } else { INDEX_BYTES_MAX };
    let bytes = header.info.bytes as usize;
    if bytes > max {
        return Err("it is larger than any block");
    }
    let mut unpacked = Vec::with_capacity(bytes);
    let decoder = zstd::stream::read::Decoder::new(packed).map_err(|_| "it is not compressed as it should be")?;
    decoder.take(bytes as u64 + 1).read_to_end(&mut unpacked).map_err(|_| "it is not compressed as it should be")?;
    if unpacked.len() == bytes { Ok(unpacked) } else { Err("its length is another one") }
}

/// The messages of a block.
pub(super) fn messages(mut bytes: &[u8], count: u32) -> Result<Vec<Recorded>, &'static str> {
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        if messages.len() >= MESSAGES_MAX.min(count as usize) {
            return Err("it has another number of messages");
        }
        messages.push(Recorded::decode_length_delimited(&mut bytes).map_err(|_| "a message cannot be read")?);
    }
    if messages.len() == count as usize { Ok(messages) } else { Err("it has another number of messages") }
}

/// Bytes of a header.
pub(super) const HEADER_BYTES: usize = 56;
/// First bytes of a header, which are looked for when a header is damaged.
pub(super) const MESSAGES_MAGIC: [u8; 4] = *b"TWBK";
const INDEX_MAGIC: [u8; 4] = *b"TWIX";
/// Bytes of the messages of a block: reading takes this much memory. A message that is longer alone is refused.
pub(super) const BYTES_MAX: usize = 64 << 20;
/// Messages of a block: twice as many as bytes of one that the recorder fills with small ones. Empty ones beyond would take gigabytes.
const MESSAGES_MAX: usize = 1 << 20;
/// Bytes of an index of [`BLOCKS_MAX`] blocks.
const INDEX_BYTES_MAX: usize = 256 << 20;
/// Blocks of a recording: some terabytes. It is full then.
pub(super) const BLOCKS_MAX: usize = 4_000_000;
/// Of zstd: what a market says gets a quarter smaller than at the default, at 50 MB/s.
const LEVEL: i32 = 9;
