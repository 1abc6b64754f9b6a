//! What can go wrong, and what to do about it.

use std::io;

use thiserror::Error;
use tickwire_proto::symbol::SymbolError;
use tickwire_proto::v1::{ErrorCode, Retry};

use crate::endpoint::UrlError;

/// Why a client could not be connected.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL is not one of a server.
    #[error("url {url:?} {source}")]
    Url {
        /// As given.
        url: String,
        /// What is wrong with it.
        source: UrlError,
    },
    /// A plain connection would carry token and data over the network in the clear.
    #[error("{url} is not encrypted and not on this machine: use wss:// or https://, or allow it with allow_insecure()")]
    Insecure {
        /// The server.
        url: String,
    },
    /// The root certificates given are not PEM certificates.
    #[error("root certificates cannot be used: {0}")]
    RootCertificates(String),
    /// The token callback gave no token.
    #[error("no token")]
    Token(#[source] TokenError),
    /// The server refused.
    #[error("refused by the server: {}{}", .code.name(), detail(.reason))]
    Refused {
        /// Why.
        code: ErrorCode,
        /// For people; may be empty.
        reason: String,
    },
    /// The server could not be reached, or the connection broke before its welcome.
    #[error("cannot connect to {url}")]
    Unreachable {
        /// The server.
        url: String,
        /// What happened.
        #[source]
        source: TransportError,
    },
    /// The client was closed while it was connecting.
    #[error("closed while connecting{}", detail(.reason))]
    Closed {
        /// For people; may be empty.
        reason: String,
    },
}

impl ConnectError {
    /// What the caller should do.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Refused { code, .. } => code.retry(),
            Self::Unreachable { .. } | Self::Token(_) => Retry::Later,
            Self::Url { .. } | Self::Insecure { .. } | Self::RootCertificates(_) | Self::Closed { .. } => Retry::Never,
        }
    }
}

/// Why a subscription was not made. What a server refuses later is told by [`Event::Refused`](crate::Event::Refused).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// An item is neither a symbol nor a pattern.
    #[error("symbol {symbol:?} {source}")]
    BadSymbol {
        /// As given.
        symbol: String,
        /// Which rule it breaks.
        source: SymbolError,
    },
    /// Nothing was asked for.
    #[error("no symbols given")]
    Empty,
    /// The client has been closed, by the user or by a fatal code.
    #[error("client is closed")]
    Closed,
}

impl SubscribeError {
    /// What the caller should do: the same request would fail again.
    pub fn retry(&self) -> Retry {
        Retry::Never
    }
}

/// What happened to a connection.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TransportError {
    /// Name lookup, TCP or TLS failed, or the connection broke.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Not done in time.
    #[error("{what} took longer than {seconds} s")]
    TimedOut {
        /// What was waited for.
        what: &'static str,
        /// How long.
        seconds: u64,
    },
    /// No root certificates are installed, so that no server can be trusted.
    #[error("no usable root certificates on this machine")]
    NoRootCertificates,
    /// The host is not a name that a certificate can be checked against.
    #[error("{0:?} is not a host name")]
    HostName(String),
    /// The server answered the request with another status.
    #[error("server answered HTTP {status}{}", detail(.text))]
    Status {
        /// The HTTP status.
        status: u16,
        /// What the body said; may be empty.
        text: String,
    },
    /// What answers is not a Tickwire server, or not of this version.
    #[error("not a tickwire server: {0}")]
    Protocol(&'static str),
    /// A WebSocket rule was broken.
    #[error("websocket: {0}")]
    WebSocket(String),
    /// A message or event above the limit of the builder.
    #[error("message is larger than {max} bytes")]
    TooLarge {
        /// The limit.
        max: usize,
    },
    /// The server closed with this code.
    #[error("closed by the server with {code}{}", detail(.reason))]
    Closed {
        /// WebSocket close code.
        code: u16,
        /// For people; may be empty.
        reason: String,
    },
    /// The stream ended without a word.
    #[error("connection ended")]
    Ended,
    /// The session gave the connection up, for instance because the server said nothing.
    #[error("given up{}", detail(.0))]
    GivenUp(String),
}

/// Why there is no token.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The callback failed.
    #[error("token callback failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The callback did not answer in time.
    #[error("token callback took longer than {seconds} s")]
    TimedOut {
        /// How long it was given.
        seconds: u64,
    },
}

/// `: text`, or nothing.
fn detail(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_read_as_sentences() {
        let refused = ConnectError::Refused { code: ErrorCode::AuthInvalid, reason: "bad signature".to_owned() };
        assert_eq!(refused.to_string(), "refused by the server: AUTH_INVALID: bad signature");
        assert_eq!(refused.retry(), Retry::Never);
        let url = ConnectError::Url { url: "x".to_owned(), source: UrlError::Scheme };
        assert_eq!(url.to_string(), "url \"x\" must start with ws://, wss://, http:// or https://");
        assert_eq!(TransportError::Status { status: 404, text: String::new() }.to_string(), "server answered HTTP 404");
    }
}
