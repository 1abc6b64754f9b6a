//! Quotes of a past that nobody is told: of all that an instrument had, only the newest state counts.

use alloc::vec::Vec;

use tickwire_proto::image::Changed;
use tickwire_proto::v1::{self, update::Body};

use super::Intake;
use super::instrument::Instrument;
use crate::batch::{Batch, Entry};

/// Instruments whose newest quote the batches do not have yet, while quotes are held back.
#[derive(Debug, Default)]
pub(super) struct Held {
    is_on: bool,
    /// Bounded by the instruments: each knows its place here.
    quotes: Vec<Quote>,
}

/// What is held back of an instrument.
#[derive(Debug)]
struct Quote {
    /// Of the instrument.
    index: usize,
    /// What its updates touched. Their values are in the image of the instrument.
    changed: Changed,
    /// Position of the newest. `None`: it has been told.
    seq: Option<u64>,
    /// When the newest happened.
    ts_event_us: u64,
}

impl Intake {
    /// Nobody is told what comes until [`Intake::tell_held`]: of the quotes of an instrument only the newest state has to be applied then. What
    /// tells more than state, or may, finds everything told that came before it.
    ///
    /// For a past that has to be read before anyone is served. Ends with the life of the log.
    pub fn hold_back(&mut self) {
        self.held.begin();
    }

    /// Appends everything that was held back, and holds nothing back any more.
    ///
    /// Costs one visit per instrument that was.
    pub fn tell_held(&mut self, batch: &mut Batch) {
        self.held.end(&mut self.instruments, batch);
    }

    /// Everything up to here has been taken. While quotes are held back, that is often all that a message has to say.
    pub(super) fn move_to(&self, seq: u64, batch: &mut Batch) {
        match batch.entries.last_mut() {
            Some(Entry::Position(last)) if self.held.is_on() => *last = seq,
            _ => batch.entries.push(Entry::Position(seq)),
        }
    }
}

impl Held {
    /// From now on quotes are held back.
    pub(super) fn begin(&mut self) {
        self.is_on = true;
    }

    /// The past is another one: nothing of it is told any more. Instruments have to forget their places.
    pub(super) fn forget(&mut self) {
        self.is_on = false;
        self.quotes.clear();
    }

    /// Whether quotes are held back.
    pub(super) fn is_on(&self) -> bool {
        self.is_on
    }

    /// Whether `update` may be held back: a delta of a quote changes nothing but the quote, and what comes later merges with it.
    pub(super) fn takes(&self, update: &v1::Update) -> bool {
        self.is_on && update.flags == 0 && matches!(update.body, Some(Body::Quote(_)))
    }

    /// Notes an update that its instrument has just taken.
    pub(super) fn hold(&mut self, index: usize, instrument: &mut Instrument, changed: &Changed, update: &v1::Update) {
        let (seq, ts_event_us) = (Some(update.seq), update.ts_event_us);
        match instrument.held.and_then(|place| self.quotes.get_mut(place)) {
            Some(quote) => {
                quote.changed.merge(changed);
                (quote.seq, quote.ts_event_us) = (seq, ts_event_us);
            }
            None => {
                instrument.held = Some(self.quotes.len());
                self.quotes.push(Quote { index, changed: *changed, seq, ts_event_us });
            }
        }
    }

    /// Tells what is held back of an instrument, since something comes that has to find it told.
    pub(super) fn tell(&mut self, instrument: &Instrument, batch: &mut Batch) {
        if let Some(quote) = instrument.held.and_then(|place| self.quotes.get_mut(place)) {
            quote.tell(instrument, batch);
        }
    }

    /// Tells everything, in the order in which instruments were held back first. From now on nothing is.
    pub(super) fn end(&mut self, instruments: &mut [Instrument], batch: &mut Batch) {
        self.is_on = false;
        for mut quote in self.quotes.drain(..) {
            let instrument = &mut instruments[quote.index];
            instrument.held = None;
            quote.tell(instrument, batch);
        }
    }
}

impl Quote {
    fn tell(&mut self, instrument: &Instrument, batch: &mut Batch) {
        let Some(seq) = self.seq.take() else { return };
        let changed = core::mem::take(&mut self.changed);
        let (id, ts_event_us) = (instrument.info.id, self.ts_event_us);
        instrument.records(&changed, |record| batch.entries.push(Entry::Update(v1::Update { id, seq, ts_event_us, ..record })));
    }
}
