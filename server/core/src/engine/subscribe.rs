//! Subscribing: what a client wants becomes places in lanes, an acknowledgement, and a snapshot.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use tickwire_proto::image::Kind;
use tickwire_proto::planted::{Fault, planted};
use tickwire_proto::time::Moment;
use tickwire_proto::v1::{self, ErrorCode, client_frame::Command, server_frame::Control, subscribe_item::Target};
use tickwire_proto::{Pattern, Symbol};

use super::Engine;
use super::book::{self, Instrument};
use super::connection::{Connection, Named, PATTERNS_MAX, PatternWant, Subscription};
use super::dispatch::error;
use super::lane::Subscriber;
use super::pending::Pending;
use super::rate::RateClass;
use super::recipient::{Recipient, touch_if_ready};
use super::session::subscriptions_max;
use super::token::Told;
use crate::batch::InstrumentId;

impl Engine {
    /// Adds what a client wants, or replaces all of it; answers with an ack and the images.
    pub(super) fn subscribe(&mut self, now: Moment, slot: u32, request_id: u32, subscribe: v1::Subscribe) {
        if !self.roster.get(slot).is_some_and(Connection::is_live) {
            return;
        }
        if subscribe.items.len() > self.config.items_max {
            let text = format!("more than {} items in one Subscribe", self.config.items_max);
            return self.tell(slot, error(request_id, ErrorCode::TooManySubscriptions, &text, None));
        }
        if !self.synced {
            return self.hold(slot, v1::ClientFrame { request_id, command: Some(Command::Subscribe(subscribe)) });
        }
        if subscribe.replace {
            self.forget_wants(slot);
        }
        // What stays covered of the old; with `replace` nothing, until an item names it again.
        let mut plan = Plan { fresh: Vec::new(), count: 0, all: subscribe.replace, patterns: 0, visits: 0 };
        plan.count = self.roster.get(slot).map_or(0, |connection| if plan.all { 0 } else { connection.subscriptions.len() });
        let results = subscribe.items.into_iter().map(|item| self.want(slot, item, &mut plan)).collect();
        self.reclass_all_or(now, slot, &plan);
        self.answer(now, slot, request_id, results, &plan.fresh);
    }

    /// Drops what is named; instruments that something else covers stay.
    pub(super) fn unsubscribe(&mut self, now: Moment, slot: u32, request_id: u32, unsubscribe: v1::Unsubscribe) {
        if !self.synced {
            return self.hold(slot, v1::ClientFrame { request_id, command: Some(Command::Unsubscribe(unsubscribe)) });
        }
        if unsubscribe.all {
            self.forget_wants(slot);
        }
        for text in &unsubscribe.symbols {
            let id = self.book.find(text);
            let Some(connection) = self.roster.get_mut(slot) else { return };
            if let Some(index) = connection.patterns.iter().position(|want| want.pattern.as_str() == text) {
                self.patterns.remove(&connection.patterns.remove(index).pattern, slot);
            }
            if let Some(subscription) = id.and_then(|id| connection.subscription(id)) {
                subscription.named = None;
            }
        }
        let before = self.roster.get(slot).map_or(0, |connection| connection.subscriptions.len());
        self.reclass(now, slot);
        let Some(connection) = self.roster.get_mut(slot) else { return };
        connection.crowded = false;
        let removed = (before - connection.subscriptions.len()) as u32;
        self.tell(slot, Control::UnsubscribeAck(v1::UnsubscribeAck { request_id, removed }));
    }

