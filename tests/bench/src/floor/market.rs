//! The steady market of the floor: the values of `tickwire demo --steady`, at the same times.

use std::time::{Duration, Instant};

use tickwire_load::Stamp;
use tickwire_proto::Scale;
use tickwire_proto::v1::{self, UpdateFlag, server_frame::Control, update::Body};
use tickwire_proto::wire::{Encoding, FrameWriter, Naming, encode_info, encode_update};
use tickwire_simulator::steady_price;

pub(crate) struct Market {
    rate: u32,
    start: Instant,
    /// Updates so far.
    done: u64,
    instruments: Vec<Instrument>,
    /// Instruments that changed since the last [`Market::settle`], each once.
    changed: Vec<usize>,
}

#[derive(Clone, Default)]
struct Instrument {
    newest: State,
    /// What was told last: the image of who comes now, so that what follows fits.
    told: State,
    /// Updates since then.
    pending: u32,
    /// Extremes of these.
    high: i64,
    low: i64,
    /// Encoded.
    record: Vec<u8>,
}

#[derive(Clone, Copy, Default)]
struct State {
    version: u64,
    seq: u64,
    ts_us: u64,
}

impl Market {
    pub(crate) fn new(symbols: u32, rate: u32) -> Self {
        Self { rate, start: Instant::now(), done: 0, instruments: vec![Instrument::default(); symbols as usize], changed: Vec::new() }
    }

    /// When the next update happens.
    pub(crate) fn due(&self) -> Instant {
        self.start + Duration::from_micros((self.done + 1) * 1_000_000 / u64::from(self.rate.max(1)))
    }

    /// The next update: of which instrument.
    pub(crate) fn step(&mut self, now: Stamp) -> usize {
        let index = (self.done % self.instruments.len() as u64) as usize;
        self.done += 1;
        let instrument = &mut self.instruments[index];
        instrument.newest = State { version: instrument.newest.version + 1, seq: self.done, ts_us: now.0 };
        let last = steady_price(index as u64, instrument.newest.version);
        if instrument.pending == 0 {
            (instrument.high, instrument.low) = (last, last);
            self.changed.push(index);
        }
        instrument.pending += 1;
        (instrument.high, instrument.low) = (instrument.high.max(last), instrument.low.min(last));
        index
    }

    /// Encodes what has changed since it was told last.
    pub(crate) fn record(&mut self, index: usize) -> &[u8] {
        let instrument = &mut self.instruments[index];
        instrument.encode(index);
        &instrument.record
    }

    /// Encodes everything that has changed.
    pub(super) fn encode_changed(&mut self) {
        for &index in &self.changed {
            self.instruments[index].encode(index);
        }
    }

    /// What [`Market::encode_changed`] encoded of this instrument, if it has changed.
    pub(super) fn changed(&self, index: usize) -> Option<&[u8]> {
        self.instruments.get(index).filter(|instrument| instrument.pending > 0).map(|instrument| instrument.record.as_slice())
    }

    /// Everything was told.
    pub(crate) fn settle(&mut self) {
        for index in self.changed.drain(..) {
            let instrument = &mut self.instruments[index];
            (instrument.told, instrument.pending) = (instrument.newest, 0);
        }
    }

    /// Appends a frame with names and images.
    pub(super) fn snapshot(&self, wanted: &[usize], cseq: u64, now: Stamp, out: &mut Vec<u8>) {
        let mut record = Vec::new();
        let mut writer = FrameWriter::begin(out, Encoding::Protobuf, cseq, now.0);
        let known = || wanted.iter().filter_map(|&index| Some((index, self.instruments.get(index)?)));
        for (index, _) in known() {
            record.clear();
            let info = v1::InstrumentInfo { symbol: format!("bench.S{index}"), id: id(index), price_scale: 2, ..Default::default() };
            encode_info(Encoding::Protobuf, &info, &mut record);
            writer.info(&record);
        }
        writer.control(&Control::SnapshotComplete(v1::SnapshotComplete { request_id: 2 }));
        for (index, instrument) in known() {
            record.clear();
            encode(index, &instrument.told, None, &mut record);
            writer.update(&record);
        }
        writer.finish();
    }
}

impl Instrument {
    fn encode(&mut self, index: usize) {
        self.record.clear();
        encode(index, &self.newest, Some((self.pending.saturating_sub(1), self.high, self.low)), &mut self.record);
    }
}

/// Appends the record of a state: an image, or what `merged` updates beyond the newest came to, with their extremes.
fn encode(index: usize, state: &State, delta: Option<(u32, i64, i64)>, out: &mut Vec<u8>) {
    let last = steady_price(index as u64, state.version);
    let merged = delta.filter(|(merged, ..)| *merged > 0);
    let quote = v1::Quote {
        bid: Some(last - 1),
        ask: Some(last + 1),
        last: Some(last),
        last_ts_us: Some(state.ts_us),
        trades: Some(state.version),
        interval_high: merged.map(|(_, high, _)| high),
        interval_low: merged.map(|(_, _, low)| low),
        ..Default::default()
    };
    let flags = match (delta, merged) {
        (None, _) => UpdateFlag::Image as u32,
        (Some(_), Some(_)) => UpdateFlag::Conflated as u32,
        (Some(_), None) => 0,
    };
    let update = v1::Update {
        id: id(index),
        seq: state.seq,
        ts_event_us: state.ts_us,
        merged: merged.map_or(0, |(merged, ..)| merged),
        flags,
        body: Some(Body::Quote(quote)),
        ..Default::default()
    };
    let (Ok(price_scale), Ok(quantity_scale)) = (Scale::new(2), Scale::new(0)) else { return };
    encode_update(Encoding::Protobuf, &update, Naming { symbol: "", price_scale, quantity_scale }, out);
}

/// Ids count from 1.
fn id(index: usize) -> u32 {
    index as u32 + 1
}
