//! Exact decimal numbers: value = mantissa * 10^-scale. No number passes through a float on its way from a feed to a screen.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use thiserror::Error;

/// Decimal places, 0 to [`Scale::MAX`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scale(u8);

impl Scale {
    /// The most decimal places an instrument can have.
    pub const MAX: u32 = 12;

    /// Checks `places`.
    ///
    /// # Errors
    /// More than [`Scale::MAX`] places.
    pub const fn new(places: u32) -> Result<Self, DecimalError> {
        if places <= Self::MAX { Ok(Self(places as u8)) } else { Err(DecimalError::ScaleOutOfRange) }
    }

    /// Decimal places.
    pub const fn places(self) -> u32 {
        self.0 as u32
    }
}

/// A price: a mantissa with its scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Price {
    /// The number without its decimal point.
    pub mantissa: i64,
    /// Where the decimal point is.
    pub scale: Scale,
}

impl Price {
    /// `mantissa * 10^-scale`.
    pub const fn new(mantissa: i64, scale: Scale) -> Self {
        Self { mantissa, scale }
    }

    /// The nearest float, for charts and statistics; never for comparing or adding up.
    pub fn to_f64(self) -> f64 {
        // A short decimal text gives the nearest float, which a division by a power of ten does not always.
        self.to_string().parse().unwrap_or(f64::NAN)
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(24);
        push_decimal(&mut text, self.mantissa, self.scale);
        f.pad(&text)
    }
}

/// A decimal text as its digits say it: `187.420` has mantissa 187420 and 3 places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal {
    /// The number without its decimal point.
    pub mantissa: i64,
    /// Decimal places written, trailing zeros included.
    pub places: u32,
}

impl Decimal {
    /// Parses `-?digits[.digits][e[+-]digits]` exactly.
    ///
    /// # Errors
    /// Anything else (NaN, infinity, signs, blanks), and numbers whose digits do not fit; zeros at the end of the places that do not fit
    /// are left out.
    pub fn parse(text: &str) -> Result<Self, DecimalError> {
        let (number, exponent) = match text.split_once(['e', 'E']) {
            Some((number, exponent)) => (number, parse_exponent(exponent)?),
            None => (text, 0),
        };
        let (negative, digits) = match number.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, number),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let dangling = digits.contains('.') && fraction.is_empty();
        if whole.is_empty() || dangling || !(whole.bytes().chain(fraction.bytes())).all(|byte| byte.is_ascii_digit()) {
            return Err(DecimalError::NotANumber);
        }
        let mut mantissa = 0_i64;
        let mut places = 0;
        for (at, byte) in whole.bytes().chain(fraction.bytes()).enumerate() {
            let digit = i64::from(byte - b'0');
            let signed = if negative { -digit } else { digit };
            mantissa = match mantissa.checked_mul(10).and_then(|m| m.checked_add(signed)) {
                Some(longer) => longer,
                // A feed that writes 18 places for everything is not wrong: zeros at the end say nothing.
                None if at >= whole.len() && fraction[at - whole.len()..].bytes().all(|byte| byte == b'0') => break,
                None => return Err(DecimalError::OutOfRange),
            };
            places += i32::from(at >= whole.len());
        }
        let places = places - exponent;
        if places >= 0 {
            return Ok(Self { mantissa, places: places as u32 });
        }
        if mantissa == 0 {
            return Ok(Self { mantissa, places: 0 });
        }
        let mantissa = power_of_ten(places.unsigned_abs()).and_then(|power| mantissa.checked_mul(power)).ok_or(DecimalError::OutOfRange)?;
        Ok(Self { mantissa, places: 0 })
    }

    /// Places that carry a value: trailing zeros do not count.
    pub fn places_needed(self) -> u32 {
        let mut shorter = self;
        while shorter.places > 0 && shorter.mantissa % 10 == 0 {
            shorter = Self { mantissa: shorter.mantissa / 10, places: shorter.places - 1 };
        }
        shorter.places
    }

    /// The mantissa at `scale`.
    ///
    /// # Errors
    /// The number has more places than `scale`, or does not fit.
    pub fn at(self, scale: Scale) -> Result<i64, DecimalError> {
        let target = scale.places();
        if self.places <= target {
            return power_of_ten(target - self.places).and_then(|power| self.mantissa.checked_mul(power)).ok_or(DecimalError::OutOfRange);
        }
        if self.places_needed() > target {
            return Err(DecimalError::TooPrecise);
        }
        Ok(power_of_ten(self.places - target).map_or(0, |power| self.mantissa / power))
    }
}

