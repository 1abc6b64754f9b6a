//! Since which position lanes have news: what a resume token has to stay below, without a look at every lane of a connection.

use alloc::collections::VecDeque;

use super::RATE_CLASSES_MS;
use super::rate::{RateClass, RateClasses};

/// Lanes with news, by rate, longest untold first. An entry counts while its lane holds the ticket; a lane that speaks gives it back, and
/// its entry is dropped when it comes to the front.
#[derive(Debug, Default)]
pub(super) struct Untold {
    /// Each holds at most twice as many entries as there are lanes, and [`SPARE_ENTRIES`]. One more, and those that no longer count go.
    queues: [VecDeque<Entry>; RATE_CLASSES_MS.len()],
    /// The newest ticket. An old entry that meets its number again, after 2³² of them, holds tokens back until that lane speaks.
    ticket: u32,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Not above the first position of the lane's news, nor above that of any entry behind.
    seq: u64,
    lane: u32,
    ticket: u32,
}

impl Untold {
    /// Adds a lane with news since `seq`, and returns its ticket. `live`: how many lanes there are; `holds`: whether a lane still has a ticket.
    ///
    /// Costs one call of `holds` in the long run.
    pub(super) fn push(&mut self, class: RateClass, lane: u32, seq: u64, live: u64, mut holds: impl FnMut(u32, u32) -> bool) -> u32 {
        self.ticket = self.ticket.wrapping_add(1);
        let queue = &mut self.queues[class.index()];
        drop_spoken(queue, &mut holds);
        if queue.len() as u64 >= live.saturating_mul(2).saturating_add(SPARE_ENTRIES) {
            queue.retain(|entry| holds(entry.lane, entry.ticket));
        }
        // A log gives its positions in order; for other orders the front stays the lowest all the same.
        for entry in queue.iter_mut().rev().take_while(|entry| entry.seq > seq) {
            entry.seq = seq;
        }
        queue.push_back(Entry { seq, lane, ticket: self.ticket });
        self.ticket
    }

    /// The lowest position in these classes.
    pub(super) fn first(&mut self, classes: RateClasses, mut holds: impl FnMut(u32, u32) -> bool) -> Option<u64> {
        let queues = self.queues.iter_mut().enumerate().filter(|(index, _)| classes.has(*index));
        queues.filter_map(|(_, queue)| drop_spoken(queue, &mut holds)).min()
    }

    pub(super) fn clear(&mut self) {
        self.queues.iter_mut().for_each(VecDeque::clear);
    }
}

/// Drops what no longer counts from the front. Returns the position of what comes first then.
fn drop_spoken(queue: &mut VecDeque<Entry>, holds: &mut impl FnMut(u32, u32) -> bool) -> Option<u64> {
    while let Some(entry) = queue.front() {
        if holds(entry.lane, entry.ticket) {
            return Some(entry.seq);
        }
        queue.pop_front();
    }
    None
}

/// Entries of a class beyond twice the lanes, so that few lanes do not clear up all the time.
const SPARE_ENTRIES: u64 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_is_the_lowest_whatever_the_order() {
        let (mut untold, class) = (Untold::default(), RateClass::granted(100, 0));
        let mut classes = RateClasses::default();
        let tickets: [u32; 3] = [7, 9, 4].map(|seq| untold.push(class, seq as u32, seq, 3, |_, _| true));
        assert_eq!(untold.first(classes, |_, _| true), None, "another class");
        classes.add(class);
        assert_eq!(untold.first(classes, |_, _| true), Some(4));
        assert_eq!(untold.first(classes, |lane, ticket| (lane, ticket) == (9, tickets[1])), Some(4), "never above a lane behind");
        assert_eq!(untold.first(classes, |_, _| false), None);
    }

    #[test]
    fn lanes_that_spoke_take_no_room() {
        let (mut untold, class) = (Untold::default(), RateClass::granted(100, 0));
        let first = untold.push(class, 0, 0, 2, |_, _| true);
        let mut last = 0;
        for seq in 1..10_000 {
            // The first lane keeps its news, the other speaks at once, again and again.
            last = untold.push(class, 1, seq, 2, |lane, ticket| if lane == 0 { ticket == first } else { ticket == last });
            assert!(untold.queues[class.index()].len() as u64 <= 4 + SPARE_ENTRIES);
        }
    }
}
