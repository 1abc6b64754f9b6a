//! Checkpoints on their stream: how one message looks, and which is the newest.

use std::io::Read;
use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::BasicAckOptions;
use lapin::types::AMQPValue;
use lapin::{Connection, Consumer};
use prost::Message as _;
use thiserror::Error;
use tickwire_core::checkpoint::Assembler;
use tickwire_proto::v1;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use super::failure::Failure;
use super::link::{first_message, last_chunk, read_stream};
use super::names::Names;
use super::tail::{count, first_within};

/// One part as a message: a checksum, and the part in protobuf, compressed.
///
/// # Errors
/// The compressor has no memory.
pub(crate) fn seal(part: &v1::Checkpoint) -> std::io::Result<Vec<u8>> {
    let packed = zstd::bulk::compress(&part.encode_to_vec(), LEVEL)?;
    let mut message = crc32fast::hash(&packed).to_le_bytes().to_vec();
    message.extend_from_slice(&packed);
    Ok(message)
}

/// The part in a message.
pub(crate) fn open(message: &[u8]) -> Result<v1::Checkpoint, Unreadable> {
    let (checksum, packed) = message.split_first_chunk::<4>().ok_or(Unreadable::Checksum)?;
    if crc32fast::hash(packed).to_le_bytes() != *checksum {
        return Err(Unreadable::Checksum);
    }
    let mut part = Vec::new();
    let read = zstd::stream::read::Decoder::new(packed).and_then(|decoder| decoder.take(PART_BYTES_MAX).read_to_end(&mut part));
    read.map_err(|_| Unreadable::Compression)?;
    v1::Checkpoint::decode(part.as_slice()).map_err(|_| Unreadable::Message)
}

/// Why a message is not a part of a checkpoint. It is passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Unreadable {
    #[error("its checksum does not match")]
    Checksum,
    #[error("it cannot be decompressed")]
    Compression,
    #[error("it is not a checkpoint")]
    Message,
}

/// Hears every checkpoint that is written, from the last chunk on.
pub(crate) struct Listener {
    consumer: Consumer,
    assembler: Assembler,
    /// Complete, and not given out yet.
    whole: Option<v1::Checkpoint>,
}

impl Listener {
    /// Listens from the last chunk on.
    pub(crate) async fn start(connection: &Connection, names: &Names) -> Result<Self, Failure> {
        Self::start_at(connection, names, last_chunk()).await
    }

    async fn start_at(connection: &Connection, names: &Names, offset: AMQPValue) -> Result<Self, Failure> {
        let (_, consumer) = read_stream(connection, &names.checkpoint, offset, PREFETCH).await?;
        Ok(Self { consumer, assembler: Assembler::new(), whole: None })
    }

    /// The next checkpoint of which all parts have come. Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<v1::Checkpoint, Failure> {
        loop {
            if let Some(whole) = self.whole.take() {
                return Ok(whole);
            }
            self.take_part().await?;
        }
    }

    /// Takes one message. Cancel safe: an acknowledgement that is cut off is made up for by the next one, which counts for all before.
    async fn take_part(&mut self) -> Result<(), Failure> {
        let delivery = self.consumer.next().await.ok_or_else(|| Failure::Away("the checkpoint stream ended".to_owned()))??;
        match open(&delivery.data) {
            Ok(part) => {
                if self.assembler.take(part) {
                    self.whole = self.assembler.newest().cloned();
                }
            }
            Err(cause) => warn!(%cause, "passed over a checkpoint"),
        }
        delivery.ack(BasicAckOptions { multiple: true }).await?;
        Ok(())
    }
}

/// The newest whole checkpoint: from the last chunk, or, if there is none, from all that is kept.
pub(crate) async fn newest(connection: &Connection, names: &Names) -> Result<Option<v1::Checkpoint>, Failure> {
    let counted = count(connection, &names.checkpoint).await?;
    for offset in [last_chunk(), first_message()] {
        let mut listener = Listener::start_at(connection, names, offset).await?;
        let is_empty = !read_until_quiet(&mut listener, counted).await?;
        let found = listener.assembler.newest().cloned();
        if found.is_some() || is_empty {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Reads until the stream is quiet. Returns whether there was anything.
async fn read_until_quiet(listener: &mut Listener, counted: u32) -> Result<bool, Failure> {
    let mut any = false;
    let give_up = Instant::now() + READ_WITHIN;
    let mut quiet_at = Instant::now() + first_within(counted);
    while let Ok(part) = timeout_at(quiet_at.min(give_up), listener.take_part()).await {
        part?;
        any = true;
        quiet_at = Instant::now() + QUIET;
    }
    Ok(any)
}

/// Fast, and small enough: prices compress to about a third.
const LEVEL: i32 = 1;
/// Bytes that one message may unpack to. A larger one is not ours.
const PART_BYTES_MAX: u64 = 64 << 20;
/// Parts on their way.
const PREFETCH: u16 = 10;
/// Silence after which a chunk has been read.
const QUIET: Duration = Duration::from_millis(300);
/// The longest look for a checkpoint. What was found until then counts.
const READ_WITHIN: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_survives_the_stream_and_damage_is_noticed() {
        let part = v1::Checkpoint { epoch: "1764000000000".to_owned(), seq: 41, body_hash: 9, parts: 1, ..Default::default() };
        let message = seal(&part).unwrap();
        assert_eq!(open(&message), Ok(part));
        for at in 0..message.len() {
            let mut damaged = message.clone();
            damaged[at] ^= 0x10;
            assert!(open(&damaged).is_err(), "byte {at}");
        }
        assert_eq!(open(&[1, 2, 3]), Err(Unreadable::Checksum));
    }
}
