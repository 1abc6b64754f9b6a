//! How fast commands may leave, so that a busy application is never refused for it.

use core::time::Duration;

use crate::time::Moment;
use crate::v1;

/// A leaky bucket in one number: the moment at which it is empty again.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    burst: u32,
    empty_at: Moment,
}

impl Pace {
    /// The documented limits of a server, until its Welcome says otherwise.
    pub(super) fn new() -> Self {
        Self { interval: interval_of(COMMANDS_PER_S), burst: burst_of(COMMANDS_BURST), empty_at: Moment::ZERO }
    }

    /// A new connection has a full allowance.
    pub(super) fn restart(&mut self) {
        self.empty_at = Moment::ZERO;
    }

    /// The server's own limits.
    pub(super) fn adopt(&mut self, limits: &v1::Limits) {
        if limits.commands_per_s > 0 && limits.commands_burst > 0 {
            self.interval = interval_of(limits.commands_per_s);
            self.burst = burst_of(limits.commands_burst);
        }
    }

    /// One command leaves.
    pub(super) fn spend(&mut self, now: Moment) {
        self.empty_at = self.empty_at.max(now) + self.interval;
    }

    /// Nothing may leave before `until`: the server said so.
    pub(super) fn hold(&mut self, until: Moment) {
        self.empty_at = self.empty_at.max(until + self.interval * self.burst.saturating_sub(1));
    }

    /// When the next command may leave. In the past: now.
    pub(super) fn free_at(&self) -> Moment {
        self.empty_at - self.interval * self.burst.saturating_sub(1)
    }
}

/// A quarter is left for pings and renewals, which never wait.
fn interval_of(per_s: u32) -> Duration {
    Duration::from_secs(1) * 4 / (3 * per_s.clamp(1, 1_000))
}

fn burst_of(burst: u32) -> u32 {
    (burst.clamp(1, 1_000) * 3 / 4).max(1)
}

/// Commands per second that servers allow unless they say otherwise.
const COMMANDS_PER_S: u32 = 10;
/// Commands at once that servers allow unless they say otherwise.
const COMMANDS_BURST: u32 = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_leaves_at_once_and_the_rest_in_step() {
        let mut pace = Pace::new();
        let now = Moment::from_millis(1_000);
        let sent = (0..100)
            .take_while(|_| {
                pace.free_at() <= now && {
                    pace.spend(now);
                    true
                }
            })
            .count();
        assert_eq!(sent, 30);
        assert_eq!(pace.free_at().since(now).as_millis(), 133);
        pace.hold(now + Duration::from_secs(5));
        assert_eq!(pace.free_at(), now + Duration::from_secs(5));
    }
}
