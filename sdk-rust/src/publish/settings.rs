//! How a publisher is set up.

use std::path::PathBuf;
use std::time::Duration;

use lapin::types::ShortString;
use tickwire_proto::Symbol;
use tokio::sync::{mpsc, watch};

use super::brokers::Brokers;
use super::pump::Pump;
use super::tls::BrokerTls;
use super::{COMMANDS_MAX, PublishError, Publisher, PublisherState, PublisherStats};

/// Settings of a [`Publisher`].
#[derive(Clone)]
pub struct PublisherBuilder {
    urls: Vec<String>,
    tls: BrokerTls,
    name: String,
    exchange: String,
    prefix: String,
    alive: Option<(String, Duration)>,
}

impl PublisherBuilder {
    pub(super) fn new(url: &str) -> Self {
        Self {
            urls: vec![url.to_owned()],
            tls: BrokerTls::default(),
            name: "publisher".to_owned(),
            exchange: "tickwire.feed".to_owned(),
            prefix: String::new(),
            alive: None,
        }
    }

    /// A further address: another node of the same cluster. They are tried in turn, and the one that takes us is kept while it lasts.
    #[must_use]
    pub fn or_at(mut self, url: &str) -> Self {
        self.urls.push(url.to_owned());
        self
    }

    /// Trusts the roots in this file (PEM), and nobody else, to name a broker at `amqps://`. Without it, the roots of this machine. The file
    /// is read for every connection, so that renewed roots need no restart.
    #[must_use]
    pub fn ca_file(mut self, ca: impl Into<PathBuf>) -> Self {
        self.tls.ca = Some(ca.into());
        self
    }

    /// Shows this certificate, with those between it and a root, to brokers that ask who we are (`amqps://`); `key` is its private key. Both
    /// are PEM, and are read for every connection.
    #[must_use]
    pub fn identity_files(mut self, cert: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.tls.identity = Some((cert.into(), key.into()));
        self
    }

    /// Name of the publisher in its messages, at most 64 bytes: one name, one counter.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// The exchange, if it is not `tickwire.feed`.
    #[must_use]
    pub fn exchange(mut self, exchange: &str) -> Self {
        exchange.clone_into(&mut self.exchange);
        self
    }

    /// Stands before every routing key, for servers that are configured to remove it.
    #[must_use]
    pub fn routing_prefix(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.prefix);
        self
    }

    /// Gives a sign of life under `routing_key` (such as `stock.alive`) at this interval, so that quiet can be told from mute.
    #[must_use]
    pub fn alive(mut self, routing_key: &str, interval: Duration) -> Self {
        self.alive = Some((routing_key.to_owned(), interval));
        self
    }

    /// Starts the publisher in the background of the current tokio runtime. It connects, and connects again, for ever.
    ///
    /// Reads the files of TLS once, to see that they can be used.
    ///
    /// # Errors
    /// One of the settings is not well-formed, or a file cannot be used.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(self) -> Result<Publisher, PublishError> {
        let settings = Settings::try_from(self)?;
        let (command, commands) = mpsc::channel(COMMANDS_MAX);
        let (tell_state, state) = watch::channel(PublisherState::Connecting);
        let (tell_stats, stats) = watch::channel(PublisherStats::default());
        tokio::spawn(Pump::new(settings, commands, tell_state, tell_stats).run());
        Ok(Publisher { commands: command, state, stats })
    }
}

impl std::fmt::Debug for PublisherBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the addresses, which may hold passwords.
        f.debug_struct("PublisherBuilder").field("name", &self.name).field("exchange", &self.exchange).finish_non_exhaustive()
    }
}

/// Checked settings.
pub(super) struct Settings {
    pub(super) brokers: Brokers,
    pub(super) name: String,
    pub(super) exchange: ShortString,
    pub(super) prefix: String,
    pub(super) alive: Option<(String, Duration)>,
}

impl TryFrom<PublisherBuilder> for Settings {
    type Error = PublishError;

    fn try_from(builder: PublisherBuilder) -> Result<Self, PublishError> {
        let brokers = Brokers::new(&builder.urls, builder.tls)?;
        if let Some((key, _)) = &builder.alive {
            Symbol::parse(key)?;
        }
        if builder.name.len() > NAME_BYTES_MAX {
            return Err(PublishError::TooLong("the name"));
        }
        if builder.prefix.len() > PREFIX_BYTES_MAX {
            return Err(PublishError::TooLong("the routing prefix"));
        }
        let exchange = ShortString::try_new(builder.exchange).map_err(|_| PublishError::TooLong("the exchange"))?;
        Ok(Self { brokers, name: builder.name, exchange, prefix: builder.prefix, alive: builder.alive })
    }
}

/// As the schema says.
const NAME_BYTES_MAX: usize = 64;
/// A routing key is a prefix and a symbol of at most 128 bytes, and AMQP allows 255.
const PREFIX_BYTES_MAX: usize = 120;

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(builder: PublisherBuilder) -> String {
        Settings::try_from(builder).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn settings_are_checked_before_anything_is_sent() {
        let one = PublisherBuilder::new("amqp://feed:s3cret@a/%2f");
        assert_eq!(refused(one.clone()), "");
        assert_eq!(refused(one.clone().or_at("http://b")), PublishError::BadUrl.to_string(), "each address is looked at");
        assert_eq!(refused(one.clone().name(&"x".repeat(65))), "the name is too long");
        assert_eq!(refused(one.clone().routing_prefix(&"x".repeat(121))), "the routing prefix is too long");
        assert!(refused(one.clone().alive("not a symbol", Duration::from_secs(1))).starts_with("the symbol "));
        let many = (0..16).fold(one.clone(), |builder, _| builder.or_at("amqp://b"));
        assert_eq!(refused(many), "the list of addresses is too long");
        // Somebody wants to be encrypted, and would not be.
        assert_eq!(refused(one.clone().ca_file("/none.pem")), "TLS: no address begins with amqps://");
        let encrypted = one.or_at("amqps://b/%2f");
        assert!(refused(encrypted.clone().ca_file("/none.pem")).starts_with("TLS: roots /none.pem: "));
        let folder = env!("CARGO_MANIFEST_DIR");
        assert_eq!(
            refused(encrypted.ca_file(format!("{folder}/Cargo.toml"))),
            format!("TLS: roots {folder}/Cargo.toml: there is no certificate in it")
        );
    }
}
