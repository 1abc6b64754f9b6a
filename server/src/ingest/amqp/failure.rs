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
    #[error("{0}")]
    Refused(String),
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
            Self::Refused(text) => Self::Refused(format!("{place}: {text}")),
            Self::NoStreams(text) => Self::NoStreams(format!("{place}: {text}")),
            Self::StartOver => Self::StartOver,
        }
    }
}

impl From<lapin::Error> for Failure {
    fn from(error: lapin::Error) -> Self {
        let text = error.to_string();
        match error.kind() {
            lapin::ErrorKind::ProtocolError(protocol) if lacks_streams(protocol.get_message().as_str()) => Self::NoStreams(text),
            lapin::ErrorKind::ProtocolError(protocol) if is_refusal(protocol.get_id(), protocol.get_message().as_str()) => {
                Self::Refused(text)
            }
            lapin::ErrorKind::IOError(error) if is_mistrust(error) => Self::Refused(text),
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
