//! From the book to subscribers: what an entry of a batch means to those who subscribe.

use alloc::string::ToString;
use alloc::vec::Vec;

use tickwire_proto::image::{Changed, Kind, Kinds};
use tickwire_proto::planted::{Fault, planted};
use tickwire_proto::time::Moment;
use tickwire_proto::v1::{self, ErrorCode, UpdateFlag, server_frame::Control, update::Body};
use tickwire_proto::wire::{Encoding, encode_feed, encode_update};

use super::Engine;
use super::book::{Instrument, NO_LANE, Nature};
use super::connection::Subscription;
use super::dispatch::Part;
use super::events::{Event, PastState};
use super::outbox::Waiting;
use super::pending::Pending;
use super::recipient::{EVENT_RECORDS_MAX, Recipient, gap, introduce, is_straight, touch_if_ready};
use crate::batch::InstrumentId;

impl Engine {
    /// A new life of the log, or the same log read again from a checkpoint.
    pub(super) fn reset(&mut self, now: Moment, epoch: &str) {
        if self.epoch == epoch && self.synced {
            self.remember_told(now);
        }
        self.restarted |= self.synced;
        self.synced = false;
        if self.epoch != epoch {
            // Clients may hold images that no position of the new log can be compared with: of this connection, or of one before it in the
            // log that their Welcome named.
            let was_named = !self.epoch.is_empty();
            for (_, connection) in self.roster.iter_mut() {
                let resumes = connection.take_resume().is_some();
                connection.pass_token(None);
                connection.foreign |= resumes || !connection.subscriptions.is_empty() || (was_named && connection.is_live());
            }
        }
        if self.epoch != epoch {
            self.trades_after = None;
        }
        self.epoch = epoch.to_string();
        self.position = None;
        self.book.reset();
        self.lanes.forget_all();
        self.ring.clear();
        for slot in self.roster.slots() {
            self.welcome_awaiting(now, slot);
        }
    }

    /// Notes up to where subscribers know the events: those that come to light while the same log is read again are told afterwards.
    /// Single trades that lanes keep are given now.
    fn remember_told(&mut self, now: Moment) {
        let Self { roster, dispatch, book, config, lanes, position, .. } = self;
        for (slot, connection) in roster.iter_mut().filter(|(_, connection)| !connection.subscriptions.is_empty()) {
            connection.rare().resume = Some(*position);
            for index in 0..connection.subscriptions.len() {
                let Subscription { instrument, class, .. } = connection.subscriptions[index];
                let lane = book.get(instrument).and_then(|instrument| instrument.lane(class));
                if let Some(lane) = lane.filter(|_| connection.subscriptions[index].trades()) {
                    Recipient { slot, connection, dispatch, book, config, now }.give_trades(lanes.get(lane));
                }
            }
        }
    }

    /// The book is complete: subscribers of an earlier life get images, held subscribes their answers.
    pub(super) fn sync(&mut self, now: Moment) {
        self.synced = true;
        let restarted = core::mem::take(&mut self.restarted);
        if restarted {
            // What the new life does not know was emptied now.
            for instrument in self.book.iter_mut().filter(|instrument| instrument.seq.is_none() && !instrument.kinds_seen.is_empty()) {
                instrument.seq = self.position;
            }
        }
        for slot in self.roster.slots() {
            if restarted {
                self.start_over(now, slot);
            }
            self.tell_foreign(slot);
            self.answer_held(now, slot);
        }
    }

    fn start_over(&mut self, now: Moment, slot: u32) {
        let Some(connection) = self.roster.get_mut(slot).filter(|connection| !connection.subscriptions.is_empty()) else { return };
        if planted(Fault::UntoldReset) {
            return;
        }
        let mut subscriptions = core::mem::take(&mut connection.subscriptions);
        for subscription in &mut subscriptions {
            subscription.set_told(false);
            if let Some(instrument) = self.book.get(subscription.instrument) {
                connection.outbox().mark(subscription.instrument, &Pending::replaced(instrument, 0));
            }
        }
        let ids: Vec<InstrumentId> = subscriptions.iter().map(|subscription| subscription.instrument).collect();
        connection.subscriptions = subscriptions;
        let told = connection.take_resume().filter(|_| !connection.foreign);
        self.dispatch.set_open(slot, false);
        self.dispatch.touch(slot);
        if let Some(told) = told {
            self.replay(now, slot, told, &ids);
        }
    }

