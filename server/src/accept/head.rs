//! Request heads: parsed under limits, each only once it is whole.

use thiserror::Error;

/// The head of one HTTP/1.x request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) method: String,
    /// Target up to `?`.
    pub(crate) path: String,
    /// Target behind `?`; empty without one.
    pub(crate) query: String,
    /// Whether it is HTTP/1.1, so that the answer may be chunked.
    pub(crate) is_1_1: bool,
    /// Its bytes, the empty line included.
    pub(crate) len: usize,
    /// Names in lower case.
    headers: Vec<(String, String)>,
}

impl Head {
    /// Parses the start of `bytes`; `None` while it is incomplete.
    ///
    /// # Errors
    /// Beyond a limit, or not a request.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Self>, HeadError> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut headers);
        let len = match request.parse(bytes) {
            Ok(httparse::Status::Complete(len)) if len <= HEAD_BYTES_MAX => len,
            Ok(httparse::Status::Partial) if bytes.len() < HEAD_BYTES_MAX => return Ok(None),
            Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(HeadError::TooLarge),
            Err(_) => return Err(HeadError::Malformed),
        };
        let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
            return Err(HeadError::Malformed);
        };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut owned = Vec::with_capacity(request.headers.len());
        for header in request.headers.iter() {
            let value = std::str::from_utf8(header.value).map_err(|_| HeadError::Malformed)?;
            owned.push((header.name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let head =
            Self { method: method.to_owned(), path: path.to_owned(), query: query.to_owned(), is_1_1: version == 1, len, headers: owned };
        // Two hosts, or none, are how requests are smuggled past a proxy.
        match head.all("host").count() {
            1 => Ok(Some(head)),
            0 if !head.is_1_1 => Ok(Some(head)),
            _ => Err(HeadError::Malformed),
        }
    }

    /// The head of a request of HTTP/2, whose limits its connection keeps.
    ///
    /// # Errors
    /// A header that is no text.
    pub(crate) fn of<B>(request: &http::Request<B>) -> Result<Self, HeadError> {
        let mut headers = Vec::with_capacity(request.headers().len() + 1);
        // What was `Host` is part of the address.
        headers.extend(request.uri().authority().map(|authority| ("host".to_owned(), authority.as_str().to_owned())));
        for (name, value) in request.headers() {
            let value = std::str::from_utf8(value.as_bytes()).map_err(|_| HeadError::Malformed)?;
            headers.push((name.as_str().to_owned(), value.trim().to_owned()));
        }
        let uri = request.uri();
        let (method, path, query) = (request.method().as_str(), uri.path(), uri.query().unwrap_or_default());
        Ok(Self { method: method.to_owned(), path: path.to_owned(), query: query.to_owned(), is_1_1: false, len: 0, headers })
    }

    /// The value of a header that may stand once. A second one makes it unusable, so that nobody has to guess which counts.
    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        let mut values = self.all(name);
        values.next().filter(|_| values.next().is_none())
    }

    /// Whether a header is there at all.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    /// The elements of a comma-separated header, over all its lines.
    pub(crate) fn list<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.all(name).flat_map(|value| value.split(',')).map(str::trim)
    }

    /// Whether a body follows.
    pub(crate) fn has_body(&self) -> bool {
        self.has("transfer-encoding") || self.has("content-length") && self.one("content-length") != Some("0")
    }

    fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

/// Why bytes are not the head of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum HeadError {
    #[error("request head is larger than {HEAD_BYTES_MAX} bytes or has more than {HEADERS_MAX} headers")]
    TooLarge,
    #[error("not an HTTP/1.x request")]
    Malformed,
}

/// Bytes of a request head. A larger one is refused (431).
pub(crate) const HEAD_BYTES_MAX: usize = 16 * 1_024;
/// Headers of a request. More are refused (431).
const HEADERS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &[u8] = b"GET /v1/sse?symbols=a HTTP/1.1\r\nHost: h\r\nX: 1\r\nx: 2, 3\r\n\r\nrest";

    #[test]
    fn is_whole_or_not_there() {
        let len = REQUEST.len() - 4;
        for end in 0..len {
            assert_eq!(Head::parse(&REQUEST[..end]), Ok(None), "at {end}");
        }
        let head = Head::parse(REQUEST).unwrap().unwrap();
        assert_eq!((head.path.as_str(), head.query.as_str(), head.len, head.is_1_1), ("/v1/sse", "symbols=a", len, true));
        assert_eq!((head.one("host"), head.one("x"), head.list("x").collect::<Vec<_>>()), (Some("h"), None, vec!["1", "2", "3"]));
    }

    #[test]
    fn limits_and_smugglers() {
        let with = |headers: &str| Head::parse(format!("GET / HTTP/1.1\r\n{headers}\r\n").as_bytes());
        assert_eq!(with(""), Err(HeadError::Malformed));
        assert_eq!(with("Host: a\r\nHost: b\r\n"), Err(HeadError::Malformed));
        assert_eq!(with(&format!("Host: a\r\nX: {}\r\n", "y".repeat(HEAD_BYTES_MAX))), Err(HeadError::TooLarge));
        assert_eq!(with(&format!("Host: a\r\n{}", "X: y\r\n".repeat(HEADERS_MAX))), Err(HeadError::TooLarge));
        assert_eq!(Head::parse(&[b'A'; HEAD_BYTES_MAX]), Err(HeadError::TooLarge));
        assert_eq!(Head::parse(b"\x16\x03\x01\x02\x00\x01"), Err(HeadError::Malformed));
        assert!(with("Host: a\r\nContent-Length: 0\r\n").unwrap().is_some_and(|head| !head.has_body()));
        assert!(with("Host: a\r\nContent-Length: 1\r\n").unwrap().is_some_and(|head| head.has_body()));
    }
}
