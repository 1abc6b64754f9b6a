//! Times of lines.

use clap::ValueEnum;
use tickwire_proto::decimal::Decimal;

use super::line::Refusal;

/// What times are counted in since 1970 UTC, or written as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Unit {
    S,
    Ms,
    #[default]
    Us,
    Ns,
    /// Such as 2026-11-24T14:30:00.25Z.
    Rfc3339,
}

/// Microseconds since 1970 UTC; what is finer is cut.
pub(crate) fn parse(text: &str, unit: Unit) -> Result<u64, Refusal> {
    let refused = || Refusal::new("bad_time", format!("{:?} is no time in {}", shown(text), unit.name()));
    let places = match unit {
        Unit::S => 6,
        Unit::Ms => 3,
        Unit::Us => 0,
        Unit::Ns => -3,
        Unit::Rfc3339 => {
            let time: jiff::Timestamp = text.parse().map_err(|_| refused())?;
            return u64::try_from(time.as_microsecond()).map_err(|_| refused());
        }
    };
    let Decimal { mantissa, places: given } = Decimal::parse(text).map_err(|_| refused())?;
    let shift = places - i32::try_from(given).map_err(|_| refused())?;
    let power = 10_i128.checked_pow(shift.unsigned_abs()).ok_or_else(refused)?;
    let us = if shift >= 0 { i128::from(mantissa).checked_mul(power).ok_or_else(refused)? } else { i128::from(mantissa) / power };
    u64::try_from(us).map_err(|_| refused())
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::S => "seconds since 1970",
            Self::Ms => "milliseconds since 1970",
            Self::Us => "microseconds since 1970",
            Self::Ns => "nanoseconds since 1970",
            Self::Rfc3339 => "the form of RFC 3339",
        }
    }
}

/// The start of a foreign text.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).collect()
}

/// Characters of a foreign text in an error.
const SHOWN_CHARS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_every_unit_are_exact() {
        for (text, unit) in [
            ("1764000000.25", Unit::S),
            ("1764000000250", Unit::Ms),
            ("1764000000250000", Unit::Us),
            ("1764000000250000999", Unit::Ns),
            ("2025-11-24T16:00:00.25Z", Unit::Rfc3339),
            ("2025-11-24T11:00:00.25-05:00", Unit::Rfc3339),
        ] {
            assert_eq!(parse(text, unit), Ok(1_764_000_000_250_000), "{text}");
        }
        for (text, unit) in [("", Unit::S), ("-1", Unit::S), ("noon", Unit::Ms), ("2025-11-24", Unit::Rfc3339), ("9e40", Unit::S)] {
            assert_eq!(parse(text, unit).unwrap_err().code, "bad_time", "{text}");
        }
    }
}
