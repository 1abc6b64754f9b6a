//! Who may see what.

use tickwire_core::access::{Authority, Grant};
use tickwire_proto::Pattern;
use tickwire_proto::v1::ErrorCode;

/// Lets everybody see everything, until their token ends.
pub(crate) struct Everybody;

impl Authority for Everybody {
    fn grant(&self, token: Option<&str>, _: u64) -> Result<Grant, ErrorCode> {
        if token.is_some_and(|token| token.starts_with("late")) {
            return Err(ErrorCode::AuthInvalid);
        }
        Ok(Grant {
            subject: "anybody".into(),
            patterns: vec![Pattern::parse("#").expect("a pattern")],
            expires_at_s: None,
            conflate_ms_min: 0,
            subscriptions_max: None,
        })
    }
}
