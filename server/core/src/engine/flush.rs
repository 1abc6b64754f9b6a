//! What happens at a flush: timers, then for each touched connection what its outbox and its heartbeat add, then its frames.

use alloc::vec::Vec;
use core::time::Duration;

use tickwire_proto::planted::{Fault, planted};
use tickwire_proto::time::Moment;
use tickwire_proto::v1::{self, ErrorCode, server_frame::Control};
use tickwire_proto::wire::{encode_feed, encode_info};

use super::book::Book;
use super::connection::{Connection, Phase, SLOW_AFTER, SLOW_CLEARED_AFTER};
use super::credit::{Credit, Report};
use super::dispatch::{Dispatch, Part, Record, Stamp, error};
use super::outbox::{Outbox, Turn, Waiting};
use super::rate::HEARTBEAT_WITHIN;
use super::recipient::{EVENT_RECORDS_MAX, gap, introduce};
use super::token::Told;
use super::{Engine, EngineStats, FRAME_RECORDS_MAX, Sink, Written, end, millis, token};
use crate::batch::InstrumentId;

impl Engine {
    /// Lists an answer, or keeps it until a blocked client takes data again.
    pub(super) fn tell(&mut self, slot: u32, control: Control) {
        let Some(connection) = self.roster.get_mut(slot).filter(|connection| connection.closing.is_none()) else { return };
        if connection.blocked.is_none() {
            self.dispatch.push_control(slot, control);
            return;
        }
        self.dispatch.set_open(slot, false);
        if !connection.outbox().answer(control) {
            let text = "the client asks without reading the answers";
            end(connection, &mut self.dispatch, slot, ErrorCode::SlowConsumer, error(0, ErrorCode::SlowConsumer, text, None), text);
        }
    }

    /// Runs the timers that have come up.
    pub(super) fn run_timers(&mut self, now: Moment) {
        while let Some((at, slot)) = self.timers.pop(now) {
            let Some(connection) = self.roster.get_mut(slot).filter(|connection| connection.armed == Some(at)) else { continue };
            connection.armed = None;
            self.on_time(now, slot);
            // What is due is due now; the flush that follows moves the deadline, and then it is armed again.
            self.dispatch.touch(slot);
        }
    }

    fn on_time(&mut self, now: Moment, slot: u32) {
        let Some(connection) = self.roster.get_mut(slot) else { return };
        if connection.expiry.as_deref().is_some_and(|expiry| expiry.at <= now) {
            return self.end(slot, ErrorCode::AuthExpired, "the token has expired");
        }
        if connection.stalled_at(self.config.stalled_max).is_some_and(|at| at <= now) {
            let text = if connection.blocked.is_some() { "the client did not take data" } else { "the client reported no progress" };
            return self.end(slot, ErrorCode::SlowConsumer, text);
        }
        match (connection.phase, connection.blocked) {
            (Phase::Greeting { until }, _) if until <= now => {
                return self.end(slot, ErrorCode::HelloTimeout, "no Hello came in time");
            }
            (Phase::Awaiting { until }, _) if until <= now => return self.welcome_awaiting(now, slot),
            _ => {}
        }
        let mut expires_in = None;
        if let Some(expiry) = connection.expiry.as_deref_mut().filter(|expiry| expiry.warn_at.is_some_and(|warn| warn <= now)) {
            expiry.warn_at = None;
            expires_in = Some(expiry.at.since(now));
        }
        let cleared = connection.well.is_some_and(|since| since + SLOW_CLEARED_AFTER <= now);
        if cleared {
            connection.slow = false;
            connection.well = None;
        }
        let slow = connection.slow_at().is_some_and(|at| at <= now);
        connection.slow |= slow;
        if let Some(span) = expires_in {
            self.tell(slot, Control::TokenExpiring(v1::TokenExpiring { in_ms: millis(span) }));
        }
        if cleared {
            self.tell(slot, notice(v1::NoticeKind::SlowCleared, "the link keeps up again"));
        }
        if slow {
            self.tell(slot, slow_notice());
        }
    }

