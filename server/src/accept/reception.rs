//! Who may begin a session, whatever it travels on: tokens, limits, names, and the way to a shard.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use tickwire_core::access::{Authority as _, Grant};
use tickwire_core::engine::Arrival;
use tickwire_proto::v1::{self, ErrorCode};
use tickwire_proto::wire::Encoding;
use tokio_util::sync::CancellationToken;

use super::admission::{Admission, Visitor};
use super::refusal::Refusal;
use crate::auth::{Gate, TOKEN_BYTES_MAX};
use crate::shard::{Newcomer, Shards};

/// What every way in needs to know.
#[derive(Debug)]
pub(crate) struct Reception {
    node: String,
    items_max: usize,
    gate: Gate,
    admission: Admission,
    shards: Shards,
    /// Cancelled when the node leaves: sessions are refused from then on.
    leaving: CancellationToken,
    /// Sessions so far, for their names.
    sessions: AtomicU64,
}

impl Reception {
    pub(crate) fn new(
        node: String,
        items_max: usize,
        gate: Gate,
        admission: Admission,
        shards: Shards,
        leaving: CancellationToken,
    ) -> Self {
        Self { node, items_max, gate, admission, shards, leaving, sessions: AtomicU64::new(0) }
    }

    /// Counts a connection, or a call that shares one.
    ///
    /// # Errors
    /// That address has as many as it may.
    pub(crate) fn visitor(&self, address: IpAddr) -> Result<Visitor, Refusal> {
        self.admission.visitor(address).map_err(|code| Refusal::new(code, "too many connections from this address"))
    }

    /// The grant of a token, or of nobody.
    ///
    /// # Errors
    /// The refusal says whether to get another token.
    pub(crate) fn grant(&self, token: Option<&str>) -> Result<Grant, Refusal> {
        authorize(&self.gate, token)
    }

    /// What the engine is told of a session that may begin.
    ///
    /// # Errors
    /// The node leaves, or is full.
    pub(crate) fn admit(
        &self,
        visitor: &mut Visitor,
        encoding: Encoding,
        grant: Option<Grant>,
        request: Option<(v1::Hello, v1::Subscribe)>,
    ) -> Result<Arrival, Refusal> {
        if self.leaving.is_cancelled() {
            return Err(Refusal::new(ErrorCode::ShuttingDown, "this node is leaving"));
        }
        visitor.begin_session().map_err(|code| Refusal::new(code, "this node is full"))?;
        let session = format!("{}-{}", self.node, self.sessions.fetch_add(1, Ordering::Relaxed) + 1);
        Ok(Arrival { encoding, grant, request, session })
    }

    /// Gives an admitted session to a shard.
    pub(crate) async fn hand_over(&self, newcomer: Newcomer) {
        let Newcomer { transport, arrival, .. } = &newcomer;
        let subject = arrival.grant.as_ref().map(|grant| grant.subject.as_str());
        tracing::debug!(session = %arrival.session, ?transport, subject, "a session begins");
        self.shards.attach(newcomer).await;
    }

    /// Items of one Subscribe.
    pub(crate) fn items_max(&self) -> usize {
        self.items_max
    }

    /// Cancelled when the node leaves.
    pub(crate) fn leaving(&self) -> &CancellationToken {
        &self.leaving
    }
}

/// The grant of a token, or of nobody.
///
/// # Errors
/// The refusal says whether to get another token.
pub(crate) fn authorize(gate: &Gate, token: Option<&str>) -> Result<Grant, Refusal> {
    let unix_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    gate.grant(token, unix_s).map_err(|code| {
        let text = match code {
            ErrorCode::AuthRequired => "a token is needed: Authorization: Bearer ...",
            ErrorCode::AuthExpired => "the token has expired",
            _ => "the token is not acceptable",
        };
        Refusal::new(code, text)
    })
}

/// The token of an `Authorization` header.
pub(crate) fn bearer_of(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && token.len() <= TOKEN_BYTES_MAX).then(|| token.trim())
}
