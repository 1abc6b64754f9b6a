//! What one subscription has not read yet: marks for states, a bounded ring for what is never conflated.
//!
//! A state is only a mark on its row, so a slow application costs no more than a fast one and always reads the newest state. Events
//! are kept with the state they left behind; what overflows the ring becomes a gap of its instrument.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;

use super::SubscriptionId;
use super::instrument::{Change, Instrument};
use super::table::{Rows, row_of};
use crate::planted::{Fault, planted};
use crate::v1;

/// One subscription's queue.
#[derive(Debug)]
pub(super) struct Queue {
    subscription: SubscriptionId,
    /// Whether the server has answered all that the subscription asks for. It stays so: what is lost later is told.
    pub(super) answered: bool,
    /// Whether the application was told that there is something. Until it has read everything it is not told again.
    told: bool,
    /// Counts marks and events, so that the two queues can be read in the order of their making.
    stamp: u64,
    /// Rows with a dirty mark, longest dirty first. An entry whose mark has gone or has another stamp is skipped.
    order: VecDeque<(u64, u32)>,
    /// Marks that stand now.
    dirty: usize,
    /// Bounded by `events_max`; the oldest yields, and leaves a gap.
    events: VecDeque<Waiting>,
    events_max: usize,
}

#[derive(Debug)]
struct Waiting {
    stamp: u64,
    row: u32,
    what: What,
}

#[derive(Debug)]
enum What {
    /// The state that an event interrupted.
    State(Box<Instrument>),
    Event(Box<v1::Update>, Arc<Instrument>),
    Gap {
        from: u64,
        to: u64,
    },
}

/// What a queue keeps on each row that it covers.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) subscription: SubscriptionId,
    /// Whether it wants single trades.
    pub(super) trades: bool,
    /// Whether the server has answered that it sends them. What comes before that belongs to a subscription that has ended, and may break
    /// off at any trade.
    pub(super) trades_begun: bool,
    /// Single trades after this position may have been lost, until the server sends them again.
    pub(super) trades_until: Option<u64>,
    /// The newest losses that were told, as one stretch: last position before, first position after.
    gap: Option<(u64, u64)>,
    dirty: Option<Dirty>,
    /// Entries of this row in the ring.
    waiting: usize,
    /// Events that the ring could not keep: last position before, first position after.
    lost: Option<(u64, u64)>,
}

/// A state that was not read yet, with what has to be added up over its records.
#[derive(Clone, Copy, Debug, Default)]
struct Dirty {
    stamp: u64,
    inputs: u64,
    high: Option<i64>,
    low: Option<i64>,
    /// Whether a record had extremes of its own.
    merged: bool,
}

/// The part of a record that is added up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    inputs: u64,
    high: Option<i64>,
    low: Option<i64>,
    merged: bool,
}

impl Record {
    /// Only a reason to visit the row.
    const NOTHING: Self = Self { inputs: 0, high: None, low: None, merged: false };
    /// What was known before a subscription came.
    pub(super) const KNOWN: Self = Self { inputs: 1, ..Self::NOTHING };

    pub(super) fn of(update: &v1::Update) -> Self {
        let quote = match &update.body {
            Some(v1::update::Body::Quote(quote)) => *quote,
            _ => v1::Quote::default(),
        };
        Self::of_quote(u64::from(update.merged) + 1, quote)
    }

    /// A state that was frozen before an event.
    fn of_state(state: &Instrument) -> Self {
        Self::of_quote(u64::from(state.merged) + 1, state.image.quote.unwrap_or_default())
    }

    /// An event, for the state after it. A single trade changes none.
    fn of_event(update: &v1::Update) -> Self {
        match &update.body {
            Some(v1::update::Body::Trade(_)) => Self::NOTHING,
            _ => Self::KNOWN,
        }
    }

    fn of_quote(inputs: u64, quote: v1::Quote) -> Self {
        Self {
            inputs,
            high: quote.interval_high.or(quote.last),
            low: quote.interval_low.or(quote.last),
            merged: quote.interval_high.is_some() || quote.interval_low.is_some(),
        }
    }
}

impl Member {
    pub(super) fn new(subscription: SubscriptionId, trades: bool) -> Self {
        Self { subscription, trades, trades_begun: false, trades_until: None, gap: None, dirty: None, waiting: 0, lost: None }
    }

    /// The log begins anew: positions mean something else.
    pub(super) fn restart(&mut self) {
        (self.trades_until, self.gap) = (None, None);
    }

