//! What an error code means: its number, its WebSocket close code, and what a client should do.

use crate::v1::ErrorCode;

pub use crate::v1::Retry;

impl ErrorCode {
    /// The close code of a WebSocket that ends for this reason: 4000 + 100 × first digit + last two digits.
    pub fn close_code(self) -> u16 {
        let number = self as i32 as u16;
        4_000 + 100 * (number / 1_000) + number % 100
    }

    /// The code that a WebSocket close code stands for.
    pub fn from_close_code(close: u16) -> Option<Self> {
        let rest = close.checked_sub(4_000)?;
        Self::try_from(i32::from(rest / 100) * 1_000 + i32::from(rest % 100)).ok().filter(|code| *code != Self::Unspecified)
    }

    /// What a client should do.
    pub fn retry(self) -> Retry {
        match self {
            Self::AuthExpired => Retry::WithNewToken,
            Self::HelloTimeout
            | Self::RateLimited
            | Self::TooManyConnections
            | Self::SlowConsumer
            | Self::ServerFull
            | Self::Gap
            | Self::ResumeExpired
            | Self::Internal
            | Self::ShuttingDown => Retry::Later,
            _ => Retry::Never,
        }
    }

    /// The name as the documentation spells it, such as `UNKNOWN_SYMBOL`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "UNSPECIFIED",
            _ => self.as_str_name(),
        }
    }
}
