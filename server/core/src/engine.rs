//! The engine of one shard: applies batches to its book, marks what subscribers have to be told, and builds their frames.
//!
//! The shell calls [`Engine::apply`], [`Engine::receive`] and friends as things happen, then [`Engine::flush`], which writes what is
//! due into a [`Sink`]; it sleeps until [`Engine::deadline`].
//!
//! ```text
//! batch ─► book ─► lanes: a mask of what changed ─► due: one record, encoded once ─┬─► open connection: a list entry ─► frame ─► sink
//!             └──► events: encoded at once, after the pending state ───────────────┴─► one that cannot take data: marks in its outbox
//! ```

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use tickwire_proto::Symbol;
use tickwire_proto::planted::{Fault, planted};
use tickwire_proto::time::Moment;
use tickwire_proto::v1::{self, ErrorCode, client_frame::Command, server_frame::Control};

use crate::access::{Authority, Grant};
use crate::batch::{Batch, Entry, InstrumentId};

mod announce;
mod book;
mod config;
mod connection;
mod credit;
mod dispatch;
mod events;
mod flush;
mod footprint;
mod lane;
mod outbox;
mod pace;
mod patterns;
mod pending;
mod publish;
mod rate;
mod recipient;
mod rests;
mod roster;
mod session;
mod sink;
mod subscribe;
mod timers;
mod token;
mod untold;
mod waits;
mod watch;

pub use config::{EngineConfig, EngineStats, FRAME_RECORDS_MAX, RATE_CLASSES_MS, RateRule};
pub use sink::{Arrival, ConnectionKey, FrameKind, FrameRef, Sink, Written};

use book::{Book, Instrument};
use connection::Connection;
use dispatch::{Dispatch, Record, Stamp, error};
use events::EventRing;
use lane::Lanes;
use patterns::Patterns;
use rests::{Rests, VISITS_PER_WRITE};
use roster::Roster;
use timers::Timers;

/// Engine of one shard.
pub struct Engine {
    config: EngineConfig,
    authority: Box<dyn Authority + Send>,
    /// The newest grant, for connections that are given an equal one.
    grant: Option<Arc<Grant>>,
    book: Book,
    lanes: Lanes,
    rests: Rests,
    ring: EventRing,
    roster: Roster,
    /// The patterns of all connections.
    patterns: Patterns,
    dispatch: Dispatch,
    timers: Timers,
    feeds: Vec<v1::FeedState>,
    /// Identity of the log; empty before the first Reset.
    epoch: String,
    /// Everything up to here has been applied.
    position: Option<u64>,
    /// The highest token of this log that a connection was resumed with ahead of this node: it may want no single trades until there.
    trades_after: Option<u64>,
    /// The book is complete; before, subscribes are held back.
    synced: bool,
    /// The book started over while subscribers held images of it: they get new ones when it is complete.
    restarted: bool,
    draining: Option<v1::Goodbye>,
    clock: WallClock,
    /// The newest moment that a caller told.
    now: Moment,
    stats: EngineStats,
    scratch: Scratch,
}

/// Buffers that are used again with every flush.
#[derive(Debug, Default)]
struct Scratch {
    lanes: Vec<u32>,
    slots: Vec<u32>,
    records: Vec<v1::Update>,
    /// Encoded records, by encoding.
    encoded: [Vec<Record>; 2],
    /// Encoded trades, by encoding.
    trades: [Vec<Record>; 2],
}

/// Which time of day a moment was.
#[derive(Clone, Copy, Debug, Default)]
struct WallClock {
    at: Moment,
    unix_us: u64,
}

