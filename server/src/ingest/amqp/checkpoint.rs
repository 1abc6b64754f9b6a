//! Checkpoints at the broker: how one message looks, and which is the newest.
//!
//! A message is `TWC`, the version of the format (one byte), the CRC-32 of what follows (little endian), and a part of the checkpoint in
//! protobuf, compressed by zstd. Nodes of another version pass over it, and write their own.

use std::io::Read;
use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Connection, Consumer};
use prost::Message as _;
use thiserror::Error;
use tickwire_core::checkpoint::{Assembler, Head, Part, Whole, join};
use tickwire_proto::v1;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{debug, warn};

use super::backoff::chance;
use super::failure::Failure;
use super::link::{first_message, last_chunk, offset_of, position, read_stream};
use super::names::Names;
use super::tail::{count, first_within};
use super::topology::CLOSE_OK;

/// One encoded part as a message.
///
/// # Errors
/// The compressor has no memory.
pub(crate) fn seal(part: &[u8]) -> std::io::Result<Vec<u8>> {
    let packed = zstd::bulk::compress(part, LEVEL)?;
    let mut message = MARK.to_vec();
    message.push(VERSION);
    message.extend_from_slice(&crc32fast::hash(&packed).to_le_bytes());
    message.extend_from_slice(&packed);
    Ok(message)
}

/// The part in a message.
fn open(message: &[u8]) -> Result<v1::Checkpoint, Unreadable> {
    v1::Checkpoint::decode(unseal(message)?.as_slice()).map_err(|_| Unreadable::Message)
}

/// What the part in a message says of itself.
fn head_of(message: &[u8]) -> Result<Head, Unreadable> {
    Head::decode(unseal(message)?.as_slice()).map_err(|_| Unreadable::Message)
}

/// The encoded part in a message.
fn unseal(message: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let rest = message.strip_prefix(MARK).ok_or(Unreadable::Foreign)?;
    let (version, rest) = rest.split_first().ok_or(Unreadable::Foreign)?;
    if *version != VERSION {
        return Err(Unreadable::Version(*version));
    }
    let (checksum, packed) = rest.split_first_chunk::<4>().ok_or(Unreadable::Checksum)?;
    if crc32fast::hash(packed).to_le_bytes() != *checksum {
        return Err(Unreadable::Checksum);
    }
    unpack(packed)
}

fn unpack(packed: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let mut part = Vec::new();
    let read = zstd::stream::read::Decoder::with_buffer(packed).and_then(|mut decoder| {
        decoder.window_log_max(WINDOW_LOG_MAX)?;
        decoder.take(PART_BYTES_MAX + 1).read_to_end(&mut part)
    });
    match read {
        Ok(bytes) if bytes as u64 <= PART_BYTES_MAX => Ok(part),
        _ => Err(Unreadable::Compression),
    }
}

/// Parts for a queue, where every node has an epoch of its own: the time decides which is the newest.
pub(crate) fn dated(mut parts: Vec<Part>) -> Vec<Part> {
    parts.iter_mut().for_each(|part| part.head.epoch = (part.head.ts_written_us / 1_000).to_string());
    parts
}

/// A checkpoint as its messages: most are only heard of, and decoded it takes some thirty times as much memory.
#[derive(Debug)]
pub(crate) struct Found(Whole<Vec<u8>>);

impl Found {
    /// What all parts say.
    pub(crate) fn head(&self) -> &Head {
        &self.0.head
    }

    /// The checkpoint.
    pub(crate) fn open(&self) -> Result<v1::Checkpoint, Unreadable> {
        let parts = self.0.parts.iter().map(|part| open(part)).collect::<Result<Vec<_>, _>>()?;
        join(parts).ok_or(Unreadable::Message)
    }
}

/// Why a message is not a part of a checkpoint. It is passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Unreadable {
    #[error("it is no checkpoint of ours")]
    Foreign,
    #[error("it is of version {0} of the format, not {VERSION}: another version of Tickwire wrote it")]
    Version(u8),
    #[error("its checksum does not match")]
    Checksum,
    #[error("it cannot be decompressed")]
    Compression,
    #[error("it is not a checkpoint")]
    Message,
}

/// Hears every checkpoint that is written, from one place of the stream on.
pub(crate) struct Listener {
    consumer: Consumer,
    assembler: Assembler<Vec<u8>>,
    /// Complete, and not given out yet.
    whole: Option<Found>,
    /// Whether checkpoints count only if they can be opened.
    is_careful: bool,
    /// The last part that was heard.
    last: Option<Heard>,
    /// Position of the last message, whatever it was.
    end: Option<u64>,
    passed_over: PassedOver,
}

