//! Times as feeds write them.

use jiff::Timestamp;
use tickwire_proto::decimal::Decimal;

/// What times of a feed are counted in, since 1970 in UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum TimeUnit {
    Seconds,
    #[default]
    Milliseconds,
    Microseconds,
    Nanoseconds,
    /// A text such as `2026-11-24T16:00:00.123Z`.
    Rfc3339,
}

impl TimeUnit {
    /// Names in the configuration, in the order of the units.
    pub const NAMES: [&'static str; 5] = ["s", "ms", "us", "ns", "rfc3339"];

    /// The unit with this name.
    pub fn named(name: &str) -> Option<Self> {
        let units = [Self::Seconds, Self::Milliseconds, Self::Microseconds, Self::Nanoseconds, Self::Rfc3339];
        Self::NAMES.iter().position(|known| *known == name).map(|at| units[at])
    }

    /// Its name in the configuration.
    pub(super) fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// Microseconds since 1970. `None` if the text is no such time, or before 1970.
    pub(in super::super) fn microseconds(self, text: &str) -> Option<u64> {
        let exponent: i32 = match self {
            Self::Seconds => 6,
            Self::Milliseconds => 3,
            Self::Microseconds => 0,
            Self::Nanoseconds => -3,
            Self::Rfc3339 => {
                return u64::try_from(text.parse::<Timestamp>().ok()?.as_microsecond()).ok();
            }
        };
        let decimal = Decimal::parse(text).ok()?;
        let shift = exponent - i32::try_from(decimal.places).ok()?;
        let mantissa = u64::try_from(decimal.mantissa).ok()?;
        let power = 10_u64.checked_pow(shift.unsigned_abs())?;
        if shift >= 0 { mantissa.checked_mul(power) } else { Some(mantissa / power) }
    }
}
