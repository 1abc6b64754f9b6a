//! How far the frames of one connection have got, by the bytes that its socket has not got across, and when to look at it.
//!
//! For shells whose clients cannot report: they ask their kernel, and tell the engine ([`Engine::reached`](crate::Engine::reached)). A look
//! costs a fraction of a write. It is taken while much is under way, then until all of that has arrived: the engine may wait for the last
//! bytes. Little that is written by itself is looked for a second later, and who gets a heartbeat now and then is never looked at.

use alloc::collections::VecDeque;
use core::time::Duration;

use tickwire_proto::planted::{Fault, planted};
use tickwire_proto::time::Moment;

/// Where the frames of a watched connection end in what was written.
#[derive(Debug)]
pub struct Progress {
    /// Frames so far, and bytes with all that is around them.
    frames: u64,
    bytes: u64,
    /// Frames that may not have arrived, at most [`MARKS_MAX`] of them: in between, some share a mark.
    marks: VecDeque<Mark>,
    /// Bytes that had arrived when it was looked at last.
    arrived: u64,
    /// When something was written or looked at last.
    active_at: Moment,
    /// When something had arrived last, or was written while nothing was under way.
    moved_at: Moment,
    /// Much was under way, and not all of it has arrived.
    flows: bool,
    /// Which looks are planned.
    busy: bool,
    resting: bool,
}

/// How soon a connection is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Much is under way, or the rest of it.
    Busy,
    /// A little is, or nothing arrives any more.
    Resting,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    frame: u64,
    /// Bytes up to its end.
    end: u64,
}

impl Pace {
    /// The look is taken so long after it was planned.
    pub const fn wait(self) -> Duration {
        match self {
            Self::Busy => LOOK_EVERY,
            Self::Resting => REST_LOOK_AFTER,
        }
    }
}

impl Progress {
    /// `bytes` have been written before the first frame.
    pub fn new(now: Moment, bytes: usize) -> Self {
        let bytes = bytes as u64;
        let (marks, active_at, moved_at) = (VecDeque::new(), now, now);
        Self { frames: 0, bytes, marks, arrived: 0, active_at, moved_at, flows: false, busy: false, resting: false }
    }

    /// A frame of `bytes` is being written.
    pub fn frame(&mut self, now: Moment, bytes: usize) {
        self.frames += 1;
        self.bytes += bytes as u64;
        let unseen = self.marks.is_empty() && bytes < SHARE_BYTES && now.since(self.active_at) >= UNSEEN_AFTER;
        self.active_at = now;
        if unseen {
            self.arrived = self.bytes;
            return;
        }
        if self.marks.is_empty() {
            self.moved_at = now;
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
    pub fn plan(&mut self, now: Moment) -> Option<Pace> {
        if self.marks.is_empty() || self.busy {
            return None;
        }
        let flows = self.bytes - self.arrived >= SHARE_BYTES as u64;
        self.flows = flows || self.flows && !planted(Fault::LookLate);
        if self.flows && (now.since(self.moved_at) < STUCK_AFTER || planted(Fault::LookAtStuck)) {
            self.busy = true;
            return Some(Pace::Busy);
        }
        (!core::mem::replace(&mut self.resting, true)).then_some(Pace::Resting)
    }

    /// A planned look is due. Returns whether it is still of use.
    pub fn is_due(&mut self, pace: Pace) -> bool {
        match pace {
            Pace::Busy => self.busy = false,
            Pace::Resting => self.resting = false,
        }
        !self.busy && !self.marks.is_empty()
    }

    /// Of all that was written, `outstanding` bytes are not acknowledged. Returns the newest frame that has arrived, if there is a new one.
    pub fn look(&mut self, now: Moment, outstanding: u64) -> Option<u64> {
        let arrived = self.bytes.saturating_sub(if planted(Fault::BelieveWritten) { 0 } else { outstanding });
        let count = self.marks.partition_point(|mark| mark.end <= arrived);
        let newest = self.marks.drain(..count).next_back().map(|mark| mark.frame);
        if arrived > self.arrived {
            self.moved_at = now;
        }
        if self.marks.is_empty() {
            self.marks = VecDeque::new();
            self.flows = false;
        }
        (self.arrived, self.active_at) = (arrived, now);
        newest
    }
}

/// No two looks at a connection are closer.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// When little has been written, it is looked for after this.
const REST_LOOK_AFTER: Duration = Duration::from_secs(1);
/// Nothing has arrived for so long: looks become as rare as those for a little.
const STUCK_AFTER: Duration = Duration::from_secs(1);
/// Bytes whose arrival is worth a look: half of the smallest window of credit.
pub(crate) const SHARE_BYTES: usize = 2 << 10;
/// A smaller frame after such a silence is not followed. The engine does not wait for it either.
pub(crate) const UNSEEN_AFTER: Duration = Duration::from_secs(1);
/// Frames under way that are told apart.
const MARKS_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::from_millis(ms)
    }