    /// Takes note of a loss. Returns what of it was not told before: a server counts from the same token until it has given another.
    fn note_gap(&mut self, from: u64, to: u64) -> Option<(u64, u64)> {
        let told = self.gap.filter(|(first, last)| *first <= from && from < *last && !planted(Fault::ClientRepeatsGaps));
        let Some((first, last)) = told else {
            self.gap = Some((from, to));
            return self.gap;
        };
        self.gap = Some((first, last.max(to)));
        (to > last).then_some((last - 1, to))
    }
}

impl Queue {
    pub(super) fn new(subscription: SubscriptionId, events_max: usize) -> Self {
        Self {
            subscription,
            answered: false,
            told: false,
            stamp: 0,
            order: VecDeque::new(),
            dirty: 0,
            events: VecDeque::new(),
            events_max: events_max.max(1),
        }
    }

    /// Whether single trades go to a member of it.
    pub(super) fn takes_trades(&self, member: &Member) -> bool {
        member.trades && (self.answered || member.trades_begun || planted(Fault::ClientTakesTradesOfOthers))
    }

    /// Marks a row. Returns whether a mark stood already, so that an older state was conflated away.
    pub(super) fn mark(&mut self, row: u32, member: &mut Member, record: Record) -> bool {
        let conflated = member.dirty.is_some();
        if member.dirty.is_none() {
            self.stamp += 1;
            self.dirty += 1;
            self.order.push_back((self.stamp, row));
            member.dirty = Some(Dirty { stamp: self.stamp, ..Dirty::default() });
        }
        if let Some(dirty) = &mut member.dirty {
            dirty.inputs += record.inputs;
            dirty.high = pick(dirty.high, record.high, i64::max);
            dirty.low = pick(dirty.low, record.low, i64::min);
            dirty.merged |= record.merged;
        }
        conflated
    }

    /// Freezes an unread state, so that the event that comes now stays behind it: a trader sees the price at which a halt stopped it.
    pub(super) fn freeze(&mut self, row: u32, member: &mut Member, instrument: &Instrument) {
        if let Some(dirty) = self.unmark(member).filter(|dirty| dirty.inputs > 0 && !planted(Fault::ClientSkipsStateBeforeEvent)) {
            self.push(row, member, What::State(Box::new(dirty.state_of(instrument))));
        }
    }

    /// Appends an event. The caller makes room before.
    pub(super) fn push_event(&mut self, row: u32, member: &mut Member, update: &v1::Update, instrument: &Arc<Instrument>) {
        self.push(row, member, What::Event(Box::new(update.clone()), instrument.clone()));
    }

    /// Appends what is new of a gap. The caller makes room before.
    pub(super) fn push_gap(&mut self, row: u32, member: &mut Member, from: u64, to: u64) {
        if let Some((from, to)) = member.note_gap(from, to) {
            self.push(row, member, What::Gap { from, to });
        }
    }

    fn push(&mut self, row: u32, member: &mut Member, what: What) {
        self.stamp += 1;
        member.waiting += 1;
        self.events.push_back(Waiting { stamp: self.stamp, row, what });
    }

    /// Makes room in the ring. What yields is the oldest, and becomes a gap. Returns the events lost.
    pub(super) fn make_room(&mut self, entries: usize, rows: &mut Rows) -> u64 {
        let mut lost = 0;
        while self.events.len() + entries > self.events_max.max(entries) {
            let Some(oldest) = self.events.pop_front() else { break };
            let Some((_, member)) = member_of(rows, oldest.row, self.subscription) else { continue };
            member.waiting -= 1;
            // The row is visited again for what its newest state owes to them, and for the gap if nothing else of it waits.
            let (record, gap) = match oldest.what {
                What::State(state) => (Record::of_state(&state), None),
                What::Event(update, _) => {
                    lost += 1;
                    (Record::of_event(&update), Some((update.seq.saturating_sub(1), update.seq.saturating_add(1))))
                }
                What::Gap { from, to } => (Record::NOTHING, Some((from, to))),
            };
            if let Some((from, to)) = gap {
                member.lost = Some(member.lost.map_or((from, to), |(first, last)| (first.min(from), last.max(to))));
            }
            self.mark(oldest.row, member, record);
        }
        lost
    }

