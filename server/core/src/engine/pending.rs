//! What somebody has not been told yet about one instrument: a mask over its newest image, exact extremes and counts.

use alloc::vec::Vec;

use tickwire_proto::image::{Changed, Kind};
use tickwire_proto::planted::{Fault, planted};
use tickwire_proto::v1::{self, UpdateFlag, update::Body};
use tickwire_proto::wire::{Encoding, QuoteRecord, encode_quote, encode_update};

use super::book::Instrument;
use super::dispatch::{Dispatch, Record};
use crate::scales::Rescale;

/// Changes since the last record, of a fixed size whatever their number.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pending {
    changed: Changed,
    /// Inputs merged so far, by kind.
    inputs: [u32; Kind::ALL.len()],
    /// Lowest and highest `last` among the inputs.
    extremes: Option<(i64, i64)>,
    /// Position of the oldest input that has not been told. The resume token stays below it.
    pub(super) first_seq: Option<u64>,
}

impl Pending {
    /// Everything of an instrument, for somebody who does not hold it yet.
    pub(super) fn images(instrument: &Instrument) -> Self {
        Self { changed: Changed::images(instrument.kinds_seen), ..Self::default() }
    }

    /// Everything of an instrument, for somebody who may hold what is no longer true. `first_seq` keeps the resume token below it.
    pub(super) fn replaced(instrument: &Instrument, first_seq: u64) -> Self {
        Self { changed: Changed::replaced(instrument.kinds_seen), first_seq: Some(first_seq), ..Self::default() }
    }

    /// Adds one input.
    pub(super) fn add(&mut self, kind: Kind, changed: &Changed, last: Option<i64>, seq: u64) {
        self.changed.merge(changed);
        self.inputs[kind.index()] = self.inputs[kind.index()].saturating_add(if planted(Fault::DoubleMergeCount) { 2 } else { 1 });
        self.widen(last.map(|last| (last, last)));
        self.hold(Some(seq));
    }

    /// Adds what a later time left untold.
    pub(super) fn merge(&mut self, later: &Self) {
        self.changed.merge(&later.changed);
        for (mine, theirs) in self.inputs.iter_mut().zip(later.inputs) {
            *mine = mine.saturating_add(theirs);
        }
        self.widen(later.extremes);
        self.hold(later.first_seq);
    }

    /// Takes all of it, for a record that tells it.
    pub(super) fn take(&mut self) -> Self {
        let taken = core::mem::take(self);
        if planted(Fault::KeepExtremes) {
            self.extremes = taken.extremes;
        }
        taken
    }

    /// Brings the extremes to other scales. What cannot be said there is unknown, as in the image that follows.
    pub(super) fn rescale(&mut self, mut rescale: Rescale) {
        self.extremes = self.extremes.and_then(|(low, high)| rescale.price(low).zip(rescale.price(high)));
    }

    /// Tells the fields of `later` as well, in the bodies that it tells anyway; their inputs go on counting there.
    pub(super) fn cover(&mut self, later: &Self) {
        for kind in Kind::ALL.into_iter().filter(|kind| self.inputs[kind.index()] > 0) {
            self.changed.merge_fields(&later.changed, kind);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.changed.is_empty()
    }

    /// Encodes the records that tell it, with the newest values, and appends them to `listed`. Returns how many inputs they merged.
    pub(super) fn encode(
        &self,
        encoding: Encoding,
        instrument: &Instrument,
        dispatch: &mut Dispatch,
        scratch: &mut Vec<v1::Update>,
        listed: &mut Vec<Record>,
    ) -> u64 {
        if encoding == Encoding::Protobuf {
            let mut merged = None;
            let record = dispatch.store(|out| merged = self.encode_quote(instrument, out));
            if let Some(merged) = merged {
                listed.push(record);
                return merged.into();
            }
        }
        scratch.clear();
        self.records(instrument, scratch);
        for record in &*scratch {
            listed.push(dispatch.store(|out| encode_update(encoding, record, instrument.naming(), out)));
        }
        scratch.iter().map(|record| u64::from(record.merged)).sum()
    }

    /// The usual record, a changed quote and nothing else, from the book into `out`, without an update in between. Returns how many inputs
    /// it merged; `None`, and nothing in `out`, if that does not tell all of it.
    fn encode_quote(&self, instrument: &Instrument, out: &mut Vec<u8>) -> Option<u32> {
        let fields = self.changed.quote_fields()?;
        let state = instrument.image.quote.as_ref()?;
        let merged = self.inputs[Kind::Quote.index()].saturating_sub(1);
        let interval = self.interval(state.last.filter(|_| fields & LAST != 0), merged);
        let record = QuoteRecord {
            id: instrument.info.id,
            seq: instrument.seq.unwrap_or(0),
            ts_event_us: instrument.ts_us[Kind::Quote.index()],
            merged,
            flags: if merged > 0 { UpdateFlag::Conflated as u32 } else { 0 },
            state,
            fields,
            interval_high: interval.map(|(_, high)| high),
            interval_low: interval.map(|(low, _)| low),
        };
        encode_quote(&record, out).then_some(merged)
    }

    /// Appends the records that tell it, with the newest values.
    pub(super) fn records(&self, instrument: &Instrument, records: &mut Vec<v1::Update>) {
        let start = records.len();
        let mut counts = [0_u32; Kind::ALL.len()];
        instrument.image.records(&self.changed, |kind, mut record| {
            counts[kind.index()] += 1;
            record.id = instrument.info.id;
            record.seq = instrument.seq.unwrap_or(0);
            record.ts_event_us = instrument.ts_us[kind.index()];
            records.push(record);
        });
        let mut told = [false; Kind::ALL.len()];
        for record in &mut records[start..] {
            let Some(kind) = record.body.as_ref().and_then(Kind::of) else { continue };
            // Several bars leave as several records: what they merged is counted once.
            if core::mem::replace(&mut told[kind.index()], true) {
                continue;
            }
            record.merged = self.inputs[kind.index()].saturating_sub(counts[kind.index()]);
            if record.merged > 0 {
                record.flags |= UpdateFlag::Conflated as u32;
            }
            if let Some(Body::Quote(quote)) = &mut record.body {
                if let Some((low, high)) = self.interval(quote.last, record.merged) {
                    quote.interval_low = Some(low);
                    quote.interval_high = Some(high);
                }
            }
        }
    }

    /// Lowest and highest `last`, if they say more than the record that has this `last`.
    fn interval(&self, last: Option<i64>, merged: u32) -> Option<(i64, i64)> {
        let (low, high) = self.extremes?;
        // The book may be ahead of the inputs: then `last` is not theirs, and also a single input is told by its extremes.
        let (low, high) = last.map_or((low, high), |last| (low.min(last), high.max(last)));
        (merged > 0 || low != high || last != Some(low)).then_some((low, high))
    }

    fn widen(&mut self, other: Option<(i64, i64)>) {
        self.extremes = match (self.extremes, other) {
            (Some(_), Some(newest)) if planted(Fault::ResetExtremes) => Some(newest),
            (Some((low, high)), Some((lower, higher))) => Some((low.min(lower), high.max(higher))),
            (mine, theirs) => mine.or(theirs),
        };
    }

    fn hold(&mut self, seq: Option<u64>) {
        self.first_seq = match (self.first_seq, seq) {
            (Some(mine), Some(theirs)) => Some(mine.min(theirs)),
            (mine, theirs) => mine.or(theirs),
        };
    }
}

/// The bit of the field `last` of a quote.
const LAST: u32 = 1 << 5;
