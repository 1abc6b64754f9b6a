//! Lanes: one instrument at one rate, shared by all its subscribers. A silent lane costs nothing; a busy one has one timer.

use alloc::collections::BinaryHeap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Reverse;

use tickwire_proto::planted::{Fault, planted};
use tickwire_proto::time::Moment;

use super::events::Event;
use super::pace::Pace;
use super::pending::Pending;
use super::rate::{RateClass, RateClasses};
use super::untold::Untold;
use super::waits::Waits;
use crate::batch::InstrumentId;

/// All lanes of a shard, and when they speak.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    slab: Vec<Lane>,
    free: Vec<u32>,
    /// At most one entry per lane.
    timers: BinaryHeap<Reverse<(Moment, u32)>>,
    /// Lanes that speak with the next flush. At most one entry per lane.
    due: Vec<u32>,
    /// Since which position they have news.
    untold: Untold,
    /// Instruments all of whose lanes have a time in `timers`, set by those who schedule all of them.
    pub(super) waits: Waits,
    /// Busy lanes speak on the beat.
    paced: bool,
    /// Lanes with subscribers.
    pub(super) live: u64,
    /// Times that a lane was looked at.
    pub(super) visits: u64,
}

/// One lane.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) instrument: InstrumentId,
    class: RateClass,
    pub(super) subscribers: Vec<Subscriber>,
    /// Subscribers that asked for trades. Without any, trades are not kept.
    trades_wanted: u32,
    pub(super) pending: Pending,
    /// Trades since the last record. At most [`LANE_TRADES_MAX`]; the oldest goes first, into `trades_lost`.
    pub(super) trades: Vec<Arc<Event>>,
    /// First and last position of trades that found no room.
    trades_lost: Option<(u64, u64)>,
    /// Slots that have been told everything up to a position, while trades were kept: earlier trades are not for them. Empty after each
    /// record.
    ahead: Vec<(u32, u64)>,
    /// When it spoke last.
    left: Option<Moment>,
    /// The time of its entry in `timers` or `due`.
    scheduled: Option<Moment>,
    /// The time that it was taken out for, until it speaks.
    summoned: Option<Moment>,
    /// What it says next is a first change after silence, for which paced connections may be held.
    leads: bool,
    /// Its place in the list of lanes with news, while it has some.
    ticket: Option<u32>,
}

/// One subscriber of a lane: its slot, and whether it wants trades, in four bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subscriber(u32);

impl Subscriber {
    pub(super) const fn new(slot: u32, trades: bool) -> Self {
        Self(slot | if trades { WANTS_TRADES } else { 0 })
    }

    pub(super) const fn slot(self) -> u32 {
        self.0 & !WANTS_TRADES
    }

    pub(super) const fn trades(self) -> bool {
        self.0 & WANTS_TRADES != 0
    }
}

impl Lanes {
    /// No lanes, on which busy ones speak on the beat if they are `paced`.
    pub(super) fn new(paced: bool) -> Self {
        Self { paced, ..Self::default() }
    }

    /// Opens a lane without subscribers.
    pub(super) fn open(&mut self, instrument: InstrumentId, class: RateClass) -> u32 {
        self.live += 1;
        self.waits.set(instrument, false);
        let lane = Lane {
            instrument,
            class,
            subscribers: Vec::new(),
            trades_wanted: 0,
            pending: Pending::default(),
            trades: Vec::new(),
            trades_lost: None,
            ahead: Vec::new(),
            left: None,
            scheduled: None,
            summoned: None,
            leads: false,
            ticket: None,
        };
        if let Some(index) = self.free.pop() {
            self.slab[index as usize] = lane;
            return index;
        }
        self.slab.push(lane);
        self.slab.len() as u32 - 1
    }

    /// Adds a subscriber that has been told everything up to `seq`, and returns its position.
    pub(super) fn join(&mut self, index: u32, subscriber: Subscriber, seq: Option<u64>) -> u32 {
        let lane = &mut self.slab[index as usize];
        if let Some(seq) = seq.filter(|_| subscriber.trades()) {
            lane.is_ahead(subscriber.slot(), seq);
        }
        lane.trades_wanted += u32::from(subscriber.trades());
        if self.paced {
            // Nobody knows when it was told prices last.
            self.waits.set(lane.instrument, false);
        }
        if lane.subscribers.len() == lane.subscribers.capacity() {
            // By an eighth and not by doubling: the spare room of all lanes is memory of every subscriber.
            lane.subscribers.reserve_exact((lane.subscribers.len() / 8).max(4));
        }
        lane.subscribers.push(subscriber);
        lane.subscribers.len() as u32 - 1
    }

