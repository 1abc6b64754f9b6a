//! What an operator does to the broker.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::StreamExt as _;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions, QueueBindOptions,
    QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use tokio::time::timeout;

/// A connection of an operator.
pub(super) struct Hand {
    connection: Connection,
    channel: Channel,
    names: String,
}

impl Hand {
    /// Connects; `names` stand before the names at the broker.
    pub(super) async fn open(url: &str, names: &str) -> Result<Self> {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Self { connection, channel, names: names.to_owned() })
    }

    /// Deletes a queue or stream.
    pub(super) async fn delete(&self, queue: &str) -> Result<()> {
        self.channel.queue_delete(self.name(queue).into(), QueueDeleteOptions::default()).await?;
        Ok(())
    }

    /// All that is on the stream of checkpoints, in its order.
    pub(super) async fn checkpoints(&self) -> Result<Vec<Vec<u8>>> {
        let channel = self.connection.create_channel().await?;
        channel.basic_qos(100, BasicQosOptions::default()).await?;
        let mut arguments = FieldTable::default();
        arguments.insert("x-stream-offset".into(), AMQPValue::LongString("first".into()));
        let options = BasicConsumeOptions::default();
        let mut consumer = channel.basic_consume(self.name(CHECKPOINT).into(), "".into(), options, arguments).await?;
        let mut bodies = Vec::new();
        while let Ok(Some(part)) = timeout(QUIET, consumer.next()).await {
            let part = part?;
            part.ack(BasicAckOptions::default()).await?;
            bodies.push(part.data);
        }
        Ok(bodies)
    }

    /// Puts messages on the stream of checkpoints.
    pub(super) async fn put_checkpoints(&self, bodies: impl IntoIterator<Item = &Vec<u8>>) -> Result<()> {
        for body in bodies {
            self.send("", &self.name(CHECKPOINT), body).await?;
        }
        Ok(())
    }

    /// Makes the log, empty, and binds it.
    pub(super) async fn declare_log(&self) -> Result<()> {
        self.declare(LOG).await?;
        let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
        self.channel.queue_bind(self.name(LOG).into(), self.name(FEED).into(), "#".into(), options, arguments).await?;
        Ok(())
    }

    /// Makes a stream, empty.
    pub(super) async fn declare(&self, stream: &str) -> Result<()> {
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("stream".into()));
        let durable = QueueDeclareOptions { durable: true, ..Default::default() };
        self.channel.queue_declare(self.name(stream).into(), durable, arguments).await?;
        Ok(())
    }

    /// Publishes `count` quotes of somebody else, each with `blanks` bytes of blanks behind it.
    pub(super) async fn publish(&self, count: usize, blanks: usize) -> Result<()> {
        let body = format!("{{\"quote\":{{\"last\":\"1\"}}}}{}", " ".repeat(blanks));
        for _ in 0..count {
            self.send(&self.name(FEED), "other.X", body.as_bytes()).await?;
        }
        Ok(())
    }

    async fn send(&self, exchange: &str, key: &str, body: &[u8]) -> Result<()> {
        let (options, properties) = (BasicPublishOptions { mandatory: true, immediate: false }, BasicProperties::default());
        let sent = self.channel.basic_publish(exchange.into(), key.into(), options, body, properties).await?;
        ensure!(sent.await?.take_message().is_none(), "nothing takes a message for {key}");
        Ok(())
    }

    fn name(&self, queue: &str) -> String {
        format!("{}{queue}", self.names)
    }
}

pub(super) const LOG: &str = "tickwire.feed.log";
pub(super) const CHECKPOINT: &str = "tickwire.checkpoint";
/// Silence after which a stream has been read.
const QUIET: Duration = Duration::from_secs(1);
const FEED: &str = "tickwire.feed";
