//! The messages that were set aside: looking at them, and publishing them once more.
//!
//! They are taken from the queue `tickwire.dead` without being acknowledged, so that the broker puts them back, in their place, when the
//! channel closes. While they are taken, others do not see them.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Connection};
use thiserror::Error;
use tokio::time::timeout;

use super::brokers::Brokers;
use super::failure::Failure;
use super::names::Names;
use super::outlet::{Outlet, content_properties};
use super::topology::CLOSE_OK;

/// A refused message.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Position in the log.
    pub offset: u64,
    /// Why it was refused, such as `bad_value`.
    pub reason: String,
    /// The same for people.
    pub detail: String,
    /// As its publisher gave it.
    pub routing_key: String,
    /// As its publisher gave it.
    pub content_type: Option<String>,
    /// As its publisher gave it.
    pub content_encoding: Option<String>,
    /// As its publisher gave it, at most 64 KiB of it.
    pub body: Vec<u8>,
    /// Whether the body is longer. Such a message cannot be published again from here; the log may still have it at its offset.
    pub is_cut: bool,
    /// `tickwire.feed.log:OFFSET`: the same for the copies that several nodes made.
    pub id: String,
}

/// The queue of refused messages, with up to [`LETTERS_MAX`] of them in hand.
pub struct DeadLetters {
    brokers: Brokers,
    names: Names,
    connection: Connection,
    channel: Channel,
    held: Vec<(u64, Letter)>,
}

impl DeadLetters {
    /// Takes what is in the queue. `names_prefix` stands before the names at the broker, as in the server's configuration.
    ///
    /// # Errors
    /// The broker is away, refuses us, or has no such queue.
    pub async fn open(mut brokers: Brokers, names_prefix: &str) -> Result<Self, DeadError> {
        let names = Names::new(names_prefix);
        let connection = brokers.connect("tickwire dead").await?;
        let (channel, held) = Self::read(&connection, &names).await.map_err(|failure| failure.at(brokers.current()))?;
        Ok(Self { brokers, names, connection, channel, held })
    }

    async fn read(connection: &Connection, names: &Names) -> Result<(Channel, Vec<(u64, Letter)>), Failure> {
        let channel = connection.create_channel().await?;
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let queue = channel.queue_declare(names.dead.clone(), passive, FieldTable::default()).await?;
        let count = queue.message_count().min(u32::from(LETTERS_MAX)) as usize;
        channel.basic_qos(LETTERS_MAX, BasicQosOptions::default()).await?;
        let options = BasicConsumeOptions::default();
        let mut consumer = channel.basic_consume(names.dead.clone(), ShortString::default(), options, FieldTable::default()).await?;
        let mut held = Vec::with_capacity(count);
        while held.len() < count {
            // Another reader may hold some of those that were counted.
            let Ok(Some(delivery)) = timeout(NEXT_WITHIN, consumer.next()).await else { break };
            let delivery = delivery?;
            held.push((delivery.delivery_tag, Letter::of(delivery)));
        }
        Ok((channel, held))
    }

    /// Those in hand, oldest first; copies of several nodes are one.
    pub fn letters(&self) -> Vec<&Letter> {
        let mut seen = HashSet::new();
        self.held.iter().map(|(_, letter)| letter).filter(|letter| seen.insert(letter.id.as_str())).collect()
    }

    /// Publishes the chosen ones to the feed's exchange, in their order, and takes each from the queue, with its copies, when the log has it.
    /// Returns how many. What is cut stays.
    ///
    /// # Errors
    /// The broker failed or blocks publishers. What was published before is off the queue.
    pub async fn replay(&mut self, chosen: impl Fn(&Letter) -> bool) -> Result<usize, DeadError> {
        let outlet = Outlet::open(&mut self.brokers, "tickwire dead").await?;
        let mut published = HashSet::new();
        for (tag, letter) in self.held.iter().filter(|(_, letter)| !letter.is_cut && chosen(letter)) {
            if !published.contains(&letter.id) {
                let key =
                    ShortString::try_new(letter.routing_key.as_str()).map_err(|_| DeadError("a routing key is too long".to_owned()))?;
                let properties = content_properties(letter.content_type.as_deref(), letter.content_encoding.as_deref());
                outlet.publish(&self.names.feed, &key, &letter.body, properties).await?;
                published.insert(letter.id.clone());
            }
            self.channel.basic_ack(*tag, BasicAckOptions::default()).await?;
        }
        Ok(published.len())
    }

    /// Puts back what was not taken.
    ///
    /// # Errors
    /// The broker failed; it puts them back all the same.
    pub async fn close(self) -> Result<(), DeadError> {
        self.channel.close(CLOSE_OK, "done".into()).await?;
        self.connection.close(CLOSE_OK, "done".into()).await?;
        Ok(())
    }
}

impl Letter {
    fn of(delivery: Delivery) -> Self {
        let headers = delivery.properties.headers().clone().unwrap_or_default();
        let text = |name: &str| match headers.inner().get(name) {
            Some(AMQPValue::LongString(text)) => text.to_string(),
            _ => String::new(),
        };
        let offset = match headers.inner().get(header::OFFSET) {
            Some(AMQPValue::LongLongInt(offset)) => u64::try_from(*offset).unwrap_or_default(),
            _ => 0,
        };
        let property = |value: &Option<ShortString>| value.as_ref().map(ToString::to_string);
        Self {
            offset,
            reason: text(header::REASON),
            detail: text(header::DETAIL),
            routing_key: delivery.routing_key.to_string(),
            content_type: property(delivery.properties.content_type()),
            content_encoding: property(delivery.properties.content_encoding()),
            is_cut: headers.inner().get(header::CUT) == Some(&AMQPValue::Boolean(true)),
            // A letter that somebody else put there has no copies.
            id: property(delivery.properties.message_id()).unwrap_or_else(|| format!("delivery {}", delivery.delivery_tag)),
            body: delivery.data,
        }
    }
}

/// What went wrong at the broker.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct DeadError(String);

impl From<Failure> for DeadError {
    fn from(failure: Failure) -> Self {
        Self(failure.to_string())
    }
}

impl From<lapin::Error> for DeadError {
    fn from(error: lapin::Error) -> Self {
        Failure::from(error).into()
    }
}

/// Headers of a refused message.
pub(crate) mod header {
    pub(crate) const REASON: &str = "tickwire-reason";
    pub(crate) const DETAIL: &str = "tickwire-detail";
    pub(crate) const OFFSET: &str = "tickwire-offset";
    pub(crate) const STREAM: &str = "tickwire-stream";
    pub(crate) const CUT: &str = "tickwire-cut";
}

/// Letters in hand at once: as many as the queue holds.
pub const LETTERS_MAX: u16 = 10_000;
/// Time for the next letter to come. Then somebody else has it.
const NEXT_WITHIN: Duration = Duration::from_secs(2);
