//! Where connections are paced: instruments whose next first change is held for everyone until a beat, so that nobody needs to wake the
//! shard for it.

use alloc::vec::Vec;

use tickwire_proto::time::Moment;

use super::book::{Book, NO_LANE};
use super::lane::Lanes;
use super::pace::Pace;
use super::rate::RateClass;
use crate::batch::InstrumentId;

/// The instruments that were found to rest, and until when.
#[derive(Debug, Default)]
pub(super) struct Rests {
    ids: Vec<InstrumentId>,
    /// The first beat after which one of them may not rest any more.
    until: Moment,
    /// The instrument that was looked at last: with few visits, all get their turn.
    last: u32,
}

impl Rests {
    /// When the engine has to be looked at for those that rest.
    pub(super) fn deadline(&self) -> Option<Moment> {
        Some(self.until).filter(|_| !self.ids.is_empty())
    }

    /// Behind a beat, looks anew which instruments rest: all that hold one of their lanes either have a time for it, or everyone was told
    /// prices since its beat.
    ///
    /// Costs a visit for each that rested, and `visits` at most: one per instrument and one per subscriber.
    pub(super) fn renew(&mut self, now: Moment, mut visits: usize, lanes: &mut Lanes, book: &Book, pace: &Pace) {
        if now < self.until {
            return;
        }
        self.ids.drain(..).for_each(|id| lanes.waits.set(id, false));
        self.until = RateClass::granted(1, 0).next_beat(now);
        let mut earliest: Option<Moment> = None;
        let before = self.last;
        for instrument in book.behind(InstrumentId(before)).chain(book.behind(InstrumentId(0)).take(before as usize)) {
            if visits == 0 {
                break;
            }
            let id = instrument.id();
            self.last = id.0;
            let mut until = None;
            let rests = instrument.lanes().into_iter().filter(|lane| *lane != NO_LANE).all(|lane| {
                let lane = lanes.get(lane);
                visits = visits.saturating_sub(lane.subscribers.len());
                let beat = lane.rests_until(now, pace);
                until = [until, beat].into_iter().flatten().min();
                beat.is_some()
            });
            visits = visits.saturating_sub(1);
            if let Some(until) = until.filter(|_| rests) {
                lanes.waits.set(id, true);
                self.ids.push(id);
                earliest = Some(earliest.map_or(until, |earliest| earliest.min(until)));
            }
        }
        self.until = earliest.unwrap_or(self.until);
    }
}

/// Visits that a write of a flush is worth: a few percent of what it costs.
pub(super) const VISITS_PER_WRITE: usize = 32;
