//! Answers to requests that become no session: `{"code":"…","text":"…"}` with a status, and whether to come back.

use tickwire_proto::v1::ErrorCode;

/// Why a request is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: ErrorCode,
    pub(crate) text: String,
    /// Further header lines, each with its line end.
    pub(crate) headers: String,
}

impl Refusal {
    /// A refusal with the status that goes with `code`.
    pub(crate) fn new(code: ErrorCode, text: impl Into<String>) -> Self {
        let (status, headers) = match code {
            ErrorCode::AuthRequired | ErrorCode::AuthInvalid | ErrorCode::AuthExpired => (401, "WWW-Authenticate: Bearer\r\n"),
            ErrorCode::OriginRefused | ErrorCode::NotEntitled => (403, ""),
            ErrorCode::TooManyConnections | ErrorCode::ServerFull | ErrorCode::ShuttingDown => (503, ""),
            ErrorCode::Internal => (500, ""),
            _ => (400, ""),
        };
        let retry_after = retry_after_s(code).map(|seconds| format!("Retry-After: {seconds}\r\n"));
        Self { status, code, text: text.into(), headers: retry_after.unwrap_or_else(|| headers.to_owned()) }
    }

    /// The same with another status and header lines.
    pub(crate) fn with(self, status: u16, headers: &str) -> Self {
        Self { status, headers: headers.to_owned(), ..self }
    }

    /// What the answer says, as JSON.
    pub(crate) fn body(&self) -> String {
        serde_json::json!({"code": self.code.name(), "text": self.text}).to_string()
    }

    /// The whole answer. The connection ends with it.
    pub(crate) fn response(&self) -> Vec<u8> {
        let body = self.body();
        let reason = http::StatusCode::from_u16(self.status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Refused");
        format!(
            "HTTP/1.1 {} {reason}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nCache-Control: no-store\r\nConnection: close\r\n{}\r\n{body}",
            self.status,
            body.len(),
            self.headers
        )
        .into_bytes()
    }
}

/// When to come back after a refusal, if that helps. Nodes that are full or leave send clients to another, which may be at once.
pub(crate) fn retry_after_s(code: ErrorCode) -> Option<u32> {
    match code {
        ErrorCode::TooManyConnections => Some(10),
        ErrorCode::ServerFull | ErrorCode::ShuttingDown => Some(1),
        _ => None,
    }
}
