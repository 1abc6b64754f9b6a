//! The newest values of every instrument that a subscription covers, and who has not read them yet.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use hashbrown::HashMap;

use super::instrument::{Change, Instrument};
use super::queue::{Member, Queue, Record};
use super::wanted::Wanted;
use super::{Output, Stats, SubscriptionId};
use crate::decimal::Scale;
use crate::planted::{Fault, planted};
use crate::symbol::Symbol;
use crate::v1;
use crate::v1::update::Body;

mod row;

pub(super) use row::Row;

/// Rows by number; a number is used again only after nobody covers its row.
pub(super) type Rows = Vec<Option<Row>>;

/// The table. Rows live as long as a subscription covers them, across connections; ids live as long as the connection.
#[derive(Debug)]
pub(super) struct Table {
    rows: Rows,
    free: Vec<u32>,
    by_symbol: HashMap<Symbol, u32>,
    /// What the server has announced on this connection, wanted or not. Bounded by [`NAMES_MAX`].
    names: HashMap<u32, Name>,
    queues: HashMap<SubscriptionId, Queue>,
    events_max: usize,
    /// Number of this connection.
    connection: u64,
    /// Whether it goes on where another one ended.
    resumed: bool,
}

/// What an id stands for on this connection.
#[derive(Debug)]
struct Name {
    info: Arc<v1::InstrumentInfo>,
    symbol: Symbol,
    price_scale: Scale,
    quantity_scale: Scale,
    row: Option<u32>,
}

impl Table {
    pub(super) fn new(events_max: usize) -> Self {
        Self {
            rows: Vec::new(),
            free: Vec::new(),
            by_symbol: HashMap::new(),
            names: HashMap::new(),
            queues: HashMap::new(),
            events_max,
            connection: 0,
            resumed: false,
        }
    }

    /// A new connection: ids mean nothing yet, values stay.
    pub(super) fn reconnect(&mut self) {
        self.names.clear();
        self.connection += 1;
        self.resumed = false;
        for row in self.rows.iter_mut().flatten() {
            row.reconnect();
        }
    }

    /// Another life of the log: positions start again. Values stay until their images come.
    pub(super) fn new_epoch(&mut self) {
        self.rows.iter_mut().flatten().for_each(Row::restart);
    }

    /// Whether anything was ever received of what is covered.
    pub(super) fn has_values(&self) -> bool {
        self.rows.iter().flatten().any(|row| row.touched > 0 || row.newest_seq() > 0)
    }

    /// The server has acknowledged something, or something has ended.
    pub(super) fn serve(&mut self, wanted: &Wanted) {
        self.begin_trades(wanted);
        for row in self.rows.iter_mut().flatten() {
            let served = wanted.is_served(&row.instrument.symbol);
            row.set_served(served);
            if !served && !wanted.holds(&row.instrument.symbol) {
                // The server does not go on with it, whatever became of the token: when it comes again, events may be missing.
                row.begin();
            }
        }
    }

    /// A new connection in the same epoch. What it resumes goes on; the rest may have lost events in between.
    pub(super) fn go_on(&mut self, resumed: bool, wanted: &Wanted) {
        self.resumed = resumed;
        for row in self.rows.iter_mut().flatten() {
            let symbol = &row.instrument.symbol;
            let trades_resume = wanted.resumes_trades(symbol);
            if resumed && wanted.holds(symbol) { row.resume(trades_resume) } else { row.begin() }
        }
    }

    /// Takes what the server says about an instrument, before it uses the id.
    pub(super) fn announce(&mut self, info: v1::InstrumentInfo, wanted: &Wanted, stats: &mut Stats) {
        let scales = (Scale::new(info.price_scale), Scale::new(info.quantity_scale));
        let (Ok(symbol), (Ok(price_scale), Ok(quantity_scale))) = (Symbol::parse(&info.symbol), scales) else {
            stats.ignored += 1;
            return;
        };
        if self.names.len() >= NAMES_MAX && !self.names.contains_key(&info.id) {
            stats.ignored += 1;
            return;
        }
        let (id, info) = (info.id, Arc::new(info));
        let row = self.row_for(&symbol, &info, wanted);
        if let Some(row) = row.and_then(|row| row_of(&mut self.rows, row)) {
            row.set_info(&info);
        }
        self.names.insert(id, Name { info, symbol, price_scale, quantity_scale, row });
    }

