//! Checkpoints: the whole book at one position, cut into parts that fit into messages, and put together again.
//!
//! Compression and checksums belong to the shell that writes and reads them.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use prost::Message;
use tickwire_proto::v1;

/// Cuts a book into parts of at most [`PART_BYTES_MAX`] bytes. An empty book is one empty part.
///
/// Costs one pass over the instruments. An instrument alone is never cut: the limits of the intake keep it far below a part.
pub fn build(
    epoch: &str,
    seq: u64,
    body_hash: u64,
    ts_written_us: u64,
    instruments: impl IntoIterator<Item = v1::CheckpointInstrument>,
) -> Vec<v1::Checkpoint> {
    let head = v1::Checkpoint { epoch: epoch.to_string(), seq, body_hash, ts_written_us, ..Default::default() };
    let mut parts = alloc::vec![head.clone()];
    let mut bytes = 0;
    for instrument in instruments {
        let instrument_bytes = instrument.encoded_len() + FIELD_BYTES;
        if bytes > 0 && bytes + instrument_bytes > PART_BYTES_MAX - HEAD_BYTES {
            parts.push(head.clone());
            bytes = 0;
        }
        bytes += instrument_bytes;
        if let Some(part) = parts.last_mut() {
            part.instruments.push(instrument);
        }
    }
    let count = parts.len() as u32;
    for (number, part) in (0..).zip(&mut parts) {
        part.part = number;
        part.parts = count;
    }
    parts
}

/// Puts parts together, in any order, also of several nodes that write at the same time.
#[derive(Debug, Default)]
pub struct Assembler {
    /// Bounded by [`INCOMPLETE_MAX`]: the lowest is given up first.
    incomplete: BTreeMap<Identity, BTreeMap<u32, v1::Checkpoint>>,
    newest: Option<Identity>,
}

/// Parts belong together if all of this is equal; two nodes may well write the same position.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Identity {
    /// Epochs that are numbers of milliseconds are in order; the length comes first, so that 999 is before 1000.
    epoch: (usize, String),
    seq: u64,
    ts_written_us: u64,
    body_hash: u64,
    parts: u32,
}

impl Assembler {
    /// Has no part yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a part. Returns the checkpoint that it completed, as one, if that has a higher (epoch, seq) than all before.
    pub fn take(&mut self, part: v1::Checkpoint) -> Option<v1::Checkpoint> {
        if part.part >= part.parts || part.parts > PARTS_MAX {
            return None;
        }
        let identity = Identity::of(&part);
        if self.newest.as_ref().is_some_and(|newest| identity <= *newest) {
            return None;
        }
        let parts = self.incomplete.entry(identity.clone()).or_default();
        parts.insert(part.part, part);
        if parts.len() < identity.parts as usize {
            if self.incomplete.len() > INCOMPLETE_MAX {
                self.incomplete.pop_first();
            }
            return None;
        }
        self.complete(identity)
    }

    fn complete(&mut self, identity: Identity) -> Option<v1::Checkpoint> {
        // Whatever is lower will not be used any more.
        self.incomplete = self.incomplete.split_off(&identity);
        let mut parts = self.incomplete.remove(&identity)?.into_values();
        self.newest = Some(identity);
        let mut whole = v1::Checkpoint { part: 0, parts: 1, ..parts.next()? };
        parts.for_each(|mut part| whole.instruments.append(&mut part.instruments));
        Some(whole)
    }
}

impl Identity {
    fn of(part: &v1::Checkpoint) -> Self {
        Self {
            epoch: (part.epoch.len(), part.epoch.clone()),
            seq: part.seq,
            ts_written_us: part.ts_written_us,
            body_hash: part.body_hash,
            parts: part.parts,
        }
    }
}

/// Bytes of one encoded part. More instruments go to a further part.
pub const PART_BYTES_MAX: usize = 1 << 20;
/// Parts of one checkpoint (4 GiB of book). One that claims more is ignored.
pub const PARTS_MAX: u32 = 4_096;
/// Checkpoints with missing parts that are kept. The lowest (epoch, seq) gives way, since a higher one will be used anyway.
pub const INCOMPLETE_MAX: usize = 8;
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
        let mut parts = build("1700000000000", 42, 7, 9, book.clone());
        assert!(parts.len() > 2 && parts.iter().all(|part| part.encoded_len() <= PART_BYTES_MAX), "{} parts", parts.len());
        parts.reverse();
        let last = parts.pop().unwrap();
        let mut assembler = Assembler::new();
        assert!(parts.into_iter().all(|part| assembler.take(part).is_none()), "a part is missing");
        let whole = assembler.take(last).unwrap();
        assert_eq!((whole.seq, whole.body_hash, whole.ts_written_us), (42, 7, 9));
        assert_eq!(whole.instruments, book);
    }

    #[test]
    fn an_empty_book_is_a_checkpoint_as_well() {
        let mut assembler = Assembler::new();
        assert_eq!(assembler.take(build("1", 5, 0, 0, []).remove(0)).unwrap().seq, 5);
    }

    #[test]
    fn the_highest_epoch_wins_and_then_the_highest_position() {
        let mut assembler = Assembler::new();
        for (epoch, seq, is_newest) in [("999", 90, true), ("1000", 10, true), ("999", 95, false), ("1000", 9, false), ("1000", 12, true)] {
            let whole = assembler.take(build(epoch, seq, 0, 0, []).remove(0));
            assert_eq!(whole.map(|whole| (whole.epoch, whole.seq)), is_newest.then(|| (epoch.to_string(), seq)));
        }
    }

    #[test]
    fn parts_of_two_nodes_at_the_same_position_are_not_mixed() {
        let mut assembler = Assembler::new();
        let part = |ts_written_us, part| v1::Checkpoint { epoch: "1".into(), seq: 5, ts_written_us, part, parts: 2, ..Default::default() };
        assert_eq!((assembler.take(part(1, 0)), assembler.take(part(2, 1))), (None, None));
        assert!(assembler.take(part(1, 1)).is_some());
    }

    #[test]
    fn nonsense_is_ignored_and_the_incomplete_are_bounded() {
        let mut assembler = Assembler::new();
        let part = |seq, part, parts| v1::Checkpoint { epoch: "1".into(), seq, part, parts, ..Default::default() };
        let nonsense = [part(1, 0, 0), part(1, 2, 2), part(1, 0, u32::MAX)];
        assert!(nonsense.into_iter().chain((1..1_000).map(|seq| part(seq, 0, 2))).all(|part| assembler.take(part).is_none()));
        assert_eq!(assembler.incomplete.len(), INCOMPLETE_MAX);
        assert!(assembler.take(part(999, 1, 2)).is_some());
        assert!(assembler.incomplete.is_empty());
    }

    fn instrument(number: u32) -> v1::CheckpointInstrument {
        let info = v1::InstrumentInfo { symbol: format!("bench.S{number}"), display_name: "x".repeat(60), ..Default::default() };
        v1::CheckpointInstrument { info: Some(info), announced: true, ..Default::default() }
    }
}