impl Engine {
    /// An engine with an empty book.
    pub fn new(config: EngineConfig, authority: Box<dyn Authority + Send>) -> Self {
        Self {
            ring: EventRing::new(config.events_kept),
            book: Book::new(config.conflate_ms_min, config.rate_rules.clone()),
            lanes: Lanes::new(config.paced),
            rests: Rests::default(),
            dispatch: Dispatch::new(config.paced),
            config,
            authority,
            grant: None,
            roster: Roster::default(),
            patterns: Patterns::default(),
            timers: Timers::default(),
            feeds: Vec::new(),
            epoch: String::new(),
            position: None,
            trades_after: None,
            synced: false,
            restarted: false,
            draining: None,
            clock: WallClock::default(),
            now: Moment::ZERO,
            stats: EngineStats::default(),
            scratch: Scratch::default(),
        }
    }

    /// Tells what time of day `now` is. Once at the start, then about once a second; stamps only, never deadlines.
    pub fn set_wall_clock(&mut self, now: Moment, unix_us: u64) {
        self.clock = WallClock { at: now, unix_us };
    }

    /// Applies a batch and marks what has to be told.
    pub fn apply(&mut self, now: Moment, batch: &Batch) {
        self.now = now;
        for entry in &batch.entries {
            match entry {
                Entry::Reset { epoch } => self.reset(now, epoch),
                Entry::Synced => self.sync(now),
                Entry::Instrument(info) => self.announce(now, info),
                Entry::Update(update) => self.update(now, update),
                Entry::Events { id, newest } => self.note_events(*id, *newest),
                Entry::Gap { from, to } => self.lose(*from, *to),
                Entry::Feed(state) => self.tell_feed(now, state),
                Entry::Position(seq) => self.position = self.position.max(Some(*seq)),
            }
        }
    }

    /// A connection arrived.
    pub fn attach(&mut self, now: Moment, connection: ConnectionKey, arrival: Arrival) {
        self.now = now;
        self.detach(connection);
        let until = now + self.config.hello_within;
        let Arrival { encoding, grant, request, session } = arrival;
        let slot = self.roster.insert(Connection::new(connection, encoding, session, grant, now, until));
        self.dispatch.admit(slot, encoding);
        if let Some(goodbye) = self.draining {
            self.say_goodbye(slot, goodbye);
        } else if let Some((hello, subscribe)) = request {
            // It cannot report progress.
            self.obey(now, slot, 0, Command::Hello(v1::Hello { credit: false, ..hello }));
            self.obey(now, slot, 0, Command::Subscribe(subscribe));
        }
        self.rearm(slot);
    }

    /// A client's message arrived. A bad one ends the connection with its code.
    pub fn receive(&mut self, now: Moment, connection: ConnectionKey, message: &[u8]) {
        self.now = now;
        let Some(slot) = self.roster.slot(connection) else { return };
        self.command(now, slot, message);
        self.rearm(slot);
    }

    /// Ends a connection for a reason that the shell found (message too large, ...): an Error frame, then close.
    pub fn reject(&mut self, now: Moment, connection: ConnectionKey, code: ErrorCode, text: &str) {
        self.now = now;
        if let Some(slot) = self.roster.slot(connection) {
            self.end(slot, code, text);
        }
    }

    /// The shell begins to watch how far the frames of this connection get, and tells it by [`Engine::reached`]: credit for a client that
    /// cannot report. Returns false if there is no credit to be had; then nothing needs to be told.
    pub fn watch(&mut self, now: Moment, connection: ConnectionKey) -> bool {
        self.now = now;
        self.roster.slot(connection).is_some_and(|slot| self.begin_watch(now, slot))
    }

    /// The other end of a watched connection has all frames up to `cseq`, counted from 1 in the order in which the sink got them. A small
    /// frame after a second of silence need not be told: it counts as arrived.
    pub fn reached(&mut self, now: Moment, connection: ConnectionKey, cseq: u64) {
        self.now = now;
        if let Some(slot) = self.roster.slot(connection) {
            self.take_report(now, slot, cseq);
            self.rearm(slot);
        }
    }

    /// The shell cannot watch this connection any more.
    pub fn unwatch(&mut self, now: Moment, connection: ConnectionKey) {
        self.now = now;
        if let Some(slot) = self.roster.slot(connection) {
            self.end_watch(slot);
            self.rearm(slot);
        }
    }