    /// A new instrument joins the patterns that name it.
    pub(super) fn join_patterns(&mut self, id: InstrumentId) {
        let waiting = self.book.get(id).map(|instrument| self.patterns.matching(&instrument.symbol)).unwrap_or_default();
        for slot in waiting.into_iter().filter(|_| !planted(Fault::IgnoreLateInstrument)) {
            let Some(instrument) = self.book.get(id) else { return };
            let Some(connection) = self.roster.get_mut(slot) else { continue };
            let Some((class, trades)) = connection.terms(&instrument.symbol, None, instrument.conflate_ms_min) else { continue };
            if !connection.may_see(&instrument.symbol) {
                continue;
            }
            let max = subscriptions_max(self.config.subscriptions_max, connection.grant.as_deref());
            if connection.subscriptions.len() >= max as usize {
                if !core::mem::replace(&mut connection.crowded, true) {
                    let text = format!("{} did not fit into its pattern: the limit is {max} instruments", instrument.symbol);
                    self.tell(slot, error(0, ErrorCode::TooManySubscriptions, &text, None));
                }
                continue;
            }
            let pending = Pending::images(instrument);
            connection.outbox().mark(id, &pending);
            touch_if_ready(connection, &mut self.dispatch, slot);
            self.dispatch.set_open(slot, false);
            let resumes_trades = connection.patterns.iter().any(|want| want.resumes_trades && want.pattern.matches(&instrument.symbol));
            self.enter(slot, id, None);
            self.place(self.now, slot, id, class, trades);
            let entered = self.roster.get_mut(slot).filter(|_| resumes_trades);
            if let Some(subscription) = entered.and_then(|connection| connection.subscription(id)) {
                subscription.resume_trades();
            }
        }
    }

    /// Checks every subscription against a new grant; what it no longer covers is removed and said.
    pub(super) fn revise(&mut self, now: Moment, slot: u32) {
        let Some(connection) = self.roster.get(slot) else { return };
        let may_stay = |subscription: &&Subscription| {
            !self.book.get(subscription.instrument).is_some_and(|instrument| connection.may_see(&instrument.symbol))
        };
        let revoked: Vec<_> = connection.subscriptions.iter().filter(may_stay).map(|subscription| subscription.instrument).collect();
        for id in revoked {
            self.remove(slot, id);
            let text = format!("{} is no longer covered by the token", book::name(&self.book, id));
            self.tell(slot, error(0, ErrorCode::NotEntitled, &text, None));
        }
        self.reclass(now, slot);
    }

    /// Gives every subscription of a connection the rate that it is entitled to now, and removes those that nothing covers.
    pub(super) fn reclass(&mut self, now: Moment, slot: u32) {
        let Some(connection) = self.roster.get(slot) else { return };
        let ids: Vec<_> = connection.subscriptions.iter().map(|subscription| subscription.instrument).collect();
        self.reclass_these(now, slot, &ids);
        if let Some(connection) = self.roster.get_mut(slot) {
            connection.note_classes();
        }
    }

    fn reclass_all_or(&mut self, now: Moment, slot: u32, plan: &Plan) {
        if plan.all { self.reclass(now, slot) } else { self.reclass_these(now, slot, &plan.fresh) }
    }

    fn reclass_these(&mut self, now: Moment, slot: u32, ids: &[InstrumentId]) {
        for id in ids {
            let Some(connection) = self.roster.get(slot) else { return };
            let (Some(instrument), Some(index)) = (self.book.get(*id), connection.find(*id)) else { continue };
            let subscription = connection.subscriptions[index];
            match connection.terms(&instrument.symbol, subscription.named, instrument.conflate_ms_min) {
                None => self.remove(slot, *id),
                Some((class, trades)) => self.place(now, slot, *id, class, trades),
            }
        }
    }

    fn forget_wants(&mut self, slot: u32) {
        let Some(connection) = self.roster.get_mut(slot) else { return };
        for want in connection.patterns.drain(..) {
            self.patterns.remove(&want.pattern, slot);
        }
        connection.crowded = false;
        for subscription in &mut connection.subscriptions {
            subscription.named = None;
        }
    }

    /// Notes one item of a Subscribe.
    fn want(&mut self, slot: u32, item: v1::SubscribeItem, plan: &mut Plan) -> v1::SubscribeResult {
        let rate = item.conflate_ms.map(|ms| RateClass::granted(ms, 0));
        let (text, outcome) = match item.target {
            Some(Target::Symbol(text)) => {
                let named = Named { rate, trades: item.trades };
                let outcome =
                    Symbol::parse(&text).map_err(|_| ErrorCode::BadSymbol).and_then(|symbol| self.want_symbol(slot, &symbol, named, plan));
                (text, outcome.map(|(id, min_ms)| (id.0, 0, min_ms)))
            }
            Some(Target::Pattern(text)) => {
                let outcome = Pattern::parse(&text).map_err(|_| ErrorCode::BadSymbol).and_then(|pattern| {
                    self.want_pattern(slot, PatternWant { pattern, rate, trades: item.trades, resumes_trades: false }, plan)
                });
                (text, outcome.map(|(matched, min_ms)| (0, matched, min_ms)))
            }
            None => (String::new(), Err(ErrorCode::BadSymbol)),
        };
        match outcome {
            Ok((id, matched, min_ms)) => {
                let conflate_ms = self.roster.get(slot).map_or(0, |connection| connection.granted(rate, min_ms).millis());
                v1::SubscribeResult { symbol: text, id, code: 0, conflate_ms, matched }
            }
            Err(code) => v1::SubscribeResult { symbol: text, code: code as i32, ..v1::SubscribeResult::default() },
        }
    }

