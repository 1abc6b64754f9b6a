//! What time it is at the server, estimated from answers whose round trip is known.

use core::time::Duration;

use crate::time::Moment;

/// The estimate: the sample with the shortest round trip, since its error is at most half of that.
#[derive(Debug, Default)]
pub(super) struct ServerClock {
    best: Option<Sample>,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    /// Server time (1970 UTC) minus local time, microseconds.
    offset_us: i128,
    round_trip: Duration,
    taken_at: Moment,
}

impl ServerClock {
    /// Takes a sample: what was asked at `asked_at` was answered with `server_ts_us`, and is here `now`.
    pub(super) fn sample(&mut self, asked_at: Moment, now: Moment, server_ts_us: u64) {
        if server_ts_us == 0 {
            return;
        }
        let round_trip = now.since(asked_at);
        let middle = now - round_trip / 2;
        let sample = Sample { offset_us: i128::from(server_ts_us) - i128::from(middle.as_micros()), round_trip, taken_at: now };
        let keeps = self.best.is_some_and(|best| best.round_trip < round_trip && now.since(best.taken_at) < SAMPLE_LIFE);
        if !keeps {
            self.best = Some(sample);
        }
    }

    /// The clock of another node may differ: the next sample counts, whatever its round trip.
    pub(super) fn forget(&mut self) {
        self.best = None;
    }

    /// Server time at `now`, microseconds since 1970 UTC. `None` before the first sample.
    pub(super) fn unix_us(&self, now: Moment) -> Option<u64> {
        let sample = self.best?;
        u64::try_from(i128::from(now.as_micros()) + sample.offset_us).ok()
    }
}

/// A sample older than this yields to any newer one: quartz drifts by some 50 µs each second, 30 ms in this time.
const SAMPLE_LIFE: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortest_round_trip_wins_until_it_is_old() {
        let mut clock = ServerClock::default();
        clock.sample(Moment::from_millis(0), Moment::from_millis(100), 1_000_000_000);
        assert_eq!(clock.unix_us(Moment::from_millis(100)), Some(1_000_050_000));
        clock.sample(Moment::from_millis(200), Moment::from_millis(210), 1_000_155_000);
        assert_eq!(clock.unix_us(Moment::from_millis(210)), Some(1_000_160_000));
        clock.sample(Moment::from_millis(300), Moment::from_millis(400), 9_000_000_000);
        assert_eq!(clock.unix_us(Moment::from_millis(210)), Some(1_000_160_000), "a longer round trip does not count");
        clock.sample(Moment::from_millis(700_000), Moment::from_millis(700_100), 9_000_000_000);
        assert_eq!(clock.unix_us(Moment::from_millis(700_100)), Some(9_000_050_000));
    }
}
