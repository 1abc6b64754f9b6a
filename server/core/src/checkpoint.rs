//! Checkpoints: the whole book at one position, cut into parts that fit into messages, and put together again.
//!
//! Compression and checksums belong to the shell that writes and reads them.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use prost::Message;
use tickwire_proto::v1;

/// What every part says beside its instruments. Decodes from a whole part as well, without them.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Head {
    /// Identity of the log.
    #[prost(string, tag = "1")]
    pub epoch: String,
    /// Position up to which everything is in the checkpoint.
    #[prost(uint64, tag = "2")]
    pub seq: u64,
    /// Hash of the body at `seq`.
    #[prost(fixed64, tag = "3")]
    pub body_hash: u64,
    /// When it was written.
    #[prost(fixed64, tag = "4")]
    pub ts_written_us: u64,
    /// Which part it is, from 0 ...
    #[prost(uint32, tag = "5")]
    pub part: u32,
    /// ... of so many.
    #[prost(uint32, tag = "6")]
    pub parts: u32,
}

impl Head {
    /// The head of a part that was decoded whole.
    pub fn of(part: &v1::Checkpoint) -> Self {
        let v1::Checkpoint { epoch, seq, body_hash, ts_written_us, part, parts, instruments: _ } = part;
        Self { epoch: epoch.clone(), seq: *seq, body_hash: *body_hash, ts_written_us: *ts_written_us, part: *part, parts: *parts }
    }

    /// Whether a checkpoint replaces another one as the newest: by epoch, and then by position.
    pub fn place(&self) -> impl Ord + use<> {
        (epoch_order(&self.epoch), self.seq)
    }
}

/// One part of a checkpoint, encoded: a book takes a tenth of its memory so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it says of itself.
    pub head: Head,
    /// Encoded as fields of a `Checkpoint`.
    instruments: Vec<u8>,
}

impl Part {
    /// Its bytes: a `Checkpoint`.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.head.encoded_len() + self.instruments.len());
        self.head.encode_raw(&mut bytes);
        bytes.extend_from_slice(&self.instruments);
        bytes
    }
}

/// Cuts a book into parts of at most [`PART_BYTES_MAX`] bytes. An empty book is one empty part.
///
/// Costs one pass over the instruments. An instrument alone is never cut: the limits of the intake keep it far below a part.
#[derive(Debug)]
pub struct Builder {
    head: Head,
    /// Encoded instruments, by part.
    parts: Vec<Vec<u8>>,
}

impl Builder {
    /// Begins a checkpoint. What `head` says of parts does not matter.
    pub fn new(head: Head) -> Self {
        Self { head, parts: alloc::vec![Vec::new()] }
    }

    /// Adds an instrument.
    pub fn push(&mut self, instrument: &v1::CheckpointInstrument) {
        let bytes = instrument.encoded_len() + FIELD_BYTES;
        if self.parts.last().is_none_or(|part| !part.is_empty() && part.len() + bytes > PART_BYTES_MAX - HEAD_BYTES) {
            self.parts.push(Vec::new());
        }
        if let Some(part) = self.parts.last_mut() {
            prost::encoding::message::encode(INSTRUMENTS, instrument, part);
        }
    }

    /// All parts, in order.
    pub fn finish(self) -> Vec<Part> {
        let parts = self.parts.len() as u32;
        let head = |part| Head { part, parts, ..self.head.clone() };
        (0..).zip(self.parts).map(|(part, instruments)| Part { head: head(part), instruments }).collect()
    }
}

/// The checkpoint that consists of these parts.
pub fn join(parts: impl IntoIterator<Item = v1::Checkpoint>) -> Option<v1::Checkpoint> {
    let mut parts = parts.into_iter();
    let mut whole = v1::Checkpoint { part: 0, parts: 1, ..parts.next()? };
    parts.for_each(|mut part| whole.instruments.append(&mut part.instruments));
    Some(whole)
}

