//! Whether a client was lied to: told that a feed is LIVE, while the feed's own clock had not come for longer than a mute feed may look alive.

use std::time::Duration;

use tokio::time::Instant;

/// What one client was told, frame by frame.
#[derive(Clone, Debug, Default)]
pub(crate) struct Honesty {
    /// When the newest reading of the clock was published, milliseconds since 1970. `None`: it has not begun, or stands.
    clock_ms: Option<i64>,
    /// Since when the client has been told LIVE, without a pause in which it would have known that its connection is dead.
    live_since: Option<Instant>,
    frame_at: Option<Instant>,
    /// The longest lie.
    lied: Duration,
}

impl Honesty {
    /// The clock came, or the news that it stands from now on.
    pub(crate) fn clock(&mut self, published_ms: Option<i64>) {
        self.clock_ms = published_ms;
    }

    /// A frame was read to its end; `is_live` is what the client knows of the feed by then.
    pub(crate) fn frame(&mut self, now: Instant, now_ms: i64, is_live: bool) {
        let was_silent = self.frame_at.replace(now).is_some_and(|before| now - before > SILENCE_MAX);
        self.live_since = if is_live && !was_silent { self.live_since.or(Some(now)) } else { None };
        if let (Some(since), Some(clock_ms)) = (self.live_since, self.clock_ms) {
            let age = Duration::from_millis(u64::try_from(now_ms - clock_ms).unwrap_or_default());
            self.lied = self.lied.max(age.min(now - since));
        }
    }

    /// What was wrong, if anything was.
    pub(crate) fn fault(&self) -> Option<String> {
        (self.lied > LIE_MAX).then(|| format!("it was told LIVE while nothing had come for {:?}", self.lied))
    }
}

/// Two heartbeats of 500 ms and a half: then a client knows that it is told nothing.
const SILENCE_MAX: Duration = Duration::from_millis(1_500);
/// A mute feed is STALE 2 s after its last sign of life, by the rule of the tests. The rest is for a loaded machine.
const LIE_MAX: Duration = Duration::from_secs(8);

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames every second up to `seconds`, with the clock in the first ones.
    fn told(seconds: u64, clock_until: u64, is_live: impl Fn(u64) -> bool) -> Option<String> {
        let (start, mut honesty) = (Instant::now(), Honesty::default());
        for second in 0..=seconds {
            let now_ms = second as i64 * 1_000;
            if second <= clock_until {
                honesty.clock(Some(now_ms));
            }
            honesty.frame(start + Duration::from_secs(second), now_ms, is_live(second));
        }
        honesty.fault()
    }

    #[test]
    fn live_without_a_sign_of_life_is_a_lie() {
        assert_eq!(told(20, 20, |_| true), None);
        assert_eq!(told(20, 3, |second| second < 6), None, "it was told in time");
        assert!(told(20, 3, |_| true).unwrap().contains("17s"));
        assert!(told(20, 0, |second| second > 10).unwrap().contains("9s"), "LIVE again, with nothing new");
        let mut stands = Honesty::default();
        stands.clock(None);
        stands.frame(Instant::now(), 1_000_000, true);
        assert_eq!(stands.fault(), None);
    }

    #[test]
    fn whoever_hears_nothing_knows_better() {
        let (start, mut honesty) = (Instant::now(), Honesty::default());
        honesty.clock(Some(0));
        honesty.frame(start, 0, true);
        honesty.frame(start + Duration::from_secs(30), 30_000, true);
        assert_eq!(honesty.fault(), None);
    }
}