    /// Returns the instrument and its fastest rate.
    fn want_symbol(&mut self, slot: u32, symbol: &Symbol, named: Named, plan: &mut Plan) -> Result<(InstrumentId, u32), ErrorCode> {
        let connection = self.roster.get_mut(slot).ok_or(ErrorCode::Internal)?;
        // Asked first, so that nobody learns which symbols exist beyond what they may see.
        if !connection.may_see(symbol) {
            return Err(ErrorCode::NotEntitled);
        }
        let instrument = self.book.find(symbol.as_str()).and_then(|id| self.book.get(id)).ok_or(ErrorCode::UnknownSymbol)?;
        let (id, min_ms) = (instrument.id(), instrument.conflate_ms_min);
        let max = subscriptions_max(self.config.subscriptions_max, connection.grant.as_deref()) as usize;
        if !plan.has(connection, id) {
            if plan.count >= max {
                return Err(ErrorCode::TooManySubscriptions);
            }
            plan.count += 1;
        }
        match connection.subscription(id) {
            Some(subscription) => subscription.named = Some(named),
            None => self.enter(slot, id, Some(named)),
        }
        plan.add(id);
        Ok((id, min_ms))
    }

    /// Returns how many instruments it names now, and the slowest of their fastest rates.
    fn want_pattern(&mut self, slot: u32, want: PatternWant, plan: &mut Plan) -> Result<(u32, u32), ErrorCode> {
        let connection = self.roster.get_mut(slot).ok_or(ErrorCode::Internal)?;
        let max = subscriptions_max(self.config.subscriptions_max, connection.grant.as_deref()) as usize;
        let known = connection.patterns.iter().position(|known| known.pattern == want.pattern);
        plan.patterns += 1;
        if (known.is_none() && connection.patterns.len() >= PATTERNS_MAX) || plan.patterns > PATTERNS_MAX {
            return Err(ErrorCode::TooManySubscriptions);
        }
        let (mut ids, mut new, mut forbidden) = (Vec::new(), 0, 0);
        let mut min_ms = self.config.conflate_ms_min;
        for instrument in self.book.matching(&want.pattern) {
            plan.visits += 1;
            if plan.visits > VISITS_MAX {
                return Err(ErrorCode::TooManySubscriptions);
            }
            if !connection.may_see(&instrument.symbol) {
                forbidden += 1;
                continue;
            }
            new += usize::from(!plan.has(connection, instrument.id()));
            if plan.count + new > max {
                return Err(ErrorCode::TooManySubscriptions);
            }
            min_ms = min_ms.max(instrument.conflate_ms_min);
            ids.push(instrument.id());
        }
        if ids.is_empty() && forbidden > 0 {
            return Err(ErrorCode::NotEntitled);
        }
        match known {
            Some(index) => {
                let resumes_trades = want.trades && connection.patterns[index].resumes_trades;
                connection.patterns[index] = PatternWant { resumes_trades, ..want };
            }
            None => {
                self.patterns.insert(&want.pattern, slot);
                connection.patterns.push(want);
            }
        }
        plan.count += new;
        for id in &ids {
            if self.roster.get(slot).is_some_and(|connection| connection.find(*id).is_none()) {
                self.enter(slot, *id, None);
            }
            plan.add(*id);
        }
        Ok((ids.len() as u32, min_ms))
    }

