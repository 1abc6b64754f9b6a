//! One deadline per connection, kept lazily: moving a deadline back costs nothing until the old one comes up.

use alloc::collections::BinaryHeap;
use core::cmp::Reverse;

use tickwire_proto::time::Moment;

/// Deadlines by slot.
#[derive(Debug, Default)]
pub(super) struct Timers {
    /// One valid entry per slot; entries that an earlier deadline replaced are passed over.
    heap: BinaryHeap<Reverse<(Moment, u32)>>,
}

impl Timers {
    /// Wakes `slot` at `at`, unless the entry it has (`armed`) comes up before.
    pub(super) fn arm(&mut self, slot: u32, armed: &mut Option<Moment>, at: Option<Moment>) {
        let Some(at) = at else { return };
        if armed.is_none_or(|armed| at < armed) {
            *armed = Some(at);
            self.heap.push(Reverse((at, slot)));
        }
    }

    /// The next entry that has come up. The caller compares it with what the slot is armed for.
    pub(super) fn pop(&mut self, now: Moment) -> Option<(Moment, u32)> {
        let Reverse((at, _)) = self.heap.peek()?;
        if *at > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }

    /// When the next entry comes up: never later than the true deadline.
    pub(super) fn deadline(&self) -> Option<Moment> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }
}
