//! A queue of this node's own, for brokers without streams: what was published while it was not there is lost.
//!
//! The queue belongs to the connection and ends with it. It has a bound, and the broker drops its oldest messages beyond; those go to a
//! second queue with room for one, so that a loss is heard of.

use futures_util::StreamExt;
use futures_util::stream::ReadyChunks;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Connection, Consumer};

use super::failure::Failure;
use super::names::Names;
use super::topology::text;

/// Makes both queues with a consumer each, and binds the first to the feed's exchange. Bounds are `length_max` messages in it, `prefetch`
/// without acknowledgement here, and `batch_max` given out at once.
pub(crate) async fn open(
    connection: &Connection,
    names: &Names,
    length_max: u32,
    prefetch: u16,
    batch_max: usize,
) -> Result<(Messages, Losses), Failure> {
    let lost = make(connection, true, [("x-max-length", AMQPValue::LongInt(1))]).await?;
    let kept = make(
        connection,
        // It has to outlive its consumer, for another one with another credit.
        false,
        [
            ("x-max-length", AMQPValue::LongLongInt(i64::from(length_max))),
            ("x-dead-letter-exchange", text("")),
            ("x-dead-letter-routing-key", text(lost.as_str())),
        ],
    )
    .await?;
    let losses = consume(&connection.create_channel().await?, &lost, 1).await?;
    let channel = connection.create_channel().await?;
    let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
    channel.queue_bind(kept.clone(), names.feed.clone(), "#".into(), options, arguments).await?;
    let deliveries = consume(&channel, &kept, prefetch).await?.ready_chunks(batch_max);
    Ok((Messages { channel, queue: kept, deliveries, prefetch, batch_max }, Losses(losses)))
}

/// What is published from now on.
pub(crate) struct Messages {
    channel: Channel,
    queue: ShortString,
    deliveries: ReadyChunks<Consumer>,
    prefetch: u16,
    batch_max: usize,
}

impl Messages {
    /// The next ones. Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Vec<Delivery>, Failure> {
        let found = self.deliveries.next().await.ok_or_else(ended)?;
        Ok(found.into_iter().collect::<Result<_, _>>()?)
    }

    /// How many messages may be here without acknowledgement.
    pub(crate) fn prefetch(&self) -> u16 {
        self.prefetch
    }

    /// Goes on with another credit. AMQP cannot change that of a consumer, and two would mix up the order: so this one ends first. Returns what
    /// was still on its way to it, not more than its credit.
    pub(crate) async fn change(&mut self, prefetch: u16) -> Result<Vec<Delivery>, Failure> {
        let tag = self.deliveries.get_ref().tag();
        self.channel.basic_cancel(tag, BasicCancelOptions::default()).await?;
        let mut rest = Vec::new();
        while let Some(found) = self.deliveries.next().await {
            for delivery in found {
                rest.push(delivery?);
            }
        }
        self.deliveries = consume(&self.channel, &self.queue, prefetch).await?.ready_chunks(self.batch_max);
        self.prefetch = prefetch;
        Ok(rest)
    }
}

/// Tells that messages were dropped.
pub(crate) struct Losses(Consumer);

impl Losses {
    /// Waits until the broker drops messages. There will not be another before [`Loss::told`]. Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Loss, Failure> {
        Ok(Loss(self.0.next().await.ok_or_else(ended)??))
    }
}

/// Messages were dropped.
pub(crate) struct Loss(Delivery);

impl Loss {
    /// From now on, another loss is heard of.
    pub(crate) async fn told(self) -> Result<(), Failure> {
        self.0.ack(BasicAckOptions::default()).await?;
        Ok(())
    }
}

fn ended() -> Failure {
    Failure::Away("our queue was deleted".to_owned())
}

/// A queue with a name of the broker's, for this connection alone.
async fn make<const N: usize>(
    connection: &Connection,
    ends_with_its_consumer: bool,
    bounds: [(&str, AMQPValue); N],
) -> Result<ShortString, Failure> {
    let channel = connection.create_channel().await?;
    let options = QueueDeclareOptions { exclusive: true, auto_delete: ends_with_its_consumer, ..Default::default() };
    let mut arguments = FieldTable::default();
    arguments.insert("x-overflow".into(), text("drop-head"));
    for (name, value) in bounds {
        arguments.insert(name.into(), value);
    }
    Ok(channel.queue_declare(ShortString::default(), options, arguments).await?.name().clone())
}

/// With acknowledgements: without them the broker would send as fast as it can, whatever piles up here.
async fn consume(channel: &Channel, queue: &ShortString, prefetch: u16) -> Result<Consumer, Failure> {
    channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
    let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
    Ok(channel.basic_consume(queue.clone(), ShortString::default(), options, arguments).await?)
}
