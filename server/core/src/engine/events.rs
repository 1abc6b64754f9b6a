//! Events: encoded once, shared by all who get them, and kept for a while for those who come back.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use tickwire_proto::planted::{Fault, planted};
use tickwire_proto::v1;
use tickwire_proto::wire::{Encoding, FrameWriter, decode_server, encode_update};

use super::book::Instrument;
use super::token::Told;
use crate::batch::InstrumentId;
use crate::scales::{Rescale, Scales};

/// One update that is never conflated.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) instrument: InstrumentId,
    pub(super) seq: u64,
    /// A single trade: only for those who asked, and first to go when there is no room.
    pub(super) trade: bool,
    /// Those of its values. Who holds an info with others cannot read it.
    scales: Scales,
    protobuf: Box<[u8]>,
    json: Box<[u8]>,
}

impl Event {
    /// Encodes an update of `instrument` in both encodings, at its scales of now.
    pub(super) fn new(update: &v1::Update, instrument: &Instrument, trade: bool) -> Arc<Self> {
        let encoded = |encoding| encode(encoding, update, instrument);
        Arc::new(Self {
            instrument: InstrumentId(update.id),
            seq: update.seq,
            trade,
            scales: instrument.scales,
            protobuf: encoded(Encoding::Protobuf),
            json: encoded(Encoding::Json),
        })
    }

    /// The same at the scales that its instrument has now; `None` if it cannot be said there.
    pub(super) fn at_scales_of(self: &Arc<Self>, instrument: &Instrument) -> Option<Arc<Self>> {
        if self.scales == instrument.scales || planted(Fault::KeepOldScales) {
            return Some(self.clone());
        }
        let mut update = read(Encoding::Protobuf, &self.protobuf, self.scales)?;
        let mut rescale = Rescale::new(self.scales, instrument.scales);
        rescale.body(update.body.as_mut()?)?;
        rescale.lossless.then(|| Self::new(&update, instrument, self.trade))
    }

    /// The record that frames splice.
    pub(super) fn record(&self, encoding: Encoding) -> &[u8] {
        match encoding {
            Encoding::Protobuf => &self.protobuf,
            Encoding::Json => &self.json,
        }
    }
}

/// The state before an event, as it was then, for one subscriber.
#[derive(Debug)]
pub(super) struct PastState {
    pub(super) instrument: InstrumentId,
    /// Position of the oldest input that it tells.
    pub(super) seq: u64,
    scales: Scales,
    pub(super) record: Box<[u8]>,
}

impl PastState {
    /// Encodes `update`, which tells of inputs from `seq` on.
    pub(super) fn new(encoding: Encoding, update: &v1::Update, seq: u64, instrument: &Instrument) -> Self {
        Self { instrument: instrument.id(), seq, scales: instrument.scales, record: encode(encoding, update, instrument) }
    }

    /// Brings it to the scales that its instrument has now; what cannot be said there is unknown, as in the image that follows the change.
    /// Returns whether anything is left of it.
    pub(super) fn rescale(&mut self, encoding: Encoding, instrument: &Instrument) -> bool {
        if self.scales == instrument.scales || planted(Fault::KeepOldScales) {
            return true;
        }
        let update = read(encoding, &self.record, self.scales);
        let update = update.and_then(|update| Rescale::new(self.scales, instrument.scales).record(update));
        if let Some(update) = &update {
            *self = Self::new(encoding, update, self.seq, instrument);
        }
        update.is_some()
    }
}

/// The newest events of all instruments, for resume.
#[derive(Debug, Default)]
pub(super) struct EventRing {
    /// Oldest first. At most `kept`; the oldest goes first.
    events: VecDeque<Arc<Event>>,
    kept: usize,
    /// Events at or below this position may be missing.
    floor: Option<u64>,
    /// The newest position of which an event has gone. None of the others is kept: clients tell the events of a position by their order.
    cut: Option<u64>,
}

impl EventRing {
    pub(super) fn new(kept: usize) -> Self {
        Self { kept, ..Self::default() }
    }

    pub(super) fn push(&mut self, event: Arc<Event>) {
        if self.cut == Some(event.seq) {
            return;
        }
        self.events.push_back(event);
        while let Some(oldest) =
            self.events.front().map(|oldest| oldest.seq).filter(|seq| self.cut == Some(*seq) || self.events.len() > self.kept)
        {
            self.events.pop_front();
            self.cut = Some(oldest);
            if !planted(Fault::UntoldRingOverflow) {
                self.raise_floor(oldest);
            }
        }
    }

    /// Says that events at or below `seq` may be missing.
    pub(super) fn raise_floor(&mut self, seq: u64) {
        self.floor = self.floor.max(Some(seq));
    }

    pub(super) fn clear(&mut self) {
        self.events.clear();
        (self.floor, self.cut) = (None, None);
    }

    /// The newest position after `told` whose events may be missing, if there is one.
    pub(super) fn missing_after(&self, told: Told) -> Option<u64> {
        self.floor.filter(|floor| Some(*floor) > told)
    }

    /// The events after `told`, oldest first.
    pub(super) fn after(&self, told: Told) -> impl Iterator<Item = &Arc<Event>> {
        self.events.range(self.events.partition_point(|event| Some(event.seq) <= told)..)
    }

    /// The same, to bring them to other scales: they are encoded at those that their instruments had.
    pub(super) fn after_mut(&mut self, told: Told) -> impl Iterator<Item = &mut Arc<Event>> {
        let start = self.events.partition_point(|event| Some(event.seq) <= told);
        self.events.range_mut(start..)
    }
}

fn encode(encoding: Encoding, update: &v1::Update, instrument: &Instrument) -> Box<[u8]> {
    let mut bytes = Vec::new();
    encode_update(encoding, update, instrument.naming(), &mut bytes);
    bytes.into_boxed_slice()
}

/// Reads back what [`encode`] wrote at these scales. Rare: they have changed, and somebody was not told everything before.
fn read(encoding: Encoding, record: &[u8], scales: Scales) -> Option<v1::Update> {
    let mut frame = Vec::new();
    let mut writer = FrameWriter::begin(&mut frame, encoding, 0, 0);
    writer.update(record);
    writer.finish();
    decode_server(encoding, &frame, &|_| Some((scales.price, scales.quantity))).ok()?.updates.pop()
}
