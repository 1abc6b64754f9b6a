//! The bearer token and its renewal: asked for in time, bound to the request, late answers dropped.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::planted::{Fault, planted};
use crate::time::Moment;

/// Owns the token.
#[derive(Debug)]
pub(super) struct Tokens {
    token: Option<String>,
    /// Whether anybody answers when asked.
    refresh: bool,
    requests: u32,
    renewal: Renewal,
}

#[derive(Clone, Copy, Debug)]
enum Renewal {
    None,
    Due { at: Moment },
    Asked { request: u32, give_up_at: Moment },
}

impl Tokens {
    pub(super) fn new(token: Option<String>, refresh: bool) -> Self {
        Self { token, refresh, requests: 0, renewal: Renewal::None }
    }

    pub(super) fn current(&self) -> Option<&str> {
        self.token.as_deref()
    }

    pub(super) fn can_renew(&self) -> bool {
        self.refresh
    }

    /// Whether there is none yet, but one can be asked for.
    pub(super) fn is_missing(&self) -> bool {
        self.token.is_none() && self.refresh
    }

    /// Asks. Returns the request to name, or `None` if one is under way or nobody would answer.
    pub(super) fn ask(&mut self, now: Moment) -> Option<u32> {
        if !self.refresh || matches!(self.renewal, Renewal::Asked { .. }) {
            return None;
        }
        self.requests = self.requests.wrapping_add(1);
        self.renewal = Renewal::Asked { request: self.requests, give_up_at: now + ANSWER_WAIT };
        Some(self.requests)
    }

    /// Takes an answer. Returns whether it was the one waited for.
    pub(super) fn answer(&mut self, now: Moment, request: u32, token: Option<String>) -> bool {
        let is_awaited = matches!(self.renewal, Renewal::Asked { request: asked, .. } if asked == request);
        if !is_awaited && !planted(Fault::ClientTakesLateToken) {
            return false;
        }
        self.renewal = match token {
            Some(token) => {
                self.token = Some(token);
                Renewal::None
            }
            None => Renewal::Due { at: now + ASK_AGAIN },
        };
        true
    }

    /// The server's clock is known: plans the renewal at 80 % of the token's life, if its life can be read.
    pub(super) fn plan(&mut self, now: Moment, unix_us: u64) {
        if !self.refresh || !matches!(self.renewal, Renewal::None) {
            return;
        }
        let Some(life) = self.token.as_deref().and_then(life_of) else { return };
        let unix_s = unix_us / 1_000_000;
        let starts_s = life.issued_at_s.unwrap_or(unix_s).min(unix_s);
        let due_s = starts_s + life.expires_at_s.saturating_sub(starts_s) / 5 * 4;
        let wait = Duration::from_secs(due_s.saturating_sub(unix_s));
        // A callback that gives the same old token again must not be asked without a pause.
        let pause = if self.requests == 0 { Duration::ZERO } else { ASK_AGAIN };
        self.renewal = Renewal::Due { at: now + wait.max(pause) };
    }

    /// The server did not take the newest token.
    pub(super) fn refused(&mut self, now: Moment) {
        if self.refresh && !matches!(self.renewal, Renewal::Asked { .. }) {
            self.renewal = Renewal::Due { at: now + ASK_AGAIN };
        }
    }

    /// Takes back what waits: the session is over.
    pub(super) fn stop(&mut self) {
        self.renewal = Renewal::None;
    }

    /// What has to happen at `now`. An unanswered question is given up, and asked again in a while.
    pub(super) fn expire(&mut self, now: Moment) -> Option<u32> {
        match self.renewal {
            Renewal::Due { at } if now >= at => self.ask(now),
            Renewal::Asked { give_up_at, .. } if now >= give_up_at => {
                self.renewal = Renewal::Due { at: now + ASK_AGAIN };
                None
            }
            _ => None,
        }
    }

    pub(super) fn deadline(&self) -> Option<Moment> {
        match self.renewal {
            Renewal::None => None,
            Renewal::Due { at } => Some(at),
            Renewal::Asked { give_up_at, .. } => Some(give_up_at),
        }
    }
}

/// What a JSON Web Token says about its life. Nothing is verified: it only times the renewal.
struct Life {
    issued_at_s: Option<u64>,
    expires_at_s: u64,
}

fn life_of(token: &str) -> Option<Life> {
    let claims = token.split('.').nth(1)?;
    if claims.len() > CLAIMS_BYTES_MAX {
        return None;
    }
    let claims: serde_json::Value = serde_json::from_slice(&decode_base64url(claims)?).ok()?;
    Some(Life { issued_at_s: claims.get("iat").and_then(serde_json::Value::as_u64), expires_at_s: claims.get("exp")?.as_u64()? })
}

fn decode_base64url(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0_u32, 0);
    for letter in text.trim_end_matches('=').bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
}

/// Wait for an answer of the callback. Afterwards it counts as failed, and a late answer is dropped.
pub(super) const ANSWER_WAIT: Duration = Duration::from_secs(30);
/// Pause after a failed answer, before the callback is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(10);
/// Claims that are read. Longer ones are left to the server's TokenExpiring.
const CLAIMS_BYTES_MAX: usize = 16 * 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewal_is_due_at_four_fifths_of_the_life() {
        // {"iat":1000,"exp":2000}
        let mut tokens = Tokens::new(Some("x.eyJpYXQiOjEwMDAsImV4cCI6MjAwMH0.y".into()), true);
        tokens.plan(Moment::from_millis(5_000), 1_100_000_000);
        assert_eq!(tokens.deadline(), Some(Moment::from_millis(705_000)));
    }

    #[test]
    fn opaque_tokens_have_no_known_life() {
        for token in ["", "opaque", "a.b.c", "a.e30.c", "ä.ö.ü", "x.eyJleHAiOi0xfQ.y"] {
            let mut tokens = Tokens::new(Some(token.into()), true);
            tokens.plan(Moment::ZERO, 1_000_000);
            assert_eq!(tokens.deadline(), None, "{token}");
        }
    }
}