    /// The socket of a blocked connection has taken everything.
    pub fn writable(&mut self, now: Moment, connection: ConnectionKey) {
        self.now = now;
        if let Some(slot) = self.roster.slot(connection).filter(|_| !planted(Fault::ForgetWritable)) {
            self.unblock(now, slot);
            self.rearm(slot);
        }
    }

    /// The transport is gone. Costs one visit per subscription.
    pub fn detach(&mut self, connection: ConnectionKey) {
        if let Some(slot) = self.roster.slot(connection) {
            self.forget(slot);
        }
    }

    /// Says Goodbye to everyone: come back after `retry_after` + U[0, `spread`]. Connections are closed on the next flush.
    pub fn drain(&mut self, now: Moment, retry_after: Duration, spread: Duration) {
        self.now = now;
        let goodbye = v1::Goodbye { code: ErrorCode::ShuttingDown as i32, retry_after_ms: millis(retry_after), spread_ms: millis(spread) };
        self.draining = Some(goodbye);
        for slot in self.roster.slots() {
            self.say_goodbye(slot, goodbye);
        }
    }

    /// Writes everything that is due.
    pub fn flush(&mut self, now: Moment, sink: &mut dyn Sink) {
        self.now = now;
        let frames = self.stats.frames_sent;
        self.run_timers(now);
        let mut lanes = core::mem::take(&mut self.scratch.lanes);
        self.lanes.take_due(now, &mut lanes);
        for lane in lanes.drain(..) {
            self.speak(now, lane, FRAME_RECORDS_MAX);
        }
        self.scratch.lanes = lanes;
        self.dispatch.release_held(now);
        let mut slots = core::mem::take(&mut self.scratch.slots);
        self.dispatch.take_touched(&mut slots);
        let stamp = Stamp { moment: now, unix_us: self.unix_us(now) };
        for slot in slots.drain(..) {
            self.fill(now, slot);
            self.write(stamp, slot, sink);
        }
        self.scratch.slots = slots;
        if let Some(pace) = self.dispatch.pace() {
            let writes = (self.stats.frames_sent - frames) as usize;
            self.rests.renew(now, writes.saturating_mul(VISITS_PER_WRITE), &mut self.lanes, &self.book, pace);
        }
        self.dispatch.clear();
    }

    /// When [`Engine::flush`] has to be called at the latest. `None`: only after the next input.
    ///
    /// May be early: a deadline that traffic has moved back comes up once more at its old time.
    pub fn deadline(&self) -> Option<Moment> {
        if self.dispatch.has_touched() || self.lanes.is_due() {
            return Some(self.now);
        }
        [self.lanes.deadline(), self.timers.deadline(), self.dispatch.held_until(), self.rests.deadline()].into_iter().flatten().min()
    }

    /// Whether changes of an instrument's state can wait for the next look at this engine, which [`Engine::deadline`] bounds: each of its
    /// lanes has a time at which it tells the newest, or there is none, or all who have it are paced and held until the next beat.
    /// Otherwise they may have to leave at once.
    ///
    /// What it answers changes only by inputs and flushes.
    pub fn lets_wait(&self, id: InstrumentId) -> bool {
        self.lanes.waits.get(id)
    }

    /// Visits what [`Engine::lets_wait`] answers otherwise than at the last call: 64 instruments at a time, the `n`th word beginning with
    /// instrument 64 `n`.
    ///
    /// Costs one visit per word that has changed, and one per 4,096 instruments.
    pub fn take_waits(&mut self, visit: &mut dyn FnMut(usize, u64)) {
        self.lanes.waits.take_changes(visit);
    }

    /// What was counted.
    pub fn stats(&self) -> EngineStats {
        EngineStats {
            connections: self.roster.len() as u64,
            lanes: self.lanes.live,
            lane_visits: self.lanes.visits,
            seq: self.position.unwrap_or(0),
            ..self.stats
        }
    }

    /// The whole book, in the order of ids. Whether scales were announced is for the intake to add.
    pub fn checkpoint(&self) -> Vec<v1::CheckpointInstrument> {
        self.checkpoint_behind(InstrumentId(0), usize::MAX)
    }