    /// Removes the subscriber at `position`. Returns the one that took its place, and whether the lane has closed.
    pub(super) fn leave(&mut self, index: u32, position: u32) -> (Option<Subscriber>, bool) {
        let lane = &mut self.slab[index as usize];
        let gone = lane.subscribers.swap_remove(position as usize);
        lane.trades_wanted -= u32::from(gone.trades());
        lane.ahead.retain(|(slot, _)| *slot != gone.slot());
        if lane.trades_wanted == 0 {
            lane.trades.clear();
            lane.trades_lost = None;
            lane.ticket = lane.ticket.filter(|_| !lane.pending.is_empty());
        }
        let closed = lane.subscribers.is_empty();
        if closed {
            self.live -= 1;
            let lane = &mut self.slab[index as usize];
            lane.forget();
            lane.subscribers = Vec::new();
            // With an entry still in the timers it is freed when that comes up.
            if lane.scheduled.is_none() {
                self.free.push(index);
            }
            return (None, true);
        }
        (self.slab[index as usize].subscribers.get(position as usize).copied(), false)
    }

    pub(super) fn get(&self, index: u32) -> &Lane {
        &self.slab[index as usize]
    }

    pub(super) fn get_mut(&mut self, index: u32) -> &mut Lane {
        self.visits += 1;
        &mut self.slab[index as usize]
    }

    /// Makes sure that a lane with something to tell, `seq` at last, has a time and is listed. Returns whether that is still to come.
    pub(super) fn schedule(&mut self, now: Moment, index: u32, seq: u64, pace: Option<&Pace>) -> bool {
        if self.slab[index as usize].ticket.is_none() {
            let Self { slab, untold, live, visits, .. } = self;
            let ticket = untold.push(slab[index as usize].class, index, seq, *live, holds(slab, visits));
            slab[index as usize].ticket = Some(ticket);
        }
        self.time(now, index, pace);
        self.slab[index as usize].scheduled.is_some_and(|due| due > now)
    }

    fn time(&mut self, now: Moment, index: u32, pace: Option<&Pace>) {
        let lane = &mut self.slab[index as usize];
        if lane.scheduled.is_some() {
            return;
        }
        let due = match pace {
            Some(pace) if lane.is_held(now, pace) => lane.class.next_beat(now),
            Some(_) => lane.class.due_paced(now, lane.left),
            None => lane.class.due(now, lane.left),
        };
        lane.leads = pace.is_some() && due <= now && lane.class.millis() > 0;
        if due > now && planted(Fault::DropTrailingEdge) {
            return lane.forget();
        }
        lane.scheduled = Some(due);
        if due <= now {
            self.due.push(index);
        } else {
            self.timers.push(Reverse((due, index)));
        }
    }

    /// Appends the lanes whose time has come and that have something to tell.
    pub(super) fn take_due(&mut self, now: Moment, out: &mut Vec<u32>) {
        while let Some(Reverse((due, index))) = self.timers.peek().copied().filter(|Reverse((due, _))| *due <= now) {
            self.timers.pop();
            self.visits += 1;
            if self.slab[index as usize].scheduled == Some(due) {
                self.due.push(index);
            }
        }
        let mut due = core::mem::take(&mut self.due);
        for index in due.drain(..) {
            self.visits += 1;
            let lane = &mut self.slab[index as usize];
            self.waits.set(lane.instrument, false);
            lane.summoned = lane.scheduled.take();
            if lane.subscribers.is_empty() {
                self.free.push(index);
            } else if lane.has_news() {
                // An event may have made it speak in the meantime: its interval began anew. Beats go on all the same.
                if self.paced || lane.class.due(now, lane.left) <= now { out.push(index) } else { self.time(now, index, None) }
            }
        }
        // `time` pushes into `timers` only here; the buffer goes back.
        if self.due.is_empty() {
            self.due = due;
        }
        if self.paced {
            // What comes to the engine only at the beat is told as if it had been scheduled before.
            out.sort_unstable();
        }
    }

    /// Whether a lane speaks with the next flush.
    pub(super) fn is_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// When the next lane speaks, of those that wait.
    pub(super) fn deadline(&self) -> Option<Moment> {
        self.timers.peek().map(|Reverse((due, _))| *due)
    }

    /// A position that is not above any that a lane of these classes has not told yet. `None`: they have told everything.
    ///
    /// Costs one visit per class, and one per lane that has spoken since it was listed.
    pub(super) fn first_untold(&mut self, classes: RateClasses) -> Option<u64> {
        self.untold.first(classes, holds(&self.slab, &mut self.visits))
    }

    /// Forgets what all lanes have to tell.
    pub(super) fn forget_all(&mut self) {
        self.untold.clear();
        self.slab.iter_mut().for_each(Lane::forget);
    }
}

impl Lane {
    /// Whether all its subscribers were told prices since the last beat: then what it has to tell waits for the next.
    ///
    /// Costs one visit per subscriber, up to the first of whom that is not true.
    pub(super) fn is_held(&self, now: Moment, pace: &Pace) -> bool {
        let beat = self.class.beat(now);
        self.class.millis() > 0 && self.subscribers.iter().all(|subscriber| pace.is_told(subscriber.slot(), beat))
    }

    /// The next beat, if what comes until then waits for it.
    pub(super) fn rests_until(&self, now: Moment, pace: &Pace) -> Option<Moment> {
        let rests = self.scheduled.is_some_and(|due| due > now) || self.is_held(now, pace);
        Some(self.class.next_beat(now)).filter(|_| rests)
    }