    /// Price and quantity scale of an id, for the decoder.
    pub(super) fn scales(&self, id: u32) -> Option<(Scale, Scale)> {
        self.names.get(&id).map(|name| (name.price_scale, name.quantity_scale))
    }

    /// Adds a subscription, which is then given everything that is known of what it covers.
    pub(super) fn subscribe(&mut self, subscription: SubscriptionId, trades: bool, wanted: &Wanted, outputs: &mut VecDeque<Output>) {
        let mut queue = Queue::new(subscription, self.events_max);
        for (number, row) in (0..).zip(self.rows.iter_mut()) {
            let Some(row) = row.as_mut().filter(|row| wanted.covers(subscription, &row.instrument.symbol)) else { continue };
            let mut member = Member::new(subscription, trades);
            if row.touched > 0 {
                queue.mark(number, &mut member, Record::KNOWN);
            }
            row.members.push(member);
        }
        tell(&mut queue, subscription, outputs);
        self.queues.insert(subscription, queue);
        self.adopt_names(subscription, wanted);
        // What is wanted may come already, for another subscription.
        self.begin_trades(wanted);
    }

    /// Drops a subscription, and what it alone covered.
    pub(super) fn unsubscribe(&mut self, subscription: SubscriptionId) {
        self.queues.remove(&subscription);
        for number in 0..self.rows.len() as u32 {
            let Some(row) = row_of(&mut self.rows, number) else { continue };
            row.members.retain(|member| member.subscription != subscription);
            if row.members.is_empty() {
                self.by_symbol.remove(&row.instrument.symbol);
                self.rows[number as usize] = None;
                self.free.push(number);
            }
        }
        for name in self.names.values_mut() {
            name.row = name.row.filter(|row| self.rows.get(*row as usize).is_some_and(Option::is_some));
        }
    }

    /// Applies a record.
    ///
    /// Allocates nothing if the row is dirty already, apart from what the image needs.
    pub(super) fn apply(&mut self, update: &v1::Update, stats: &mut Stats, outputs: &mut VecDeque<Output>) {
        stats.records += 1;
        stats.merged += u64::from(update.merged);
        let number = self.names.get(&update.id).and_then(|name| name.row);
        let (Some(number), Some(body)) = (number, &update.body) else {
            stats.ignored += 1;
            return;
        };
        let Some(row) = row_of(&mut self.rows, number).filter(|row| row.is_served()) else {
            stats.ignored += 1;
            return;
        };
        let is_single_trade = matches!(body, Body::Trade(trade) if !trade.correction && !trade.bust);
        let is_event = update.flags & v1::UpdateFlag::Event as u32 != 0 || matches!(body, Body::Trade(_));
        let is_image = update.flags & v1::UpdateFlag::Image as u32 != 0;

        let mut old = row.is_older(body, update.seq);
        if old && is_image {
            // Within one connection positions only grow: an image older than what it gave means that the log has started again. One older
            // than what another connection gave comes from a node that lags behind that one.
            if row.is_told_by(body, self.connection) {
                row.restart();
                old = false;
            }
            // The fields of an event are no state: without its image they stay incomplete for ever.
            old &= row.is_whole(body);
            // Bars of several lengths share a guard, and their images may have positions of their own.
            old &= !matches!(body, Body::Bar(bar) if row.instrument.image.bars.iter().all(|held| held.length_s != bar.length_s));
        }
        row.flow_to(update.seq);
        if let Some(known) = row.doubt.take().filter(|known| update.seq > *known) {
            // An image may stand for an event at its own position.
            let to = if is_image { update.seq.saturating_add(1) } else { update.seq };
            // An event behind the newest state may have been in a frame that did not come.
            let from = row.tell_loss(known.saturating_sub(1), to);
            self.push_gap(number, from, to, stats, outputs);
        }
        if is_single_trade {
            self.mend_trades_of(number, update.seq, stats, outputs);
        }
        let Some(row) = row_of(&mut self.rows, number) else { return };
        if is_image && !is_event {
            row.anchor(update.seq);
        }
        if old && !is_single_trade && row.apply_below(update) {
            self.mark(number, Record::KNOWN, stats, outputs);
        }
        let Some(row) = row_of(&mut self.rows, number) else { return };
        if is_event {
            if !row.is_new_event(update.seq, is_single_trade) {
                stats.repeated += 1;
                // The state may have gone back behind it since: a state of the same message came again, or an image that was missing.
                if !old && !is_single_trade && row.apply(update, self.connection, true) {
                    self.mark(number, Record::KNOWN, stats, outputs);
                }
                return;
            }
            self.push_event(number, update, EventWay { is_single_trade, applies: !old }, stats, outputs);
        } else if old {
            stats.repeated += 1;
        } else if row.apply(update, self.connection, is_image) {
            self.mark(number, Record::of(update), stats, outputs);
        }
    }

