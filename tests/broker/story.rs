//! What a client was told of the numbered events of one instrument, and whether something is missing in silence.

/// Sightings in the order in which they came, and the gaps that were told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Story {
    sightings: Vec<Sighting>,
    gaps: Vec<(u32, u64, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct Sighting {
    /// Which life of the log, by the client's count.
    log: u32,
    seq: u64,
    number: i64,
    is_image: bool,
}

impl Story {
    /// Event `number` came, as an event or within an image.
    ///
    /// # Errors
    /// It is older than one that came before, at a later position.
    pub(crate) fn see(&mut self, log: u32, seq: u64, number: i64, is_image: bool) -> Result<(), String> {
        let newest = self.sightings.iter().rev().find(|seen| !seen.is_image);
        // What is replayed after a reconnect is known by its position.
        if !is_image && newest.is_some_and(|newest| (newest.log, newest.seq) >= (log, seq)) {
            return Ok(());
        }
        let backward = newest.filter(|newest| !is_image && newest.number > number).copied();
        self.sightings.push(Sighting { log, seq, number, is_image });
        backward.map_or(Ok(()), |newest| Err(format!("event {number} at {seq} comes after {newest:?}")))
    }

    /// Events between two positions are lost, says the server.
    pub(crate) fn gap(&mut self, log: u32, from: u64, to: u64) {
        self.gaps.push((log, from, to));
    }

    /// Gaps that were told.
    pub(crate) fn gaps(&self) -> usize {
        self.gaps.len()
    }

    /// Events that were neither seen nor told as lost, since the first sighting. A new life of the log is told by its epoch, and what the
    /// old one had said no longer counts.
    pub(crate) fn silent_losses(&self) -> Vec<String> {
        let mut seen = self.sightings.clone();
        // An image stands for its own event, and only if that came in no other way.
        seen.sort_by_key(|sighting| (sighting.number, sighting.is_image));
        let holes = seen.windows(2).filter(|pair| pair[1].number > pair[0].number + 1 && pair[1].log == pair[0].log);
        let untold =
            holes.filter(|pair| !self.gaps.iter().any(|(log, from, to)| *log == pair[0].log && *from < pair[1].seq && *to > pair[0].seq));
        untold.map(|pair| format!("nothing was said of what came between {:?} and {:?}", pair[0], pair[1])).collect()
    }
}

#[test]
fn a_hole_is_a_fault_unless_it_was_told() {
    let mut story = Story::default();
    story.see(0, 5, 1, true).unwrap();
    story.see(0, 6, 2, false).unwrap();
    story.see(0, 6, 2, false).unwrap();
    story.see(0, 9, 5, false).unwrap();
    assert!(story.see(0, 10, 4, false).is_err());
    assert_eq!(story.silent_losses().len(), 1);
    story.gap(0, 6, 9);
    assert_eq!(story.silent_losses(), Vec::<String>::new());
    story.see(1, 1, 90, true).unwrap();
    assert_eq!(story.silent_losses(), Vec::<String>::new());
}
