//! The little of HTTP/1.1 that a client of two endpoints needs: one request, one response head, and what its body says of a refusal.

use std::time::Duration;

use tickwire_proto::v1::ErrorCode;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};

use super::Loss;
use super::body::{Body, Chunks};
use super::dial::Socket;
use crate::endpoint::Endpoint;
use crate::error::TransportError;

/// Writes a GET request.
pub(super) async fn get(socket: &mut Socket, endpoint: &Endpoint, target: &str, headers: &[(&str, &str)]) -> Result<(), TransportError> {
    let mut request = format!("GET {target} HTTP/1.1\r\nHost: {}\r\nUser-Agent: {}\r\n", endpoint.host_header(), crate::SDK);
    for (name, value) in headers {
        // A line break in a value would end the header, and begin another of somebody's choice.
        if value.contains(['\r', '\n', '\0']) {
            return Err(TransportError::Protocol("a token or resume token has a line break"));
        }
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    socket.write_all(request.as_bytes()).await?;
    socket.flush().await?;
    Ok(())
}

/// A response head.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
}

impl Head {
    /// Reads a head and not a byte more.
    pub(super) async fn read(socket: &mut Socket) -> Result<Self, TransportError> {
        let mut head = Vec::new();
        loop {
            let read = socket.fill_buf().await?;
            if read.is_empty() {
                return Err(TransportError::Ended);
            }
            let before = head.len();
            head.extend_from_slice(read);
            // The end may have begun in the bytes before.
            let from = before.saturating_sub(3);
            match head[from..].windows(4).position(|window| window == b"\r\n\r\n") {
                Some(position) => {
                    head.truncate(from + position + 4);
                    socket.consume(head.len() - before);
                    return Self::parse(&head);
                }
                None if head.len() > HEAD_BYTES_MAX => return Err(TransportError::Protocol("response head is too long")),
                None => socket.consume(head.len() - before),
            }
        }
    }

    fn parse(bytes: &[u8]) -> Result<Self, TransportError> {
        let mut slots = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut slots);
        match response.parse(bytes) {
            Ok(httparse::Status::Complete(_)) => {}
            _ => return Err(TransportError::Protocol("response is not HTTP/1.1")),
        }
        let headers = response.headers.iter().map(|header| (header.name.to_owned(), String::from_utf8_lossy(header.value).into_owned()));
        Ok(Self { status: response.code.unwrap_or(0), headers: headers.collect() })
    }

    /// The first header of this name, whatever its case.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// Whether a comma-separated header has this token.
    pub(super) fn has(&self, name: &str, token: &str) -> bool {
        self.get(name).is_some_and(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
    }

    /// How the body is written.
    pub(super) fn body(&self) -> Result<Body, TransportError> {
        if self.has("transfer-encoding", "chunked") {
            return Ok(Body::Chunked(Chunks::default()));
        }
        match self.get("content-length").map(str::parse) {
            Some(Ok(length)) => Ok(Body::Length(length)),
            Some(Err(_)) => Err(TransportError::Protocol("content-length is no number")),
            None => Ok(Body::UntilEnd),
        }
    }

    /// The refusal that this response is, with what its body says as far as it comes soon.
    pub(super) async fn refusal(&self, socket: &mut Socket) -> Loss {
        let body = match self.body() {
            Ok(body) => tokio::time::timeout(REFUSAL_WITHIN, read_body(socket, body)).await.unwrap_or_default(),
            Err(_) => Vec::new(),
        };
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let named = json["code"].as_str().and_then(ErrorCode::from_str_name).filter(|code| *code != ErrorCode::Unspecified);
        let text = json["text"].as_str().unwrap_or_default().to_owned();
        let retry_after = self.get("retry-after").and_then(|value| value.parse().ok()).map(Duration::from_secs);
        Loss {
            error: TransportError::Status { status: self.status, text },
            code: Some(named.map_or(self.status, ErrorCode::close_code)),
            retry_after: retry_after.map(|wait| wait.min(RETRY_AFTER_MAX)),
        }
    }
}

/// Reads a short body; a longer one is cut.
async fn read_body(socket: &mut Socket, mut body: Body) -> Vec<u8> {
    let mut out = Vec::new();
    while out.len() < REFUSAL_BYTES_MAX && !body.is_over() {
        let Ok(read) = socket.fill_buf().await else { break };
        if read.is_empty() {
            break;
        }
        let Ok(used) = body.take(read, &mut out) else { break };
        socket.consume(used);
    }
    out.truncate(REFUSAL_BYTES_MAX);
    out
}

/// Bytes of a response head. A longer one is refused.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Headers of a response. More are refused.
const HEADERS_MAX: usize = 64;
/// Bytes read of the body of a refusal, for its code and text. The rest is dropped with the connection.
const REFUSAL_BYTES_MAX: usize = 4 * 1024;
/// Time for that body. A later one counts as empty.
const REFUSAL_WITHIN: Duration = Duration::from_secs(2);
/// The longest wait that a server can impose. A longer one is cut.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_whatever_the_case() {
        let head = Head::parse(b"HTTP/1.1 200 OK\r\nTRANSFER-encoding: gzip, Chunked\r\nX: 1\r\n\r\n").unwrap();
        assert_eq!((head.status, head.get("x")), (200, Some("1")));
        assert!(matches!(head.body(), Ok(Body::Chunked(_))));
        assert!(Head::parse(b"SSH-2.0-OpenSSH\r\n\r\n").is_err());
    }
}