impl Listener {
    /// Listens from the last chunk on.
    pub(crate) async fn start(connection: &Connection, names: &Names) -> Result<Self, Failure> {
        Self::start_at(connection, names, last_chunk()).await
    }

    async fn start_at(connection: &Connection, names: &Names, offset: AMQPValue) -> Result<Self, Failure> {
        let (_, consumer) = read_stream(connection, &names.checkpoint, offset, PREFETCH).await?;
        let (assembler, passed_over) = (Assembler::default(), PassedOver::default());
        Ok(Self { consumer, assembler, whole: None, is_careful: false, last: None, end: None, passed_over })
    }

    /// The next checkpoint of which all parts have come. Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Found, Failure> {
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
        self.end = offset_of(&delivery);
        match head_of(&delivery.data) {
            Ok(head) => {
                self.last = self.end.map(|offset| Heard { offset, part: head.part, parts: head.parts });
                if let Some(whole) = self.assembler.take(&head, delivery.data) {
                    self.found(Found(whole));
                }
            }
            Err(cause) => self.passed_over.note(cause),
        }
        delivery.acker.ack(BasicAckOptions { multiple: true }).await?;
        Ok(())
    }

    fn found(&mut self, found: Found) {
        let fault = if self.is_careful { found.open().err() } else { None };
        match fault {
            Some(cause) => self.passed_over.note(cause),
            None => self.whole = Some(found),
        }
    }

    /// The newest that was found, opened.
    fn take_newest(&mut self) -> Option<v1::Checkpoint> {
        match self.whole.take()?.open() {
            Ok(checkpoint) => Some(checkpoint),
            Err(cause) => {
                self.passed_over.note(cause);
                None
            }
        }
    }

    /// Takes what is there. Returns whether there was anything within `first`.
    async fn read(&mut self, first: Duration) -> Result<bool, Failure> {
        let Ok(part) = timeout(first, self.take_part()).await else { return Ok(false) };
        part?;
        let give_up = Instant::now() + READ_WITHIN;
        loop {
            // A checkpoint that was begun is worth waiting for: without it, the log has to be read again.
            let quiet = if self.last.is_some_and(Heard::goes_on) { QUIET_WITHIN } else { QUIET };
            let Ok(part) = timeout_at(give_up.min(Instant::now() + quiet), self.take_part()).await else { return Ok(true) };
            part?;
        }
    }

    /// Takes everything up to the position `end`, which is there for sure, and what is behind it.
    async fn read_up_to(&mut self, end: Option<u64>) -> Result<(), Failure> {
        let give_up = Instant::now() + READ_WITHIN;
        while self.end < end {
            let Ok(part) = timeout_at(give_up, self.take_part()).await else { return Ok(()) };
            part?;
        }
        if self.whole.is_none() && self.last.is_some_and(Heard::goes_on) {
            self.read(QUIET_WITHIN).await?;
        }
        Ok(())
    }
}

/// Messages that could not be read. The first is worth a warning; nodes of another version write one every minute.
#[derive(Debug, Default)]
struct PassedOver {
    count: u64,
}

impl PassedOver {
    fn note(&mut self, cause: Unreadable) {
        self.count += 1;
        if self.count == 1 {
            warn!(%cause, "passes over a checkpoint, and others that cannot be read");
        } else {
            debug!(%cause, count = self.count, "passed over a checkpoint");
        }
    }
}

/// The newest whole checkpoint, and a listener that goes on behind it.
///
/// Looks at the last chunk, and at what is before it: a large checkpoint has only its end there, and the last one written is not the newest if it is
/// of a node that lagged behind. If there is none at all, at everything that is kept.
pub(crate) async fn newest(connection: &Connection, names: &Names) -> Result<(Option<v1::Checkpoint>, Listener), Failure> {
    let counted = count(connection, &names.checkpoint).await?;
    let mut listener = Listener::start(connection, names).await?;
    if !listener.read(first_within(counted)).await? {
        return Ok((None, listener));
    }
    let end = listener.end;
    if let Some(last) = listener.last {
        listener = Listener::start_at(connection, names, position(last.reach_back())).await?;
        listener.read_up_to(end).await?;
    }
    if let Some(newest) = listener.take_newest() {
        return Ok((Some(newest), listener));
    }
    let mut listener = Listener::start_at(connection, names, first_message()).await?;
    listener.is_careful = true;
    listener.read_up_to(end).await?;
    listener.is_careful = false;
    Ok((listener.take_newest(), listener))
}