/// Why a text or number is not a decimal of the wanted kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecimalError {
    /// Not of the form `-?digits[.digits][e[+-]digits]`.
    #[error("is not a decimal number")]
    NotANumber,
    /// Beyond 64 bits.
    #[error("does not fit into 64 bits")]
    OutOfRange,
    /// More decimal places than the instrument has.
    #[error("has more decimal places than the instrument")]
    TooPrecise,
    /// More than [`Scale::MAX`] places.
    #[error("scale is above {max}", max = Scale::MAX)]
    ScaleOutOfRange,
}

/// Appends `mantissa * 10^-scale` to `out`: all places of the scale, no exponent. No allocation beyond `out`.
pub fn push_decimal(out: &mut String, mantissa: i64, scale: Scale) {
    pieces(&mut itoa::Buffer::new(), mantissa, scale).iter().for_each(|piece| out.push_str(piece));
}

/// As [`push_decimal`], for buffers of bytes.
pub fn write_decimal(out: &mut Vec<u8>, mantissa: i64, scale: Scale) {
    pieces(&mut itoa::Buffer::new(), mantissa, scale).iter().for_each(|piece| out.extend_from_slice(piece.as_bytes()));
}

/// Sign, whole part, point, zeros after the point, and the digits after those.
fn pieces(digits: &mut itoa::Buffer, mantissa: i64, scale: Scale) -> [&str; 5] {
    let text: &str = digits.format(mantissa.unsigned_abs());
    let sign = if mantissa < 0 { "-" } else { "" };
    let places = scale.places() as usize;
    if places == 0 {
        return [sign, text, "", "", ""];
    }
    let (whole, fraction) = text.split_at(text.len().saturating_sub(places));
    [sign, if whole.is_empty() { "0" } else { whole }, ".", &ZEROS[..places - fraction.len()], fraction]
}

fn parse_exponent(text: &str) -> Result<i32, DecimalError> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(DecimalError::NotANumber);
    }
    let value: i32 = digits.parse().map_err(|_| DecimalError::OutOfRange)?;
    if value > EXPONENT_MAX {
        return Err(DecimalError::OutOfRange);
    }
    Ok(if text.starts_with('-') { -value } else { value })
}

fn power_of_ten(exponent: u32) -> Option<i64> {
    10_i64.checked_pow(exponent)
}

