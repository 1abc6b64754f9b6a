//! Reading JSON: from a parsed tree to messages, with the path of whatever is wrong.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_json::{Map, Value};

use super::JsonError;
use crate::decimal::{Decimal, Scale};

/// What values need to be read.
#[derive(Debug)]
pub(crate) struct Reader {
    /// Decimal places of prices and quantities; `None` = nothing is known of the instrument, so a decimal is an error.
    pub(crate) scales: Option<(Scale, Scale)>,
    /// Whether a name of an enum that is not in the schema is an error (feeds), or means unspecified (a newer server).
    pub(crate) strict: bool,
    /// Numbers of the fields that were `null`, as they go to `Update.clear`.
    pub(crate) clear: Vec<u32>,
}

impl Reader {
    /// Reads what another Tickwire wrote: unknown names are taken for unspecified.
    pub(crate) fn lenient(scales: Option<(Scale, Scale)>) -> Self {
        Self { scales, strict: false, clear: Vec::new() }
    }

    /// Reads what a feed wrote: unknown names are errors.
    pub(crate) fn strict(scales: Option<(Scale, Scale)>) -> Self {
        Self { scales, strict: true, clear: Vec::new() }
    }
}

impl JsonError {
    pub(crate) fn new(text: impl ToString) -> Self {
        Self { path: String::new(), text: text.to_string() }
    }

    /// The same, seen from the object that has it as member `name`.
    pub(crate) fn within(mut self, name: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        let shown: String = name.chars().take(NAME_CHARS_MAX).collect();
        self.path = alloc::format!("{shown}{dot}{}", self.path);
        self
    }

    /// The same, seen from the array that has it as element `index`.
    pub(crate) fn within_element(self, index: usize) -> Self {
        self.within(&alloc::format!("[{index}]"))
    }
}

/// Parses `bytes` as one JSON object. Of duplicate names the last wins.
///
/// # Errors
/// Not JSON, not an object, or nested deeper than [`DEPTH_MAX`].
pub(crate) fn parse_object(bytes: &[u8]) -> Result<Map<String, Value>, JsonError> {
    check_depth(bytes)?;
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(JsonError::new("is not an object")),
        Err(error) => Err(JsonError::new(error)),
    }
}

/// The members of an object.
pub(crate) fn object(value: &Value) -> Result<&Map<String, Value>, JsonError> {
    value.as_object().ok_or_else(|| JsonError::new("is not an object"))
}

/// The elements of an array.
pub(crate) fn array(value: &Value) -> Result<&[Value], JsonError> {
    value.as_array().map(Vec::as_slice).ok_or_else(|| JsonError::new("is not an array"))
}

/// The text of a string.
pub(crate) fn text(value: &Value) -> Result<&str, JsonError> {
    value.as_str().ok_or_else(|| JsonError::new("is not a string"))
}

/// A decimal in a string or number, exactly as its digits say it.
pub(crate) fn decimal(value: &Value) -> Result<Decimal, JsonError> {
    Decimal::parse(digits(value, "is not a decimal number")?).map_err(JsonError::new)
}

/// An integer in a string or number.
pub(crate) fn integer<T: core::str::FromStr>(value: &Value) -> Result<T, JsonError> {
    const WRONG: &str = "is not an integer";
    let text = digits(value, WRONG)?;
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    // FromStr would take a plus sign.
    if unsigned.is_empty() || !unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(JsonError::new(WRONG));
    }
    text.parse().map_err(|_| JsonError::new("is out of range"))
}

fn digits<'a>(value: &'a Value, wrong: &str) -> Result<&'a str, JsonError> {
    match value {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.as_str()),
        _ => Err(JsonError::new(wrong)),
    }
}

/// Looks at brackets outside strings only: what is not JSON at all is the parser's to refuse.
fn check_depth(bytes: &[u8]) -> Result<(), JsonError> {
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            return Err(JsonError::new("is nested too deeply"));
        }
    }
    Ok(())
}

/// Objects and arrays inside each other. The schema needs 6; what is deeper is refused before it is parsed.
const DEPTH_MAX: usize = 16;
/// Characters of a member's name in an error's path. The rest is cut off, since names of extras come from outside.
const NAME_CHARS_MAX: usize = 40;