/// The newest of all whole checkpoints that are kept. A node that had stopped may have written an old one behind it.
pub(crate) async fn newest_of_all(connection: &Connection, names: &Names) -> Result<Option<v1::Checkpoint>, Failure> {
    let counted = count(connection, &names.checkpoint).await?;
    let mut last = Listener::start(connection, names).await?;
    if !last.read(first_within(counted)).await? {
        return Ok(None);
    }
    let mut all = Listener::start_at(connection, names, first_message()).await?;
    all.is_careful = true;
    all.read_up_to(last.end).await?;
    Ok(all.take_newest())
}

/// One part that was heard.
#[derive(Clone, Copy, Debug)]
struct Heard {
    offset: u64,
    part: u32,
    parts: u32,
}

impl Heard {
    /// Where its checkpoint begins at the earliest: two nodes may have written at the same time, and the broker begun new files in between.
    fn reach_back(self) -> u64 {
        self.offset.saturating_sub(2 * u64::from(self.parts) + FILES_BETWEEN)
    }

    /// Whether its checkpoint goes on behind it.
    fn goes_on(self) -> bool {
        self.part + 1 < self.parts
    }
}

/// The newest whole checkpoint of a queue, for brokers without streams. What is older is taken off it, the rest goes back to its place.
///
/// One node reads at a time; the next one waits for it.
pub(crate) async fn newest_in_queue(connection: &Connection, names: &Names) -> Result<Option<v1::Checkpoint>, Failure> {
    let give_up = Instant::now() + READ_WITHIN;
    let (channel, mut consumer) = loop {
        let channel = connection.create_channel().await?;
        // Nothing is acknowledged before all has been seen.
        channel.basic_qos(0, BasicQosOptions::default()).await?;
        let options = BasicConsumeOptions { exclusive: true, ..Default::default() };
        let (name, arguments) = (names.checkpoint_queue.clone(), FieldTable::default());
        match channel.basic_consume(name, ShortString::default(), options, arguments).await {
            Ok(consumer) => break (channel, consumer),
            Err(error) if is_in_use(&error) && Instant::now() < give_up => sleep(BUSY_WAIT.mul_f64(0.5 + chance())).await,
            Err(error) => return Err(error.into()),
        }
    };
    let (mut assembler, mut newest, mut seen, mut passed_over) = (Assembler::default(), None, Vec::new(), PassedOver::default());
    while let Ok(delivery) = timeout_at(give_up.min(Instant::now() + QUEUE_QUIET), consumer.next()).await {
        let delivery = delivery.ok_or_else(|| Failure::Away("the queue of checkpoints ended".to_owned()))??;
        let whole = match head_of(&delivery.data) {
            Ok(head) => {
                let whole = assembler.take(&head, delivery.data);
                seen.push((delivery.acker, head));
                whole
            }
            Err(cause) => {
                passed_over.note(cause);
                None
            }
        };
        match whole.map(|whole| Found(whole).open()) {
            Some(Ok(whole)) => newest = Some(whole),
            Some(Err(cause)) => passed_over.note(cause),
            None => {}
        }
    }
    if let Some(newest) = newest.as_ref().map(Head::of) {
        for (acker, _) in seen.iter().filter(|(_, head)| head.place() < newest.place()) {
            acker.ack(BasicAckOptions::default()).await?;
        }
    }
    channel.close(CLOSE_OK, "done".into()).await?;
    Ok(newest)
}

/// Whether somebody else consumes exclusively.
fn is_in_use(error: &lapin::Error) -> bool {
    matches!(error.kind(), lapin::ErrorKind::ProtocolError(protocol) if protocol.get_message().as_str().contains("exclusive use"))
}

