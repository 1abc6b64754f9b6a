//! The counters of publishers: a number that is missing is a message that was lost before the log.

use alloc::string::{String, ToString};

use hashbrown::HashMap;

/// The newest number of every publisher that numbers its messages.
#[derive(Debug, Default)]
pub(super) struct Publishers {
    /// At most [`PUBLISHERS_MAX`].
    known: HashMap<String, Counter>,
}

/// Numbers of a publisher that did not come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hole {
    /// Name of the publisher, as it says itself: a foreign text.
    pub publisher: String,
    /// The newest number before the hole.
    pub after: u64,
    /// The number after it.
    pub before: u64,
    /// Holes of this publisher so far, with this one.
    pub count: u64,
}

#[derive(Debug)]
struct Counter {
    newest: u64,
    holes: u64,
}

impl Publishers {
    /// Notes the number of a message, and returns the hole before it.
    ///
    /// What was heard first is no hole: the log may begin anywhere. Nor is number 1, with which a publisher starts anew, nor a number that
    /// is not newer: it was published again.
    pub(super) fn note(&mut self, publisher: &str, number: u64) -> Option<Hole> {
        if number == 0 || publisher.is_empty() || publisher.len() > PUBLISHER_BYTES_MAX {
            return None;
        }
        let Some(counter) = self.known.get_mut(publisher) else {
            if self.known.len() < PUBLISHERS_MAX {
                self.known.insert(publisher.to_string(), Counter { newest: number, holes: 0 });
            }
            return None;
        };
        let after = counter.newest;
        if number == 1 || number > after {
            counter.newest = number;
        }
        if number <= after.saturating_add(1) {
            return None;
        }
        counter.holes += 1;
        Some(Hole { publisher: publisher.to_string(), after, before: number, count: counter.holes })
    }

    /// Another life of the log, or the same one from another place.
    pub(super) fn forget(&mut self) {
        self.known.clear();
    }
}

/// Publishers whose numbers are watched. Holes of a further one are not found, until the log is read anew.
const PUBLISHERS_MAX: usize = 1_024;
/// Bytes of a name. Numbers under a longer one are not watched.
const PUBLISHER_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn a_missing_number_is_a_hole_and_a_new_start_is_none() {
        let mut publishers = Publishers::default();
        let mut holes = |numbers: &[u64]| -> Vec<(u64, u64, u64)> {
            let holes = numbers.iter().filter_map(|number| publishers.note("p", *number));
            holes.map(|hole| (hole.after, hole.before, hole.count)).collect()
        };
        assert_eq!(holes(&[7, 8, 9]), [], "heard from the middle on");
        assert_eq!(holes(&[12, 13, 15]), [(9, 12, 1), (13, 15, 2)]);
        assert_eq!(holes(&[13, 14, 15, 16]), [], "published again");
        assert_eq!(holes(&[1, 2, 4]), [(2, 4, 3)], "started anew");
        assert_eq!(holes(&[u64::MAX, u64::MAX, 0]), [(4, u64::MAX, 4)]);
    }

    #[test]
    fn publishers_are_counted_apart_and_their_number_is_bounded() {
        let mut publishers = Publishers::default();
        for number in [1, 2] {
            assert!((0..2_000).all(|n| publishers.note(&format!("p{n}"), number).is_none()));
        }
        assert_eq!(publishers.known.len(), PUBLISHERS_MAX);
        assert!(publishers.note("p0", 4).is_some() && publishers.note("p1", 3).is_none());
        assert!(publishers.note("p1999", 9).is_none(), "one too many");
        let long = "p".repeat(PUBLISHER_BYTES_MAX + 1);
        assert!([1, 9].into_iter().all(|number| publishers.note("", number).is_none() && publishers.note(&long, number).is_none()));
    }
}
