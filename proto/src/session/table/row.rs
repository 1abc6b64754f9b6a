//! One instrument of the table: its newest values, what guards them, and who has not read them.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::image::Image;
use crate::planted::{Fault, planted};
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
    /// Up to where each kind is known without a hole. Events may be ahead of it: they come while a client is paused, or before the images
    /// that a connection owes, and the next connection may go on from before them.
    solid: [u64; KINDS],
    /// Events that are ahead, in order. At most [`AHEAD_MAX`]; before one more, the oldest counts as known without a hole.
    ahead: Vec<v1::Update>,
    /// The connection that set each guard.
    told_by: [u64; KINDS],
    /// Whether the values of each kind rest on an image. An event may come before it, and then gives no more than its own fields.
    whole: [bool; KINDS],
    /// The values are of an earlier log, until the first record of this one.
    outdated: bool,
    /// The newest event that was given, and how many there were at its position. Single trades are counted apart: a server may send them
    /// behind a newer state.
    given: [EventMark; 2],
    /// The same, as this connection tells it.
    told: [EventMark; 2],
    /// Connection of the newest record. 0: no record yet.
    pub(super) touched: u64,
    /// Events may have been lost after this position, if the first record of this connection is newer.
    pub(super) doubt: Option<u64>,
    /// Newest position of this connection, and before its Welcome, of the last one. 0: none. It may end before what another node told.
    flow: u64,
    /// The same of the connection before, while nothing has come of one that goes on where it ended.
    flow_before: u64,
    /// Whether the server has acknowledged a subscription that covers it. What comes before belongs to one that has ended, and may break
    /// off at any record.
    served: bool,
    /// Whether the next image is where events begin: what is below its position was before, and is not replayed to anybody. At its
    /// position there may be an event that came after it in the same message.
    begins: bool,
}

impl Row {
    pub(super) fn new(symbol: &Symbol, info: &Arc<v1::InstrumentInfo>, members: Vec<Member>) -> Self {
        let instrument =
            Instrument { symbol: symbol.clone(), info: info.clone(), image: Image::default(), seq: 0, ts_event_us: 0, merged: 0 };
        Self {
            instrument: Arc::new(instrument),
            members,
            guards: [0; KINDS],
            solid: [0; KINDS],
            ahead: Vec::new(),
            told_by: [0; KINDS],
            whole: [false; KINDS],
            outdated: false,
            given: Default::default(),
            told: Default::default(),
            touched: 0,
            doubt: None,
            flow: 0,
            flow_before: 0,
            served: false,
            begins: true,
        }
    }

    /// A new connection counts the events of a position anew.
    pub(super) fn reconnect(&mut self) {
        self.told = Default::default();
        self.served = false;
        self.begins = true;
    }

    /// This connection goes on where another one ended. Single trades may go on later than the rest.
    pub(super) fn resume(&mut self, with_trades: bool) {
        self.doubt = None;
        self.begins = false;
        let end = self.end_flow();
        self.flow_before = end;
        if !with_trades && !planted(Fault::ClientResumesTradesAlways) {
            self.break_trades(end);
        }
    }

    /// This connection starts anew. If there were records, events may have been lost since.
    pub(super) fn begin(&mut self) {
        let end = self.end_flow();
        self.doubt = (end > 0).then(|| self.doubt.map_or(end, |doubt| doubt.min(end)));
        self.begins = true;
        self.break_trades(end);
    }

    /// Something of this position came.
    pub(super) fn flow_to(&mut self, seq: u64) {
        self.flow = self.flow.max(seq);
    }

    /// The position after which the last connection may have lost something: before what others had told, if its node lagged behind.
    fn end_flow(&mut self) -> u64 {
        let (flow, before) = (core::mem::take(&mut self.flow), core::mem::take(&mut self.flow_before));
        let (newest, flow) = (self.newest_seq(), if flow > 0 { flow } else { before });
        if flow > 0 && !planted(Fault::ClientTrustsLaggingNodes) { flow.min(newest) } else { newest }
    }

    /// Single trades end here until the server sends them again.
    fn break_trades(&mut self, end: u64) {
        // A trade leaves before the state of its message, and behind the event.
        let told = end.saturating_sub(u64::from(self.given[EVENTS].seq == end));
        for member in self.members.iter_mut().filter(|member| member.trades && end > 0) {
            member.trades_until = Some(member.trades_until.map_or(told, |until| until.min(told)));
        }
    }

    /// Whether somebody may have lost single trades, and has not been told.
    pub(super) fn doubts_trades(&self) -> bool {
        self.members.iter().any(|member| member.trades_until.is_some())
    }

    /// A loss before `to` is about to be told. Returns after which position it begins: `known`, or where single trades ended.
    pub(super) fn tell_loss(&mut self, known: u64, to: u64) -> u64 {
        let mut from = known;
        for until in self.members.iter_mut().filter_map(|member| member.trades_until.as_mut()) {
            from = from.min(*until);
            *until = to.saturating_sub(1).max(*until);
        }
        from
    }

    /// An image came: events begin with it, unless they had begun already.
    pub(super) fn anchor(&mut self, seq: u64) {
        let given = &mut self.given[EVENTS];
        let seq = if planted(Fault::ClientBeginsBehindEvents) { seq.saturating_add(1) } else { seq };
        let Some(before) = seq.checked_sub(1).filter(|_| core::mem::take(&mut self.begins)) else { return };
        if before >= given.seq {
            *given = EventMark { seq: before, count: u32::MAX };
        }
    }

    pub(super) fn is_served(&self) -> bool {
        self.served
    }

    pub(super) fn set_served(&mut self, served: bool) {
        if self.served && !served {
            self.begin();
        }
        self.served = served;
    }

