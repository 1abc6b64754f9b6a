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
            ErrorCode::TooManyConnections => (503, "Retry-After: 10\r\n"),
            ErrorCode::ServerFull | ErrorCode::ShuttingDown => (503, "Retry-After: 1\r\n"),
            ErrorCode::Internal => (500, ""),
            _ => (400, ""),
        };
        Self { status, code, text: text.into(), headers: headers.to_owned() }
    }

    /// The same with another status and header lines.
    pub(crate) fn with(self, status: u16, headers: &str) -> Self {
        Self { status, headers: headers.to_owned(), ..self }
    }

    /// The whole answer. The connection ends with it.
    pub(crate) fn response(&self) -> Vec<u8> {
        let body = serde_json::json!({"code": self.code.name(), "text": self.text}).to_string();
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