/// Puts parts together, in any order, also of several nodes that write at the same time. It looks at their heads only: what a part is else
/// is the caller's.
#[derive(Debug)]
pub struct Assembler<T> {
    /// Bounded by [`INCOMPLETE_MAX`]: the lowest is given up first.
    incomplete: BTreeMap<Identity, BTreeMap<u32, T>>,
    newest: Option<Identity>,
}

/// A checkpoint of which all parts are there.
#[derive(Clone, Debug, PartialEq)]
pub struct Whole<T> {
    /// What all parts say; it is no part itself.
    pub head: Head,
    /// In their order.
    pub parts: Vec<T>,
}

/// Parts belong together if all of this is equal; two nodes may well write the same position.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Identity {
    epoch: (usize, String),
    seq: u64,
    ts_written_us: u64,
    body_hash: u64,
    parts: u32,
}

impl<T> Default for Assembler<T> {
    fn default() -> Self {
        Self { incomplete: BTreeMap::new(), newest: None }
    }
}

impl<T> Assembler<T> {
    /// Takes a part. Returns the checkpoint that it completed, if that has a higher (epoch, seq) than all before.
    pub fn take(&mut self, head: &Head, part: T) -> Option<Whole<T>> {
        if head.part >= head.parts || head.parts > PARTS_MAX {
            return None;
        }
        let identity = Identity::of(head);
        if self.newest.as_ref().is_some_and(|newest| identity <= *newest) {
            return None;
        }
        let parts = self.incomplete.entry(identity.clone()).or_default();
        parts.insert(head.part, part);
        if parts.len() < identity.parts as usize {
            if self.incomplete.len() > INCOMPLETE_MAX {
                self.incomplete.pop_first();
            }
            return None;
        }
        // Whatever is lower will not be used any more.
        self.incomplete = self.incomplete.split_off(&identity);
        let parts = self.incomplete.remove(&identity)?.into_values().collect();
        self.newest = Some(identity);
        Some(Whole { head: Head { part: 0, parts: 1, ..head.clone() }, parts })
    }
}

impl Identity {
    fn of(head: &Head) -> Self {
        let Head { epoch, seq, body_hash, ts_written_us, part: _, parts } = head;
        Self { epoch: epoch_order(epoch), seq: *seq, ts_written_us: *ts_written_us, body_hash: *body_hash, parts: *parts }
    }
}

/// Epochs that are numbers of milliseconds are in order; the length comes first, so that 999 is before 1000.
fn epoch_order(epoch: &str) -> (usize, String) {
    (epoch.len(), epoch.to_string())
}

