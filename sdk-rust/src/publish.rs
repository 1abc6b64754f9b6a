//! The publisher kit: what a feed needs to lose nothing on the way to RabbitMQ.
//!
//! Confirms and `mandatory` (a message that came back is sent again, although the broker confirms it), resending in order after a
//! reconnect, batches of up to 50 updates or 2 ms, numbered messages, signs of life, and a broker that blocks publishers is shown. The nodes of
//! a cluster are tried in turn, and `amqps://` is TLS with roots and a certificate of one's own.
//!
//! ```no_run
//! use tickwire::v1::{Quote, Update, update::Body};
//! use tickwire::publish::Publisher;
//!
//! # async fn example() -> Result<(), tickwire::publish::PublishError> {
//! let publisher = Publisher::builder("amqp://127.0.0.1:5672/%2f").name("nyse-1").start()?;
//! let quote = Quote { bid: Some(18_742), ask: Some(18_744), ..Default::default() };
//! publisher.update("stock.AAPL", Update { body: Some(Body::Quote(quote)), ..Default::default() }).await?;
//! publisher.flush().await?;
//! # Ok(())
//! # }
//! ```

mod batcher;
mod brokers;
mod pump;
mod raw;
mod settings;
mod tls;
mod window;

use std::time::{SystemTime, UNIX_EPOCH};

use thiserror::Error;
use tickwire_proto::json::{FeedJson, JsonError};
use tickwire_proto::v1::{FeedMessage, Update};
use tickwire_proto::{Scale, Symbol, symbol::SymbolError};
use tokio::sync::{mpsc, oneshot, watch};

use self::pump::Outgoing;
pub use self::raw::{Header, RawMessage};
pub use self::settings::PublisherBuilder;

/// Publishes feed messages. Cheap to clone; clones share one connection, window and counter.
///
/// Everything that waits here is cancel safe. When the last clone is dropped, what was published is still sent, for at most 10 s.
#[derive(Clone, Debug)]
pub struct Publisher {
    commands: mpsc::Sender<Command>,
    state: watch::Receiver<PublisherState>,
    stats: watch::Receiver<PublisherStats>,
}

impl Publisher {
    /// A publisher for the broker at `url` (`amqp://user:password@host:port/vhost`, or `amqps://` for TLS).
    pub fn builder(url: &str) -> PublisherBuilder {
        PublisherBuilder::new(url)
    }

    /// Publishes one update of the instrument `symbol`, in one message with others. Waits while too much is unconfirmed.
    ///
    /// An update without `ts_event_us` happened now. The time is its version: what is sent again after an outage does not overwrite what is
    /// newer.
    ///
    /// # Errors
    /// Not a symbol, or the publisher was closed.
    pub async fn update(&self, symbol: &str, mut update: Update) -> Result<(), PublishError> {
        Symbol::parse(symbol)?;
        if update.ts_event_us == 0 {
            update.ts_event_us = unix_us();
        }
        self.command(Command::Update(symbol.to_owned(), Box::new(update))).await
    }

    /// The same for an update in the JSON of feeds, such as `{"quote":{"bid":"187.42"}}`: its decimals reach the server as they stand here, so
    /// that nobody has to announce scales. It has the version that it says itself (`ts_event_us`), or none.
    ///
    /// # Errors
    /// Not a symbol, not one update, or the publisher was closed.
    pub async fn update_json(&self, symbol: &str, update: &str) -> Result<(), PublishError> {
        Symbol::parse(symbol)?;
        check_json(update)?;
        self.command(Command::Json(symbol.to_owned(), update.trim().to_owned())).await
    }

    /// Publishes a message as it is: nothing in it is checked, named or numbered, and no prefix is put before its routing key. It is sent
    /// again like any other.
    ///
    /// # Errors
    /// One of its texts is longer than the 255 bytes of AMQP, or the publisher was closed.
    pub async fn raw(&self, message: RawMessage) -> Result<(), PublishError> {
        let outgoing = message.try_into()?;
        self.command(Command::Raw(Box::new(outgoing))).await
    }

    /// Publishes a message of its own under `routing_key`: an announcement, a sign of life, or updates that belong together. Its number
    /// and publisher are set here. Waits while too much is unconfirmed.
    ///
    /// # Errors
    /// Not a symbol, or the publisher was closed.
    pub async fn message(&self, routing_key: &str, message: FeedMessage) -> Result<(), PublishError> {
        Symbol::parse(routing_key)?;
        self.command(Command::Message(routing_key.to_owned(), Box::new(message))).await
    }

    /// Waits until everything published before is stored by the broker, however long that takes.
    ///
    /// # Errors
    /// The publisher was closed.
    pub async fn flush(&self) -> Result<(), PublishError> {
        let (done, stored) = oneshot::channel();
        self.command(Command::Flush(done)).await?;
        stored.await.map_err(|_| PublishError::Closed)
    }

