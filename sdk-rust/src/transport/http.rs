//! The little of HTTP/1.1 that a client of two endpoints needs: one request, one response head, a body in any of its three forms.

use std::time::Duration;

use tickwire_proto::v1::ErrorCode;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};

use super::Loss;
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

/// Where in its body a response is.
#[derive(Debug)]
pub(super) enum Body {
    Chunked(Chunks),
    /// Bytes still to come.
    Length(u64),
    UntilEnd,
}

impl Body {
    /// Appends the content in `bytes` to `out`; returns how many bytes were used. All of them, unless the body ends before.
    pub(super) fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, TransportError> {
        match self {
            Self::Chunked(chunks) => chunks.take(bytes, out),
            Self::Length(left) => {
                let used = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                out.extend_from_slice(&bytes[..used]);
                *left -= used as u64;
                Ok(used)
            }
            Self::UntilEnd => {
                out.extend_from_slice(bytes);
                Ok(bytes.len())
            }
        }
    }

    /// Whether nothing more can come.
    pub(super) fn is_over(&self) -> bool {
        match self {
            Self::Chunked(chunks) => chunks.state == ChunkState::Over,
            Self::Length(left) => *left == 0,
            Self::UntilEnd => false,
        }
    }
}

/// The chunked transfer coding (RFC 9112, section 7.1), byte by byte.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    state: ChunkState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChunkState {
    /// In the hexadecimal size; `digits` read so far.
    Size {
        value: u64,
        digits: u8,
    },
    /// In an extension, which is skipped.
    Extension {
        value: u64,
        length: usize,
    },
    /// After the CR of the size line.
    SizeEnd {
        value: u64,
    },
    Data {
        left: u64,
    },
    DataCr,
    DataLf,
    /// In the trailer: bytes of this line, and of the whole.
    Trailer {
        line: usize,
        length: usize,
    },
    Over,
}

impl Default for ChunkState {
    fn default() -> Self {
        Self::Size { value: 0, digits: 0 }
    }
}

impl Chunks {
    fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, TransportError> {
        let mut at = 0;
        while at < bytes.len() && self.state != ChunkState::Over {
            if let ChunkState::Data { left } = self.state {
                let used = (bytes.len() - at).min(usize::try_from(left).unwrap_or(usize::MAX));
                out.extend_from_slice(&bytes[at..at + used]);
                at += used;
                let left = left - used as u64;
                self.state = if left == 0 { ChunkState::DataCr } else { ChunkState::Data { left } };
                continue;
            }
            self.state = self.state.step(bytes[at]).ok_or(TransportError::Protocol("chunked body is malformed"))?;
            at += 1;
        }
        Ok(at)
    }
}

impl ChunkState {
    /// The state after a byte outside the data; `None` if it may not stand here.
    fn step(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Size { value, digits }, _) if byte.is_ascii_hexdigit() => {
                let digit = u64::from((byte as char).to_digit(16)?);
                (digits < SIZE_DIGITS_MAX).then_some(Self::Size { value: value * 16 + digit, digits: digits + 1 })
            }
            (Self::Size { digits: 0, .. }, _) => None,
            (Self::Size { value, .. }, b'\r') => Some(Self::SizeEnd { value }),
            (Self::Size { value, .. }, b';' | b' ' | b'\t') => Some(Self::Extension { value, length: 1 }),
            (Self::Extension { value, .. }, b'\r') => Some(Self::SizeEnd { value }),
            (Self::Extension { .. }, b'\n') => None,
            (Self::Extension { value, length }, _) => {
                (length < EXTENSION_BYTES_MAX).then_some(Self::Extension { value, length: length + 1 })
            }
            (Self::SizeEnd { value: 0 }, b'\n') => Some(Self::Trailer { line: 0, length: 0 }),
            (Self::SizeEnd { value }, b'\n') => Some(Self::Data { left: value }),
            (Self::DataCr, b'\r') => Some(Self::DataLf),
            (Self::DataLf, b'\n') => Some(Self::default()),
            (Self::Trailer { line: 0, .. }, b'\n') => Some(Self::Over),
            (Self::Trailer { length, .. }, b'\n') => Some(Self::Trailer { line: 0, length }),
            (Self::Trailer { line, length }, b'\r') => Some(Self::Trailer { line, length }),
            (Self::Trailer { line, length }, _) => {
                (length < TRAILER_BYTES_MAX).then_some(Self::Trailer { line: line + 1, length: length + 1 })
            }
            _ => None,
        }
    }
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
/// Digits of a chunk size: more than any real one needs, few enough not to overflow.
const SIZE_DIGITS_MAX: u8 = 15;
/// Bytes of a chunk extension. A longer one is refused.
const EXTENSION_BYTES_MAX: usize = 256;
/// Bytes of all trailer lines. Longer ones are refused.
const TRAILER_BYTES_MAX: usize = 4 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `wire` in pieces of every size: the cuts must not matter.
    fn check(wire: &str, expected: Option<&str>) {
        for size in 1..=wire.len() {
            let (mut body, mut out) = (Body::Chunked(Chunks::default()), Vec::new());
            let fed = wire.as_bytes().chunks(size).try_for_each(|piece| body.take(piece, &mut out).map(|_| ()));
            let got = fed.is_ok().then(|| format!("{}{}", String::from_utf8_lossy(&out), if body.is_over() { "." } else { "" }));
            assert_eq!(got.as_deref(), expected, "{wire:?} in pieces of {size}");
        }
    }

    #[test]
    fn chunked_bodies_are_put_together() {
        check("3\r\nabc\r\n", Some("abc"));
        check("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", Some("abcde."));
        check("A;name=value\r\n0123456789\r\n0\r\nX-Trailer: 1\r\n\r\n", Some("0123456789."));
        check("0\r\n\r\nthe next response", Some("."));
        check("00003\r\nabc\r\n", Some("abc"));
    }

    #[test]
    fn malformed_chunks_are_refused() {
        check("\r\nabc", None);
        check("g\r\nabc", None);
        check("-1\r\nabc", None);
        check("3\nabc", None);
        check("3\r\nabcd", None);
        check("1000000000000000\r\n", None);
    }

    #[test]
    fn heads_are_read_whatever_the_case() {
        let head = Head::parse(b"HTTP/1.1 200 OK\r\nTRANSFER-encoding: gzip, Chunked\r\nX: 1\r\n\r\n").unwrap();
        assert_eq!((head.status, head.get("x")), (200, Some("1")));
        assert!(matches!(head.body(), Ok(Body::Chunked(_))));
        assert!(Head::parse(b"SSH-2.0-OpenSSH\r\n\r\n").is_err());
    }
}
