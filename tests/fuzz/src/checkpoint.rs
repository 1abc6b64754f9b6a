//! Checkpoints: any parts in any order, also malformed ones. What is restored keeps what engines rely on, and survives another checkpoint.

use prost::Message as _;
use tickwire_core::checkpoint::{Assembler, PART_BYTES_MAX, build};
use tickwire_core::intake::Intake;
use tickwire_core::{Batch, Entry};
use tickwire_proto::v1;

use crate::intake::{Book, config};

/// A `Checkpoint` in protobuf for each part, one after the other with their lengths in front.
pub(crate) fn run(bytes: &[u8]) {
    let mut assembler = Assembler::new();
    let mut rest = bytes;
    let mut newest: Option<v1::Checkpoint> = None;
    while !rest.is_empty() {
        let Ok(part) = v1::Checkpoint::decode_length_delimited(&mut rest) else { break };
        if let Some(whole) = assembler.take(part) {
            let place = |whole: &v1::Checkpoint| (whole.epoch.len(), whole.epoch.clone(), whole.seq);
            assert!(newest.as_ref().map(place) <= Some(place(&whole)), "a checkpoint gives way to a newer one only");
            newest = Some(whole);
        }
    }
    let Some(whole) = newest else { return };
    let restored = restore(&whole);
    let kept = instruments(&restored);
    let parts = build(&whole.epoch, whole.seq, whole.body_hash, whole.ts_written_us, kept);
    let (mut assembler, mut again) = (Assembler::new(), None);
    for part in parts.into_iter().rev() {
        assert!(part.instruments.len() == 1 || part.encoded_len() <= PART_BYTES_MAX);
        again = assembler.take(part);
    }
    assert_eq!(restore(&again.expect("its parts are all there")), restored, "what was restored is a checkpoint itself");
}

fn restore(checkpoint: &v1::Checkpoint) -> Vec<Entry> {
    let mut batch = Batch::default();
    Intake::new(config()).restore(checkpoint, &mut batch);
    assert!(matches!(batch.entries.first(), Some(Entry::Reset { epoch }) if *epoch == checkpoint.epoch));
    assert_eq!(batch.entries.last(), Some(&Entry::Position(checkpoint.seq)));
    let mut book = Book::default();
    book.check(&batch);
    batch.entries
}

/// What a checkpoint of these entries holds.
fn instruments(entries: &[Entry]) -> Vec<v1::CheckpointInstrument> {
    let mut kept: Vec<v1::CheckpointInstrument> = Vec::new();
    for entry in entries {
        match entry {
            Entry::Instrument(info) => {
                kept.push(v1::CheckpointInstrument { info: Some(info.clone()), announced: true, ..Default::default() })
            }
            Entry::Update(update) => {
                let instrument = kept.iter_mut().find(|kept| kept.info.as_ref().is_some_and(|info| info.id == update.id));
                instrument.expect("it was named before").images.push(update.clone());
            }
            Entry::Events { newest, .. } => {
                kept.last_mut().expect("it was named before").events = Some(*newest);
            }
            _ => {}
        }
    }
    kept
}
