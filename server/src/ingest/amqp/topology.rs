//! The exchanges and queues at the broker: made where they are missing, compared where they are there.

use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Connection, ErrorKind, ExchangeKind};
use tracing::{debug, info, warn};

use super::failure::{Failure, NOT_FOUND};
use super::names::Names;
use super::{AmqpConfig, LogKind};

/// Declares what is missing, and returns whether the log was. With `compare`, says what is there but different from what would have been
/// declared; that is left alone.
///
/// # Errors
/// Among others [`Failure::NoStreams`], if the log is to be a stream: the broker ends the connection then.
pub(crate) async fn ensure(
    connection: &Connection,
    names: &Names,
    config: &AmqpConfig,
    kind: LogKind,
    compare: bool,
) -> Result<bool, Failure> {
    let mut parts = vec![Part::Exchange(&names.feed)];
    match kind {
        LogKind::Stream => {
            parts.push(Part::Queue(&names.log, log_arguments(config)));
            parts.push(Part::Queue(&names.checkpoint, checkpoint_arguments()));
        }
        // Each node makes the queue that it reads itself.
        LogKind::Queue => parts.push(Part::Queue(&names.checkpoint_queue, checkpoint_queue_arguments())),
    }
    let mut made_log = false;
    for part in parts {
        made_log |= part.ensure(connection, compare).await? && part.name() == &names.log;
    }
    if kind == LogKind::Stream {
        bind(connection, &names.log, &names.feed).await?;
    }
    match ensure_dead(connection, names, compare).await {
        // A queue lives at one broker of a cluster, a stream at several: the log is read while that one is away.
        Err(Failure::Away(cause)) if connection.status().connected() => {
            debug!(cause, "refused messages cannot be put aside: their queue is away");
            Ok(made_log)
        }
        ensured => ensured.map(|()| made_log),
    }
}

async fn ensure_dead(connection: &Connection, names: &Names, compare: bool) -> Result<(), Failure> {
    Part::Exchange(&names.dead).ensure(connection, compare).await?;
    Part::Queue(&names.dead, dead_arguments()).ensure(connection, compare).await?;
    bind(connection, &names.dead, &names.dead).await
}

async fn bind(connection: &Connection, queue: &ShortString, exchange: &ShortString) -> Result<(), Failure> {
    let channel = connection.create_channel().await?;
    let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
    channel.queue_bind(queue.clone(), exchange.clone(), "#".into(), options, arguments).await?;
    Ok(channel.close(CLOSE_OK, "done".into()).await?)
}

/// Something with a name at the broker.
enum Part<'a> {
    Exchange(&'a ShortString),
    Queue(&'a ShortString, FieldTable),
}

impl Part<'_> {
    fn name(&self) -> &ShortString {
        match self {
            Self::Exchange(name) | Self::Queue(name, _) => name,
        }
    }

    /// Declares it if it is missing, and returns whether it was.
    async fn ensure(&self, connection: &Connection, compare: bool) -> Result<bool, Failure> {
        let is_missing = !self.is_there(connection).await?;
        if is_missing {
            self.declare(connection).await?;
            info!(name = self.name().as_str(), "declared at the broker");
        } else if compare {
            // A difference closes the channel, not the connection.
            if let Err(Failure::Refused { text: difference, .. }) = self.declare(connection).await {
                warn!(name = self.name().as_str(), difference, "the broker has it with other settings; they are kept");
            }
        }
        Ok(is_missing)
    }

    async fn is_there(&self, connection: &Connection) -> Result<bool, Failure> {
        match self.try_declare(connection, true).await {
            Ok(()) => Ok(true),
            Err(error) => match (error.kind(), Failure::from(error.clone())) {
                (ErrorKind::ProtocolError(protocol), Failure::Refused { .. }) if protocol.get_id() == NOT_FOUND => Ok(false),
                (_, failure) => Err(failure),
            },
        }
    }

    async fn declare(&self, connection: &Connection) -> Result<(), Failure> {
        self.try_declare(connection, false).await.map_err(Failure::from)
    }

    /// On a channel of its own, which a refusal closes.
    async fn try_declare(&self, connection: &Connection, passive: bool) -> lapin::Result<()> {
        let channel = connection.create_channel().await?;
        match self {
            Self::Exchange(name) => {
                let options = ExchangeDeclareOptions { passive, durable: true, ..Default::default() };
                channel.exchange_declare((*name).clone(), ExchangeKind::Topic, options, FieldTable::default()).await?;
            }
            Self::Queue(name, arguments) => {
                let options = QueueDeclareOptions { passive, durable: true, ..Default::default() };
                channel.queue_declare((*name).clone(), options, arguments.clone()).await?;
            }
        }
        channel.close(CLOSE_OK, "done".into()).await
    }
}

fn log_arguments(config: &AmqpConfig) -> FieldTable {
    let number = |value: u64| AMQPValue::LongLongInt(i64::try_from(value).unwrap_or(i64::MAX));
    let mut arguments = table([
        ("x-queue-type", text("stream")),
        ("x-max-length-bytes", number(config.log_bytes_max)),
        ("x-stream-max-segment-size-bytes", number(config.segment_bytes)),
    ]);
    if config.log_age_max > Duration::ZERO {
        arguments.insert("x-max-age".into(), text(&age(config.log_age_max)));
    }
    arguments
}

/// As the broker writes it, in the largest unit that is exact: it compares texts.
fn age(age: Duration) -> String {
    match age.as_secs() {
        hours if hours % 3_600 == 0 => format!("{}h", hours / 3_600),
        minutes if minutes % 60 == 0 => format!("{}m", minutes / 60),
        seconds => format!("{seconds}s"),
    }
}

fn checkpoint_arguments() -> FieldTable {
    table([
        ("x-queue-type", text("stream")),
        ("x-max-length-bytes", AMQPValue::LongLongInt(50_000_000)),
        ("x-stream-max-segment-size-bytes", AMQPValue::LongLongInt(5_000_000)),
    ])
}

fn checkpoint_queue_arguments() -> FieldTable {
    table([("x-max-length-bytes", AMQPValue::LongLongInt(50_000_000)), ("x-overflow", text("drop-head"))])
}

fn dead_arguments() -> FieldTable {
    table([("x-max-length", AMQPValue::LongLongInt(10_000)), ("x-overflow", text("drop-head"))])
}

fn table<const N: usize>(entries: [(&str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (key, value) in entries {
        table.insert(key.into(), value);
    }
    table
}

/// A text among a queue's arguments.
pub(crate) fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

/// AMQP's reply code for a channel that is no longer needed.
pub(crate) const CLOSE_OK: u16 = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_an_age_as_people_do() {
        let age = |seconds| age(Duration::from_secs(seconds));
        assert_eq!([age(3_600), age(86_400), age(90), age(5_400)], ["1h", "24h", "90s", "90m"]);
    }
}