    /// Its rate, if connections may be held for what it says next.
    pub(super) fn leads(&self) -> Option<RateClass> {
        Some(self.class).filter(|_| self.leads)
    }

    pub(super) const fn wants_trades(&self) -> bool {
        self.trades_wanted > 0
    }

    /// Keeps a trade until the lane speaks.
    pub(super) fn keep_trade(&mut self, trade: &Arc<Event>) {
        if self.trades.len() >= LANE_TRADES_MAX {
            let lost = self.trades.remove(0).seq;
            self.trades_lost = Some(self.trades_lost.map_or((lost, lost), |(first, _)| (first, lost)));
            if planted(Fault::UntoldTradeLoss) {
                self.trades_lost = None;
            }
        }
        self.trades.push(trade.clone());
    }

    pub(super) fn has_news(&self) -> bool {
        !self.pending.is_empty() || !self.trades.is_empty()
    }

    /// Takes what there is to tell, at `now`. The trades stay until [`Lane::forget_trades`], so that their buffer is used again.
    pub(super) fn speak(&mut self, now: Moment) -> Pending {
        // The next interval counts from the time that was due, not from when the flush came to it: lateness must not add up, and lanes
        // that are in step must stay in step.
        let summoned = self.summoned.take();
        self.left = summoned.filter(|due| self.class.forgives(now.since(*due))).or(Some(now));
        self.pending.take()
    }

    /// Forgets what there was to tell.
    pub(super) fn forget(&mut self) {
        self.pending = Pending::default();
        self.forget_trades();
    }

    /// Forgets the trades. The state has been taken before, so now nothing is untold.
    pub(super) fn forget_trades(&mut self) {
        self.trades.clear();
        self.trades_lost = None;
        self.ahead.clear();
        self.ticket = None;
    }

    /// The trades that a subscriber gets, of those behind `after`: first and last position of those that found no room, and the place of
    /// the first that is kept.
    pub(super) fn trades_of(&self, slot: u32, after: Option<u64>) -> (Option<(u64, u64)>, usize) {
        let told = self.ahead.iter().find(|(ahead, _)| *ahead == slot).map(|(_, seq)| *seq);
        let Some(seq) = told.max(after) else { return (self.trades_lost, 0) };
        let lost = self.trades_lost.filter(|(_, last)| *last > seq).map(|(first, last)| (first.max(seq + 1), last));
        (lost, self.trades.partition_point(|trade| trade.seq <= seq))
    }

    /// Whether it keeps trades at or below a position.
    pub(super) fn has_trades_until(&self, seq: Option<u64>) -> bool {
        self.trades_lost.map(|(first, _)| first).or(self.trades.first().map(|trade| trade.seq)).is_some_and(|first| Some(first) <= seq)
    }

    /// Notes that a subscriber has been told everything up to `seq`, ahead of the lane.
    pub(super) fn is_ahead(&mut self, slot: u32, seq: u64) {
        if self.trades.is_empty() || planted(Fault::TradesBehindState) {
            return;
        }
        match self.ahead.iter_mut().find(|(ahead, _)| *ahead == slot) {
            Some((_, told)) => *told = seq,
            None => self.ahead.push((slot, seq)),
        }
    }
}

/// Whether a lane still holds a ticket. Counts as a look at it.
fn holds<'a>(slab: &'a [Lane], visits: &'a mut u64) -> impl FnMut(u32, u32) -> bool + 'a {
    |lane, ticket| {
        *visits += 1;
        slab[lane as usize].ticket == Some(ticket)
    }
}

/// The bit beside the slot. Slots are connections of one shard, far fewer than 2³¹.
const WANTS_TRADES: u32 = 1 << 31;
/// Trades that a lane keeps between two records. The oldest beyond become a Gap.
const LANE_TRADES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use tickwire_proto::image::{Image, Kind};
    use tickwire_proto::v1;

    use super::*;

    #[test]
    fn a_late_flush_delays_one_record_and_not_those_after_it() {
        let mut lanes = Lanes::default();
        let lane = lanes.open(InstrumentId(1), RateClass::granted(100, 0));
        lanes.join(lane, Subscriber::new(0, false), None);
        let body = v1::update::Body::Quote(v1::Quote { bid: Some(1), ..Default::default() });
        let quote = v1::Update { body: Some(body), ..Default::default() };
        let mut now = Moment::from_millis(5_030);
        let mut dues = Vec::new();
        for seq in 1..=12 {
            let changed = Image::default().apply(&quote);
            lanes.get_mut(lane).pending.add(Kind::Quote, &changed, None, seq);
            lanes.schedule(now, lane, seq, None);
            let due = lanes.deadline().unwrap_or(now);
            dues.push(due.as_micros());
            // The poll of an operating system wakes up late, by up to a millisecond here.
            now = due + Duration::from_micros(900);
            let mut out = Vec::new();
            lanes.take_due(now, &mut out);
            assert_eq!(out, [lane]);
            lanes.get_mut(lane).speak(now);
        }
        let steps: Vec<u64> = dues.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(steps[6..].iter().all(|step| *step == 100_000), "in step and on the beat: {steps:?}");
        assert_eq!(dues[11] % 100_000, 0);
    }
}