    /// The next change: what is oldest, except that the events of a row come before its state.
    pub(super) fn next(&mut self, rows: &mut Rows) -> Option<Change> {
        let change = match (self.oldest_dirty(rows), self.events.front().map(|event| event.stamp)) {
            (None, None) => None,
            (Some((stamp, row)), event) if event.is_none_or(|event| stamp < event) && !self.has_events(rows, row) => {
                self.take_state(rows, row)
            }
            _ => self.take_event(rows),
        };
        if self.is_empty() {
            self.told = false;
        }
        change
    }

    /// Whether the application has to be told now.
    pub(super) fn tell(&mut self) -> bool {
        !self.is_empty() && !core::mem::replace(&mut self.told, true)
    }

    /// Changes that wait.
    pub(super) fn len(&self) -> usize {
        self.dirty + self.events.len()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Drops entries of `order` that no longer stand for a mark, once they are the most of it.
    pub(super) fn tidy(&mut self, rows: &mut Rows) {
        if self.order.len() > 2 * self.dirty + ORDER_SLACK {
            let subscription = self.subscription;
            self.order.retain(|(stamp, row)| stands(rows, *row, subscription, *stamp));
        }
    }

    fn oldest_dirty(&mut self, rows: &mut Rows) -> Option<(u64, u32)> {
        while let Some((stamp, row)) = self.order.front().copied() {
            if stands(rows, row, self.subscription, stamp) {
                return Some((stamp, row));
            }
            self.order.pop_front();
        }
        None
    }

    fn has_events(&self, rows: &mut Rows, row: u32) -> bool {
        member_of(rows, row, self.subscription).is_some_and(|(_, member)| member.waiting > 0)
    }

    fn take_state(&mut self, rows: &mut Rows, row: u32) -> Option<Change> {
        let (instrument, member) = member_of(rows, row, self.subscription)?;
        if let Some((from, to)) = member.lost.take() {
            if member.dirty.is_some_and(|dirty| dirty.inputs == 0) {
                self.unmark(member);
            }
            return Some(Change::Gap { symbol: instrument.symbol.clone(), from, to });
        }
        let dirty = self.unmark(member)?;
        Some(Change::State(dirty.state_of(instrument)))
    }

    fn unmark(&mut self, member: &mut Member) -> Option<Dirty> {
        let dirty = member.dirty.take()?;
        self.dirty -= 1;
        Some(dirty)
    }

    fn take_event(&mut self, rows: &mut Rows) -> Option<Change> {
        let row = self.events.front()?.row;
        let (instrument, member) = member_of(rows, row, self.subscription)?;
        if let Some((from, to)) = member.lost.take() {
            return Some(Change::Gap { symbol: instrument.symbol.clone(), from, to });
        }
        member.waiting -= 1;
        let symbol = instrument.symbol.clone();
        Some(match self.events.pop_front()?.what {
            What::State(state) => Change::State(*state),
            What::Event(update, after) => Change::Event { symbol, update: *update, instrument: Arc::unwrap_or_clone(after) },
            What::Gap { from, to } => Change::Gap { symbol, from, to },
        })
    }
}

impl Dirty {
    /// The newest state, with what was added up since the application read the one before.
    fn state_of(self, instrument: &Instrument) -> Instrument {
        let mut state = instrument.clone();
        state.merged = u32::try_from(self.inputs.saturating_sub(1)).unwrap_or(u32::MAX);
        let tells = self.merged || self.inputs > 1;
        if let Some(quote) = &mut state.image.quote {
            quote.interval_high = self.high.filter(|_| tells);
            quote.interval_low = self.low.filter(|_| tells);
        }
        state
    }
}

fn stands(rows: &mut Rows, row: u32, subscription: SubscriptionId, stamp: u64) -> bool {
    member_of(rows, row, subscription).is_some_and(|(_, member)| member.dirty.is_some_and(|dirty| dirty.stamp == stamp))
}

fn member_of(rows: &mut Rows, row: u32, subscription: SubscriptionId) -> Option<(&Arc<Instrument>, &mut Member)> {
    let row = row_of(rows, row)?;
    let member = row.members.iter_mut().find(|member| member.subscription == subscription)?;
    Some((&row.instrument, member))
}

fn pick(left: Option<i64>, right: Option<i64>, better: fn(i64, i64) -> i64) -> Option<i64> {
    match (left, right) {
        (Some(left), Some(right)) => Some(better(left, right)),
        (one, other) => one.or(other),
    }
}

/// Dead entries that `order` may hold beside as many as there are live ones.
const ORDER_SLACK: usize = 64;
