//! One message of a recording.

use lapin::types::{AMQPValue, ShortString};

/// A message of a log, with everything that means something to its readers.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Recorded {
    /// Position in the log that it was recorded from.
    #[prost(uint64, tag = "1")]
    pub seq: u64,
    /// When it was published, as far as it says so, else when it was recorded: microseconds since 1970 UTC. Does not go back in a file.
    #[prost(uint64, tag = "2")]
    pub time_us: u64,
    /// As its publisher gave it.
    #[prost(string, tag = "3")]
    pub routing_key: String,
    /// As its publisher gave it.
    #[prost(string, optional, tag = "4")]
    pub content_type: Option<String>,
    /// As its publisher gave it.
    #[prost(string, optional, tag = "5")]
    pub content_encoding: Option<String>,
    /// As its publisher gave it.
    #[prost(string, optional, tag = "6")]
    pub message_id: Option<String>,
    /// As its publisher gave it, seconds since 1970 UTC.
    #[prost(uint64, optional, tag = "7")]
    pub timestamp_s: Option<u64>,
    /// As its publisher gave them, in the order of their names. Tables, lists and decimals are left out.
    #[prost(message, repeated, tag = "8")]
    pub headers: Vec<RecordedHeader>,
    /// As its publisher gave it.
    #[prost(bytes = "vec", tag = "9")]
    pub body: Vec<u8>,
}

impl Recorded {
    /// Whether another message is the same to its readers, wherever both stand.
    pub fn is_same(&self, other: &Self) -> bool {
        let content = |message: &Self| Self { seq: 0, time_us: 0, ..message.clone() };
        content(self) == content(other)
    }
}

/// A header of a message.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RecordedHeader {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its value.
    #[prost(oneof = "header_value::Value", tags = "2, 3, 4")]
    pub value: Option<header_value::Value>,
}

/// Values of headers.
pub mod header_value {
    /// A value of one of the kinds that are recorded.
    #[derive(Clone, PartialEq, Eq, prost::Oneof)]
    pub enum Value {
        /// A text, which need not be UTF-8.
        #[prost(bytes = "vec", tag = "2")]
        Text(Vec<u8>),
        /// A whole number, or a time in seconds.
        #[prost(sint64, tag = "3")]
        Number(i64),
        /// True or false.
        #[prost(bool, tag = "4")]
        Flag(bool),
    }
}

impl Recorded {
    /// A delivery at position `seq`, which was made at `now_us`.
    pub(crate) fn of(delivery: lapin::message::Delivery, seq: u64, now_us: u64) -> Self {
        let properties = &delivery.properties;
        let text = |value: &Option<ShortString>| value.as_ref().map(ToString::to_string);
        let mut recorded = Self {
            seq,
            time_us: 0,
            content_type: text(properties.content_type()),
            content_encoding: text(properties.content_encoding()),
            message_id: text(properties.message_id()),
            timestamp_s: *properties.timestamp(),
            headers: properties.headers().iter().flat_map(|headers| headers.inner()).filter_map(header).collect(),
            routing_key: delivery.routing_key.to_string(),
            body: delivery.data,
        };
        recorded.headers.sort_by(|a, b| a.name.cmp(&b.name));
        recorded.time_us = super::time::of(&recorded).unwrap_or(now_us);
        recorded
    }
}

/// A header of the publisher: those of the broker say where the message was.
fn header((name, value): (&ShortString, &AMQPValue)) -> Option<RecordedHeader> {
    use header_value::Value;
    let value = match value {
        _ if name.as_str().starts_with(BROKERS) => return None,
        AMQPValue::LongString(text) => Value::Text(text.as_bytes().to_vec()),
        AMQPValue::ShortString(text) => Value::Text(text.as_str().as_bytes().to_vec()),
        AMQPValue::ShortShortInt(number) => Value::Number((*number).into()),
        AMQPValue::ShortShortUInt(number) => Value::Number((*number).into()),
        AMQPValue::ShortInt(number) => Value::Number((*number).into()),
        AMQPValue::ShortUInt(number) => Value::Number((*number).into()),
        AMQPValue::LongInt(number) => Value::Number((*number).into()),
        AMQPValue::LongUInt(number) => Value::Number((*number).into()),
        AMQPValue::LongLongInt(number) => Value::Number(*number),
        AMQPValue::Timestamp(seconds) => Value::Number(i64::try_from(*seconds).ok()?),
        AMQPValue::Boolean(flag) => Value::Flag(*flag),
        _ => return None,
    };
    Some(RecordedHeader { name: name.to_string(), value: Some(value) })
}

/// Start of the names that the broker gives its headers.
const BROKERS: &str = "x-stream-";
