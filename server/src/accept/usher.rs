//! What a request for a session gets: its place at a shard, or an answer.

use std::sync::Arc;

use tickwire_core::engine::Arrival;
use tickwire_proto::v1::ErrorCode;
use tickwire_proto::wire::Encoding;

use super::admission::Visitor;
use super::head::Head;
use super::reception::{Reception, bearer_of};
use super::refusal::Refusal;
use super::request::{StreamRequest, WebSocketRequest};
use super::{SSE_PATH, WS_PATH, origin};
use crate::shard::{TransportKind, sse_preface};

/// Looks at requests for sessions, of HTTP/1.1 and HTTP/2.
#[derive(Debug)]
pub(crate) struct Usher {
    origins: Vec<String>,
    reception: Arc<Reception>,
}

impl Usher {
    /// Lets pages of `origins` in, besides those of this host.
    pub(crate) fn new(origins: Vec<String>, reception: Arc<Reception>) -> Self {
        Self { origins, reception }
    }

    /// Where sessions begin.
    pub(crate) fn reception(&self) -> &Reception {
        &self.reception
    }

    /// What a request for a session gets.
    ///
    /// # Errors
    /// The refusal is the answer.
    pub(crate) fn invite(&self, head: &Head, visitor: &mut Visitor) -> Result<Invitation, Refusal> {
        let cors = origin::check(head, &self.origins)?;
        if head.path == SSE_PATH && head.method == "OPTIONS" && head.has("access-control-request-method") {
            return Ok(Invitation::preflight(&cors));
        }
        let (transport, encoding, request, preface) = if head.path == WS_PATH {
            let WebSocketRequest { encoding, response } = WebSocketRequest::parse(head)?;
            (TransportKind::WebSocket { text: encoding == Encoding::Json }, encoding, None, response)
        } else {
            let with_cors = |refusal: Refusal| Refusal { headers: format!("{}{cors}", refusal.headers), ..refusal };
            let StreamRequest { hello, subscribe } = StreamRequest::parse(head, self.reception.items_max()).map_err(with_cors)?;
            (TransportKind::Sse { chunked: head.is_1_1 }, Encoding::Json, Some((hello, subscribe)), sse_preface(head.is_1_1, &cors))
        };
        let token = bearer(head)?;
        // A WebSocket without a token in its head brings it in Hello; an event stream has no other chance.
        let grant = match (token, &request) {
            (None, None) => None,
            (token, _) => Some(self.reception.grant(token)?),
        };
        let arrival = self.reception.admit(visitor, encoding, grant, request)?;
        Ok(Invitation { transport, arrival: Some(arrival), preface })
    }
}

/// A session that may begin, or an answer that is all there is.
pub(crate) struct Invitation {
    pub(crate) transport: TransportKind,
    pub(crate) arrival: Option<Arrival>,
    /// What is said first, as HTTP/1.1 says it.
    pub(crate) preface: Vec<u8>,
}

impl Invitation {
    /// The answer to a browser that asks whether it may send headers of its own.
    fn preflight(cors: &str) -> Self {
        let preface = format!(
            "HTTP/1.1 204 No Content\r\n{cors}Access-Control-Allow-Methods: GET\r\nAccess-Control-Allow-Headers: authorization, last-event-id\r\nAccess-Control-Max-Age: 600\r\nConnection: close\r\n\r\n"
        );
        Self { transport: TransportKind::Sse { chunked: false }, arrival: None, preface: preface.into_bytes() }
    }
}

/// The bearer token of a request.
fn bearer(head: &Head) -> Result<Option<&str>, Refusal> {
    if !head.has("authorization") {
        return Ok(None);
    }
    let value = head.one("authorization").and_then(|value| bearer_of(value));
    value.map(Some).ok_or_else(|| Refusal::new(ErrorCode::AuthInvalid, "Authorization is not one bearer token"))
}
