//! Credit for clients that cannot report: the shell watches how far their frames get.

use alloc::boxed::Box;

use tickwire_proto::planted::{Fault, planted};
use tickwire_proto::time::Moment;

use super::Engine;
use super::credit::Credit;

impl Engine {
    /// Bounds what is under way to a client, unless it reports by itself. Returns false if credit is not to be had.
    pub(super) fn begin_watch(&mut self, now: Moment, slot: u32) -> bool {
        let Some(connection) = self.roster.get_mut(slot).filter(|connection| connection.credit.is_none()) else { return false };
        if self.config.credit_bytes_max == 0 {
            return false;
        }
        if planted(Fault::WatchWithoutBound) {
            return true;
        }
        let credit = Credit::watched(now, self.config.credit_bytes_max);
        self.stats.note_credit(&credit);
        connection.credit = Some(Box::new(credit));
        self.dispatch.set_room(slot, connection.room());
        true
    }

    /// Bounds nothing any more: what waited for room may leave, as to every other client whose way is not seen.
    pub(super) fn end_watch(&mut self, slot: u32) {
        let Some(connection) = self.roster.get_mut(slot) else { return };
        let Some(credit) = connection.credit.take_if(|credit| credit.is_watched() || planted(Fault::UnwatchReporter)) else { return };
        self.stats.forget_credit(&credit);
        if planted(Fault::WaitBeyondWatch) {
            return;
        }
        self.dispatch.set_room(slot, connection.room());
        if connection.has_work(self.synced) {
            self.dispatch.touch(slot);
        }
    }
}