    /// What it is doing.
    pub fn state(&self) -> PublisherState {
        self.state.borrow().clone()
    }

    /// A view of its state, to wait for changes.
    pub fn states(&self) -> watch::Receiver<PublisherState> {
        self.state.clone()
    }

    /// What it has counted.
    pub fn stats(&self) -> PublisherStats {
        *self.stats.borrow()
    }

    async fn command(&self, command: Command) -> Result<(), PublishError> {
        self.commands.send(command).await.map_err(|_| PublishError::Closed)
    }
}

/// What a publisher is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublisherState {
    /// The broker is away; what is published waits.
    Connecting,
    /// Connected.
    Publishing,
    /// The broker refuses us: user, password, virtual host, rights or certificates are not as it wants them. Says why. It is asked again every
    /// 5 s, and what is published waits.
    Refused(String),
    /// Connected, but the broker takes nothing, for instance because its disk is full. Says why.
    Blocked(String),
    /// Ended.
    Closed,
}

/// What a publisher has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublisherStats {
    /// Updates published.
    pub updates: u64,
    /// Messages that carry them, announcements and signs of life.
    pub messages: u64,
    /// Messages that the broker has stored; one that was sent twice may count twice.
    pub confirmed: u64,
    /// Messages that came back because no log took them.
    pub returned: u64,
    /// Messages sent once more.
    pub resent: u64,
}

/// Why something was not published.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PublishError {
    /// Not the address of a broker.
    #[error("the address is not of the form amqp://user:password@host:port/vhost")]
    BadUrl,
    /// A name, exchange or prefix is too long.
    #[error("{0} is too long")]
    TooLong(&'static str),
    /// A file of TLS cannot be used; says which, and why.
    #[error("TLS: {0}")]
    Tls(String),
    /// Not a symbol.
    #[error("the symbol {0}")]
    BadSymbol(#[from] SymbolError),
    /// Not one update in the JSON of feeds.
    #[error("{0}")]
    BadUpdate(#[from] JsonError),
    /// The publisher has ended.
    #[error("the publisher was closed")]
    Closed,
}

/// What the task behind a publisher is asked to do.
#[derive(Debug)]
pub(crate) enum Command {
    Update(String, Box<Update>),
    Json(String, String),
    Raw(Box<Outgoing>),
    Message(String, Box<FeedMessage>),
    Flush(oneshot::Sender<()>),
}

/// Whether `text` is one update that a server can read, whatever the scales of its instrument.
fn check_json(text: &str) -> Result<(), JsonError> {
    let refused = |text: String| JsonError { path: String::new(), text };
    let update: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).map_err(|error| refused(error.to_string()))?;
    if let Some(member) = BESIDE_UPDATES.iter().find(|member| update.contains_key(**member)) {
        return Err(refused(format!("has {member}, which stands beside updates and not in one")));
    }
    let message = FeedJson::of_updates(vec![update.into()]);
    message.updates().try_for_each(|update| {
        let places = update.places()?;
        let scale = |places: u32| Scale::new(places).map_err(|_| refused("has more decimal places than 12".to_owned()));
        update.resolve(scale(places.price)?, scale(places.quantity)?).map(|_| ())
    })
}

/// Microseconds since 1970 UTC.
pub(crate) fn unix_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

/// Members of messages, and the name of the instrument, which goes by its own argument.
const BESIDE_UPDATES: [&str; 7] = ["symbol", "updates", "info", "alive", "publisher", "publisher_seq", "ts_publish_us"];
/// Commands between publishers and their task. While it is full, publishing waits.
const COMMANDS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_update_in_json_is_one_update_that_can_be_read() {
        let refused = |text: &str| check_json(text).unwrap_err().to_string();
        assert_eq!(check_json(r#"{"ts_event_us":"7","quote":{"bid":"187.425","ask":null,"volume":3}}"#), Ok(()));
        assert_eq!(refused(r#"{"quote":{"bid":"x"}}"#), "updates[0].quote.bid: is not a decimal number");
        assert_eq!(refused(r#"{"status":{"phase":"LUNCH"}}"#), "updates[0].status.phase: is not a name of the schema");
        assert_eq!(refused(r#"{"quote":{"bid":"0.1234567890123"}}"#), "has more decimal places than 12");
        assert_eq!(refused("{}"), "updates[0]: has no body");
        for member in BESIDE_UPDATES {
            assert!(refused(&format!(r#"{{"quote":{{"bid":1}},"{member}":"x"}}"#)).starts_with(&format!("has {member}, which")));
        }
        assert!(check_json(r#"{"quote":{"bid":1}} {}"#).is_err() && check_json("[]").is_err());
    }
}