    /// Lists the ack, and marks the images that follow it. With a resume token only what changed since, and the events since.
    fn answer(&mut self, now: Moment, slot: u32, request_id: u32, results: Vec<v1::SubscribeResult>, fresh: &[InstrumentId]) {
        let Some(connection) = self.roster.get_mut(slot) else { return };
        connection.subscriptions.shrink_to_fit();
        let resume = connection.take_resume();
        if let Some(told) = resume.flatten().filter(|told| Some(*told) > self.position) {
            connection.begin_trades_after(told, fresh);
            self.trades_after = self.trades_after.max(Some(told));
        }
        let mut images_follow = 0;
        for id in fresh {
            let (Some(instrument), true) = (self.book.get(*id), connection.find(*id).is_some()) else { continue };
            let changed = resume.is_none_or(|told| instrument.seq > told && !planted(Fault::ResumeWithoutImages));
            let pending = match resume {
                _ if !changed => Pending::default(),
                // What it holds may have been lost since.
                Some(told) => Pending::replaced(instrument, told.map_or(0, |seq| seq.saturating_add(1))),
                None => Pending::images(instrument),
            };
            images_follow += if changed { instrument.images_count(resume.is_some()) } else { 0 };
            connection.outbox().mark(*id, &pending);
        }
        connection.outbox().end_snapshot(request_id);
        self.dispatch.set_open(slot, planted(Fault::DeltaBeforeImage));
        self.dispatch.touch(slot);
        if planted(Fault::ImagesBeforeAck) {
            self.take_turns(slot);
        }
        self.tell(slot, Control::SubscribeAck(v1::SubscribeAck { request_id, results, images_follow }));
        if let Some(told) = resume {
            self.replay(now, slot, told, fresh);
        }
    }

    /// Says which events after `told` are missing, then gives the others again.
    pub(super) fn replay(&mut self, now: Moment, slot: u32, told: Told, fresh: &[InstrumentId]) {
        let Some(connection) = self.roster.get_mut(slot) else { return };
        let missing = self.ring.missing_after(told);
        for id in fresh {
            let (Some(instrument), Some(index)) = (self.book.get(*id), connection.find(*id)) else { continue };
            let events =
                missing.zip(instrument.event_seq.filter(|newest| Some(*newest) > told)).map(|(missing, newest)| missing.min(newest));
            // Single trades are not kept for those who come back.
            let wants_trades = connection.subscriptions[index].trades();
            let after = told.max(connection.trades_after(*id));
            let trades = instrument.trade_seq.filter(|newest| wants_trades && Some(*newest) > after);
            if let Some(last) = events.max(trades) {
                connection.outbox().lose(*id, told.map_or(0, |seq| seq.saturating_add(1)), last);
            }
        }
        let Self { roster, book, ring, .. } = self;
        let Some(connection) = roster.get_mut(slot) else { return };
        for event in ring.after_mut(told).filter(|event| fresh.binary_search(&event.instrument).is_ok()) {
            match book.get(event.instrument).and_then(|instrument| event.at_scales_of(instrument)) {
                Some(rescaled) => *event = rescaled,
                None => connection.outbox().lose(event.instrument, event.seq, event.seq),
            }
        }
        self.release(now, slot);
        let Self { roster, dispatch, book, config, ring, .. } = self;
        let Some(connection) = roster.get_mut(slot) else { return };
        let mut recipient = Recipient { slot, connection, dispatch, book, config, now };
        for event in ring.after(told).filter(|event| !planted(Fault::ResumeWithoutEvents) && fresh.binary_search(&event.instrument).is_ok())
        {
            // One that its scales of now cannot say is in the gap.
            if let Some(event) = book.get(event.instrument).and_then(|instrument| event.at_scales_of(instrument)) {
                recipient.give_event(&event);
            }
        }
    }

    /// Adds a subscription without a lane.
    fn enter(&mut self, slot: u32, id: InstrumentId, named: Option<Named>) {
        let Some(connection) = self.roster.get_mut(slot) else { return };
        let Err(index) = connection.subscriptions.binary_search_by_key(&id, |subscription| subscription.instrument) else { return };
        connection.subscriptions.insert(index, Subscription::new(id, named));
        self.stats.subscriptions += 1;
    }

