//! One subscriber that is given what must not be merged: straight into its list, or into its outbox.

use alloc::sync::Arc;

use tickwire_proto::planted::{Fault, planted};
use tickwire_proto::time::Moment;
use tickwire_proto::v1::{self, ErrorCode, server_frame::Control};
use tickwire_proto::wire::encode_info;

use super::book::Book;
use super::connection::{Connection, OVERFLOWS_MAX};
use super::dispatch::{Dispatch, Part, error};
use super::events::Event;
use super::lane::Lane;
use super::outbox::{Outbox, Overflow, Waiting};
use super::pending::Pending;
use super::{EngineConfig, end};
use crate::batch::InstrumentId;

/// A connection that does not simply take records: something older waits, or it is paused or blocked.
pub(super) struct Recipient<'a> {
    pub(super) slot: u32,
    pub(super) connection: &'a mut Connection,
    pub(super) dispatch: &'a mut Dispatch,
    pub(super) book: &'a Book,
    pub(super) config: &'a EngineConfig,
    pub(super) now: Moment,
}

impl Recipient<'_> {
    /// Gives an event, or keeps it in order until it can be given.
    pub(super) fn give_event(&mut self, event: &Arc<Event>) {
        if !self.connection.is_live() {
            return;
        }
        if !is_straight(self.connection, self.dispatch, self.slot) {
            if !planted(Fault::DropEvent) {
                self.wait(Waiting::Event(event.clone()));
            }
            return;
        }
        introduce(self.connection, self.dispatch, self.book, self.slot, event.instrument);
        let encoding = self.connection.encoding;
        let record = self.dispatch.store(|out| out.extend_from_slice(event.record(encoding)));
        self.dispatch.push(self.slot, Part::Update, record);
    }

    /// Gives the trades that a lane keeps for it.
    pub(super) fn give_trades(&mut self, lane: &Lane) {
        if !self.connection.is_live() {
            return;
        }
        let (lost, start) = lane.trades_of(self.slot, self.connection.trades_after(lane.instrument));
        if let Some((first, last)) = lost {
            self.connection.outbox().lose(lane.instrument, first, last);
            touch_if_ready(self.connection, self.dispatch, self.slot);
        }
        for trade in &lane.trades[start..] {
            self.give_event(trade);
        }
    }

    /// Queues what must not be merged. What does not fit becomes gaps, and images of the instruments concerned.
    pub(super) fn wait(&mut self, item: Waiting) {
        let Self { slot, connection, dispatch, book, config, now } = self;
        dispatch.set_open(*slot, false);
        let overflow = connection.outbox().wait(item, config.events_waiting_max);
        touch_if_ready(connection, dispatch, *slot);
        if overflow != Overflow::Events {
            return;
        }
        for (id, first) in connection.outbox().lost() {
            let (Some(instrument), Some(subscription)) = (book.get(id), connection.subscription(id)) else { continue };
            subscription.set_told(false);
            connection.outbox().mark(id, &Pending::replaced(instrument, first));
        }
        connection.feeds_due = true;
        connection.forget_overflows(*now);
        connection.rare().overflows.push(*now);
        if connection.rare().overflows.len() >= OVERFLOWS_MAX {
            let text = "events did not fit three times within a minute";
            end(connection, dispatch, *slot, ErrorCode::SlowConsumer, error(0, ErrorCode::SlowConsumer, text, None), text);
        }
    }
}

/// Whether events, infos and feeds may go straight into the list: nothing of their kind waits.
pub(super) fn is_straight(connection: &Connection, dispatch: &Dispatch, slot: u32) -> bool {
    let waits = connection.outbox.as_deref().is_some_and(Outbox::has_waiting) || connection.feeds_due;
    connection.is_live() && connection.blocked.is_none() && !waits && dispatch.has_room(slot, EVENT_RECORDS_MAX)
}

/// Lists the info of an instrument if the client does not have it yet; what waits of the instrument then follows it at its scales. Returns
/// whether the client subscribes to the instrument.
pub(super) fn introduce(connection: &mut Connection, dispatch: &mut Dispatch, book: &Book, slot: u32, id: InstrumentId) -> bool {
    let encoding = connection.encoding;
    let (Some(instrument), Some(subscription)) = (book.get(id), connection.subscription(id)) else { return false };
    if subscription.told() {
        return true;
    }
    subscription.set_told(true);
    if !planted(Fault::OmitInfo) {
        let record = dispatch.store(|out| encode_info(encoding, &instrument.info, out));
        dispatch.push(slot, Part::Info, record);
    }
    if let Some(outbox) = connection.outbox.as_deref_mut() {
        outbox.rescale(encoding, instrument);
    }
    true
}

/// Makes the next flush look at a connection that can be written to, or that begins to wait for credit.
pub(super) fn touch_if_ready(connection: &Connection, dispatch: &mut Dispatch, slot: u32) {
    if connection.has_work(true) || connection.begins_to_wait() {
        dispatch.touch(slot);
    }
}

/// The report of a loss: both ends are exclusive.
pub(super) fn gap(id: InstrumentId, first: u64, last: u64) -> Control {
    Control::Gap(v1::Gap { id: id.0, from: first.saturating_sub(1), to: last.saturating_add(1) })
}

/// Records in a connection's list that an event may be added to. More wait in its outbox.
pub(super) const EVENT_RECORDS_MAX: usize = 8_192;