    /// The client drops its positions: what follows may be numbered lower than what it holds.
    fn tell_foreign(&mut self, slot: u32) {
        let Some(connection) = self.roster.get_mut(slot).filter(|connection| connection.foreign) else { return };
        connection.foreign = false;
        if let Some(outbox) = &mut connection.outbox {
            outbox.end_log();
        }
        let code = ErrorCode::ResumeExpired;
        let text = "the log was reset; images follow".into();
        let epoch = self.epoch.clone();
        self.tell(slot, Control::Error(v1::Error { code: code as i32, text, retry: code.retry() as i32, epoch, ..v1::Error::default() }));
    }

    /// Applies an update and tells it in the way of its nature.
    pub(super) fn update(&mut self, now: Moment, update: &v1::Update) {
        let id = InstrumentId(update.id);
        let Some(instrument) = self.book.get_mut(id) else { return };
        if instrument.seq.is_some_and(|newest| update.seq < newest) && !planted(Fault::ApplyOlderUpdate) {
            return;
        }
        self.stats.updates_applied += 1;
        self.position = self.position.max(Some(update.seq));
        let nature = instrument.nature(update);
        if !self.synced {
            self.catch_up(id, nature, update);
            return;
        }
        match nature {
            Nature::State => {
                let Some((kind, changed)) = instrument.take(update) else { return };
                let last = match &update.body {
                    Some(Body::Quote(quote)) => quote.last,
                    _ => None,
                };
                let mut waits = true;
                for lane in instrument.lanes().into_iter().filter(|lane| *lane != NO_LANE) {
                    self.lanes.get_mut(lane).pending.add(kind, &changed, last, update.seq);
                    waits &= self.lanes.schedule(now, lane, update.seq, self.dispatch.pace());
                }
                self.lanes.waits.set(id, waits);
            }
            Nature::Trade => {
                instrument.take(update);
                instrument.trade_seq = Some(update.seq);
                let mut shared = None;
                for lane in instrument.lanes().into_iter().filter(|lane| *lane != NO_LANE) {
                    if self.lanes.get(lane).wants_trades() {
                        let trade = shared.get_or_insert_with(|| Event::new(update, instrument, true));
                        self.lanes.get_mut(lane).keep_trade(trade);
                        self.lanes.schedule(now, lane, update.seq, self.dispatch.pace());
                    }
                }
            }
            Nature::Event => self.publish(now, id, update),
        }
    }

    /// Before the book is complete nobody is told, but events are kept for those who come back.
    fn catch_up(&mut self, id: InstrumentId, nature: Nature, update: &v1::Update) {
        let Some(instrument) = self.book.get_mut(id) else { return };
        instrument.take(update);
        if nature == Nature::Trade {
            instrument.trade_seq = Some(update.seq);
        } else if update.flags & UpdateFlag::Image as u32 != 0 {
            // An image of a checkpoint may stand for events that are not known here, unless the checkpoint says more.
            (instrument.event_seq, instrument.trade_seq) = (Some(update.seq), Some(update.seq));
            self.ring.raise_floor(update.seq);
        } else if nature == Nature::Event {
            instrument.event_seq = Some(update.seq);
            self.ring.push(Event::new(&as_event(update), instrument, false));
        }
    }

    /// The images of an instrument stand for these events at most. None of them is known here, so they are missing for those who come
    /// back with an older token; whoever has a newer one has missed nothing.
    pub(super) fn note_events(&mut self, id: InstrumentId, newest: v1::EventPositions) {
        let Some(instrument) = self.book.get_mut(id).filter(|_| !self.synced) else { return };
        (instrument.event_seq, instrument.trade_seq) = (newest.event_seq, newest.trade_seq);
        if let Some(seq) = newest.event_seq {
            self.ring.raise_floor(seq);
        }
    }

