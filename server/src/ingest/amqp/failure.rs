//! What went wrong at the broker, by what has to be done about it.

use std::fmt;
use std::io;

use thiserror::Error;
use tokio_rustls::rustls;

/// Why a connection ended.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// It is away, or not up yet. Try again soon.
    #[error("{0}")]
    Away(String),
    /// It refuses what we ask for. Somebody has to change something: try again slowly.
    #[error("{text}")]
    Refused {
        /// For programs and `/readyz`.
        code: &'static str,
        /// For people, as the broker said it.
        text: String,
    },
    /// It has no streams.
    #[error("{0}")]
    NoStreams(String),
    /// We ended it to go on from another place. Try again at once.
    #[error("goes on from another place of the log")]
    StartOver,
}

impl Failure {
    /// The same, with its place.
    pub(crate) fn at(self, place: impl fmt::Display) -> Self {
        match self {
            Self::Away(text) => Self::Away(format!("{place}: {text}")),
            Self::Refused { code, text } => Self::Refused { code, text: format!("{place}: {text}") },
            Self::NoStreams(text) => Self::NoStreams(format!("{place}: {text}")),
            Self::StartOver => Self::StartOver,
        }
    }

    /// What clients, and readers of `/readyz`, are told: the code, and nothing of the broker's texts, which name hosts and users.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Refused { code, .. } => format!("RabbitMQ refuses the feed: {code}"),
            Self::NoStreams(_) => "RabbitMQ refuses the feed: NO_STREAMS".to_owned(),
            Self::Away(_) | Self::StartOver => "RabbitMQ cannot be reached".to_owned(),
        }
    }

    /// What has to be done before another try can succeed; nothing, if the broker may come back by itself.
    pub(crate) fn advice(&self) -> Option<&'static str> {
        Some(match self {
            Self::Away(_) | Self::StartOver => return None,
            Self::NoStreams(_) => "switch the broker's feature flag stream_queue on, or set feed.amqp.mode to auto",
            Self::Refused { code: "TLS", .. } => "look at feed.amqp.tls, the host in feed.amqp.url and the broker's certificate",
            Self::Refused { code: "NO_STREAMS", .. } => "delete the queue of this name, or make it a stream",
            Self::Refused { text, .. } if text.contains("Login was refused") => "correct user and password in feed.amqp.url",
            Self::Refused { text, .. } if text.contains("access to vhost") => "give the user rights in the virtual host",
            Self::Refused { code: "403 ACCESS_REFUSED", .. } => {
                "give the user the rights to configure, write and read what begins with tickwire."
            }
            Self::Refused { code: "404 NOT_FOUND", .. } => "make what is missing, or set feed.amqp.topology to auto",
            Self::Refused { code: "406 PRECONDITION_FAILED", .. } => "delete what is there, or give feed.amqp the same settings",
            Self::Refused { .. } => "make the virtual host, or name another one in feed.amqp.url",
        })
    }

    /// The log is a queue of another type: its deliveries have no positions.
    pub(crate) fn no_stream() -> Self {
        Self::Refused { code: "NO_STREAMS", text: "deliveries have no x-stream-offset: the log is not a stream".to_owned() }
    }

    /// One end does not trust the other, or has nothing to be trusted by.
    pub(crate) fn mistrust(text: String) -> Self {
        Self::Refused { code: "TLS", text }
    }
}

impl From<lapin::Error> for Failure {
    fn from(error: lapin::Error) -> Self {
        let text = match error.kind() {
            // Its own words name the code already; lapin would put two names of it in front.
            lapin::ErrorKind::ProtocolError(protocol) if !protocol.get_message().as_str().is_empty() => protocol.get_message().to_string(),
            _ => error.to_string(),
        };
        match error.kind() {
            lapin::ErrorKind::ProtocolError(protocol) if lacks_streams(protocol.get_message().as_str()) => Self::NoStreams(text),
            lapin::ErrorKind::ProtocolError(protocol) if is_refusal(protocol.get_id(), protocol.get_message().as_str()) => {
                Self::Refused { code: code_of(protocol.get_id()), text }
            }
            lapin::ErrorKind::IOError(error) if is_mistrust(error) => Self::mistrust(text),
            _ => Self::Away(text),
        }
    }
}

