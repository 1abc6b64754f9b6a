//! One instrument of the table: its newest values, what guards them, and who has not read them.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::image::Image;
use crate::session::instrument::Instrument;
use crate::session::queue::Member;
use crate::symbol::Symbol;
use crate::v1;
use crate::v1::update::Body;

/// One instrument.
#[derive(Debug)]
pub(in crate::session) struct Row {
    /// Shared with events that wait: a change copies it only while one does.
    pub(in crate::session) instrument: Arc<Instrument>,
    /// Who covers it, in the order of ids.
    pub(in crate::session) members: Vec<Member>,
    /// Newest position of each kind of body. Kinds are guarded apart, so that it does not matter whether a server gives an image the
    /// position of its kind or that of the instrument.
    guards: [u64; KINDS],
    /// The newest event that was given, and how many there were at its position.
    given: EventMark,
    /// The same, as this connection tells it.
    told: EventMark,
    /// Connection of the newest record. 0: no record yet.
    pub(super) touched: u64,
    /// Events may have been lost since the newest record, if an image comes that is newer.
    pub(super) doubtful: bool,
}

impl Row {
    pub(super) fn new(symbol: &Symbol, info: &Arc<v1::InstrumentInfo>, members: Vec<Member>) -> Self {
        let instrument =
            Instrument { symbol: symbol.clone(), info: info.clone(), image: Image::default(), seq: 0, ts_event_us: 0, merged: 0 };
        Self {
            instrument: Arc::new(instrument),
            members,
            guards: [0; KINDS],
            given: EventMark::default(),
            told: EventMark::default(),
            touched: 0,
            doubtful: false,
        }
    }

    /// A new connection counts the events of a position anew.
    pub(super) fn reconnect(&mut self) {
        self.told = EventMark::default();
    }

    /// Whether a position is older than what is known of this kind of body.
    pub(super) fn is_older(&self, body: &Body, seq: u64) -> bool {
        seq < self.guards[kind_of(body)]
    }

    /// Applies a record that is not older than what is here. Returns whether anything changed.
    pub(super) fn apply(&mut self, update: &v1::Update, connection: u64, may_repeat: bool) -> bool {
        let Some(body) = &update.body else { return false };
        let kind = kind_of(body);
        // After a reconnect an image may say what is known already. The application need not hear of it again.
        let before = (may_repeat && self.touched > 0 && update.seq == self.guards[kind]).then(|| self.instrument.image.clone());
        self.guards[kind] = update.seq;
        self.touched = connection;
        let instrument = Arc::make_mut(&mut self.instrument);
        instrument.image.apply(update);
        if update.seq >= instrument.seq {
            instrument.seq = update.seq;
            instrument.ts_event_us = update.ts_event_us;
            instrument.merged = update.merged;
        }
        before.is_none_or(|before| before != instrument.image)
    }

    /// Whether an event was not given yet: by position, and by its number among the events of that position.
    pub(super) fn is_new_event(&mut self, seq: u64) -> bool {
        if self.told.seq != seq {
            self.told = EventMark { seq, count: 0 };
        }
        self.told.count += 1;
        let is_new = (seq, self.told.count) > (self.given.seq, self.given.count);
        if is_new {
            self.given = self.told;
        }
        is_new
    }

    /// Positions start again.
    pub(super) fn restart(&mut self) {
        self.guards = [0; KINDS];
        self.given = EventMark::default();
        self.told = EventMark::default();
        self.doubtful = false;
        Arc::make_mut(&mut self.instrument).seq = 0;
    }

    pub(super) fn set_info(&mut self, info: &Arc<v1::InstrumentInfo>) {
        let known = &self.instrument.info;
        if *known == *info {
            return;
        }
        let rescaled = (known.price_scale, known.quantity_scale) != (info.price_scale, info.quantity_scale);
        let instrument = Arc::make_mut(&mut self.instrument);
        instrument.info = info.clone();
        if rescaled {
            // Images at the new scales follow; until then the old mantissas would be read as other prices.
            instrument.image.quote = None;
            instrument.image.odds = None;
            instrument.image.bars.clear();
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct EventMark {
    seq: u64,
    count: u32,
}

fn kind_of(body: &Body) -> usize {
    match body {
        Body::Quote(_) => 0,
        Body::Trade(_) => 1,
        Body::Bar(_) => 2,
        Body::Status(_) => 3,
        Body::Score(_) => 4,
        Body::Odds(_) => 5,
    }
}

/// Kinds of body.
const KINDS: usize = 6;
