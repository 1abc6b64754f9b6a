//! Messages that are published as they are: copies of what a log had, byte by byte.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use super::PublishError;
use super::pump::{Outgoing, PERSISTENT};

/// A message with the properties that mean something to its readers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawMessage {
    /// Where it goes, with any prefix.
    pub routing_key: String,
    /// What its body is.
    pub content_type: Option<String>,
    /// How its body is compressed.
    pub content_encoding: Option<String>,
    /// Its name, if it has one.
    pub message_id: Option<String>,
    /// When it was made, seconds since 1970 UTC.
    pub timestamp_s: Option<u64>,
    /// Headers of the application.
    pub headers: Vec<(String, Header)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Value of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Header {
    /// A text. RabbitMQ does not require it to be UTF-8.
    Text(Vec<u8>),
    /// A whole number of any width; it is published as 64 bits.
    Number(i64),
    /// True or false.
    Flag(bool),
}

impl TryFrom<RawMessage> for Outgoing {
    type Error = PublishError;

    fn try_from(message: RawMessage) -> Result<Self, PublishError> {
        let mut properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
        if let Some(content_type) = message.content_type {
            properties = properties.with_content_type(short(content_type, "the content type")?);
        }
        if let Some(content_encoding) = message.content_encoding {
            properties = properties.with_content_encoding(short(content_encoding, "the content encoding")?);
        }
        if let Some(message_id) = message.message_id {
            properties = properties.with_message_id(short(message_id, "the message id")?);
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
