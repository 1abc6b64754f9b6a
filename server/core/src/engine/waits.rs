//! Which instruments' changes can wait: every lane of them has something to tell at the end of an interval, and tells the newest then.

use alloc::vec::Vec;

use crate::batch::InstrumentId;

/// A bit per instrument. Costs a bit more where one changes than where none does, so that whoever keeps a copy visits only what changed.
#[derive(Debug, Default)]
pub(super) struct Waits {
    /// Instrument 0, which does not exist, comes first.
    words: Vec<u64>,
    /// A bit per word: it has changed since the last [`Waits::take_changes`].
    changed: Vec<u64>,
}

impl Waits {
    /// Whether a change of this instrument can wait. Of one that was never named it cannot.
    pub(super) fn get(&self, id: InstrumentId) -> bool {
        let (word, bit) = place(id.0);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    pub(super) fn set(&mut self, id: InstrumentId, waits: bool) {
        let (word, bit) = place(id.0);
        if self.words.get(word).is_some_and(|word| word & bit != 0) == waits {
            return;
        }
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
            self.changed.resize(place(word as u32).0 + 1, 0);
        }
        self.words[word] ^= bit;
        let (summary, bit) = place(word as u32);
        self.changed[summary] |= bit;
    }

    /// Visits the words that have changed, with their numbers.
    pub(super) fn take_changes(&mut self, visit: &mut dyn FnMut(usize, u64)) {
        for (n, summary) in self.changed.iter_mut().enumerate() {
            while *summary != 0 {
                let word = n * 64 + summary.trailing_zeros() as usize;
                visit(word, self.words[word]);
                *summary &= *summary - 1;
            }
        }
    }
}

/// The word and the bit of the `n`th.
const fn place(n: u32) -> (usize, u64) {
    (n as usize / 64, 1 << (n % 64))
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_copy_that_takes_the_changes_is_the_same() {
        let (mut waits, mut copy, mut model) = (Waits::default(), BTreeMap::new(), BTreeMap::new());
        let mut random: u32 = 1;
        for step in 0..20_000 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (id, set) = (random >> 8 & 0x3fff, random >> 30 != 0);
            waits.set(InstrumentId(id), set);
            model.insert(id, set);
            if step % 100 == 0 {
                waits.take_changes(&mut |word, bits| {
                    copy.insert(word, bits);
                });
                for (id, set) in &model {
                    assert_eq!(waits.get(InstrumentId(*id)), *set);
                    let (word, bit) = place(*id);
                    assert_eq!(copy.get(&word).is_some_and(|bits| bits & bit != 0), *set);
                }
            }
        }
        waits.take_changes(&mut |_, _| ());
        waits.take_changes(&mut |word, _| panic!("word {word} has not changed"));
    }
}
