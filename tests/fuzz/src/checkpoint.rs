//! Checkpoints: any parts in any order, also malformed ones. What is restored keeps what engines rely on, and survives another checkpoint.

use prost::Message as _;
use tickwire_core::checkpoint::{Assembler, Builder, Head, PART_BYTES_MAX, join};
use tickwire_core::intake::Intake;
use tickwire_core::{Batch, Entry};
use tickwire_proto::v1;

use crate::intake::{Book, config};

/// A `Checkpoint` in protobuf for each part, one after the other with their lengths in front.
pub(crate) fn run(bytes: &[u8]) {
    let mut assembler = Assembler::default();
    let mut rest = bytes;
    let mut newest: Option<v1::Checkpoint> = None;
    while !rest.is_empty() {
        let Ok(part) = v1::Checkpoint::decode_length_delimited(&mut rest) else { break };
        if let Some(whole) = assembler.take(&Head::of(&part), part) {
            let place = |whole: &v1::Checkpoint| Head::of(whole).place();
            let whole = join(whole.parts).expect("it has a part");
            assert!(newest.as_ref().map(place) <= Some(place(&whole)), "a checkpoint gives way to a newer one only");
            newest = Some(whole);
        }
    }
    let Some(whole) = newest else { return };
    let restored = restore(&whole);
    let kept = instruments(&restored);
    let mut builder = Builder::new(Head::of(&whole));
    kept.iter().for_each(|instrument| builder.push(instrument));
    let (mut assembler, mut again) = (Assembler::default(), None);
    for part in builder.finish().into_iter().rev() {
        let bytes = part.encode();
        let decoded = v1::Checkpoint::decode(bytes.as_slice()).expect("it was encoded here");
        assert_eq!(Head::decode(bytes.as_slice()), Ok(part.head.clone()));
        assert!(decoded.instruments.len() == 1 || bytes.len() <= PART_BYTES_MAX);
        again = assembler.take(&part.head, decoded);
    }
    let again = join(again.expect("its parts are all there").parts).expect("it has a part");
    assert_eq!(restore(&again), restored, "what was restored is a checkpoint itself");
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
