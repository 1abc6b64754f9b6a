//! Merging: whatever updates come, images keep their bounds, and records bring every holder to the same state.

use prost::Message as _;
use tickwire_proto::image::{BARS_MAX, Changed, EXTRA_KEYS_MAX, Image, OUTCOMES_MAX};
use tickwire_proto::v1;

/// A `ServerFrame` in protobuf, whose updates are all of one instrument. Its `cseq` says after how many a holder was up to date.
pub(crate) fn run(bytes: &[u8]) {
    let Ok(frame) = v1::ServerFrame::decode(bytes) else { return };
    let held = frame.cseq as usize % (frame.updates.len() + 1);
    let (mut image, mut changed) = (Image::default(), Changed::default());
    for update in &frame.updates[..held] {
        image.apply(update);
    }
    let mut holder = image.clone();
    for update in &frame.updates[held..] {
        changed.merge(&image.apply(update));
        let once = image.clone();
        image.apply(update);
        assert_eq!(image, once, "twice is not once: {update:?}");
    }
    bounded(&image);
    let mut records = Vec::new();
    image.records(&changed, |_, record| records.push(record));
    for record in &records {
        holder.apply(record);
    }
    assert_eq!(holder, image, "after {records:?}");
}

fn bounded(image: &Image) {
    assert!(image.bars.len() <= BARS_MAX && image.bars.is_sorted_by_key(|bar| bar.length_s));
    assert!(image.score.as_ref().is_none_or(|score| score.extra.len() <= EXTRA_KEYS_MAX));
    assert!(
        image.odds.as_ref().is_none_or(|odds| odds.outcomes.len() <= OUTCOMES_MAX && odds.outcomes.is_sorted_by_key(|outcome| outcome.id))
    );
}
