//! One connection as the engine sees it.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use tickwire_proto::planted::{Fault, planted};
use tickwire_proto::time::Moment;
use tickwire_proto::v1::{self, ErrorCode};
use tickwire_proto::wire::Encoding;
use tickwire_proto::{Pattern, Symbol};

use super::ConnectionKey;
use super::credit::Credit;
use super::outbox::Outbox;
use super::rate::{HEARTBEAT_WITHIN, RateClass, RateClasses};
use super::token::Told;
use crate::access::Grant;
use crate::batch::InstrumentId;
use crate::bucket::Bucket;

/// Everything about one connection. Boxed parts exist only while they are needed: an idle connection is small.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) key: ConnectionKey,
    pub(super) encoding: Encoding,
    pub(super) phase: Phase,
    /// Shared by all that were given an equal one in a row, such as anonymous clients.
    pub(super) grant: Option<Arc<Grant>>,
    /// By instrument id. At most the smaller of the server's and the grant's limit.
    pub(super) subscriptions: Vec<Subscription>,
    /// Rates of its subscriptions; some may be gone.
    pub(super) classes: RateClasses,
    /// At most [`PATTERNS_MAX`].
    pub(super) patterns: Vec<PatternWant>,
    /// Rate of what named none, as asked for.
    pub(super) rate: RateClass,
    /// Milliseconds; at most 30,000.
    pub(super) heartbeat_ms: u16,
    pub(super) paused: bool,
    pub(super) cseq: u64,
    pub(super) last_written: Moment,
    pub(super) last_heartbeat: Moment,
    /// A heartbeat leaves with the next flush.
    pub(super) heartbeat_due: bool,
    /// It has had its first snapshot, and the heartbeat after it.
    pub(super) beaten: bool,
    /// The socket has been full since then, or since the client last said that it got on.
    pub(super) blocked: Option<Moment>,
    /// What it may be sent, if it reports progress.
    pub(super) credit: Option<Box<Credit>>,
    /// Has had something untold since then, because the socket was full or its credit was used up.
    pub(super) behind: Option<Moment>,
    /// It was told that it is slow.
    pub(super) slow: bool,
    /// Told to be slow, but all is well since then.
    pub(super) well: Option<Moment>,
    /// Feeds changed and could not be told.
    pub(super) feeds_due: bool,
    pub(super) outbox: Option<Box<Outbox>>,
    pub(super) rare: Option<Box<Rare>>,
    /// The client may hold images of another life of the log.
    pub(super) foreign: bool,
    pub(super) commands: Bucket,
    pub(super) reports: Bucket,
    /// Commands refused in a row.
    pub(super) refusals: u32,
    /// Was told that an instrument did not fit into a pattern.
    pub(super) crowded: bool,
    pub(super) expiry: Option<Box<Expiry>>,
    /// The last frame is listed; close after it.
    pub(super) closing: Option<Box<(ErrorCode, Box<str>)>>,
    /// What its timer is set to.
    pub(super) armed: Option<Moment>,
}

/// What a connection has at its beginning, or in trouble.
#[derive(Debug, Default)]
pub(super) struct Rare {
    /// For Welcome.
    pub(super) session: Box<str>,
    /// Commands that came before they could be answered: before Welcome all of them, then subscribes and unsubscribes until the book
    /// is complete. At most [`HELD_MAX`].
    pub(super) held: Vec<v1::ClientFrame>,
    /// What the client had been told: by its resume token, for the first Subscribe, or when the node began to read the same log again.
    pub(super) resume: Option<Told>,
    /// The resume token, while this node is behind it: single trades that were asked for with it begin behind it.
    pub(super) trades_after: Option<u64>,
    /// When events did not fit lately. At most [`OVERFLOWS_MAX`].
    pub(super) overflows: Vec<Moment>,
}

/// How far the session has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Waiting for Hello.
    Greeting { until: Moment },
    /// Hello brought a resume token that cannot be judged before the log has a name: Hello and what follows it are in `held`.
    Awaiting { until: Moment },
    /// Welcomed.
    Live,
}

/// When the grant ends.
#[derive(Clone, Debug)]
pub(super) struct Expiry {
    pub(super) at: Moment,
    /// When to say so; `None` once said.
    pub(super) warn_at: Option<Moment>,
}

/// One instrument of one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subscription {
    pub(super) instrument: InstrumentId,
    /// Where it stands among the subscribers of its lane: the one of its instrument at its rate. [`UNPLACED`] at first.
    pub(super) position: u32,
    /// Named by symbol, with this rate and trades; otherwise it comes by a pattern.
    pub(super) named: Option<Named>,
    pub(super) class: RateClass,
    /// [`TRADES`], [`RESUMES_TRADES`] and [`TOLD`].
    marks: u8,
}

