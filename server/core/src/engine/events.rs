//! Events: encoded once, shared by all who get them, and kept for a while for those who come back.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use tickwire_proto::planted::{Fault, planted};
use tickwire_proto::v1;
use tickwire_proto::wire::{Encoding, Naming, encode_update};

use super::token::Told;
use crate::batch::InstrumentId;

/// One update that is never conflated.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) instrument: InstrumentId,
    pub(super) seq: u64,
    /// A single trade: only for those who asked, and first to go when there is no room.
    pub(super) trade: bool,
    protobuf: Box<[u8]>,
    json: Box<[u8]>,
}

impl Event {
    /// Encodes `update` in both encodings, with the scales of now.
    pub(super) fn new(update: &v1::Update, naming: Naming<'_>, trade: bool) -> Arc<Self> {
        let encoded = |encoding| {
            let mut bytes = Vec::new();
            encode_update(encoding, update, naming, &mut bytes);
            bytes.into_boxed_slice()
        };
        Arc::new(Self {
            instrument: InstrumentId(update.id),
            seq: update.seq,
            trade,
            protobuf: encoded(Encoding::Protobuf),
            json: encoded(Encoding::Json),
        })
    }

    /// The record that frames splice.
    pub(super) fn record(&self, encoding: Encoding) -> &[u8] {
        match encoding {
            Encoding::Protobuf => &self.protobuf,
            Encoding::Json => &self.json,
        }
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
}

impl EventRing {
    pub(super) fn new(kept: usize) -> Self {
        Self { kept, ..Self::default() }
    }

    pub(super) fn push(&mut self, event: Arc<Event>) {
        self.events.push_back(event);
        while self.events.len() > self.kept {
            if let Some(oldest) = self.events.pop_front().filter(|_| !planted(Fault::UntoldRingOverflow)) {
                self.raise_floor(oldest.seq);
            }
        }
    }

    /// Says that events at or below `seq` may be missing.
    pub(super) fn raise_floor(&mut self, seq: u64) {
        self.floor = self.floor.max(Some(seq));
    }

    pub(super) fn clear(&mut self) {
        self.events.clear();
        self.floor = None;
    }

    /// The newest position after `told` whose events may be missing, if there is one.
    pub(super) fn missing_after(&self, told: Told) -> Option<u64> {
        self.floor.filter(|floor| Some(*floor) > told)
    }

    /// The events after `told`, oldest first.
    pub(super) fn after(&self, told: Told) -> impl Iterator<Item = &Arc<Event>> {
        self.events.range(self.events.partition_point(|event| Some(event.seq) <= told)..)
    }
}
