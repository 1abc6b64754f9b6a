//! How far the frames of one connection have got, by the bytes that its socket has not got across.

use std::collections::VecDeque;
use std::time::Duration;

use tickwire_proto::Moment;

use super::Way;

/// Where the frames of a watched connection end in what was written.
#[derive(Debug)]
pub(in crate::shard) struct Progress {
    pub(in crate::shard) way: Way,
    /// Frames so far, and bytes with all that is around them.
    frames: u64,
    bytes: u64,
    /// Frames that may not have arrived, at most [`MARKS_MAX`] of them: in between, some share a mark.
    marks: VecDeque<Mark>,
    /// Bytes when it was looked at last.
    looked: u64,
    /// When something was written or looked at last.
    active_at: Moment,
    /// Which looks are planned.
    busy: bool,
    resting: bool,
}

/// How soon a connection is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) enum Pace {
    /// Much is under way.
    Busy,
    /// A little is.
    Resting,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    frame: u64,
    /// Bytes up to its end.
    end: u64,
}

impl Progress {
    /// `bytes` have been written before the first frame.
    pub(in crate::shard) fn new(now: Moment, way: Way, bytes: usize) -> Self {
        Self { way, frames: 0, bytes: bytes as u64, marks: VecDeque::new(), looked: 0, active_at: now, busy: false, resting: false }
    }

    /// A frame of `bytes` is being written.
    pub(in crate::shard) fn frame(&mut self, now: Moment, bytes: usize) {
        self.frames += 1;
        self.bytes += bytes as u64;
        let unseen = self.marks.is_empty() && bytes < SHARE_BYTES && now.since(self.active_at) >= UNSEEN_AFTER;
        self.active_at = now;
        if unseen {
            self.looked = self.bytes;
            return;
        }
        if self.marks.len() >= MARKS_MAX {
            // Every second one goes: the next tells of its frame as well.
            let mut even = false;
            self.marks.retain(|_| {
                even = !even;
                !even
            });
        }
        self.marks.push_back(Mark { frame: self.frames, end: self.bytes });
    }

    /// The look to be planned after a write or a look, if it is not planned already.
    pub(in crate::shard) fn plan(&mut self) -> Option<Pace> {
        if self.marks.is_empty() || self.busy {
            return None;
        }
        if self.bytes - self.looked >= SHARE_BYTES as u64 {
            self.busy = true;
            return Some(Pace::Busy);
        }
        (!std::mem::replace(&mut self.resting, true)).then_some(Pace::Resting)
    }

    /// A planned look is due. Returns whether it is still of use.
    pub(in crate::shard) fn is_due(&mut self, pace: Pace) -> bool {
        match pace {
            Pace::Busy => self.busy = false,
            Pace::Resting => self.resting = false,
        }
        !self.busy && !self.marks.is_empty()
    }

    /// Of all that was written, `outstanding` bytes are not acknowledged. Returns the newest frame that has arrived, if there is a new one.
    pub(in crate::shard) fn look(&mut self, now: Moment, outstanding: u64) -> Option<u64> {
        let arrived = self.bytes.saturating_sub(outstanding);
        let count = self.marks.partition_point(|mark| mark.end <= arrived);
        let newest = self.marks.drain(..count).next_back().map(|mark| mark.frame);
        if self.marks.is_empty() {
            self.marks = VecDeque::new();
        }
        // What has not arrived counts as written since: it is looked for as soon.
        (self.looked, self.active_at) = (arrived, now);
        newest
    }
}

/// Bytes whose arrival is worth a look: half of the smallest window of credit.
const SHARE_BYTES: usize = 2 << 10;
/// A smaller frame after such a silence is not followed. The engine does not wait for it either.
const UNSEEN_AFTER: Duration = Duration::from_secs(1);
/// Frames under way that are told apart.
const MARKS_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::from_millis(ms)
    }

    fn progress() -> Progress {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        Progress::new(at(0), Way::new(address, address), 300)
    }

    #[test]
    fn frames_have_arrived_when_all_their_bytes_have() {
        let mut progress = progress();
        for _ in 0..4 {
            progress.frame(at(0), 1_000);
        }
        assert_eq!(progress.plan(), Some(Pace::Busy));
        assert_eq!(progress.plan(), None, "it is planned");
        assert!(progress.is_due(Pace::Busy));
        assert_eq!(progress.look(at(20), 4_000), None);
        assert_eq!(progress.plan(), Some(Pace::Busy));
        assert!(progress.is_due(Pace::Busy));
        assert_eq!(progress.look(at(40), 2_001), Some(1));
        assert_eq!(progress.look(at(40), 2_000), Some(2));
        assert_eq!(progress.plan(), Some(Pace::Resting));
        assert!(progress.is_due(Pace::Resting));
        assert_eq!(progress.look(at(1_040), 0), Some(4));
        assert_eq!(progress.plan(), None, "nothing is under way");
        assert_eq!(progress.marks.capacity(), 0);
    }

    #[test]
    fn a_heartbeat_is_not_looked_for() {
        let mut progress = progress();
        for beat in 1..=100 {
            progress.frame(at(beat * 5_000), 200);
            assert_eq!((progress.plan(), progress.marks.capacity()), (None, 0));
        }
        progress.frame(at(500_100), 200);
        assert_eq!(progress.plan(), Some(Pace::Resting), "what follows soon is");
        progress.frame(at(500_200), 4_000);
        assert_eq!(progress.plan(), Some(Pace::Busy), "and much is looked for sooner");
        assert!(progress.is_due(Pace::Busy));
        assert_eq!(progress.look(at(500_220), 0), Some(102));
        progress.frame(at(500_300), 200);
        assert_eq!(progress.plan(), None, "the look that was planned at first is yet to come");
        assert!(progress.is_due(Pace::Resting));
        assert_eq!(progress.look(at(501_100), 0), Some(103));
    }

    #[test]
    fn many_small_frames_share_marks_and_the_newest_is_told() {
        let mut progress = progress();
        for _ in 0..10_000 {
            progress.frame(at(0), 10);
            assert!(progress.marks.len() <= MARKS_MAX);
        }
        assert_eq!(progress.look(at(20), 0), Some(10_000));
    }
}
