//! A connection to the broker, and the few ways in which Tickwire uses a channel.

use std::time::Duration;

use lapin::message::Delivery;
use lapin::options::{BasicConsumeOptions, BasicQosOptions};
use lapin::tcp::AMQPUriTcpExt as _;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Channel, Connection, ConnectionProperties, Consumer};
use tokio::time::timeout;

use super::broker_tls::BrokerTls;
use super::broker_url::BrokerUrl;
use super::failure::Failure;
use crate::ingest::source::LogMessage;

/// Connects under a name that the broker shows. lapin's own recovery stays off: it would ask for the first offset again. Its own TLS is not
/// used either: it trusts the roots of this machine beside those that are named.
pub(crate) async fn connect(url: &BrokerUrl, tls: &BrokerTls, name: &str) -> Result<Connection, Failure> {
    let tls = if url.is_encrypted() { Some(tls.connector().await?) } else { None };
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let opened = Connection::connector(
        url.uri(),
        lapin::runtime::default_runtime()?,
        async move |uri, runtime| {
            let host = uri.authority.host.clone();
            let socket = AMQPUri { scheme: AMQPScheme::AMQP, ..uri }.connect_async(&runtime).await?;
            match &tls {
                Some(tls) => Ok(socket.into_rustls(tls, &host).await?),
                None => Ok(socket),
            }
        },
        properties,
    );
    timeout(CONNECT_WITHIN, opened).await.map_err(|_| Failure::Away("the broker does not answer".to_owned()))?.map_err(Failure::from)
}

/// Reads a stream from `offset` on, on a channel of its own.
pub(crate) async fn read_stream(
    connection: &Connection,
    stream: &ShortString,
    offset: AMQPValue,
    prefetch: u16,
) -> Result<(Channel, Consumer), Failure> {
    let channel = connection.create_channel().await?;
    // Streams want a prefetch and acknowledgements; without them the broker refuses to deliver.
    channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
    let mut arguments = FieldTable::default();
    arguments.insert("x-stream-offset".into(), offset);
    let consumer = channel.basic_consume(stream.clone(), ShortString::default(), BasicConsumeOptions::default(), arguments).await?;
    Ok((channel, consumer))
}

/// The last chunk of a stream: one message, or a few thousand.
pub(crate) fn last_chunk() -> AMQPValue {
    AMQPValue::LongString("last".into())
}

/// The oldest message of a stream.
pub(crate) fn first_message() -> AMQPValue {
    AMQPValue::LongString("first".into())
}

/// A position, inclusive.
pub(crate) fn position(seq: u64) -> AMQPValue {
    AMQPValue::LongLongInt(i64::try_from(seq).unwrap_or(i64::MAX))
}

/// Where a delivery stands in its stream.
pub(crate) fn offset_of(delivery: &Delivery) -> Option<u64> {
    match delivery.properties.headers().as_ref()?.inner().get("x-stream-offset")? {
        AMQPValue::LongLongInt(offset) => u64::try_from(*offset).ok(),
        _ => None,
    }
}

/// A delivery of a stream, without AMQP.
///
/// # Errors
/// The queue is no stream: its deliveries have no position.
pub(crate) fn log_message(delivery: Delivery) -> Result<LogMessage, Failure> {
    let seq = offset_of(&delivery).ok_or_else(Failure::no_stream)?;
    Ok(message_at(seq, delivery))
}

/// A delivery as the message at a position.
pub(crate) fn message_at(seq: u64, delivery: Delivery) -> LogMessage {
    let text = |value: &Option<ShortString>| value.as_ref().map(|text| text.as_str().to_owned());
    LogMessage {
        seq,
        content_type: text(delivery.properties.content_type()),
        content_encoding: text(delivery.properties.content_encoding()),
        routing_key: delivery.routing_key.into(),
        body: delivery.data,
    }
}

/// Time for TCP, TLS and the AMQP handshake together. Then the next try follows.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
