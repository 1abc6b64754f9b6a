//! The address of a broker. Its password never reaches a log.

use std::fmt;

use lapin::uri::{AMQPScheme, AMQPUri};
use thiserror::Error;

/// A checked `amqp://user:password@host:port/vhost`, or `amqps://` for TLS. Printing it leaves out the password.
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerUrl(AMQPUri);

impl BrokerUrl {
    /// Checks `text`.
    ///
    /// # Errors
    /// Not an AMQP address. The error does not repeat the text, which may hold a password.
    pub fn parse(text: &str) -> Result<Self, BrokerUrlError> {
        let mut uri: AMQPUri = text.parse().map_err(|_| BrokerUrlError)?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT_S);
        uri.query.connection_timeout.get_or_insert(CONNECT_WITHIN_MS);
        Ok(Self(uri))
    }

    /// Whether connections are encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.0.scheme == AMQPScheme::AMQPS
    }

    /// The address for lapin.
    pub(crate) fn uri(&self) -> AMQPUri {
        self.0.clone()
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AMQPUri { scheme, authority, vhost, .. } = &self.0;
        write!(f, "{scheme}://{}:…@{}:{}/{}", authority.userinfo.username, authority.host, authority.port, vhost.replace('/', "%2f"))
    }
}

impl fmt::Debug for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Why a text is not the address of a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("is not of the form amqp://user:password@host:port/vhost")]
pub struct BrokerUrlError;

/// Seconds between signs of life on a connection, unless the address says otherwise. A broker that vanished is noticed after two.
const HEARTBEAT_S: u16 = 10;
/// Milliseconds to connect, unless the address says otherwise. Then the next try follows.
const CONNECT_WITHIN_MS: u64 = 5_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn does_not_show_the_password() {
        let url = BrokerUrl::parse("amqp://feed:s3cret@broker.example:5673/prices").unwrap();
        assert_eq!(format!("{url} {url:?}"), "amqp://feed:…@broker.example:5673/prices amqp://feed:…@broker.example:5673/prices");
        assert!(!format!("{}", BrokerUrl::parse("http://feed:s3cret@broker.example").unwrap_err()).contains("s3cret"));
    }

    #[test]
    fn takes_the_default_address() {
        let url = BrokerUrl::parse("amqp://127.0.0.1:5672/%2f").unwrap();
        assert_eq!(url.to_string(), "amqp://guest:…@127.0.0.1:5672/%2f");
    }
}
