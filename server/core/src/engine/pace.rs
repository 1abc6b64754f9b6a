//! Pacing: who was told prices since the last beat of a rate is told the next first change at its next beat, so that a connection gets one
//! write per beat, however many instruments it has. Who was silent is told at once.

use alloc::vec::Vec;

use tickwire_proto::time::Moment;

use super::RATE_CLASSES_MS;
use super::rate::RateClass;

/// When connections were told prices last, and who is held until when.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// By slot; [`Moment::ZERO`] for never. Empty if nobody is paced.
    told: Vec<Moment>,
    /// By rate.
    held: [Held; RATE_CLASSES_MS.len()],
}

/// Slots that are held until one beat, each once.
#[derive(Debug, Default)]
struct Held {
    slots: Vec<u32>,
    until: Moment,
}

impl Pace {
    /// `slot` belongs to a new connection.
    pub(super) fn admit(&mut self, slot: u32) {
        if self.told.len() <= slot as usize {
            self.told.resize(slot as usize + 1, Moment::ZERO);
        }
        self.told[slot as usize] = Moment::ZERO;
    }

    /// `slot` has been told prices.
    pub(super) fn note(&mut self, now: Moment, slot: u32) {
        if let Some(told) = self.told.get_mut(slot as usize) {
            // Not the moment that stands for never.
            *told = now.max(Moment::from_micros(1));
        }
    }

    /// Whether `slot` was told prices since a beat.
    pub(super) fn is_told(&self, slot: u32, beat: Moment) -> bool {
        self.told.get(slot as usize).is_some_and(|told| *told != Moment::ZERO && *told >= beat)
    }

    /// Holds `slot`, which is not held at this rate yet, until the next beat.
    pub(super) fn hold(&mut self, now: Moment, slot: u32, class: RateClass) {
        let held = &mut self.held[class.index()];
        if held.slots.is_empty() {
            held.until = class.next_beat(now);
        }
        held.slots.push(slot);
    }

    /// Takes those whose beat has come, or `all`, with the place of the rate that they were held at.
    pub(super) fn release(&mut self, now: Moment, all: bool, mut released: impl FnMut(u32, usize)) {
        for (class, held) in self.held.iter_mut().enumerate().filter(|(_, held)| all || held.until <= now) {
            held.slots.drain(..).for_each(|slot| released(slot, class));
        }
    }

    /// The next beat that somebody waits for.
    pub(super) fn deadline(&self) -> Option<Moment> {
        self.held.iter().filter(|held| !held.slots.is_empty()).map(|held| held.until).min()
    }
}
