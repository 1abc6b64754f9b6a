//! Rate classes: how often a lane may speak, and when.

use core::num::NonZeroU8;
use core::time::Duration;

use tickwire_proto::planted::{Fault, planted};
use tickwire_proto::time::Moment;

use super::RATE_CLASSES_MS;

/// One of the eight rates: its position in [`RATE_CLASSES_MS`], counted from 1, so that an optional one takes a byte as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct RateClass(NonZeroU8);

impl RateClass {
    /// The class of a request: rounded up, and never above the slowest.
    pub(super) fn granted(asked_ms: u32, min_ms: u32) -> Self {
        let wanted = asked_ms.max(min_ms);
        let index = RATE_CLASSES_MS.iter().position(|class| *class >= wanted).unwrap_or(RATE_CLASSES_MS.len() - 1);
        Self(NonZeroU8::MIN.saturating_add(index as u8))
    }

    pub(super) const fn index(self) -> usize {
        self.0.get() as usize - 1
    }

    pub(super) const fn millis(self) -> u32 {
        RATE_CLASSES_MS[self.index()]
    }

    /// When a lane that spoke last at `left` may speak again, if it has something to say from `now` on.
    ///
    /// After an interval of silence at once (leading edge), else at the interval's end (trailing edge). A busy lane drifts towards the beat
    /// that all lanes of its class share (the multiples of the interval), by at most a [`BEAT_DRIFT`]th of the interval each time and
    /// never early: so the records of many symbols come to leave in one write, which is where the cost is.
    pub(super) fn due(self, now: Moment, left: Option<Moment>) -> Moment {
        let interval = u64::from(self.millis()) * if planted(Fault::HalveInterval) { 500 } else { 1_000 };
        let left = left.or(planted(Fault::DelayLeadingEdge).then_some(now));
        let Some(left) = left.filter(|_| interval > 0) else { return now };
        let end = left.as_micros().saturating_add(interval);
        if end <= now.as_micros() {
            return now;
        }
        let beat = end.div_ceil(interval).saturating_mul(interval);
        Moment::from_micros(beat.min(end.saturating_add(interval / BEAT_DRIFT)))
    }

    /// The same for paced connections: a lane that has spoken since the last beat speaks on the next, so that all of a connection come
    /// together. Once a beat at most: a first change and the beat behind it may be closer than the interval.
    pub(super) fn due_paced(self, now: Moment, left: Option<Moment>) -> Moment {
        let left = left.or(planted(Fault::DelayLeadingEdge).then_some(now));
        if left.is_some_and(|left| left >= self.beat(now)) { self.next_beat(now) } else { now }
    }

    /// The newest multiple of the interval. Now, if there is no interval.
    pub(super) fn beat(self, now: Moment) -> Moment {
        let interval = u64::from(self.millis()) * 1_000;
        now.as_micros().checked_div(interval).map_or(now, |beats| Moment::from_micros(beats * interval))
    }

    /// The next multiple of the interval. Now, if there is no interval.
    pub(super) fn next_beat(self, now: Moment) -> Moment {
        let interval = u64::from(self.millis()) * 1_000;
        now.as_micros().checked_div(interval).map_or(now, |beats| Moment::from_micros((beats + 1).saturating_mul(interval)))
    }

    /// Whether a record that left this late still counts as having left in time.
    pub(super) fn forgives(self, late: Duration) -> bool {
        late <= Duration::from_millis(u64::from(self.millis())) / BEAT_DRIFT as u32
    }

    #[cfg(test)]
    fn interval(self) -> Duration {
        Duration::from_millis(u64::from(self.millis()))
    }
}

/// Some of the eight rates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RateClasses(u8);

impl RateClasses {
    pub(super) fn add(&mut self, class: RateClass) {
        self.0 |= 1 << class.index();
    }

    /// Whether the class with this position is among them.
    pub(super) const fn has(self, index: usize) -> bool {
        self.0 >> index & 1 != 0
    }
}

/// A busy lane is late by at most this part of its interval while it falls into step with the others, or because its flush came late.
const BEAT_DRIFT: u64 = 8;

/// At least one heartbeat in this time, also under load.
pub(super) const HEARTBEAT_WITHIN: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_rounded_up_and_clamped() {
        let granted = |asked, min| RateClass::granted(asked, min).millis();
        assert_eq!([granted(0, 0), granted(1, 0), granted(50, 0), granted(51, 0), granted(9_999, 0)], [0, 50, 50, 100, 5_000]);
        assert_eq!([granted(0, 200), granted(500, 200)], [250, 500]);
    }

    #[test]
    fn the_first_change_after_silence_leaves_at_once() {
        let class = RateClass::granted(100, 0);
        let now = Moment::from_millis(1_030);
        assert_eq!(class.due(now, None), now);
        assert_eq!(class.due(now, Some(Moment::from_millis(930))), now);
    }

    #[test]
    fn a_busy_lane_falls_into_step_and_is_never_early() {
        let class = RateClass::granted(100, 0);
        let mut left = Moment::from_millis(1_030);
        for _ in 0..8 {
            let next = class.due(left + Duration::from_millis(1), Some(left));
            assert!(next.since(left) >= class.interval(), "early: {left:?} to {next:?}");
            assert!(next.since(left) <= class.interval() * 9 / 8, "late: {left:?} to {next:?}");
            left = next;
        }
        assert_eq!(left.as_micros() % 100_000, 0);
    }
}