/// What a message of ours begins with.
const MARK: &[u8] = b"TWC";
/// Version of the format. A node reads its own only: what it cannot read it does not trust.
const VERSION: u8 = 1;
/// Fast, and small enough: prices compress to about a third.
const LEVEL: i32 = 1;
/// Bytes that one message may unpack to. A larger one is not ours.
const PART_BYTES_MAX: u64 = 64 << 20;
/// Memory that a message may ask for before it gives a byte: 2^23 bytes.
const WINDOW_LOG_MAX: u32 = 23;
/// Until a node that reads the queue of checkpoints is through, half of it up or down.
const BUSY_WAIT: Duration = Duration::from_millis(100);
/// Parts on their way.
const PREFETCH: u16 = 10;
/// Positions that the broker may use up for new files between the parts of one checkpoint.
const FILES_BETWEEN: u64 = 8;
/// Silence after which a chunk has been read. A checkpoint that came later would only be newer.
const QUIET: Duration = Duration::from_millis(100);
/// The same, in the middle of a checkpoint.
const QUIET_WITHIN: Duration = Duration::from_secs(1);
/// Silence after which a queue of checkpoints has been read.
const QUEUE_QUIET: Duration = Duration::from_millis(300);
/// The longest look for a checkpoint. What was found until then counts.
const READ_WITHIN: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use tickwire_core::checkpoint::Builder;

    use super::*;

    #[test]
    fn a_part_survives_the_stream_and_damage_is_noticed() {
        let part = v1::Checkpoint { epoch: "1764000000000".to_owned(), seq: 41, body_hash: 9, parts: 1, ..Default::default() };
        let message = seal(&part.encode_to_vec()).unwrap();
        assert_eq!((head_of(&message), open(&message)), (Ok(Head::of(&part)), Ok(part)));
        for at in 0..message.len() {
            let mut damaged = message.clone();
            damaged[at] ^= 0x10;
            assert!(head_of(&damaged).is_err() && open(&damaged).is_err(), "byte {at}");
        }
        for len in 0..message.len() {
            assert!(open(&message[..len]).is_err(), "cut after {len} bytes");
        }
        assert_eq!(open(b"123"), Err(Unreadable::Foreign));
    }

    #[test]
    fn the_end_of_a_large_checkpoint_leads_to_its_beginning() {
        let end = Heard { offset: 100, part: 9, parts: 10 };
        assert!(!end.goes_on() && Heard { part: 8, ..end }.goes_on());
        assert!(end.reach_back() <= 100 - 9 - 9, "another node's parts lie between");
        assert_eq!(Heard { offset: 3, ..end }.reach_back(), 0);
    }

    #[test]
    fn another_version_is_told_before_anything_is_read() {
        let mut message = seal(&v1::Checkpoint { parts: 1, ..Default::default() }.encode_to_vec()).unwrap();
        message[3] = VERSION + 1;
        message.truncate(6);
        assert_eq!(open(&message), Err(Unreadable::Version(2)));
        assert_eq!(Unreadable::Version(2).to_string(), "it is of version 2 of the format, not 1: another version of Tickwire wrote it");
    }

    #[test]
    fn a_part_is_compressed_and_cannot_unpack_to_anything() {
        let sealed = |packed: &[u8]| [MARK, &[VERSION], &crc32fast::hash(packed).to_le_bytes(), packed].concat();
        let zeros = vec![0; PART_BYTES_MAX as usize + 1];
        assert_eq!(open(&sealed(&zstd::bulk::compress(&zeros, LEVEL).unwrap())), Err(Unreadable::Compression));
        assert_eq!(open(&sealed(b"not zstd")), Err(Unreadable::Compression));
        assert_eq!(open(&sealed(&zstd::bulk::compress(&[255; 9], LEVEL).unwrap())), Err(Unreadable::Message));
        let instrument = |n: u32| {
            let info = v1::InstrumentInfo { symbol: format!("stock.S{n}"), id: n, feed: "stock".to_owned(), ..Default::default() };
            v1::CheckpointInstrument { info: Some(info), ..Default::default() }
        };
        let part = v1::Checkpoint { parts: 1, instruments: (0..1_000).map(instrument).collect(), ..Default::default() };
        let (plain, message) = (part.encode_to_vec().len(), seal(&part.encode_to_vec()).unwrap().len());
        assert!(message * 2 < plain, "{message} of {plain} bytes");
    }

    #[test]
    fn in_a_queue_the_time_decides() {
        let mut assembler = Assembler::default();
        for (epoch, ts_written_us) in [("1800000000000-0a", 1_764_000_000_000_000), ("1700000000000-ff", 1_764_000_060_000_000)] {
            let parts = Builder::new(Head { epoch: epoch.to_owned(), seq: 5, ts_written_us, ..Default::default() }).finish();
            let sealed = dated(parts).into_iter().map(|part| seal(&part.encode()).unwrap());
            let newest = sealed.into_iter().find_map(|part| assembler.take(&head_of(&part).unwrap(), part)).expect("the newest so far");
            assert_eq!(Found(newest).open().map(|newest| newest.epoch), Ok((ts_written_us / 1_000).to_string()));
        }
    }
}