    /// Whether a position is older than what is known of this kind of body.
    pub(super) fn is_older(&self, body: &Body, seq: u64) -> bool {
        seq < self.guards[kind_of(body)] && !planted(Fault::ClientAppliesOlder)
    }

    /// Whether what is known of this kind of body rests on an image.
    pub(super) fn is_whole(&self, body: &Body) -> bool {
        self.whole[kind_of(body)]
    }

    /// Whether what is known of this kind of body comes from this connection.
    pub(super) fn is_told_by(&self, body: &Body, connection: u64) -> bool {
        self.told_by[kind_of(body)] == connection
    }

    /// Forgets values of an earlier log. Returns whether there were any.
    pub(super) fn drop_outdated(&mut self) -> bool {
        let drops = core::mem::take(&mut self.outdated) && self.instrument.image != Image::default();
        if drops {
            Arc::make_mut(&mut self.instrument).image = Image::default();
        }
        drops
    }

    /// Newest position of a state or event.
    pub(super) fn newest_seq(&self) -> u64 {
        self.given.iter().map(|mark| mark.seq).fold(self.instrument.seq, u64::max)
    }

    /// Applies a record that is not older than what is here. Returns whether anything changed.
    pub(super) fn apply(&mut self, update: &v1::Update, connection: u64, may_repeat: bool) -> bool {
        let Some(body) = &update.body else { return false };
        let kind = kind_of(body);
        // After a reconnect an image may say what is known already. The application need not hear of it again.
        let before = (may_repeat && self.touched > 0 && update.seq == self.guards[kind]).then(|| self.instrument.image.clone());
        self.guards[kind] = update.seq;
        self.note_solid(kind, update);
        self.told_by[kind] = connection;
        self.whole[kind] |= update.flags & v1::UpdateFlag::Image as u32 != 0;
        self.touched = connection;
        // The image of another kind may never come: this log may not know it.
        self.drop_outdated();
        let instrument = Arc::make_mut(&mut self.instrument);
        instrument.image.apply(update);
        if update.seq >= instrument.seq {
            // A snapshot gives each kind at the position of the instrument with a time of its own: the newest counts.
            let same = update.seq == instrument.seq;
            instrument.ts_event_us = update.ts_event_us.max(if same { instrument.ts_event_us } else { 0 });
            instrument.seq = update.seq;
            instrument.merged = update.merged;
        }
        before.is_none_or(|before| before != instrument.image)
    }

    /// Applies a record that is older than an event which is ahead of what is known: its news lie below that event. Returns whether
    /// anything changed.
    pub(super) fn apply_below(&mut self, update: &v1::Update) -> bool {
        let Some(kind) = update.body.as_ref().map(kind_of).filter(|kind| update.seq >= self.solid[*kind]) else { return false };
        let is_above = |event: &&v1::Update| event.seq > update.seq && event.body.as_ref().map(kind_of) == Some(kind);
        if !self.ahead.iter().any(|event| is_above(&event)) || planted(Fault::ClientDropsBelowEvents) {
            return false;
        }
        let mut image = self.instrument.image.clone();
        image.apply(update);
        self.ahead.iter().filter(is_above).for_each(|event| {
            image.apply(event);
        });
        if !is_event(update) {
            self.solid[kind] = update.seq;
        }
        let changed = image != self.instrument.image;
        if changed {
            Arc::make_mut(&mut self.instrument).image = image;
        }
        changed
    }

    /// Notes how far a kind is known once `update` is applied.
    fn note_solid(&mut self, kind: usize, update: &v1::Update) {
        if !is_event(update) {
            self.solid[kind] = update.seq;
            self.ahead.retain(|event| event.body.as_ref().map(kind_of) != Some(kind));
            return;
        }
        if self.ahead.len() >= AHEAD_MAX {
            let oldest = self.ahead.remove(0);
            if let Some(kind) = oldest.body.as_ref().map(kind_of) {
                self.solid[kind] = self.solid[kind].max(oldest.seq);
            }
        }
        self.ahead.push(update.clone());
    }

    /// Whether an event was not given yet: by position, and by its number among the events of that position.
    pub(super) fn is_new_event(&mut self, seq: u64, is_single_trade: bool) -> bool {
        let class = if is_single_trade { TRADES } else { EVENTS };
        self.begins &= is_single_trade;
        let (told, given) = (&mut self.told[class], &mut self.given[class]);
        if told.seq != seq {
            *told = EventMark { seq, count: 0 };
        }
        told.count = told.count.saturating_add(1);
        let is_new = (seq, told.count) > (given.seq, given.count) || planted(Fault::ClientRepeatsEvents);
        if is_new {
            *given = *told;
        }
        is_new
    }

    /// Positions start again.
    pub(super) fn restart(&mut self) {
        if planted(Fault::ClientKeepsPositions) {
            return;
        }
        self.guards = [0; KINDS];
        self.solid = [0; KINDS];
        self.ahead.clear();
        self.told_by = [0; KINDS];
        self.whole = [false; KINDS];
        self.outdated = true;
        self.given = Default::default();
        self.told = Default::default();
        self.doubt = None;
        (self.flow, self.flow_before) = (0, 0);
        self.begins = true;
        self.members.iter_mut().for_each(Member::restart);
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

fn is_event(update: &v1::Update) -> bool {
    update.flags & v1::UpdateFlag::Event as u32 != 0
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

/// Events of one instrument that are kept for records which belong below them.
const AHEAD_MAX: usize = 16;
/// Classes of events.
const EVENTS: usize = 0;
const TRADES: usize = 1;
/// Kinds of body.
const KINDS: usize = 6;
