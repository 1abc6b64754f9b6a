//! A publisher that costs little: bodies that are ready, confirms, and a window of messages under way.

use std::pin::Pin;
use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Publishes to the exchange of one set of names.
pub(super) struct Load {
    channel: Channel,
    exchange: ShortString,
    _connection: Connection,
}

/// A message as it is sent.
pub(super) struct Outgoing {
    pub(super) key: String,
    pub(super) body: Vec<u8>,
}

/// How fast messages are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// As many as the broker confirms.
    Full,
    /// So many a second, a few each millisecond.
    PerSecond(u32),
}

type Sent = Pin<Box<dyn Future<Output = lapin::Result<Confirmation>> + Send>>;

impl Load {
    pub(super) async fn open(url: &str, names: &str) -> Result<Self> {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let exchange = ShortString::try_new(format!("{names}tickwire.feed"))?;
        Ok(Self { channel, exchange, _connection: connection })
    }

    /// Publishes messages 0 to `count` - 1, made one after the other when they are due, and returns when all are stored: how long it took.
    pub(super) async fn publish(&self, count: u64, pace: Pace, message: impl FnMut(u64) -> Outgoing) -> Result<Duration> {
        let began = Instant::now();
        self.publish_while(pace, |next| next < count, message).await?;
        Ok(began.elapsed())
    }

    /// The same for messages from number 0 on, until so much time has passed: how many there were.
    pub(super) async fn publish_for(&self, time: Duration, pace: Pace, message: impl FnMut(u64) -> Outgoing) -> Result<u64> {
        let end = Instant::now() + time;
        self.publish_while(pace, |_| Instant::now() < end, message).await
    }

    async fn publish_while(&self, pace: Pace, more: impl Fn(u64) -> bool, mut message: impl FnMut(u64) -> Outgoing) -> Result<u64> {
        let began = Instant::now();
        let mut sent: FuturesUnordered<Sent> = FuturesUnordered::new();
        let mut turns = interval(TURN);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut next = 0;
        while more(next) || !sent.is_empty() {
            let due = match pace {
                Pace::Full => u64::MAX,
                Pace::PerSecond(rate) => (began.elapsed().as_secs_f64() * f64::from(rate)) as u64 + 1,
            };
            while next < due && sent.len() < WINDOW && more(next) {
                sent.push(self.send(message(next)));
                next += 1;
            }
            tokio::select! {
                Some(outcome) = sent.next() => stored(outcome?)?,
                _ = turns.tick(), if pace != Pace::Full => {}
            }
        }
        Ok(next)
    }

    /// Publishes one message, and returns when it is stored.
    pub(super) async fn publish_one(&self, message: Outgoing) -> Result<()> {
        stored(self.send(message).await?)
    }

    /// lapin writes in the order of first polls, which is the order in which the futures are made.
    fn send(&self, message: Outgoing) -> Sent {
        let (channel, exchange) = (self.channel.clone(), self.exchange.clone());
        Box::pin(async move {
            let options = BasicPublishOptions { mandatory: true, immediate: false };
            let properties = BasicProperties::default().with_delivery_mode(2).with_content_type("application/x-protobuf".into());
            let key = ShortString::try_new(message.key).unwrap_or_default();
            channel.basic_publish(exchange, key, options, &message.body, properties).await?.await
        })
    }
}

/// Messages that wait in a queue.
pub(super) async fn waiting(url: &str, queue: &str) -> Result<u64> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let options = QueueDeclareOptions { passive: true, ..Default::default() };
    let queue = channel.queue_declare(ShortString::try_new(queue)?, options, FieldTable::default()).await?;
    Ok(u64::from(queue.message_count()))
}

fn stored(confirmation: Confirmation) -> Result<()> {
    ensure!(matches!(confirmation, Confirmation::Ack(None)), "the broker did not store a message: {confirmation:?}");
    Ok(())
}

/// Messages under way. More only pile up in the broker.
const WINDOW: usize = 1_000;
/// Between two looks at what is due.
const TURN: Duration = Duration::from_millis(1);
