//! When the next of many things is due: as fast as they were, faster, at a rate, or as fast as they can leave.

use std::time::{Duration, Instant};

/// Says when things are due.
#[derive(Clone, Debug)]
pub(crate) enum Pace {
    /// At the distances that their times have, divided by the speed.
    AsWritten {
        speed: f64,
        /// When the first one left, and the time that it has.
        first: Option<(Instant, u64)>,
    },
    /// So many a second.
    Rate {
        per_s: f64,
        /// When the first one left, and how many have left since.
        first: Option<(Instant, u64)>,
    },
    /// At once.
    Max,
}

/// What `--speed` says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Speed {
    /// This many times as fast as it was.
    Times(f64),
    /// As fast as possible.
    Max,
}

impl Pace {
    /// As fast as `speed` says.
    pub(crate) fn of_speed(speed: Speed) -> Self {
        match speed {
            Speed::Times(speed) => Self::AsWritten { speed, first: None },
            Speed::Max => Self::Max,
        }
    }

    /// `per_s` a second.
    pub(crate) fn of_rate(per_s: f64) -> Self {
        Self::Rate { per_s, first: None }
    }

    /// When the next one is due, which has the time `time_us`. `None`: now. One without a time, or whose time goes back, does not wait.
    pub(crate) fn due(&mut self, now: Instant, time_us: Option<u64>) -> Option<Instant> {
        match self {
            Self::AsWritten { speed, first } => {
                let time_us = time_us?;
                let (start, start_us) = *first.get_or_insert((now, time_us));
                let after = time_us.saturating_sub(start_us) as f64 / 1e6 / *speed;
                Some(start + Duration::from_secs_f64(after.min(WAIT_S_MAX)))
            }
            Self::Rate { per_s, first } => {
                let (start, count) = first.get_or_insert((now, 0));
                let after = *count as f64 / *per_s;
                *count += 1;
                Some(*start + Duration::from_secs_f64(after.min(WAIT_S_MAX)))
            }
            Self::Max => None,
        }
        .filter(|due| *due > now)
    }
}

/// Reads `--speed`: `max`, or a factor such as `1x`, `10x` or `0.5x`.
///
/// # Errors
/// It is neither.
pub(crate) fn parse_speed(text: &str) -> Result<Speed, String> {
    if text == "max" {
        return Ok(Speed::Max);
    }
    let factor: f64 = text.strip_suffix('x').unwrap_or(text).parse().map_err(|_| "is neither max nor a factor such as 10x".to_owned())?;
    if (0.001..=1e6).contains(&factor) { Ok(Speed::Times(factor)) } else { Err("is not between 0.001x and 1000000x".to_owned()) }
}

/// Reads a rate: a number a second.
///
/// # Errors
/// It is none.
pub(crate) fn parse_rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "is not a number".to_owned())?;
    if (0.001..=1e8).contains(&rate) { Ok(rate) } else { Err("is not between 0.001 and 100000000 a second".to_owned()) }
}

/// The longest distance from the first thing to any other, seconds: a hundred years. What is said to come later comes then.
const WAIT_S_MAX: f64 = 3.2e9;

#[cfg(test)]
mod tests {
    use super::*;

    fn dues(mut pace: Pace, times_us: &[Option<u64>]) -> Vec<Option<u128>> {
        let start = Instant::now();
        times_us.iter().map(|time_us| pace.due(start, *time_us).map(|due| due.duration_since(start).as_millis())).collect()
    }

    #[test]
    fn keeps_distances_and_does_not_wait_for_what_goes_back() {
        let times = [Some(5_000_000), Some(5_100_000), None, Some(4_000_000), Some(6_000_000)];
        assert_eq!(dues(Pace::of_speed(Speed::Times(1.0)), &times), [None, Some(100), None, None, Some(1_000)]);
        assert_eq!(dues(Pace::of_speed(Speed::Times(10.0)), &times), [None, Some(10), None, None, Some(100)]);
        assert_eq!(dues(Pace::of_speed(Speed::Max), &times), [None; 5]);
        assert!(dues(Pace::of_speed(Speed::Times(0.001)), &[Some(0), Some(u64::MAX)])[1].is_some());
    }

    #[test]
    fn a_rate_counts_things_and_not_times() {
        assert_eq!(dues(Pace::of_rate(10.0), &[None, Some(9), None]), [None, Some(100), Some(200)]);
    }

    #[test]
    fn reads_its_flags() {
        assert_eq!(parse_speed("10x"), Ok(Speed::Times(10.0)));
        assert_eq!(parse_speed("0.5"), Ok(Speed::Times(0.5)));
        assert_eq!(parse_speed("max"), Ok(Speed::Max));
        assert!(parse_speed("0x").is_err() && parse_speed("-1x").is_err() && parse_speed("fast").is_err() && parse_speed("NaNx").is_err());
        assert!(parse_rate("5000").is_ok() && parse_rate("0").is_err() && parse_rate("inf").is_err());
    }
}
