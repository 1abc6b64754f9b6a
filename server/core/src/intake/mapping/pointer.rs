//! JSON pointers (RFC 6901), checked once.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;

use serde_json::Value;

/// A path into a JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pointer(String);

impl Pointer {
    /// Checks `text`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if !text.starts_with('/') {
            return Err(format!("{text:?} does not start with a slash"));
        }
        if text.len() > POINTER_BYTES_MAX {
            return Err(format!("is longer than {POINTER_BYTES_MAX} bytes"));
        }
        // `~0` and `~1` stand for `~` and `/`; another escape would silently find nothing.
        if text.split('~').skip(1).any(|rest| !rest.starts_with(['0', '1'])) {
            return Err(format!("{text:?} has a ~ that is neither ~0 nor ~1"));
        }
        Ok(Self(text.to_string()))
    }

    /// What is there, if anything.
    pub(super) fn find<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        value.pointer(&self.0)
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Bytes in a pointer of the configuration.
const POINTER_BYTES_MAX: usize = 256;