    /// The same of the instruments behind `after`, `limit` at most.
    pub fn checkpoint_behind(&self, after: InstrumentId, limit: usize) -> Vec<v1::CheckpointInstrument> {
        let kept = |instrument: &Instrument| {
            let mut images = Vec::new();
            instrument.images(&mut images);
            let events = v1::EventPositions { event_seq: instrument.event_seq, trade_seq: instrument.trade_seq };
            v1::CheckpointInstrument {
                info: Some(instrument.info.clone()),
                images,
                announced: false,
                events: Some(events).filter(|_| !planted(Fault::CheckpointWithoutEvents)),
            }
        };
        self.book.behind(after).take(limit).map(kept).collect()
    }

    /// Every instrument with its images, in the order of ids.
    pub fn images(&self, visit: &mut dyn FnMut(&v1::InstrumentInfo, &[v1::Update])) {
        let mut images = Vec::new();
        for instrument in self.book.iter() {
            images.clear();
            instrument.images(&mut images);
            visit(&instrument.info, &images);
        }
    }

    /// A page of the instruments that fit, in the order of ids: those behind `after`, `limit` at most; and behind which id the next page
    /// begins, `None` after the last. A page may be short, or empty, with more behind it.
    ///
    /// Costs one visit per instrument, [`PAGE_VISITS_MAX`] at most.
    pub fn page(
        &self,
        after: InstrumentId,
        limit: usize,
        fits: &mut dyn FnMut(&Symbol) -> bool,
    ) -> (Vec<v1::InstrumentInfo>, Option<InstrumentId>) {
        let (mut found, mut last) = (Vec::new(), after);
        for instrument in self.book.behind(after).take(PAGE_VISITS_MAX) {
            if fits(&instrument.symbol) {
                if found.len() >= limit {
                    return (found, Some(last));
                }
                found.push(instrument.info.clone());
            }
            last = instrument.id();
        }
        let more = self.book.behind(last).next().is_some();
        (found, Some(last).filter(|_| more))
    }

    /// What time of day it is.
    fn unix_us(&self, now: Moment) -> u64 {
        self.clock.unix_us.saturating_add(now.since(self.clock.at).as_micros() as u64)
    }

    /// Ends a connection: an Error frame with the next flush, then close.
    fn end(&mut self, slot: u32, code: ErrorCode, text: &str) {
        let Some(connection) = self.roster.get_mut(slot) else { return };
        let retry_after_ms = None;
        end(connection, &mut self.dispatch, slot, code, error(0, code, text, retry_after_ms), text);
    }

    fn say_goodbye(&mut self, slot: u32, goodbye: v1::Goodbye) {
        if let Some(connection) = self.roster.get_mut(slot) {
            end(connection, &mut self.dispatch, slot, ErrorCode::ShuttingDown, Control::Goodbye(goodbye), "the node is going away");
        }
    }

    /// Wakes the connection when its next deadline comes.
    fn rearm(&mut self, slot: u32) {
        if let Some(connection) = self.roster.get_mut(slot) {
            let at = connection.deadline(self.config.stalled_max);
            self.timers.arm(slot, &mut connection.armed, at);
        }
    }
}

impl core::fmt::Debug for Engine {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Engine").field("epoch", &self.epoch).field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// Lists the last frame of a connection and marks it to be closed. What it had not been told is forgotten.
fn end(connection: &mut Connection, dispatch: &mut Dispatch, slot: u32, code: ErrorCode, last: Control, text: &str) {
    if connection.closing.is_some() {
        return;
    }
    connection.closing = Some(Box::new((code, text.to_string().into_boxed_str())));
    connection.outbox = None;
    dispatch.set_open(slot, false);
    dispatch.push_control(slot, last);
}

fn millis(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}

/// Instruments looked at for one page of [`Engine::page`]. The next page begins behind them.
pub const PAGE_VISITS_MAX: usize = 10_000;
