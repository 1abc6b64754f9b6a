//! Messages that are published as they are: copies of what a log had, byte by byte.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use super::PublishError;
use super::pump::{Outgoing, PERSISTENT};

/// A message with the properties that mean something to its readers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RawMessage {
    /// Where it goes, with any prefix.
    pub routing_key: String,
    /// What its body is.
    pub content_type: Option<String>,
    /// How its body is compressed.
    pub content_encoding: Option<String>,
    /// Its name, if it has one.
    pub message_id: Option<String>,
    /// What it belongs to.
    pub correlation_id: Option<String>,
    /// Where an answer would go.
    pub reply_to: Option<String>,
    /// AMQP's `type`.
    pub kind: Option<String>,
    /// Who made it.
    pub app_id: Option<String>,
    /// How urgent it is.
    pub priority: Option<u8>,
    /// When it was made, seconds since 1970 UTC.
    pub timestamp_s: Option<u64>,
    /// Headers of the application.
    pub headers: Vec<(String, Header)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Value of a header. [`Text`](Self::Text), [`Number`](Self::Number) and [`Flag`](Self::Flag) are what most feeds need; the others are what AMQP
/// can say besides.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Header {
    /// A text. RabbitMQ does not require it to be UTF-8.
    Text(Vec<u8>),
    /// A whole number of 64 bits.
    Number(i64),
    /// True or false.
    Flag(bool),
    /// A whole number of 8 bits.
    I8(i8),
    /// The same without a sign.
    U8(u8),
    /// A whole number of 16 bits.
    I16(i16),
    /// The same without a sign.
    U16(u16),
    /// A whole number of 32 bits.
    I32(i32),
    /// The same without a sign.
    U32(u32),
    /// A fraction of 32 bits.
    F32(f32),
    /// A fraction of 64 bits.
    F64(f64),
    /// A time, seconds since 1970 UTC.
    Time(u64),
    /// Bytes that are no text.
    Bytes(Vec<u8>),
    /// A header without a value.
    Void,
}

impl TryFrom<RawMessage> for Outgoing {
    type Error = PublishError;

    fn try_from(message: RawMessage) -> Result<Self, PublishError> {
        let mut properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
        let text = |text: Option<String>, what| text.map(|text| short(text, what)).transpose();
        if let Some(content_type) = text(message.content_type, "the content type")? {
            properties = properties.with_content_type(content_type);
        }
        if let Some(content_encoding) = text(message.content_encoding, "the content encoding")? {
            properties = properties.with_content_encoding(content_encoding);
        }
        if let Some(message_id) = text(message.message_id, "the message id")? {
            properties = properties.with_message_id(message_id);
        }
        if let Some(correlation_id) = text(message.correlation_id, "the correlation id")? {
            properties = properties.with_correlation_id(correlation_id);
        }
        if let Some(reply_to) = text(message.reply_to, "the address for answers")? {
            properties = properties.with_reply_to(reply_to);
        }
        if let Some(kind) = text(message.kind, "the type")? {
            properties = properties.with_type(kind);
        }
        if let Some(app_id) = text(message.app_id, "the application id")? {
            properties = properties.with_app_id(app_id);
        }
        if let Some(priority) = message.priority {
            properties = properties.with_priority(priority);
        }
        if let Some(timestamp_s) = message.timestamp_s {
            properties = properties.with_timestamp(timestamp_s);
        }
        if !message.headers.is_empty() {
            let mut headers = FieldTable::default();
            for (name, value) in message.headers {
                headers.insert(short(name, "the name of a header")?, value.into());
            }
            properties = properties.with_headers(headers);
        }
        Ok(Self { key: short(message.routing_key, "the routing key")?, body: message.body, properties })
    }
}

impl From<Header> for AMQPValue {
    fn from(header: Header) -> Self {
        match header {
            Header::Text(text) => Self::LongString(text.into()),
            Header::Number(number) => Self::LongLongInt(number),
            Header::Flag(flag) => Self::Boolean(flag),
            Header::I8(number) => Self::ShortShortInt(number),
            Header::U8(number) => Self::ShortShortUInt(number),
            Header::I16(number) => Self::ShortInt(number),
            Header::U16(number) => Self::ShortUInt(number),
            Header::I32(number) => Self::LongInt(number),
            Header::U32(number) => Self::LongUInt(number),
            Header::F32(fraction) => Self::Float(fraction),
            Header::F64(fraction) => Self::Double(fraction),
            Header::Time(seconds) => Self::Timestamp(seconds),
            Header::Bytes(bytes) => Self::ByteArray(bytes.into()),
            Header::Void => Self::Void,
        }
    }
}

fn short(text: String, what: &'static str) -> Result<ShortString, PublishError> {
    ShortString::try_new(text).map_err(|_| PublishError::TooLong(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_amqp_cannot_say_is_refused_before_it_is_sent() {
        let long = RawMessage { routing_key: "x".repeat(256), ..Default::default() };
        assert_eq!(Outgoing::try_from(long).err(), Some(PublishError::TooLong("the routing key")));
        let headers = vec![("y".repeat(256), Header::Flag(true))];
        let long = RawMessage { headers, ..Default::default() };
        assert_eq!(Outgoing::try_from(long).err(), Some(PublishError::TooLong("the name of a header")));
        let outgoing = Outgoing::try_from(RawMessage { routing_key: "x".repeat(255), timestamp_s: Some(7), ..Default::default() }).unwrap();
        assert_eq!((outgoing.key.as_str().len(), outgoing.properties.timestamp()), (255, &Some(7)));
    }
}