    /// The client has processed everything up to `cseq`: it may get as much more, longest dirty first.
    pub(super) fn take_report(&mut self, now: Moment, slot: u32, cseq: u64) {
        let Some(connection) = self.roster.get_mut(slot) else { return };
        let newest = connection.cseq;
        let rests = connection.last_written == connection.last_heartbeat || now.since(connection.last_written) >= RESTS_AFTER;
        let report = match connection.credit.as_deref_mut() {
            Some(credit) => {
                let before = credit.window();
                let report = credit.report(now, cseq, newest);
                self.stats.credit_window_bytes = self.stats.credit_window_bytes + u64::from(credit.window()) - u64::from(before);
                if rests {
                    credit.rest();
                }
                report
            }
            None if cseq <= newest => Report::Progress,
            None => Report::Ignored,
        };
        if report == Report::Ignored {
            self.stats.reports_ignored += 1;
            return;
        }
        if let Some(since) = &mut connection.blocked {
            *since = now;
        }
        let room = connection.room();
        if let Some(since) = connection.credit.as_deref_mut().filter(|_| room > 0).and_then(Credit::resume) {
            self.stats.note_credit_wait(now.since(since));
        }
        // What is listed for the next flush already has its place.
        if !self.dispatch.is_listed(slot) {
            self.dispatch.set_room(slot, room);
        }
        if connection.has_work(self.synced) {
            self.dispatch.touch(slot);
        }
    }

    /// The socket has room again: what waited in order comes first, then the newest states, longest dirty first.
    pub(super) fn unblock(&mut self, now: Moment, slot: u32) {
        let Some(connection) = self.roster.get_mut(slot).filter(|connection| connection.closing.is_none()) else { return };
        if connection.blocked.take().is_none() {
            return;
        }
        self.stats.slow -= 1;
        let answers = connection.outbox.as_mut().map(|outbox| outbox.take_controls()).unwrap_or_default();
        let slow = !connection.slow && connection.behind.is_some_and(|since| now.since(since) >= SLOW_AFTER);
        connection.slow |= slow;
        if slow {
            self.dispatch.push_control(slot, slow_notice());
        }
        for answer in answers {
            self.dispatch.push_control(slot, answer);
        }
        self.release(now, slot);
        self.dispatch.touch(slot);
    }

    /// Lists what waited in order: losses, events, infos, feeds. What the client's credit leaves no room for goes on waiting.
    pub(super) fn release(&mut self, now: Moment, slot: u32) {
        let Self { roster, dispatch, book, feeds, position, stats, .. } = self;
        let Some(connection) = roster.get_mut(slot).filter(|connection| connection.is_live() && connection.blocked.is_none()) else {
            return;
        };
        if dispatch.room(slot) == 0 {
            return;
        }
        if core::mem::take(&mut connection.feeds_due) {
            list_feeds(dispatch, slot, feeds, *position);
        }
        connection.forget_overflows(now);
        list_gaps(connection, dispatch, book, stats, slot);
        let encoding = connection.encoding;
        while dispatch.room(slot) > 0 {
            let Some(first) = connection.outbox.as_deref().and_then(Outbox::first_waiting) else { break };
            if let Some(id) = first.filter(|id| !connection.was_told(*id)) {
                if introduce(connection, dispatch, book, slot, id) {
                    // It may be another that waits first now: what the new scales cannot say is lost.
                    list_gaps(connection, dispatch, book, stats, slot);
                } else {
                    connection.outbox().forget(id);
                }
                continue;
            }
            let (part, record) = match connection.outbox().next_waiting() {
                Some(Waiting::Event(event)) => (Part::Update, dispatch.store(|out| out.extend_from_slice(event.record(encoding)))),
                Some(Waiting::State(state)) => (Part::Update, dispatch.store(|out| out.extend_from_slice(&state.record))),
                Some(Waiting::Info { info, .. }) => {
                    let newest = book.get(InstrumentId(info.id)).filter(|_| planted(Fault::TellNewestInfo));
                    let info = newest.map_or(&*info, |instrument| &instrument.info);
                    (Part::Info, dispatch.store(|out| encode_info(encoding, info, out)))
                }
                Some(Waiting::Feed(record)) => (Part::Feed, dispatch.store(|out| out.extend_from_slice(&record))),
                None => break,
            };
            dispatch.push(slot, part, record);
        }
        connection.tidy();
    }

    /// Adds to the list of a connection what it can take now: what waited, dirty instruments, a heartbeat.
    pub(super) fn fill(&mut self, now: Moment, slot: u32) {
        let Some(connection) = self.roster.get(slot).filter(|connection| connection.is_live() && connection.blocked.is_none()) else {
            return;
        };
        let waits = connection.feeds_due || connection.outbox.as_deref().is_some_and(|outbox| outbox.has_waiting());
        let paused = connection.paused;
        if waits {
            self.release(now, slot);
        }
        // While there is no room for what waits in order, nothing newer may pass it: then there is no room for states either.
        if self.synced && !paused {
            self.take_turns(slot);
        }
        self.beat(now, slot);
    }

