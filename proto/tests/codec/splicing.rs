//! A server's frame from its parts.

use tickwire_proto::v1;
use tickwire_proto::wire::{self, Encoding, FrameWriter, Naming};

/// The frame as the server writes it: records first, then spliced. `name` says what JSON calls an instrument.
pub(crate) fn spliced(encoding: Encoding, frame: &v1::ServerFrame, name: &dyn Fn(u32) -> Naming<'static>) -> Vec<u8> {
    let (mut out, mut record) = (Vec::new(), Vec::new());
    let mut writer = FrameWriter::begin(&mut out, encoding, frame.cseq, frame.ts_send_us);
    for info in &frame.infos {
        record.clear();
        wire::encode_info(encoding, info, &mut record);
        writer.info(&record);
    }
    if let Some(control) = &frame.control {
        writer.control(control);
    }
    for state in &frame.feeds {
        record.clear();
        wire::encode_feed(encoding, state, &mut record);
        writer.feed(&record);
    }
    for update in &frame.updates {
        record.clear();
        wire::encode_update(encoding, update, name(update.id), &mut record);
        writer.update(&record);
    }
    writer.finish();
    out
}