/// Whether a reply says that the operator has to act. What a broker says while it starts is none: a stream's leader comes up to a second
/// after the port, and meanwhile the stream is "not found" because its "home node" is down.
fn is_refusal(code: u16, text: &str) -> bool {
    match code {
        ACCESS_REFUSED | NOT_ALLOWED => true,
        NOT_FOUND => !text.contains("home node") && !text.contains("inaccessible") && !text.contains("process"),
        PRECONDITION_FAILED => text.contains("inequivalent") || text.contains("invalid"),
        _ => false,
    }
}

/// Whether a reply says that the broker does not know streams: RabbitMQ 3.9 and later with the feature switched off, or an older one.
fn lacks_streams(text: &str) -> bool {
    (text.contains("rabbit_stream_queue") && text.contains("feature flag")) || text.contains("invalid arg 'x-queue-type'")
}

/// AMQP's names of the replies that are refusals.
fn code_of(reply: u16) -> &'static str {
    match reply {
        ACCESS_REFUSED => "403 ACCESS_REFUSED",
        NOT_FOUND => "404 NOT_FOUND",
        PRECONDITION_FAILED => "406 PRECONDITION_FAILED",
        _ => "530 NOT_ALLOWED",
    }
}

/// Whether one end does not trust the other's certificate.
fn is_mistrust(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|cause| cause.is::<rustls::Error>())
}

const ACCESS_REFUSED: u16 = 403;
pub(crate) const NOT_FOUND: u16 = 404;
const PRECONDITION_FAILED: u16 = 406;
const NOT_ALLOWED: u16 = 530;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_passes_from_what_needs_somebody() {
        assert!(is_refusal(403, "ACCESS_REFUSED - Login was refused"));
        assert!(is_refusal(530, "NOT_ALLOWED - vhost prices not found"));
        assert!(is_refusal(404, "NOT_FOUND - no queue 'tickwire.feed.log' in vhost '/'"));
        assert!(is_refusal(406, "PRECONDITION_FAILED - inequivalent arg 'x-max-age' for queue"));
        assert!(!is_refusal(404, "NOT_FOUND - home node 'rabbit@a' of durable queue 'x' in vhost '/' is down or inaccessible"));
        assert!(!is_refusal(405, "RESOURCE_LOCKED - ..."));
        assert!(!is_refusal(406, "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out"));
        assert!(!is_refusal(320, "CONNECTION_FORCED - broker forced connection closure"));
    }

    #[test]
    fn says_what_to_do() {
        let refused = |code, text: &str| Failure::Refused { code, text: text.to_owned() }.advice().unwrap();
        assert!(
            refused("403 ACCESS_REFUSED", "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN").contains("password")
        );
        assert!(refused("403 ACCESS_REFUSED", "ACCESS_REFUSED - access to queue 'a' in vhost '/' refused for user 'b'").contains("read"));
        assert!(refused("530 NOT_ALLOWED", "NOT_ALLOWED - access to vhost '/' refused for user 'b'").contains("rights in"));
        assert!(refused("530 NOT_ALLOWED", "NOT_ALLOWED - vhost prices not found").starts_with("make the virtual host"));
        assert!(refused("404 NOT_FOUND", "NOT_FOUND - no queue 'a' in vhost '/'").contains("topology"));
        assert!(Failure::NoStreams(String::new()).advice().unwrap().contains("mode"));
        assert_eq!(Failure::Away(String::new()).advice(), None);
    }

    #[test]
    fn knows_a_broker_without_streams() {
        assert!(lacks_streams(
            "INTERNAL_ERROR - Cannot declare a queue 'queue 's' in vhost '/'' of type 'rabbit_stream_queue' on node 'a@b': the \
             corresponding feature flag is disabled"
        ));
        assert!(lacks_streams(
            "PRECONDITION_FAILED - invalid arg 'x-queue-type' for queue 's' in vhost '/': {unsupported_type,<<\"stream\">>}"
        ));
        assert!(!lacks_streams("PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 's' in vhost '/'"));
    }
}