    /// Puts a subscription into the lane of its rate. What the old lane had not told yet goes along.
    fn place(&mut self, now: Moment, slot: u32, id: InstrumentId, class: RateClass, trades: bool) {
        let Some(connection) = self.roster.get(slot) else { return };
        let Some(index) = connection.find(id) else { return };
        let old = connection.subscriptions[index];
        if old.is_placed() && old.class == class && old.trades() == trades {
            return;
        }
        if old.is_placed() {
            self.carry_over(now, slot, &old);
            self.leave_lane(&old);
        }
        let Some(instrument) = self.book.get_mut(id) else { return };
        let lane = instrument.lane(class).unwrap_or_else(|| self.lanes.open(id, class));
        instrument.set_lane(class, Some(lane));
        let position = self.lanes.join(lane, Subscriber::new(slot, trades), instrument.seq);
        let Some(connection) = self.roster.get_mut(slot) else { return };
        connection.classes.add(class);
        if let Some(subscription) = connection.subscription(id) {
            subscription.place(position, class, trades);
        }
    }

    fn carry_over(&mut self, now: Moment, slot: u32, old: &Subscription) {
        let Self { roster, dispatch, book, config, lanes, .. } = self;
        let Some(lane) = book.get(old.instrument).and_then(|instrument| instrument.lane(old.class)) else { return };
        let lane = lanes.get(lane);
        let Some(connection) = roster.get_mut(slot).filter(|_| lane.has_news() && !planted(Fault::DropCarryOver)) else { return };
        if old.trades() {
            Recipient { slot, connection, dispatch, book, config, now }.give_trades(lane);
        }
        if !lane.pending.is_empty() {
            connection.outbox().mark(old.instrument, &lane.pending);
            dispatch.set_open(slot, false);
            touch_if_ready(connection, dispatch, slot);
        }
    }

    fn remove(&mut self, slot: u32, id: InstrumentId) {
        let Some(connection) = self.roster.get_mut(slot) else { return };
        let Some(index) = connection.find(id) else { return };
        let gone = connection.subscriptions.remove(index);
        if let Some(outbox) = connection.outbox.as_mut() {
            outbox.forget(id);
        }
        self.stats.subscriptions -= 1;
        if !planted(Fault::LeakLane) {
            self.leave_lane(&gone);
        }
    }

    /// Takes a subscription out of its lane; an empty lane closes.
    pub(super) fn leave_lane(&mut self, subscription: &Subscription) {
        let lane = self.book.get(subscription.instrument).and_then(|instrument| instrument.lane(subscription.class));
        let Some(lane) = lane.filter(|_| subscription.is_placed()) else { return };
        let (moved, closed) = self.lanes.leave(lane, subscription.position);
        if let Some(moved) = moved {
            if let Some(other) = self.roster.get_mut(moved.slot()).and_then(|connection| connection.subscription(subscription.instrument)) {
                other.position = subscription.position;
            }
        }
        if closed {
            if let Some(instrument) = self.book.get_mut(subscription.instrument) {
                instrument.set_lane(subscription.class, None);
            }
        }
    }
}

/// What a Subscribe comes to, item by item.
struct Plan {
    /// Instruments that get images: each once, by id.
    fresh: Vec<InstrumentId>,
    /// Instruments that the connection will have.
    count: usize,
    /// Everything not named is dropped.
    all: bool,
    /// Patterns expanded so far. At most [`PATTERNS_MAX`], those named twice included.
    patterns: usize,
    /// Instruments looked at so far.
    visits: usize,
}

impl Plan {
    /// Whether the instrument is counted already.
    fn has(&self, connection: &Connection, id: InstrumentId) -> bool {
        self.fresh.binary_search(&id).is_ok() || (!self.all && connection.find(id).is_some())
    }

    fn add(&mut self, id: InstrumentId) {
        if let Err(index) = self.fresh.binary_search(&id) {
            self.fresh.insert(index, id);
        }
    }
}

impl Instrument {
    /// Records of a whole image. One that replaces another empties its bars first.
    fn images_count(&self, replaces: bool) -> u32 {
        let seen = self.kinds_seen;
        let bodies = Kind::ALL.iter().filter(|kind| **kind != Kind::Bar && seen.has(**kind));
        (bodies.count() + self.image.bars.len() + usize::from(replaces && seen.has(Kind::Bar))) as u32
    }
}

/// Instruments that the patterns of one Subscribe may match in all, forbidden ones included. A pattern beyond is refused.
const VISITS_MAX: usize = 400_000;
