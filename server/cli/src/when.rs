//! Places in time, as flags name them.

use std::str::FromStr;
use std::time::Duration;

use crate::simulate::parse_duration;

/// A place in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// Microseconds since 1970 UTC.
    At(u64),
    /// So long after the beginning.
    After(Duration),
}

impl When {
    /// In microseconds since 1970 UTC, if the beginning is at `start_us`.
    pub(crate) fn us(self, start_us: u64) -> u64 {
        match self {
            Self::At(us) => us,
            Self::After(after) => start_us.saturating_add(after.as_micros() as u64),
        }
    }
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(after) = text.strip_prefix('+') {
            return parse_duration(after).map(Self::After);
        }
        let time: jiff::Timestamp = text.parse().map_err(|_| "is neither a time such as 2026-11-24T14:30:00Z nor +30m".to_owned())?;
        u64::try_from(time.as_microsecond()).map(Self::At).map_err(|_| "is before 1970".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_absolute_or_counts_from_the_beginning() {
        assert_eq!("2026-01-05T14:30:00Z".parse(), Ok(When::At(1_767_623_400_000_000)));
        assert_eq!("+90s".parse::<When>().map(|when| when.us(7)), Ok(90_000_007));
        assert!("noon".parse::<When>().is_err() && "+x".parse::<When>().is_err() && "1969-01-01T00:00:00Z".parse::<When>().is_err());
    }
}
