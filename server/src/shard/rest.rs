//! When a shard sleeps, and which changes let it sleep on.
//!
//! A shard says both before it sleeps, then looks at its queue once more; who queues something looks at both behind it. With a full fence on
//! each side, either the shard sees what was queued or the other sees that it sleeps: nothing is left lying. A shard that is up needs no
//! waking, as it looks at its queue before it sleeps.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};

use tickwire_core::InstrumentId;

/// What a shard says of its sleep.
#[derive(Debug)]
pub(super) struct Rest {
    /// The shard looks at its queue before it sleeps again, or somebody is about to wake it.
    is_up: AtomicBool,
    /// A bit per instrument whose changes can wait ([`Engine::lets_wait`](tickwire_core::Engine::lets_wait)). Written by the shard.
    waits: Box<[AtomicU64]>,
}

impl Rest {
    /// Of a shard that is up, with nothing that can wait.
    pub(super) fn new() -> Self {
        Self { is_up: AtomicBool::new(true), waits: (0..WAITS_MAX / 64).map(|_| AtomicU64::new(0)).collect() }
    }

    /// The shard says which changes of 64 instruments can wait while it sleeps.
    pub(super) fn note_waits(&self, word: usize, bits: u64) {
        if let Some(waits) = self.waits.get(word) {
            waits.store(bits, Ordering::Relaxed);
        }
    }

    /// The shard is about to sleep. Returns whether it may: not if its queue has something.
    pub(super) fn lie_down(&self, queue_is_empty: impl FnOnce() -> bool) -> bool {
        self.is_up.store(false, Ordering::Relaxed);
        // Before it looks at the queue, everybody can see that it sleeps.
        fence(Ordering::SeqCst);
        let sleeps = queue_is_empty();
        if !sleeps {
            self.get_up();
        }
        sleeps
    }

    /// The shard is up.
    pub(super) fn get_up(&self) {
        self.is_up.store(true, Ordering::Relaxed);
    }

    /// Something was queued. Returns whether the caller has to wake the shard for it: not if it is up, if somebody else wakes it, or if
    /// this `can_wait` until it gets up by itself.
    pub(super) fn needs_wake(&self, can_wait: impl FnOnce(&Self) -> bool) -> bool {
        // Before it looks at the shard, what was queued can be seen by the shard.
        fence(Ordering::SeqCst);
        !self.is_up.load(Ordering::Relaxed) && !can_wait(self) && !self.is_up.swap(true, Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(super) fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Relaxed)
    }

    /// Whether a change of this instrument lets the shard sleep on.
    pub(super) fn lets_wait(&self, id: InstrumentId) -> bool {
        self.waits.get(id.0 as usize / 64).is_some_and(|waits| waits.load(Ordering::Relaxed) >> (id.0 % 64) & 1 != 0)
    }
}

/// Instruments whose changes can let a shard sleep, a bit each. Changes of more wake it.
const WAITS_MAX: u32 = 1 << 18;

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::*;

    /// A shard that sleeps for ever unless it is woken, or gets up by itself where it said that changes can wait.
    #[test]
    fn nothing_is_left_lying() {
        let (rest, queued, taken) = (Arc::new(Rest::new()), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let shard = std::thread::spawn({
            let (rest, queued, taken) = (rest.clone(), queued.clone(), taken.clone());
            move || {
                let mut turn = 0_u64;
                while taken.load(Ordering::Relaxed) < ROUNDS {
                    turn += 1;
                    let seen = queued.load(Ordering::Acquire);
                    taken.store(seen, Ordering::Release);
                    let can_wait = turn.is_multiple_of(3);
                    rest.note_waits(0, if can_wait { 1 << 7 } else { 0 });
                    if seen < ROUNDS && rest.lie_down(|| queued.load(Ordering::Acquire) == seen) {
                        if can_wait {
                            std::thread::yield_now()
                        } else {
                            std::thread::park()
                        }
                        rest.get_up();
                    }
                }
            }
        });
        for round in 1..=ROUNDS {
            queued.store(round, Ordering::Release);
            if rest.needs_wake(|rest| rest.lets_wait(InstrumentId(7))) {
                shard.thread().unpark();
            }
            let until = Instant::now() + WITHIN;
            while taken.load(Ordering::Acquire) < round {
                assert!(Instant::now() < until, "number {round} is left lying");
                std::hint::spin_loop();
                if round % 2 == 0 {
                    std::thread::yield_now();
                }
            }
        }
        shard.join().expect("the shard ends");
    }

    #[test]
    fn who_is_up_or_woken_needs_no_waking() {
        let rest = Rest::new();
        assert!(!rest.needs_wake(|_| false), "it is up");
        assert!(!rest.lie_down(|| false), "there is something in its queue");
        assert!(!rest.needs_wake(|_| false), "so it is up");
        assert!(rest.lie_down(|| true));
        assert!(!rest.needs_wake(|_| true), "this can wait");
        assert!(rest.needs_wake(|_| false));
        assert!(!rest.needs_wake(|_| false), "somebody wakes it already");
    }

    #[test]
    fn instruments_beyond_those_that_have_a_bit_wake() {
        let rest = Rest::new();
        for id in [1, 64, WAITS_MAX - 1, WAITS_MAX, u32::MAX] {
            assert!(!rest.lets_wait(InstrumentId(id)));
            rest.note_waits(id as usize / 64, 1 << (id % 64));
            assert_eq!(rest.lets_wait(InstrumentId(id)), id < WAITS_MAX);
        }
    }

    const ROUNDS: u64 = 5_000;
    /// Time for anything to happen, on a loaded machine.
    const WITHIN: Duration = Duration::from_secs(20);
}
