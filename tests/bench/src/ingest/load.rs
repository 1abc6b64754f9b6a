//! A publisher that costs little: bodies that are ready, confirms, and a window of messages under way.

use std::pin::Pin;
use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
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
    pub(super) async fn publish(&self, count: u64, pace: Pace, mut message: impl FnMut(u64) -> Outgoing) -> Result<Duration> {
        let began = Instant::now();
        let mut sent: FuturesUnordered<Sent> = FuturesUnordered::new();
        let mut turns = interval(TURN);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut next = 0;
        while next < count || !sent.is_empty() {
            let due = match pace {
                Pace::Full => count,
                Pace::PerSecond(rate) => ((began.elapsed().as_secs_f64() * f64::from(rate)) as u64 + 1).min(count),
            };
            while next < due && sent.len() < WINDOW {
                sent.push(self.send(message(next)));
                next += 1;
            }
            tokio::select! {
                Some(outcome) = sent.next() => stored(outcome?)?,
                _ = turns.tick(), if next < count && pace != Pace::Full => {}
            }
        }
        Ok(began.elapsed())
    }

    /// Publishes one message, and returns when it is stored.
    #[allow(dead_code, reason = "for groups that come")]
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

fn stored(confirmation: Confirmation) -> Result<()> {
    ensure!(matches!(confirmation, Confirmation::Ack(None)), "the broker did not store a message: {confirmation:?}");
    Ok(())
}

/// Messages under way. More only pile up in the broker.
const WINDOW: usize = 1_000;
/// Between two looks at what is due.
const TURN: Duration = Duration::from_millis(1);
