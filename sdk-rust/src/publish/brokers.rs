//! The brokers that take a feed: nodes of one cluster, tried in turn.

use std::time::Duration;

use lapin::tcp::AMQPUriTcpExt as _;
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Connection, ConnectionProperties, ErrorKind};
use thiserror::Error;
use tokio::time::timeout;
use tokio_rustls::rustls;

use super::tls::BrokerTls;
use super::{PublishError, PublisherState};

/// Addresses of brokers, and how they are trusted.
pub(super) struct Brokers {
    /// Never empty.
    uris: Vec<AMQPUri>,
    tls: BrokerTls,
    /// The one in use, or to be tried first.
    at: usize,
}

/// Why there is no connection, or no longer one.
#[derive(Debug, Error)]
pub(super) enum Outage {
    /// No broker took us, or the one that had us is gone; says of each why.
    #[error("{0}")]
    Away(String),
    /// The broker refuses what we ask for: somebody has to change something.
    #[error("{0}")]
    Refused(String),
    /// The broker owes us a word for too long.
    #[error("the broker confirms nothing")]
    Mute,
}

impl Outage {
    /// What a publisher is doing about it.
    pub(super) fn state(&self) -> PublisherState {
        match self {
            Self::Refused(why) => PublisherState::Refused(why.clone()),
            Self::Away(_) | Self::Mute => PublisherState::Connecting,
        }
    }
}

impl From<lapin::Error> for Outage {
    fn from(error: lapin::Error) -> Self {
        let is_refusal = match error.kind() {
            ErrorKind::ProtocolError(said) => matches!(said.get_id(), ACCESS_REFUSED | NOT_ALLOWED),
            // One end does not trust the other.
            ErrorKind::IOError(error) => error.get_ref().is_some_and(|cause| cause.is::<rustls::Error>()),
            _ => false,
        };
        let text = match error.kind() {
            // The broker's own words name the code already; lapin would put two names of it in front.
            ErrorKind::ProtocolError(said) if !said.get_message().as_str().is_empty() => said.get_message().to_string(),
            _ => error.to_string(),
        };
        if is_refusal { Self::Refused(text) } else { Self::Away(text) }
    }
}

impl Brokers {
    /// Checks the addresses, and that the files of TLS can be used.
    ///
    /// # Errors
    /// One of them is no address, a file cannot be used, or nothing would be encrypted although there are files.
    pub(super) fn new(urls: &[String], tls: BrokerTls) -> Result<Self, PublishError> {
        if urls.len() > BROKERS_MAX {
            return Err(PublishError::TooLong("the list of addresses"));
        }
        let uris: Vec<AMQPUri> = urls.iter().map(|url| parse(url)).collect::<Result<_, _>>()?;
        if uris.iter().any(is_encrypted) {
            tls.read().map_err(PublishError::Tls)?;
        } else if tls != BrokerTls::default() {
            return Err(PublishError::Tls("no address begins with amqps://".to_owned()));
        }
        Ok(Self { uris, tls, at: 0 })
    }

    /// Connects to the first that takes us, and stays with it from then on. Tries every one once.
    ///
    /// # Errors
    /// None did. If one of them is away, they count as away: it may come back by itself.
    pub(super) async fn connect(&mut self, name: &str) -> Result<Connection, Outage> {
        let (mut said, mut is_away) = (Vec::new(), false);
        for _ in 0..self.uris.len() {
            match connect(&self.uris[self.at], &self.tls, name).await {
                Ok(connection) => return Ok(connection),
                Err(outage) => {
                    is_away |= !matches!(outage, Outage::Refused(_));
                    said.push(format!("{}: {outage}", shown(&self.uris[self.at])));
                }
            }
            self.pass_on();
        }
        let said = said.join("; ");
        Err(if is_away { Outage::Away(said) } else { Outage::Refused(said) })
    }

    /// Tries the next one first: a node may take connections and still have no log, as one that is cut off from its cluster.
    pub(super) fn pass_on(&mut self) {
        self.at = (self.at + 1) % self.uris.len();
    }
}

/// Connects under a name that the broker shows. lapin's own TLS is not used: it trusts the roots of this machine beside those that are named.
async fn connect(uri: &AMQPUri, tls: &BrokerTls, name: &str) -> Result<Connection, Outage> {
    let tls = if is_encrypted(uri) {
        let tls = tls.clone();
        let read = tokio::task::spawn_blocking(move || tls.read()).await;
        Some(read.map_err(|error| Outage::Away(error.to_string()))?.map_err(Outage::Refused)?)
    } else {
        None
    };
    let opened = Connection::connector(
        uri.clone(),
        lapin::runtime::default_runtime()?,
        async move |uri, runtime| {
            let host = uri.authority.host.clone();
            let socket = AMQPUri { scheme: AMQPScheme::AMQP, ..uri }.connect_async(&runtime).await?;
            match &tls {
                Some(tls) => Ok(socket.into_rustls(tls, &host).await?),
                None => Ok(socket),
            }
        },
        ConnectionProperties::default().with_connection_name(name.into()),
    );
    let opened = timeout(CONNECT_WITHIN, opened).await.map_err(|_| Outage::Away("the broker does not answer".to_owned()))?;
    Ok(opened?)
}

fn parse(url: &str) -> Result<AMQPUri, PublishError> {
    let mut uri: AMQPUri = url.parse().map_err(|_| PublishError::BadUrl)?;
    uri.query.heartbeat.get_or_insert(HEARTBEAT_S);
    uri.query.connection_timeout.get_or_insert(TCP_WITHIN_MS);
    Ok(uri)
}

fn is_encrypted(uri: &AMQPUri) -> bool {
    uri.scheme == AMQPScheme::AMQPS
}

/// An address without user and password.
fn shown(AMQPUri { scheme, authority, vhost, .. }: &AMQPUri) -> String {
    format!("{scheme}://{}:{}/{}", authority.host, authority.port, vhost.replace('/', "%2f"))
}

/// AMQP's reply for a wrong password, or a right that is missing.
const ACCESS_REFUSED: u16 = 403;
/// AMQP's reply for a virtual host that is missing, or closed.
const NOT_ALLOWED: u16 = 530;
/// Addresses. More are refused.
const BROKERS_MAX: usize = 16;
/// Seconds between signs of life on the connection, unless the address says otherwise.
const HEARTBEAT_S: u16 = 10;
/// Milliseconds for TCP, unless the address says otherwise. Then the next address is tried.
const TCP_WITHIN_MS: u64 = 5_000;
/// Time for TCP, TLS and the AMQP handshake together. Then the next address is tried.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_address_is_tried_once_and_no_password_is_said() {
        // Nobody listens on port 1.
        let urls = ["amqp://a:s3cret@127.0.0.1:1/%2f", "amqp://b:s3cret@127.0.0.1:1/prices"].map(str::to_owned);
        let mut brokers = Brokers::new(&urls, BrokerTls::default()).unwrap();
        let said = brokers.connect("test").await.unwrap_err().to_string();
        let (first, second) = said.split_once("; ").unwrap();
        assert!(first.starts_with("amqp://127.0.0.1:1/%2f: ") && second.starts_with("amqp://127.0.0.1:1/prices: "), "{said}");
        assert!(!said.contains("s3cret"), "{said}");
    }
}
