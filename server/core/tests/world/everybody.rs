//! Who may see what.

use tickwire_core::access::{Authority, Grant};
use tickwire_proto::Pattern;
use tickwire_proto::v1::ErrorCode;

/// Lets everybody see everything, until their token ends; some at leisure only.
pub(crate) struct Everybody;

impl Authority for Everybody {
    fn grant(&self, token: Option<&str>, _: u64) -> Result<Grant, ErrorCode> {
        let token = token.unwrap_or_default();
        if token.starts_with("late") {
            return Err(ErrorCode::AuthInvalid);
        }
        Ok(Grant {
            subject: "anybody".into(),
            patterns: vec![Pattern::parse("#").expect("a pattern")],
            expires_at_s: None,
            conflate_ms_min: if token.starts_with("leisure") { LEISURE_MS } else { 0 },
            subscriptions_max: None,
        })
    }
}

/// Fastest rate of those whose token grants leisure.
pub(crate) const LEISURE_MS: u32 = 400;