/// What was asked for with a symbol. No rate: that of the connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named {
    pub(super) rate: Option<RateClass>,
    pub(super) trades: bool,
}

/// A pattern that was subscribed to. Instruments that appear later join it.
#[derive(Clone, Debug)]
pub(super) struct PatternWant {
    pub(super) pattern: Pattern,
    pub(super) rate: Option<RateClass>,
    pub(super) trades: bool,
    /// Trades were asked for with the resume token.
    pub(super) resumes_trades: bool,
}

impl Rare {
    fn is_empty(&self) -> bool {
        let waits = self.resume.is_some() || self.trades_after.is_some();
        self.session.is_empty() && self.held.is_empty() && !waits && self.overflows.is_empty()
    }
}

impl Subscription {
    /// Not in a lane yet.
    pub(super) fn new(instrument: InstrumentId, named: Option<Named>) -> Self {
        Self { instrument, position: UNPLACED, named, class: RateClass::granted(0, 0), marks: 0 }
    }

    /// In the lane of another rate.
    pub(super) fn place(&mut self, position: u32, class: RateClass, trades: bool) {
        (self.position, self.class) = (position, class);
        self.mark(TRADES, trades);
        self.mark(RESUMES_TRADES, trades && self.marks & RESUMES_TRADES != 0);
    }

    /// Its trades were asked for with the resume token.
    pub(super) fn resume_trades(&mut self) {
        self.mark(RESUMES_TRADES, true);
    }

    pub(super) const fn is_placed(&self) -> bool {
        self.position != UNPLACED
    }

    pub(super) const fn trades(&self) -> bool {
        self.marks & TRADES != 0
    }

    /// Whether its info has been sent.
    pub(super) const fn told(&self) -> bool {
        self.marks & TOLD != 0
    }

    pub(super) fn set_told(&mut self, told: bool) {
        self.mark(TOLD, told);
    }

    fn mark(&mut self, bit: u8, set: bool) {
        self.marks = if set { self.marks | bit } else { self.marks & !bit };
    }
}

impl Connection {
    pub(super) fn new(key: ConnectionKey, encoding: Encoding, session: String, grant: Option<Grant>, now: Moment, until: Moment) -> Self {
        Self {
            key,
            encoding,
            phase: Phase::Greeting { until },
            grant: grant.map(Arc::new),
            subscriptions: Vec::new(),
            classes: RateClasses::default(),
            patterns: Vec::new(),
            rate: RateClass::granted(0, 0),
            heartbeat_ms: HEARTBEAT_WITHIN.as_millis() as u16,
            paused: false,
            cseq: 0,
            last_written: now,
            last_heartbeat: now,
            heartbeat_due: false,
            beaten: false,
            blocked: None,
            credit: None,
            behind: None,
            slow: false,
            well: None,
            feeds_due: false,
            outbox: None,
            rare: Some(Box::new(Rare { session: session.into_boxed_str(), ..Rare::default() })),
            foreign: false,
            commands: Bucket::default(),
            reports: Bucket::default(),
            refusals: 0,
            crowded: false,
            expiry: None,
            closing: None,
            armed: None,
        }
    }

    /// Welcomed, and not on its way out.
    pub(super) fn is_live(&self) -> bool {
        self.phase == Phase::Live && self.closing.is_none()
    }

    /// Whether records may go straight to it, past an empty outbox.
    pub(super) fn is_open(&self) -> bool {
        let paused = self.paused && !planted(Fault::IgnorePause);
        self.is_live() && self.blocked.is_none() && !paused && self.outbox.is_none() && !self.feeds_due
    }

    /// Whether the next flush has something for it.
    pub(super) fn has_work(&self, synced: bool) -> bool {
        self.blocked.is_none() && self.room() > 0 && self.has_untold(synced)
    }

    /// Whether there is something to tell it, once it can take data.
    pub(super) fn has_untold(&self, synced: bool) -> bool {
        let outbox = self.outbox.as_deref().is_some_and(|outbox| outbox.has_waiting() || (outbox.has_turns() && !self.paused && synced));
        outbox || self.feeds_due
    }

    /// Bytes that its credit leaves for data.
    pub(super) fn room(&self) -> u32 {
        self.credit.as_deref().map_or(u32::MAX, Credit::room)
    }

