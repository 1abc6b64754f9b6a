//! Who may do what: the grant that a token gives, and the question the engine asks to get one.

use alloc::string::String;
use alloc::vec::Vec;

use tickwire_proto::{Pattern, v1::ErrorCode};

/// What a token allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Whose token it is, for logs and per-user limits.
    pub subject: String,
    /// Symbols that may be subscribed to.
    pub patterns: Vec<Pattern>,
    /// When it ends, seconds since 1970 UTC; `None` for anonymous access.
    pub expires_at_s: Option<u64>,
    /// Fastest rate, milliseconds. 0 = any.
    pub conflate_ms_min: u32,
    /// Instruments at once, if lower than the server's limit.
    pub subscriptions_max: Option<u32>,
}

/// Checks tokens. The shell implements it with JWTs, tests with a table.
pub trait Authority {
    /// The grant of `token`, or of an anonymous client if there is none.
    ///
    /// # Errors
    /// `AuthRequired`, `AuthInvalid` or `AuthExpired`.
    fn grant(&self, token: Option<&str>, unix_s: u64) -> Result<Grant, ErrorCode>;
}