    /// Tells an event: in every lane of the instrument first the pending state as it was before, then the event.
    fn publish(&mut self, now: Moment, id: InstrumentId, update: &v1::Update) {
        let Some(lanes) = self.book.get(id).map(Instrument::lanes) else { return };
        // The halt leaves behind the last quote: a trader sees the price it stopped at.
        for lane in lanes.into_iter().filter(|lane| *lane != NO_LANE && !planted(Fault::EventBeforeState)) {
            self.speak(now, lane, EVENT_RECORDS_MAX);
            self.settle(now, lane);
        }
        let Self { book, lanes: all, dispatch, roster, config, ring, .. } = self;
        let Some(instrument) = book.get_mut(id) else { return };
        instrument.take(update);
        instrument.event_seq = Some(update.seq);
        let event = Event::new(&as_event(update), instrument, false);
        ring.push(event.clone());
        if lanes.iter().all(|lane| *lane == NO_LANE) {
            return;
        }
        let records =
            [Encoding::Protobuf, Encoding::Json].map(|encoding| dispatch.store(|out| out.extend_from_slice(event.record(encoding))));
        for lane in lanes.into_iter().filter(|lane| *lane != NO_LANE) {
            for subscriber in &all.get(lane).subscribers {
                let slot = subscriber.slot();
                if dispatch.takes(slot, EVENT_RECORDS_MAX) {
                    dispatch.push(slot, Part::Update, records[dispatch.encoding(slot) as usize].clone());
                } else if let Some(connection) = roster.get_mut(slot) {
                    Recipient { slot, connection, dispatch, book, config, now }.give_event(&event);
                }
            }
        }
    }

    /// Gives what is pending in a lane to all its subscribers: straight into their lists, or as marks into their outboxes.
    pub(super) fn speak(&mut self, now: Moment, lane: u32, records_max: usize) {
        let Self { book, lanes, dispatch, roster, config, stats, scratch, trades_after, .. } = self;
        let lane = lanes.get_mut(lane);
        let Some(instrument) = book.get(lane.instrument).filter(|_| lane.has_news()) else { return };
        let leads = lane.leads().map(|class| (class, class.beat(now)));
        let is_behind = lane.has_trades_until(*trades_after);
        let pending = lane.speak(now);
        let mut merged = 0;
        let mut encoded = [false; 2];
        for subscriber in &lane.subscribers {
            let slot = subscriber.slot();
            if !dispatch.takes(slot, records_max) {
                let Some(connection) = roster.get_mut(slot) else { continue };
                if subscriber.trades() {
                    Recipient { slot, connection, dispatch, book, config, now }.give_trades(lane);
                }
                if connection.is_live() && !pending.is_empty() {
                    connection.outbox().mark(lane.instrument, &pending);
                    dispatch.set_open(slot, false);
                    touch_if_ready(connection, dispatch, slot);
                }
                continue;
            }
            let encoding = dispatch.encoding(slot);
            let index = encoding as usize;
            if !core::mem::replace(&mut encoded[index], true) {
                scratch.encoded[index].clear();
                scratch.trades[index].clear();
                merged = pending.encode(encoding, instrument, dispatch, &mut scratch.records, &mut scratch.encoded[index]);
                for trade in &lane.trades {
                    let record = dispatch.store(|out| out.extend_from_slice(trade.record(encoding)));
                    scratch.trades[index].push(record);
                }
            }
            let is_held = leads.is_some_and(|(class, beat)| dispatch.hold(now, slot, class, beat));
            if subscriber.trades() {
                let after = if is_behind { roster.get(slot).and_then(|connection| connection.trades_after(lane.instrument)) } else { None };
                let (lost, start) = lane.trades_of(slot, after);
                if let Some((first, last)) = lost {
                    stats.gaps += 1;
                    dispatch.push_control(slot, gap(lane.instrument, first, last));
                }
                for record in &scratch.trades[index][start..] {
                    dispatch.give(slot, Part::Update, record.clone(), is_held);
                }
            }
            for record in &scratch.encoded[index] {
                dispatch.give(slot, Part::Update, record.clone(), is_held);
            }
            stats.updates_conflated += merged;
        }
        lane.forget_trades();
    }

