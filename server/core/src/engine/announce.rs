//! Infos: new instruments, and known ones whose names or scales change.

use alloc::sync::Arc;

use tickwire_proto::planted::{Fault, planted};
use tickwire_proto::time::Moment;
use tickwire_proto::v1;
use tickwire_proto::wire::{Encoding, encode_info};

use super::book::NO_LANE;
use super::dispatch::Part;
use super::outbox::Waiting;
use super::recipient::{EVENT_RECORDS_MAX, Recipient, is_straight};
use super::{Engine, RATE_CLASSES_MS};
use crate::batch::InstrumentId;
use crate::scales::{Rescale, Scales};

impl Engine {
    /// A new instrument joins the patterns that name it; a known one gets its new scales after the last record at the old ones.
    pub(super) fn announce(&mut self, now: Moment, info: &v1::InstrumentInfo) {
        let id = InstrumentId(info.id);
        let Some(known) = self.book.get(id) else {
            if let Some(id) = self.book.announce(info) {
                self.join_patterns(id);
            }
            return;
        };
        if known.info == *info {
            return;
        }
        let (lanes, before) = (known.lanes(), known.scales);
        if self.synced {
            for lane in lanes.into_iter().filter(|lane| *lane != NO_LANE) {
                self.speak(now, lane, EVENT_RECORDS_MAX);
                self.settle(now, lane);
            }
        }
        self.book.announce(info);
        self.rescale_marks(id, lanes, before);
        if self.synced {
            self.tell_info(now, id, lanes);
        }
    }

    /// What a paused client will be told when it goes on, or who is given images when the book is complete, is told at the new scales.
    fn rescale_marks(&mut self, id: InstrumentId, lanes: [u32; RATE_CLASSES_MS.len()], before: Scales) {
        let Self { book, lanes: all, roster, .. } = self;
        let Some(scales) = book.get(id).map(|instrument| instrument.scales).filter(|scales| *scales != before) else { return };
        for lane in lanes.into_iter().filter(|lane| *lane != NO_LANE && !planted(Fault::KeepOldExtremes)) {
            for subscriber in &all.get(lane).subscribers {
                if let Some(outbox) = roster.get_mut(subscriber.slot()).and_then(|connection| connection.outbox.as_deref_mut()) {
                    outbox.rescale_mark(id, Rescale::new(before, scales));
                }
            }
        }
    }

    /// Tells a changed info: at once, or behind what waits.
    fn tell_info(&mut self, now: Moment, id: InstrumentId, lanes: [u32; RATE_CLASSES_MS.len()]) {
        let Self { book, lanes: all, dispatch, roster, config, .. } = self;
        let Some(instrument) = book.get(id).filter(|_| !planted(Fault::UntoldScales)) else { return };
        let records =
            [Encoding::Protobuf, Encoding::Json].map(|encoding| dispatch.store(|out| encode_info(encoding, &instrument.info, out)));
        let mut shared = None;
        for lane in lanes.into_iter().filter(|lane| *lane != NO_LANE) {
            for subscriber in &all.get(lane).subscribers {
                let slot = subscriber.slot();
                let Some(connection) = roster.get_mut(slot).filter(|connection| connection.is_live()) else { continue };
                if is_straight(connection, dispatch, slot) {
                    if let Some(subscription) = connection.subscription(id) {
                        subscription.set_told(true);
                    }
                    dispatch.push(slot, Part::Info, records[connection.encoding as usize].clone());
                } else {
                    let info = shared.get_or_insert_with(|| Arc::new(instrument.info.clone())).clone();
                    let waiting = Waiting::Info { info, seq: instrument.seq.unwrap_or(0) };
                    Recipient { slot, connection, dispatch, book, config, now }.wait(waiting);
                }
            }
        }
    }
}
