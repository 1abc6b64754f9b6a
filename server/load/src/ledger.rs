//! What one connection has been given, held against what it should be given.

mod protobuf;

pub use protobuf::read_protobuf;

use hdrhistogram::Histogram;

use crate::{Stamp, Tally};

/// One thing that a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of the schema")]
pub enum Seen<'a> {
    /// The number of the frame on its connection. 0: the server does not count.
    Frame { cseq: u64 },
    /// A name for an instrument.
    Info { id: u32, symbol: &'a str },
    /// An update or an image.
    Record(Record),
    /// Everything asked for at the start has come.
    Ready,
    /// How the server wants to be told of progress; 0: not at all.
    Window { bytes: u32 },
    /// A subscription was not granted.
    Refused { symbol: &'a str, code: i32 },
    /// The server says that events were lost.
    Gap,
    /// The server says that this client is slow.
    Slow,
    /// The server says why it ends the connection, or that something went wrong.
    Ending { text: &'a str },
}

/// What of a record tells whether it is the right one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Instrument.
    pub id: u32,
    /// Position in the log.
    pub seq: u64,
    /// When it happened, microseconds since 1970 UTC.
    pub ts_event_us: u64,
    /// Inputs that it stands for, beyond the first.
    pub merged: u32,
    /// Whether it is an image.
    pub image: bool,
    /// The field `trades` of a quote: in the steady market, the number of the update of its symbol.
    pub version: Option<u64>,
}

/// What one connection holds.
#[derive(Debug)]
pub struct Ledger {
    cseq: u64,
    /// By id.
    held: Vec<Held>,
    /// Whether versions of symbols `bench.S…` count the updates.
    steady: bool,
}

/// One instrument.
#[derive(Clone, Copy, Debug)]
struct Held {
    id: u32,
    /// Number of a symbol of the steady market.
    index: u32,
    seq: u64,
    version: u64,
    ts_event_us: u64,
    /// It is an image that it holds.
    imaged: bool,
}

impl Ledger {
    /// A ledger of nothing yet. `steady`: the market is the steady one, so every update is accounted for.
    pub fn new(steady: bool) -> Self {
        Self { cseq: 0, held: Vec::new(), steady }
    }

    /// Takes note of an instrument, as an info does.
    pub fn introduce(&mut self, id: u32, symbol: &str) {
        let index = symbol.strip_prefix("bench.S").and_then(|digits| digits.parse().ok()).unwrap_or(NO_INDEX);
        if let Err(place) = self.held.binary_search_by_key(&id, |held| held.id) {
            // A server that does not keep its word could name instruments for ever.
            if self.held.len() < INSTRUMENTS_MAX {
                self.held.insert(place, Held { id, index, seq: 0, version: 0, ts_event_us: 0, imaged: false });
            }
        }
    }

    /// Number of the symbol of an instrument in the steady market.
    pub fn index(&self, id: u32) -> Option<u64> {
        let place = self.held.binary_search_by_key(&id, |held| held.id).ok()?;
        Some(self.held[place].index).filter(|index| self.steady && *index != NO_INDEX).map(u64::from)
    }

    /// Whether a record of an instrument has come.
    pub fn holds(&self, id: u32) -> bool {
        self.held.binary_search_by_key(&id, |held| held.id).is_ok_and(|place| self.held[place].seq > 0)
    }

    /// Number of the newest message.
    pub fn cseq(&self) -> u64 {
        self.cseq
    }

    /// Counts a message. `cseq` 0 is not counted.
    pub fn count_frame(&mut self, cseq: u64, tally: &mut Tally) {
        let expected = self.cseq + 1;
        match cseq {
            0 => return,
            _ if cseq > expected => {
                tally.faults.lost += cseq - expected;
                tally.faults.note(|| format!("message {cseq} came after {}", expected - 1));
            }
            _ if cseq < expected => {
                tally.faults.disordered += 1;
                tally.faults.note(|| format!("message {cseq} came after {}", expected - 1));
            }
            _ => {}
        }
        self.cseq = self.cseq.max(cseq);
    }

    /// Counts a record and holds it.
    pub fn count_record(&mut self, record: &Record, now: Stamp, tally: &mut Tally) {
        let Ok(place) = self.held.binary_search_by_key(&record.id, |held| held.id) else {
            tally.faults.disordered += 1;
            return tally.faults.note(|| format!("a record of instrument {} came before its name", record.id));
        };
        let held = &mut self.held[place];
        if record.seq < held.seq {
            tally.faults.disordered += 1;
            tally.faults.note(|| format!("position {} of instrument {} came after {}", record.seq, record.id, held.seq));
        }
        held.seq = held.seq.max(record.seq);
        held.ts_event_us = record.ts_event_us;
        if let Some(version) = record.version.filter(|_| self.steady && held.index != NO_INDEX) {
            if !record.image {
                let expected = held.version + 1 + u64::from(record.merged);
                // A record is shared by all subscribers of its rate: to who came in the meantime it tells again what its image told.
                let overlaps = held.imaged && (held.version..expected).contains(&version);
                if version != held.version && version != expected && !overlaps {
                    let (faults, before) = (&mut tally.faults, held.version);
                    if version > expected {
                        faults.lost += version - expected
                    } else {
                        faults.disordered += 1
                    }
                    faults.note(|| {
                        format!("update {version} of bench.S{} came after {before} and stands for {} more", held.index, record.merged)
                    });
                }
            }
            held.version = held.version.max(version);
            held.imaged = record.image;
        }
        if record.image {
            tally.images += 1;
        } else {
            tally.records += 1;
            tally.merged += u64::from(record.merged);
            tally.late_by(now.since(record.ts_event_us));
        }
    }

    /// Records how old the values held are.
    pub fn ages(&self, now: Stamp, ages: &mut Histogram<u64>) {
        for held in self.held.iter().filter(|held| held.ts_event_us > 0) {
            ages.saturating_record(now.since(held.ts_event_us));
        }
    }
}

/// No symbol of the steady market.
const NO_INDEX: u32 = u32::MAX;
/// Instruments of one connection. Records of further ones count as faults.
const INSTRUMENTS_MAX: usize = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn record(seq: u64, version: u64, merged: u32) -> Record {
        Record { id: 7, seq, ts_event_us: 1_000, merged, image: false, version: Some(version) }
    }

    /// Lost and disordered after `records` of `bench.S3`, whose image was version 1.
    fn faults(records: &[Record]) -> (u64, u64) {
        let (mut ledger, mut tally) = (Ledger::new(true), Tally::default());
        ledger.introduce(7, "bench.S3");
        ledger.count_record(&Record { image: true, ..record(1, 1, 0) }, Stamp(1_500), &mut tally);
        for record in records {
            ledger.count_record(record, Stamp(1_500), &mut tally);
        }
        (tally.faults.lost, tally.faults.disordered)
    }

    #[test]
    fn every_update_is_accounted_for() {
        assert_eq!(faults(&[record(2, 2, 0), record(9, 5, 2), record(10, 6, 0)]), (0, 0));
        assert_eq!(faults(&[record(2, 2, 0), record(9, 5, 0)]), (2, 0), "3 and 4 never came");
        assert_eq!(faults(&[record(9, 3, 4), record(10, 4, 0)]), (0, 0), "the first one tells again what the image told");
        assert_eq!(faults(&[record(2, 2, 0), record(9, 3, 4)]), (0, 1), "but no later one may");
        assert_eq!(faults(&[record(9, 3, 1), record(2, 2, 0)]), (0, 2), "position and version went back");
    }

    #[test]
    fn messages_are_counted() {
        let (mut ledger, mut tally) = (Ledger::new(false), Tally::default());
        [1, 2, 5, 3].into_iter().for_each(|cseq| ledger.count_frame(cseq, &mut tally));
        assert_eq!((tally.faults.lost, tally.faults.disordered), (2, 1));
        assert_eq!(tally.faults.first.as_deref(), Some("message 5 came after 2"));
    }
}