    fn progress() -> Progress {
        Progress::new(at(0), 300)
    }

    #[test]
    fn frames_have_arrived_when_all_their_bytes_have() {
        let mut progress = progress();
        for _ in 0..4 {
            progress.frame(at(0), 1_000);
        }
        assert_eq!(progress.plan(at(0)), Some(Pace::Busy));
        assert_eq!(progress.plan(at(0)), None, "it is planned");
        assert!(progress.is_due(Pace::Busy));
        assert_eq!(progress.look(at(20), 4_000), None);
        assert_eq!(progress.plan(at(20)), Some(Pace::Busy));
        assert!(progress.is_due(Pace::Busy));
        assert_eq!(progress.look(at(40), 2_001), Some(1));
        assert_eq!(progress.look(at(40), 2_000), Some(2));
        assert_eq!(progress.plan(at(40)), Some(Pace::Busy));
        assert!(progress.is_due(Pace::Busy));
        assert_eq!(progress.look(at(60), 0), Some(4));
        assert_eq!(progress.plan(at(60)), None, "nothing is under way");
        assert_eq!(progress.marks.capacity(), 0);
    }

    #[test]
    fn the_rest_of_much_is_looked_for_as_soon() {
        let mut progress = progress();
        for _ in 0..4 {
            progress.frame(at(0), 1_000);
        }
        for (ms, outstanding, newest) in [(20, 1_900, Some(2)), (40, 900, Some(3)), (60, 20, None), (80, 0, Some(4))] {
            assert_eq!(progress.plan(at(ms - 20)), Some(Pace::Busy), "the engine may wait for the last bytes");
            assert!(progress.is_due(Pace::Busy));
            assert_eq!(progress.look(at(ms), outstanding), newest);
        }
        progress.frame(at(200), 200);
        assert_eq!(progress.plan(at(200)), Some(Pace::Resting), "a little by itself has time");
    }

    #[test]
    fn who_takes_nothing_any_more_is_looked_at_once_a_second() {
        let mut progress = progress();
        progress.look(at(0), 0);
        progress.frame(at(0), 10_000);
        for ms in (0..1_000).step_by(20) {
            assert_eq!(progress.plan(at(ms)), Some(Pace::Busy));
            assert!(progress.is_due(Pace::Busy));
            assert_eq!(progress.look(at(ms + 20), 10_000), None);
        }
        for s in 1..60 {
            assert_eq!(progress.plan(at(s * 1_000)), Some(Pace::Resting));
            assert!(progress.is_due(Pace::Resting));
            assert_eq!(progress.look(at(s * 1_000 + 1_000), 10_000), None);
        }
        assert_eq!(progress.plan(at(60_000)), Some(Pace::Resting));
        assert!(progress.is_due(Pace::Resting));
        assert_eq!(progress.look(at(61_000), 5_000), None);
        assert_eq!(progress.plan(at(61_000)), Some(Pace::Busy), "it goes on");
    }

    #[test]
    fn a_heartbeat_is_not_looked_for() {
        let mut progress = progress();
        for beat in 1..=100 {
            progress.frame(at(beat * 5_000), 200);
            assert_eq!((progress.plan(at(beat * 5_000)), progress.marks.capacity()), (None, 0));
        }
        progress.frame(at(500_100), 200);
        assert_eq!(progress.plan(at(500_100)), Some(Pace::Resting), "what follows soon is");
        progress.frame(at(500_200), 4_000);
        assert_eq!(progress.plan(at(500_200)), Some(Pace::Busy), "and much is looked for sooner");
        assert!(progress.is_due(Pace::Busy));
        assert_eq!(progress.look(at(500_220), 0), Some(102));
        progress.frame(at(500_300), 200);
        assert_eq!(progress.plan(at(500_300)), None, "the look that was planned at first is yet to come");
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