/// Bytes of one encoded part. More instruments go to a further part.
pub const PART_BYTES_MAX: usize = 1 << 20;
/// Parts of one checkpoint (4 GiB of book). One that claims more is ignored.
pub const PARTS_MAX: u32 = 4_096;
/// Checkpoints with missing parts that are kept. The lowest (epoch, seq) gives way, since a higher one will be used anyway.
pub const INCOMPLETE_MAX: usize = 8;
/// Number of the field that has the instruments.
const INSTRUMENTS: u32 = 7;
/// Tag and length of an instrument in a part, at most.
const FIELD_BYTES: usize = 6;
/// Everything of a part but its instruments, at most: an epoch of 128 bytes and the numbers.
const HEAD_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn a_large_book_comes_back_whole_from_parts_in_any_order() {
        let book: Vec<_> = (0..40_000).map(instrument).collect();
        let mut parts = build(head("1700000000000", 42, 9), &book);
        assert!(parts.len() > 2 && parts.iter().all(|part| part.encode().len() <= PART_BYTES_MAX), "{} parts", parts.len());
        parts.reverse();
        let last = parts.pop().unwrap();
        let mut assembler = Assembler::default();
        assert!(parts.into_iter().all(|part| assembler.take(&part.head.clone(), part).is_none()), "a part is missing");
        let whole = assembler.take(&last.head.clone(), last).unwrap();
        assert_eq!(whole.head, Head { part: 0, parts: 1, ..head("1700000000000", 42, 9) });
        let joined = join(whole.parts.iter().map(decode)).unwrap();
        assert_eq!((Head::of(&joined), joined.instruments), (whole.head, book));
    }

    #[test]
    fn a_head_is_read_without_the_instruments() {
        let part = build(head("7", 1, 2), &[instrument(1)]).remove(0);
        assert_eq!(Head::decode(part.encode().as_slice()), Ok(part.head.clone()));
        assert_eq!(decode(&part).encode_to_vec(), part.encode(), "a part is a checkpoint, in the usual order of its fields");
        assert!(Head::decode(&part.encode()[..20]).is_err());
    }

    #[test]
    fn an_empty_book_is_a_checkpoint_as_well() {
        assert_eq!(take(&mut Assembler::default(), Head { parts: 1, ..head("1", 5, 0) }).unwrap().head.seq, 5);
        assert_eq!(build(head("1", 5, 0), &[]).len(), 1);
    }

    #[test]
    fn the_highest_epoch_wins_and_then_the_highest_position() {
        let mut assembler = Assembler::default();
        for (epoch, seq, is_newest) in [("999", 90, true), ("1000", 10, true), ("999", 95, false), ("1000", 9, false), ("1000", 12, true)] {
            let whole = take(&mut assembler, Head { parts: 1, ..head(epoch, seq, 0) });
            assert_eq!(whole.map(|whole| (whole.head.epoch, whole.head.seq)), is_newest.then(|| (epoch.to_string(), seq)));
        }
        assert!(head("999", 95, 0).place() < head("1000", 9, 0).place());
    }

    #[test]
    fn parts_of_two_nodes_at_the_same_position_are_not_mixed() {
        let mut assembler = Assembler::default();
        let part = |ts_written_us, part| Head { part, parts: 2, ..head("1", 5, ts_written_us) };
        assert_eq!((take(&mut assembler, part(1, 0)), take(&mut assembler, part(2, 1))), (None, None));
        assert!(take(&mut assembler, part(1, 1)).is_some());
    }

    #[test]
    fn nonsense_is_ignored_and_the_incomplete_are_bounded() {
        let mut assembler = Assembler::default();
        let part = |seq, part, parts| Head { part, parts, ..head("1", seq, 0) };
        let nonsense = [part(1, 0, 0), part(1, 2, 2), part(1, 0, u32::MAX)];
        let all = nonsense.into_iter().chain((1..1_000).map(|seq| part(seq, 0, 2)));
        assert!(all.map(|head| take(&mut assembler, head)).all(|whole| whole.is_none()));
        assert_eq!(assembler.incomplete.len(), INCOMPLETE_MAX);
        assert!(take(&mut assembler, part(999, 1, 2)).is_some());
        assert!(assembler.incomplete.is_empty());
    }

    fn head(epoch: &str, seq: u64, ts_written_us: u64) -> Head {
        Head { epoch: epoch.to_string(), seq, body_hash: 7, ts_written_us, ..Default::default() }
    }

    fn build(head: Head, book: &[v1::CheckpointInstrument]) -> Vec<Part> {
        let mut builder = Builder::new(head);
        book.iter().for_each(|instrument| builder.push(instrument));
        builder.finish()
    }

    fn decode(part: &Part) -> v1::Checkpoint {
        v1::Checkpoint::decode(part.encode().as_slice()).unwrap()
    }

    fn take(assembler: &mut Assembler<()>, head: Head) -> Option<Whole<()>> {
        assembler.take(&head, ())
    }

    fn instrument(number: u32) -> v1::CheckpointInstrument {
        let info = v1::InstrumentInfo { symbol: format!("bench.S{number}"), display_name: "x".repeat(60), ..Default::default() };
        v1::CheckpointInstrument { info: Some(info), announced: true, ..Default::default() }
    }
}
