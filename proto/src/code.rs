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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_codes_follow_the_rule_and_lead_back() {
        assert_eq!(ErrorCode::BadMessage.close_code(), 4_201);
        assert_eq!(ErrorCode::MessageTooLarge.close_code(), 4_203);
        assert_eq!(ErrorCode::HelloTimeout.close_code(), 4_206);
        assert_eq!(ErrorCode::ShuttingDown.close_code(), 4_502);
        let codes = (1..10_000).filter_map(|number| ErrorCode::try_from(number).ok());
        let mut count = 0;
        for code in codes {
            assert_eq!(ErrorCode::from_close_code(code.close_code()), Some(code));
            assert_eq!(ErrorCode::from_str_name(code.name()), Some(code));
            count += 1;
        }
        assert_eq!(count, 21);
    }

    #[test]
    fn other_close_codes_mean_nothing() {
        for close in [0, 1_000, 1_006, 3_999, 4_000, 4_100, 4_299, 4_600, u16::MAX] {
            assert_eq!(ErrorCode::from_close_code(close), None, "{close}");
        }
    }

    #[test]
    fn what_a_client_should_do_follows_from_the_code() {
        assert_eq!(ErrorCode::AuthExpired.retry(), Retry::WithNewToken);
        assert_eq!(ErrorCode::SlowConsumer.retry(), Retry::Later);
        assert_eq!(ErrorCode::BadMessage.retry(), Retry::Never);
        assert_eq!(ErrorCode::Unspecified.name(), "UNSPECIFIED");
    }
}