    /// Whether something has come up that its credit leaves no room for, and that has not been noticed yet.
    pub(super) fn begins_to_wait(&self) -> bool {
        self.blocked.is_none() && self.credit.as_deref().is_some_and(|credit| credit.room() == 0 && !credit.is_waiting())
    }

    /// When it counts as stalled.
    pub(super) fn stalled_at(&self, stalled_max: Duration) -> Option<Moment> {
        let socket = self.blocked.map(|since| since + stalled_max);
        let credit = self.credit.as_deref().and_then(|credit| credit.stalled_at(stalled_max));
        socket.into_iter().chain(credit).min()
    }

    /// When it is to be told that it is slow. A full socket takes no such word, so there it is told when it has room again.
    pub(super) fn slow_at(&self) -> Option<Moment> {
        let waits = self.credit.is_some() && self.blocked.is_none() && !self.slow;
        self.behind.filter(|_| waits).map(|since| since + SLOW_AFTER)
    }

    pub(super) fn outbox(&mut self) -> &mut Outbox {
        self.outbox.get_or_insert_default()
    }

    pub(super) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// What the client had been told, once.
    pub(super) fn take_resume(&mut self) -> Option<Told> {
        self.rare.as_mut()?.resume.take()
    }

    /// The node is behind the resume token: the single trades that its Subscribe asks for begin behind it, and those of instruments that
    /// join its patterns later.
    pub(super) fn begin_trades_after(&mut self, told: u64, ids: &[InstrumentId]) {
        self.rare().trades_after = Some(told);
        for id in ids {
            if let Some(subscription) = self.subscription(*id).filter(|subscription| subscription.trades()) {
                subscription.resume_trades();
            }
        }
        self.patterns.iter_mut().for_each(|want| want.resumes_trades = want.trades);
    }

    /// The position behind which the single trades of an instrument begin, if they were asked for with a token that this node is behind.
    pub(super) fn trades_after(&self, instrument: InstrumentId) -> Option<u64> {
        let after = self.rare.as_deref()?.trades_after.filter(|_| !planted(Fault::TradesBelowToken))?;
        self.find(instrument).is_some_and(|index| self.subscriptions[index].marks & RESUMES_TRADES != 0).then_some(after)
    }

    /// Forgets that the node was behind the token, once it is there. No `position`: the token is of another log.
    pub(super) fn pass_token(&mut self, position: Option<u64>) {
        if let Some(rare) = self.rare.as_deref_mut() {
            rare.trades_after = rare.trades_after.filter(|after| position.is_some_and(|position| position < *after));
        }
    }

    pub(super) fn take_held(&mut self) -> Vec<v1::ClientFrame> {
        self.rare.as_mut().map(|rare| core::mem::take(&mut rare.held)).unwrap_or_default()
    }

    /// Forgets overflows that are long past.
    pub(super) fn forget_overflows(&mut self, now: Moment) {
        if let Some(rare) = self.rare.as_deref_mut() {
            rare.overflows.retain(|at| now.since(*at) < OVERFLOWS_WITHIN);
        }
    }

    /// Drops boxed parts that have become empty.
    pub(super) fn tidy(&mut self) {
        if self.rare.as_deref().is_some_and(Rare::is_empty) {
            self.rare = None;
        }
        if self.outbox.as_deref().is_some_and(Outbox::is_empty) {
            self.outbox = None;
        }
    }

    pub(super) fn find(&self, instrument: InstrumentId) -> Option<usize> {
        self.subscriptions.binary_search_by_key(&instrument, |subscription| subscription.instrument).ok()
    }

    /// Whether it was told the info of an instrument.
    pub(super) fn was_told(&self, instrument: InstrumentId) -> bool {
        self.find(instrument).is_some_and(|index| self.subscriptions[index].told())
    }

    pub(super) fn subscription(&mut self, instrument: InstrumentId) -> Option<&mut Subscription> {
        let index = self.find(instrument)?;
        self.subscriptions.get_mut(index)
    }

    /// Notes the rates that its subscriptions have now.
    pub(super) fn note_classes(&mut self) {
        self.classes = RateClasses::default();
        self.subscriptions.iter().for_each(|subscription| self.classes.add(subscription.class));
    }

    pub(super) fn heartbeat(&self) -> Duration {
        Duration::from_millis(u64::from(self.heartbeat_ms))
    }

    /// Whether the grant covers `symbol`.
    pub(super) fn may_see(&self, symbol: &Symbol) -> bool {
        self.grant.as_deref().is_some_and(|grant| grant.patterns.iter().any(|pattern| pattern.matches(symbol)))
    }

