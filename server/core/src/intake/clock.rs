//! What time the log says it is: only as far as several messages agree on it, since the intake has no clock of its own.

/// The newest time that messages agree on, microseconds since 1970 UTC.
///
/// One message cannot move it by more than [`AHEAD_MAX_US`]; two in a row that agree can. So neither a poison stamp nor a weekend
/// without messages stops it for good.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LogClock {
    /// 0 = no message had a time yet.
    newest_us: u64,
    /// A leap that one message made and no second one has confirmed. 0 = none.
    leap_us: u64,
}

impl LogClock {
    /// Takes the time of a message: when it was published, or its oldest update happened. 0 = unknown.
    pub(super) fn observe(&mut self, ts_us: u64) {
        if ts_us == 0 {
            return;
        }
        if self.newest_us == 0 || is_near(ts_us, self.newest_us) {
            *self = Self { newest_us: self.newest_us.max(ts_us), leap_us: 0 };
        } else if self.leap_us != 0 && is_near(ts_us, self.leap_us) {
            *self = Self { newest_us: ts_us, leap_us: 0 };
        } else {
            self.leap_us = ts_us;
        }
    }

    /// Whether something can have happened at `ts_us`. What cannot is no version that guards anything.
    pub(super) fn reaches(&self, ts_us: u64) -> bool {
        ts_us <= self.newest_us.saturating_add(AHEAD_MAX_US)
    }
}

fn is_near(a: u64, b: u64) -> bool {
    a.abs_diff(b) <= AHEAD_MAX_US
}

/// How far clocks may differ (1 h). An update that claims to be further ahead of its message is refused; a version further ahead of the
/// log does not count, so that it cannot freeze its instrument.
pub(super) const AHEAD_MAX_US: u64 = 3_600_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000_000_000;

    #[test]
    fn one_poison_stamp_moves_nothing_and_two_that_agree_do() {
        let mut clock = LogClock::default();
        clock.observe(NOW);
        clock.observe(NOW + 10 * AHEAD_MAX_US);
        assert!(!clock.reaches(NOW + 10 * AHEAD_MAX_US));
        clock.observe(NOW + 1);
        clock.observe(NOW + 70 * AHEAD_MAX_US);
        clock.observe(NOW + 70 * AHEAD_MAX_US + 5);
        assert!(clock.reaches(NOW + 70 * AHEAD_MAX_US), "the market opens after a weekend");
    }

    #[test]
    fn a_poison_first_stamp_is_outvoted() {
        let mut clock = LogClock::default();
        clock.observe(NOW * 4);
        clock.observe(NOW);
        clock.observe(NOW + 1);
        assert!(clock.reaches(NOW) && !clock.reaches(NOW * 4));
    }
}