    /// Lists the newest state of dirty instruments, longest dirty first, as many as fit.
    pub(super) fn take_turns(&mut self, slot: u32) {
        let Self { roster, dispatch, book, lanes, stats, scratch, .. } = self;
        let Some(connection) = roster.get_mut(slot) else { return };
        // With credit, its room is what keeps the last of them fresh.
        let slow = connection.behind.is_some() && connection.credit.is_none();
        let bytes_max = if slow { SLOW_BYTES_MAX } else { TURN_BYTES_MAX };
        let mut updates: Vec<Record> = core::mem::take(&mut scratch.encoded[0]);
        updates.clear();
        let (mut bytes, mut instruments) = (0, 0);
        while dispatch.records(slot) + updates.len().max(instruments) < FRAME_RECORDS_MAX && bytes < bytes_max.min(dispatch.room(slot)) {
            let Some((turn, mut pending)) = connection.outbox.as_mut().and_then(|outbox| outbox.next_turn()) else { break };
            let id = match turn {
                Turn::Instrument(id) => id,
                Turn::Complete { request_id } => {
                    list(dispatch, slot, &mut updates);
                    dispatch.push_control(slot, Control::SnapshotComplete(v1::SnapshotComplete { request_id }));
                    // The client has a resume token as soon as it has something to resume.
                    connection.heartbeat_due |= !core::mem::replace(&mut connection.beaten, true);
                    continue;
                }
            };
            // All infos of a frame come before its updates, so that the images of a snapshot share frames.
            let Some(instrument) = book.get(id).filter(|_| introduce(connection, dispatch, book, slot, id)) else { continue };
            instruments += 1;
            let subscription = connection.subscription(id).copied();
            let lane = subscription.and_then(|subscription| instrument.lane(subscription.class));
            if let Some(lane) = lane.filter(|_| !planted(Fault::TellByHalves)) {
                // The values are those of the book, which is ahead of the lane: without the lane's fields an input would be told by halves.
                pending.cover(&lanes.get(lane).pending);
            }
            if let Some(lane) = lane.filter(|_| subscription.is_some_and(|subscription| subscription.trades())) {
                // The state is ahead of its lane now, and the trades that the lane still keeps are older.
                let lane = lanes.get_mut(lane);
                let (lost, start) = lane.trades_of(slot, connection.trades_after(id));
                for trade in &lane.trades[start..] {
                    let range = dispatch.store(|out| out.extend_from_slice(trade.record(connection.encoding)));
                    bytes += range.end - range.start;
                    updates.push(range);
                }
                if let Some((first, last)) = lost {
                    connection.outbox().lose(id, first, last);
                }
                lane.is_ahead(slot, instrument.seq.unwrap_or(0));
            }
            let start = updates.len();
            stats.updates_conflated += pending.encode(connection.encoding, instrument, dispatch, &mut scratch.records, &mut updates);
            bytes += updates[start..].iter().map(|record| record.end - record.start).sum::<u32>();
        }
        list(dispatch, slot, &mut updates);
        scratch.encoded[0] = updates;
        connection.tidy();
    }

    /// Lists a heartbeat if one is due.
    fn beat(&mut self, now: Moment, slot: u32) {
        let Some(connection) = self.roster.get(slot) else { return };
        let silent = !self.dispatch.is_listed(slot) && connection.last_written + connection.heartbeat() <= now;
        if !silent && !connection.heartbeat_due && connection.last_heartbeat + HEARTBEAT_WITHIN > now {
            return;
        }
        let position = self.position;
        if let Some(connection) = self.roster.get_mut(slot) {
            connection.pass_token(position.or(Some(0)));
        }
        let token = self.watermark(slot).map(|told| token::write(&self.epoch, told)).unwrap_or_default();
        self.dispatch.push_control(slot, Control::Heartbeat(v1::Heartbeat { token }));
        self.list_feeds(slot);
        if let Some(connection) = self.roster.get_mut(slot) {
            connection.heartbeat_due = false;
            connection.last_heartbeat = now;
        }
    }

    /// Lists the health of every feed.
    pub(super) fn list_feeds(&mut self, slot: u32) {
        list_feeds(&mut self.dispatch, slot, &mut self.feeds, self.position);
    }

    /// Up to where everything has been given to the client, or superseded, as far as is known without a look at each of its lanes: what
    /// the longest untold lane of its rates keeps for others holds it back too. `None`: the book is not complete, and a token would
    /// promise too much.
    ///
    /// Costs one visit per rate, and one per thing in its outbox.
    fn watermark(&mut self, slot: u32) -> Option<Told> {
        let connection = self.roster.get(slot).filter(|_| self.synced)?;
        let lanes = self.lanes.first_untold(connection.classes);
        let outbox = connection.outbox.as_deref().and_then(|outbox| outbox.first_seq());
        Some(match lanes.into_iter().chain(outbox).min().filter(|_| !planted(Fault::TokenAhead)) {
            Some(untold) => untold.checked_sub(1).min(self.position),
            None => self.position,
        })
    }