/// Largest exponent in a decimal text. A larger one is out of range anyway.
const EXPONENT_MAX: i32 = 64;
/// As many zeros as a scale can ask for.
const ZEROS: &str = "000000000000";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scale(places: u32) -> Scale {
        Scale::new(places).unwrap()
    }

    fn written(mantissa: i64, places: u32) -> String {
        Price::new(mantissa, scale(places)).to_string()
    }

    #[test]
    fn all_places_are_written() {
        assert_eq!(written(18_742, 2), "187.42");
        assert_eq!(written(18_700, 2), "187.00");
        assert_eq!(written(5, 2), "0.05");
        assert_eq!(written(-5, 2), "-0.05");
        assert_eq!(written(0, 12), "0.000000000000");
        assert_eq!(written(-1, 12), "-0.000000000001");
        assert_eq!(written(187, 0), "187");
        assert_eq!(written(i64::MIN, 12), "-9223372.036854775808");
    }

    #[test]
    fn a_price_can_be_padded() {
        assert_eq!(alloc::format!("{:>8}", Price::new(18_742, scale(2))), "  187.42");
    }

    #[test]
    fn digits_are_kept_as_written() {
        let parsed = |text: &str| Decimal::parse(text).map(|decimal| (decimal.mantissa, decimal.places));
        assert_eq!(parsed("187.420"), Ok((187_420, 3)));
        assert_eq!(parsed("-0.05"), Ok((-5, 2)));
        assert_eq!(parsed("-0"), Ok((0, 0)));
        assert_eq!(parsed("1e3"), Ok((1_000, 0)));
        assert_eq!(parsed("1.25e1"), Ok((125, 1)));
        assert_eq!(parsed("1E-8"), Ok((1, 8)));
        assert_eq!(parsed("-9223372036854775808"), Ok((i64::MIN, 0)));
    }

    #[test]
    fn everything_else_is_refused() {
        for text in
            ["", "-", ".", "1.", ".5", "+1", "1,5", "1_0", " 1", "1 ", "NaN", "inf", "0x1", "1e", "1e+", "1e5.0", "--1", "1.2.3", "１"]
        {
            assert_eq!(Decimal::parse(text), Err(DecimalError::NotANumber), "{text}");
        }
        for text in ["9223372036854775808", "-9223372036854775809", "1e19", "1e400", "1e99999999999", "1e-400", "1e-99999999999"] {
            assert_eq!(Decimal::parse(text), Err(DecimalError::OutOfRange), "{text}");
        }
    }

    #[test]
    fn a_value_is_never_rounded_to_a_scale() {
        let at = |text: &str, places| Decimal::parse(text).and_then(|decimal| decimal.at(scale(places)));
        assert_eq!(at("187.42", 4), Ok(1_874_200));
        assert_eq!(at("187.4200", 2), Ok(18_742));
        assert_eq!(at("187.425", 2), Err(DecimalError::TooPrecise));
        assert_eq!(at("0.000000000000000000000", 2), Ok(0));
        assert_eq!(at("-187.420000000000000000", 2), Ok(-18_742));
        assert_eq!(at("187.420000000000000000e-1", 3), Ok(18_742));
        assert_eq!(at("187.420000000000000001", 2), Err(DecimalError::OutOfRange));
        assert_eq!(at("100000000000000000000", 2), Err(DecimalError::OutOfRange));
        assert_eq!(at("0e-60", 2), Ok(0));
        assert_eq!(at("1e-60", 2), Err(DecimalError::TooPrecise));
        assert_eq!(at("92233720368547759", 2), Err(DecimalError::OutOfRange));
        assert_eq!(Scale::new(13), Err(DecimalError::ScaleOutOfRange));
    }

    #[test]
    fn a_zero_has_no_size() {
        assert_eq!(Decimal::parse("0e50"), Ok(Decimal { mantissa: 0, places: 0 }));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(mantissa: i64, places in 0..13_u32) {
            let decimal = Decimal::parse(&written(mantissa, places)).unwrap();
            prop_assert_eq!(decimal, Decimal { mantissa, places });
            prop_assert_eq!(decimal.at(scale(places)), Ok(mantissa));
            let needed = decimal.places_needed();
            prop_assert_eq!(decimal.at(scale(needed)).and_then(|shorter| Decimal { mantissa: shorter, places: needed }.at(scale(places))), Ok(mantissa));
        }

        #[test]
        fn text_and_bytes_are_the_same(mantissa: i64, places in 0..13_u32) {
            let mut bytes = Vec::new();
            write_decimal(&mut bytes, mantissa, scale(places));
            prop_assert_eq!(bytes, written(mantissa, places).into_bytes());
        }

        #[test]
        fn no_text_panics(text in "-?[0-9.eE+-]{0,40}", places in 0..13_u32) {
            let _ = Decimal::parse(&text).map(|decimal| (decimal.places_needed(), decimal.at(scale(places))));
        }
    }
}
