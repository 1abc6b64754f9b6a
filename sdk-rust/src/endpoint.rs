//! Where a client connects to: the URL as the user wrote it, checked once.

use std::fmt;
use std::net::IpAddr;

use http::Uri;
use thiserror::Error;

/// A checked server address. Paths and schemes are derived from it by transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// TLS or plain.
    pub(crate) secure: bool,
    /// Name or address, without the brackets of IPv6.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// What stands before `/v1/…`: empty, or a path such as `/prices` behind a proxy.
    base: String,
}

impl Endpoint {
    /// Checks a `ws`, `wss`, `http` or `https` URL. `/v1/ws` and `/v1/sse` at its end are understood; a server root is fine too.
    pub(crate) fn parse(text: &str) -> Result<Self, UrlError> {
        let uri: Uri = text.parse().map_err(|_| UrlError::Malformed)?;
        let secure = match uri.scheme_str() {
            Some("ws" | "http") => false,
            Some("wss" | "https") => true,
            _ => return Err(UrlError::Scheme),
        };
        let authority = uri.authority().ok_or(UrlError::Malformed)?;
        if authority.as_str().contains('@') {
            return Err(UrlError::Credentials);
        }
        if uri.query().is_some() {
            return Err(UrlError::Query);
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(UrlError::Malformed);
        }
        // `Authority::port` takes a port that does not fit for none at all.
        let port = match authority.as_str().strip_prefix(authority.host()).and_then(|rest| rest.strip_prefix(':')) {
            Some(port) => port.parse().map_err(|_| UrlError::Malformed)?,
            None if secure => 443,
            None => 80,
        };
        let path = uri.path().trim_end_matches('/');
        let base = path.strip_suffix("/v1/ws").or_else(|| path.strip_suffix("/v1/sse")).unwrap_or(path);
        Ok(Self { secure, host: host.to_owned(), port, base: base.to_owned() })
    }

    /// Path of the WebSocket.
    pub(crate) fn ws_path(&self) -> String {
        format!("{}/v1/ws", self.base)
    }

    /// Path of the event stream, without its query.
    pub(crate) fn sse_path(&self) -> String {
        format!("{}/v1/sse", self.base)
    }

    /// Value of the `Host` header: the port only where it is not the scheme's own.
    pub(crate) fn host_header(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match (self.secure, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }

    /// Whether what is sent stays on this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => self.host.eq_ignore_ascii_case("localhost"),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", if self.secure { "https" } else { "http" }, self.host_header(), self.base)
    }
}

/// Why a text is not the URL of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UrlError {
    /// Not a URL with a host.
    #[error("is not a URL with a host, such as wss://ticks.example/v1/ws")]
    Malformed,
    /// Another scheme, or none.
    #[error("must start with ws://, wss://, http:// or https://")]
    Scheme,
    /// A user or password before the host.
    #[error("must not carry credentials: give a token instead")]
    Credentials,
    /// A query: what it would say is set on the builder.
    #[error("must not carry a query")]
    Query,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, expected: Result<&str, UrlError>) {
        let parsed = Endpoint::parse(url).map(|e| format!("{} {} {} {}", e, e.ws_path(), e.sse_path(), e.is_loopback()));
        assert_eq!(parsed.as_deref().map_err(|error| *error), expected, "{url}");
    }

    #[test]
    fn urls_of_every_spelling_name_the_same_paths() {
        check("http://127.0.0.1:7447", Ok("http://127.0.0.1:7447 /v1/ws /v1/sse true"));
        check("ws://localhost:7447/v1/ws", Ok("http://localhost:7447 /v1/ws /v1/sse true"));
        check("wss://ticks.example/v1/ws", Ok("https://ticks.example /v1/ws /v1/sse false"));
        check("https://ticks.example:8443/prices/", Ok("https://ticks.example:8443/prices /prices/v1/ws /prices/v1/sse false"));
        check("http://[::1]:7447/v1/sse", Ok("http://[::1]:7447 /v1/ws /v1/sse true"));
        check("http://10.0.0.1", Ok("http://10.0.0.1 /v1/ws /v1/sse false"));
        check("http://localhost.example:1", Ok("http://localhost.example:1 /v1/ws /v1/sse false"));
    }

    #[test]
    fn a_bad_url_says_what_is_wrong() {
        check("", Err(UrlError::Malformed));
        check("localhost:7447", Err(UrlError::Scheme));
        check("ftp://ticks.example", Err(UrlError::Scheme));
        check("/v1/ws", Err(UrlError::Scheme));
        check("https://user:secret@ticks.example", Err(UrlError::Credentials));
        check("https://ticks.example/v1/ws?token=secret", Err(UrlError::Query));
        check("https://ticks.example:99999", Err(UrlError::Malformed));
    }
}