    /// Writes the list of a connection and settles how it stands.
    pub(super) fn write(&mut self, stamp: Stamp, slot: u32, sink: &mut dyn Sink) {
        self.dispatch.release(slot);
        let now = stamp.moment;
        let Some(connection) = self.roster.get_mut(slot) else { return };
        let key = connection.key;
        if self.dispatch.is_listed(slot) {
            let written = self.dispatch.write(stamp, slot, key, &mut connection.cseq, connection.credit.as_deref_mut(), sink);
            self.stats.frames_sent += written.frames;
            self.stats.frame_bytes += written.bytes;
            self.stats.records_sent += written.records;
            connection.last_written = now;
            if planted(Fault::NoHeartbeatUnderLoad) {
                connection.last_heartbeat = now;
            }
            if sink.commit(key) == Written::Blocked && connection.blocked.is_none() {
                connection.blocked = Some(now);
                connection.behind.get_or_insert(now);
                connection.well = None;
                self.stats.slow += 1;
            }
        }
        if let Some((code, text)) = connection.closing.take().map(|closing| *closing) {
            self.stats.closed += 1;
            sink.close(key, code, &text);
            self.forget(slot);
            return;
        }
        connection.tidy();
        let untold = connection.has_untold(self.synced);
        if connection.credit.as_deref_mut().is_some_and(|credit| credit.settle(now, untold)) {
            connection.behind.get_or_insert(now);
            connection.well = None;
        }
        if connection.blocked.is_none() && !untold {
            connection.behind = None;
            if connection.slow && !planted(Fault::NeverClearSlow) {
                connection.well.get_or_insert(now);
            }
        }
        self.dispatch.set_open(slot, connection.is_open());
        self.dispatch.set_room(slot, connection.room());
        if connection.has_work(self.synced) {
            self.dispatch.touch(slot);
        }
        // The usual case: the write has only moved the heartbeat back.
        if !connection.is_armed_for_heartbeat() {
            self.rearm(slot);
        }
    }

    /// Forgets a connection and all that it subscribed to.
    pub(super) fn forget(&mut self, slot: u32) {
        let Some(connection) = self.roster.remove(slot) else { return };
        self.stats.slow -= u64::from(connection.blocked.is_some());
        connection.credit.iter().for_each(|credit| self.stats.forget_credit(credit));
        self.dispatch.dismiss(slot);
        for subscription in &connection.subscriptions {
            self.leave_lane(subscription);
        }
        for want in &connection.patterns {
            self.patterns.remove(&want.pattern, slot);
        }
        self.stats.subscriptions -= connection.subscriptions.len() as u64;
    }
}

/// Lists the losses.
fn list_gaps(connection: &mut Connection, dispatch: &mut Dispatch, book: &Book, stats: &mut EngineStats, slot: u32) {
    // The new scales of an instrument may be another loss of it.
    while let Some((id, (first, last))) = connection.outbox.as_deref_mut().and_then(Outbox::next_gap) {
        if introduce(connection, dispatch, book, slot, id) {
            stats.gaps += 1;
            dispatch.push_control(slot, gap(id, first, last));
        }
    }
}

fn list(dispatch: &mut Dispatch, slot: u32, updates: &mut Vec<Record>) {
    for record in updates.drain(..) {
        dispatch.push(slot, Part::Update, record);
    }
}

fn slow_notice() -> Control {
    notice(v1::NoticeKind::Slow, "the link is slow: fewer records, each of them the newest")
}

/// Lists the health of every feed, and how far this node has come.
fn list_feeds(dispatch: &mut Dispatch, slot: u32, feeds: &mut [v1::FeedState], position: Option<u64>) {
    let encoding = dispatch.encoding(slot);
    for state in feeds {
        state.last_seq = position.unwrap_or(0);
        let record = dispatch.store(|out| encode_feed(encoding, state, out));
        dispatch.push(slot, Part::Feed, record);
    }
}

fn notice(kind: v1::NoticeKind, text: &str) -> Control {
    Control::Notice(v1::Notice { kind: kind as i32, text: text.into() })
}

/// Nothing written for so long, and everything reported: what was kept of frames under way is given back.
const RESTS_AFTER: Duration = Duration::from_millis(500);
/// Bytes of records that an outbox gives in one flush: what the socket does not take of them is kept outside, and grows old there.
const TURN_BYTES_MAX: u32 = 256 << 10;
/// The same while a client is behind: small enough that the last of them is still fresh when it
/// arrives, large enough to share a write.
const SLOW_BYTES_MAX: u32 = 8 << 10;
const _: () = assert!(EVENT_RECORDS_MAX > FRAME_RECORDS_MAX);