    /// Fixes what the outboxes of a lane's subscribers have to say about its instrument, before an event changes it.
    pub(super) fn settle(&mut self, now: Moment, lane: u32) {
        let Self { book, lanes, dispatch, roster, config, stats, scratch, .. } = self;
        let lane = lanes.get(lane);
        let Some(instrument) = book.get(lane.instrument) else { return };
        for subscriber in &lane.subscribers {
            let slot = subscriber.slot();
            if dispatch.takes(slot, EVENT_RECORDS_MAX) {
                continue;
            }
            // A paused client is told the newest state when it goes on.
            let Some(connection) = roster.get_mut(slot).filter(|connection| connection.is_live() && !connection.paused) else { continue };
            let Some(pending) = connection.outbox.as_mut().and_then(|outbox| outbox.settle(lane.instrument)) else { continue };
            scratch.records.clear();
            pending.records(instrument, &mut scratch.records);
            let encoding = connection.encoding;
            for record in &scratch.records {
                stats.updates_conflated += u64::from(record.merged);
                if is_straight(connection, dispatch, slot) {
                    introduce(connection, dispatch, book, slot, lane.instrument);
                    let record = dispatch.store(|out| encode_update(encoding, record, instrument.naming(), out));
                    dispatch.push(slot, Part::Update, record);
                } else {
                    // The oldest input that it tells, so that the resume token stays below it.
                    let seq = pending.first_seq.unwrap_or(record.seq);
                    let waiting = Waiting::State(PastState::new(encoding, record, seq, instrument));
                    Recipient { slot, connection, dispatch, book, config, now }.wait(waiting);
                }
            }
            connection.tidy();
        }
    }

    /// Events of every instrument may be missing between two positions.
    pub(super) fn lose(&mut self, from: u64, to: u64) {
        let (first, last) = (from.saturating_add(1), to.saturating_sub(1));
        if first > last {
            return;
        }
        self.ring.raise_floor(last);
        for instrument in self.book.iter_mut() {
            instrument.event_seq = instrument.event_seq.max(Some(last));
        }
        for (slot, connection) in self.roster.iter_mut().filter(|(_, connection)| connection.is_live()) {
            for index in 0..connection.subscriptions.len() {
                let instrument = connection.subscriptions[index].instrument;
                connection.outbox().lose(instrument, first, last);
            }
            self.dispatch.set_open(slot, connection.is_open());
            self.dispatch.touch(slot);
        }
    }

    /// Every client is told the health of every feed.
    pub(super) fn tell_feed(&mut self, now: Moment, state: &v1::FeedState) {
        let state = &v1::FeedState { last_seq: self.position.unwrap_or(0), ..state.clone() };
        match self.feeds.iter().position(|known| known.feed == state.feed) {
            Some(index) => self.feeds[index] = state.clone(),
            None if self.feeds.len() < FEEDS_MAX => self.feeds.push(state.clone()),
            None => return,
        }
        if planted(Fault::UntoldFeedState) {
            return;
        }
        let Self { book, dispatch, roster, config, .. } = self;
        let records = [Encoding::Protobuf, Encoding::Json].map(|encoding| dispatch.store(|out| encode_feed(encoding, state, out)));
        for (slot, connection) in roster.iter_mut().filter(|(_, connection)| connection.is_live()) {
            if is_straight(connection, dispatch, slot) {
                dispatch.push(slot, Part::Feed, records[connection.encoding as usize].clone());
            } else {
                let mut bytes = Vec::new();
                encode_feed(connection.encoding, state, &mut bytes);
                Recipient { slot, connection, dispatch, book, config, now }.wait(Waiting::Feed(bytes.into_boxed_slice()));
            }
        }
    }
}

impl Instrument {
    /// Applies an update whose position was checked. Returns what it touched, if anything.
    fn take(&mut self, update: &v1::Update) -> Option<(Kind, Changed)> {
        self.seq = Some(update.seq);
        let kind = Kind::of(update.body.as_ref()?)?;
        let mut changed = self.image.apply(update);
        if changed.is_empty() {
            return None;
        }
        self.ts_us[kind.index()] = update.ts_event_us;
        if !self.kinds_seen.has(kind) {
            // Nobody has an image of this kind yet, and an image comes before a delta.
            self.kinds_seen.set(kind, true);
            changed.merge(&Changed::images(Kinds::only(kind)));
        }
        Some((kind, changed))
    }
}

fn as_event(update: &v1::Update) -> v1::Update {
    v1::Update { flags: update.flags | UpdateFlag::Event as u32, ..update.clone() }
}

/// Feeds of a node. A further one is not told.
const FEEDS_MAX: usize = 256;