    /// The images of a new log are complete: what it has none of, it does not know.
    pub(super) fn drop_outdated(&mut self, stats: &mut Stats, outputs: &mut VecDeque<Output>) {
        for number in 0..self.rows.len() as u32 {
            if row_of(&mut self.rows, number).is_some_and(Row::drop_outdated) {
                self.mark(number, Record::KNOWN, stats, outputs);
            }
        }
    }

    /// Lets single trades go to those whose request for them was answered.
    fn begin_trades(&mut self, wanted: &Wanted) {
        let Self { rows, queues, .. } = self;
        for row in rows.iter_mut().flatten() {
            let waits = |member: &&mut Member| {
                member.trades && !member.trades_begun && queues.get(&member.subscription).is_some_and(|queue| !queue.answered)
            };
            for member in row.members.iter_mut().filter(waits) {
                member.trades_begun = wanted.sends_trades(member.subscription, &row.instrument.symbol);
            }
        }
        for (id, queue) in queues.iter_mut().filter(|(_, queue)| !queue.answered) {
            queue.answered = wanted.is_answered(*id);
        }
    }

    /// The images of a Subscribe are complete. Where single trades come with it, those before its images may have been lost.
    pub(super) fn mend_trades(&mut self, wanted: &Wanted, stats: &mut Stats, outputs: &mut VecDeque<Output>) {
        for number in 0..self.rows.len() as u32 {
            // What never had a state gets no image: there the next trade says how far the loss goes.
            let broken = |row: &&mut Row| row.touched > 0 && row.doubts_trades() && wanted.has_trades(&row.instrument.symbol);
            if let Some(row) = row_of(&mut self.rows, number).filter(broken) {
                let to = row.newest_seq().saturating_add(1);
                self.mend_trades_of(number, to, stats, outputs);
            }
        }
    }

    /// Single trades of a row have begun again, none of them before `to`.
    fn mend_trades_of(&mut self, number: u32, to: u64, stats: &mut Stats, outputs: &mut VecDeque<Output>) {
        if !row_of(&mut self.rows, number).is_some_and(|row| row.doubts_trades()) {
            return;
        }
        self.make_room(number, 1, stats);
        let Some(row) = row_of(&mut self.rows, number) else { return };
        for member in &mut row.members {
            let Some(from) = member.trades_until.take().filter(|from| from.saturating_add(1) < to) else { continue };
            let Some(queue) = self.queues.get_mut(&member.subscription) else { continue };
            queue.push_gap(number, member, from, to);
            tell(queue, member.subscription, outputs);
        }
    }

    /// Events of an instrument were lost.
    pub(super) fn gap(&mut self, gap: &v1::Gap, stats: &mut Stats, outputs: &mut VecDeque<Output>) {
        let named = self.names.get(&gap.id).and_then(|name| name.row).filter(|_| !planted(Fault::ClientIgnoresGap));
        let Some(number) = named.filter(|row| row_of(&mut self.rows, *row).is_some_and(|row| row.is_served())) else {
            stats.ignored += 1;
            return;
        };
        self.push_gap(number, gap.from, gap.to, stats, outputs);
    }

    fn push_gap(&mut self, number: u32, from: u64, to: u64, stats: &mut Stats, outputs: &mut VecDeque<Output>) {
        self.make_room(number, 1, stats);
        let Some(row) = row_of(&mut self.rows, number) else { return };
        for member in &mut row.members {
            let Some(queue) = self.queues.get_mut(&member.subscription) else { continue };
            queue.push_gap(number, member, from, to);
            tell(queue, member.subscription, outputs);
        }
    }

    pub(super) fn next_change(&mut self, subscription: SubscriptionId) -> Option<Change> {
        self.queues.get_mut(&subscription)?.next(&mut self.rows)
    }

    pub(super) fn waiting(&self, subscription: SubscriptionId) -> usize {
        self.queues.get(&subscription).map_or(0, Queue::len)
    }

    pub(super) fn latest(&self, symbol: &str) -> Option<&Instrument> {
        let row = self.rows.get(*self.by_symbol.get(symbol)? as usize)?.as_ref()?;
        (row.touched > 0).then(|| &*row.instrument)
    }