    /// The rate that a request gets.
    pub(super) fn granted(&self, asked: Option<RateClass>, min_ms: u32) -> RateClass {
        let min_ms = min_ms.max(self.grant.as_deref().map_or(0, |grant| grant.conflate_ms_min));
        let min_ms = if planted(Fault::IgnoreMinimumRate) { 0 } else { min_ms };
        asked.unwrap_or(self.rate).max(RateClass::granted(0, min_ms))
    }

    /// Rate and trades of an instrument: as asked for with its symbol, else the fastest of the patterns that cover it; `None` if nothing
    /// does. Trades come if anything that covers it asked for them.
    pub(super) fn terms(&self, symbol: &Symbol, named: Option<Named>, min_ms: u32) -> Option<(RateClass, bool)> {
        let covering = || self.patterns.iter().filter(|want| want.pattern.matches(symbol));
        let trades = named.is_some_and(|named| named.trades) || covering().any(|want| want.trades);
        let class = match named {
            Some(named) => self.granted(named.rate, min_ms),
            None => covering().map(|want| self.granted(want.rate, min_ms)).min()?,
        };
        Some((class, trades))
    }

    /// Whether nothing is due but a heartbeat, and its timer comes up before that: then [`Connection::deadline`] asks for none.
    pub(super) fn is_armed_for_heartbeat(&self) -> bool {
        let waits =
            self.blocked.is_some() || self.credit.is_some() || self.behind.is_some() || self.well.is_some() || self.expiry.is_some();
        let silent_at = self.last_written.as_micros() + u64::from(self.heartbeat_ms) * 1_000;
        let is_before = |armed: Moment| armed.as_micros() <= silent_at && armed <= self.last_heartbeat + HEARTBEAT_WITHIN;
        self.phase == Phase::Live && !waits && self.armed.is_some_and(is_before)
    }

    /// When something happens by itself at the latest.
    pub(super) fn deadline(&self, stalled_max: Duration) -> Option<Moment> {
        if self.closing.is_some() {
            return None;
        }
        let mut earliest = match (self.phase, self.blocked) {
            (_, Some(_)) => None,
            (Phase::Greeting { until } | Phase::Awaiting { until }, None) => Some(until),
            (Phase::Live, None) => Some((self.last_written + self.heartbeat()).min(self.last_heartbeat + HEARTBEAT_WITHIN)),
        };
        // One by one: this runs after every write, and usually there is nothing but the heartbeat.
        let mut consider = |at: Option<Moment>| {
            if let Some(at) = at {
                earliest = Some(earliest.map_or(at, |earliest| earliest.min(at)));
            }
        };
        consider(self.stalled_at(stalled_max));
        consider(self.expiry.as_deref().map(|expiry| expiry.warn_at.map_or(expiry.at, |warn| warn.min(expiry.at))));
        consider(self.well.map(|since| since + SLOW_CLEARED_AFTER));
        consider(self.slow_at());
        earliest
    }
}

/// Position of a subscription that is in no lane yet.
const UNPLACED: u32 = u32::MAX;
/// Mark of a subscription: single trades as well.
const TRADES: u8 = 1;
/// Mark of a subscription: its info has been sent.
const TOLD: u8 = 2;
/// Mark of a subscription: single trades were asked for with the resume token.
const RESUMES_TRADES: u8 = 4;
/// Patterns of one connection; each is tried on every instrument that one of them names. More are refused.
pub(super) const PATTERNS_MAX: usize = 64;
/// Commands of one connection that wait. One more before Welcome, and Welcome is not held back any longer; one more before the book is
/// complete is refused with RATE_LIMITED.
pub(super) const HELD_MAX: usize = 16;
/// Event overflows within [`OVERFLOWS_WITHIN`]: SLOW_CONSUMER.
pub(super) const OVERFLOWS_MAX: usize = 3;
/// See [`OVERFLOWS_MAX`].
const OVERFLOWS_WITHIN: Duration = Duration::from_secs(60);
/// Behind for this long: the client is told SLOW.
pub(super) const SLOW_AFTER: Duration = Duration::from_secs(1);
/// Well for this long after SLOW: it is told SLOW_CLEARED.
pub(super) const SLOW_CLEARED_AFTER: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_is_small() {
        assert!(size_of::<Connection>() <= 240, "a connection takes {} bytes", size_of::<Connection>());
        assert!(size_of::<Subscription>() <= 12, "a subscription takes {} bytes", size_of::<Subscription>());
    }
}