    fn mark(&mut self, number: u32, record: Record, stats: &mut Stats, outputs: &mut VecDeque<Output>) {
        let Some(row) = row_of(&mut self.rows, number) else { return };
        for member in &mut row.members {
            let Some(queue) = self.queues.get_mut(&member.subscription) else { continue };
            stats.conflated += u64::from(queue.mark(number, member, record));
            tell(queue, member.subscription, outputs);
        }
    }

    fn push_event(&mut self, number: u32, update: &v1::Update, way: EventWay, stats: &mut Stats, outputs: &mut VecDeque<Output>) {
        // An event brings the state before it along.
        self.make_room(number, if way.is_single_trade { 1 } else { 2 }, stats);
        let Some(row) = row_of(&mut self.rows, number) else { return };
        if !way.is_single_trade {
            for member in &mut row.members {
                if let Some(queue) = self.queues.get_mut(&member.subscription) {
                    queue.freeze(number, member, &row.instrument);
                }
            }
            if way.applies {
                row.apply(update, self.connection, false);
            }
        }
        for member in &mut row.members {
            let queue = self.queues.get_mut(&member.subscription);
            let Some(queue) = queue.filter(|queue| !way.is_single_trade || queue.takes_trades(member)) else { continue };
            queue.push_event(number, member, update, &row.instrument);
            tell(queue, member.subscription, outputs);
        }
    }

    /// Makes room in the queue of everyone who covers a row.
    fn make_room(&mut self, number: u32, entries: usize, stats: &mut Stats) {
        let members = row_of(&mut self.rows, number).map_or(0, |row| row.members.len());
        for n in 0..members {
            let subscription = row_of(&mut self.rows, number).map(|row| row.members[n].subscription);
            let Some(queue) = subscription.and_then(|subscription| self.queues.get_mut(&subscription)) else { continue };
            stats.events_lost += queue.make_room(entries, &mut self.rows);
            queue.tidy(&mut self.rows);
        }
    }

    /// The row of a symbol, made if a subscription covers it.
    fn row_for(&mut self, symbol: &Symbol, info: &Arc<v1::InstrumentInfo>, wanted: &Wanted) -> Option<u32> {
        if let Some(row) = self.by_symbol.get(symbol) {
            return Some(*row);
        }
        let mut members: Vec<Member> = wanted.covering(symbol).into_iter().map(|(id, trades)| Member::new(id, trades)).collect();
        members.iter_mut().for_each(|member| member.trades_begun = wanted.sends_trades(member.subscription, symbol));
        if members.is_empty() {
            return None;
        }
        let mut row = Row::new(symbol, info, members);
        row.set_served(wanted.is_served(symbol));
        if self.resumed && wanted.holds(symbol) {
            row.resume(true);
        }
        let number = self.free.pop().unwrap_or_else(|| {
            self.rows.push(None);
            self.rows.len() as u32 - 1
        });
        self.rows[number as usize] = Some(row);
        self.by_symbol.insert(symbol.clone(), number);
        Some(number)
    }

    /// Makes rows for instruments that were announced before anybody wanted them: a server announces each only once.
    fn adopt_names(&mut self, subscription: SubscriptionId, wanted: &Wanted) {
        let idle = self.names.iter().filter(|(_, name)| name.row.is_none() && wanted.covers(subscription, &name.symbol));
        let mut ids: Vec<u32> = idle.map(|(id, _)| *id).collect();
        ids.sort_unstable();
        for id in ids {
            let Some((symbol, info)) = self.names.get(&id).map(|name| (name.symbol.clone(), name.info.clone())) else { continue };
            let row = self.row_for(&symbol, &info, wanted);
            if let Some(name) = self.names.get_mut(&id) {
                name.row = row;
            }
        }
    }
}

/// How an event is taken.
struct EventWay {
    /// Goes only to those who want single trades, and changes no state.
    is_single_trade: bool,
    /// Whether it is news for the state too. A replayed event may be older than the image that came before it.
    applies: bool,
}

pub(super) fn row_of(rows: &mut Rows, number: u32) -> Option<&mut Row> {
    rows.get_mut(number as usize)?.as_mut()
}

fn tell(queue: &mut Queue, subscription: SubscriptionId, outputs: &mut VecDeque<Output>) {
    if queue.tell() {
        outputs.push_back(Output::Ready(subscription));
    }
}

/// Instruments announced on one connection. Further ones are ignored and counted; a node has fewer.
const NAMES_MAX: usize = 250_000;
