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
    /// As its publisher gave them, in the order of their names. Tables, lists and decimals are left out: a stream does not keep them either.
    #[prost(message, repeated, tag = "8")]
    pub headers: Vec<RecordedHeader>,
    /// As its publisher gave it.
    #[prost(bytes = "vec", tag = "9")]
    pub body: Vec<u8>,
    /// As its publisher gave it.
    #[prost(string, optional, tag = "10")]
    pub correlation_id: Option<String>,
    /// As its publisher gave it.
    #[prost(string, optional, tag = "11")]
    pub reply_to: Option<String>,
    /// As its publisher gave it: AMQP's `type`.
    #[prost(string, optional, tag = "12")]
    pub kind: Option<String>,
    /// As its publisher gave it.
    #[prost(string, optional, tag = "13")]
    pub app_id: Option<String>,
    /// As its publisher gave it, 0 to 255.
    #[prost(uint32, optional, tag = "14")]
    pub priority: Option<u32>,
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
    /// AMQP's letter for its type, if that is another than the usual one of its value: `S`, `l` and `t`.
    #[prost(uint32, tag = "5")]
    pub amqp_type: u32,
}

/// Values of headers.
pub mod header_value {
    /// A value of one of the kinds that are recorded.
    #[derive(Clone, PartialEq, Eq, prost::Oneof)]
    pub enum Value {
        /// A text, which need not be UTF-8.
        #[prost(bytes = "vec", tag = "2")]
        Text(Vec<u8>),
        /// A whole number, a time in seconds, or the bits of a fraction.
        #[prost(sint64, tag = "3")]
        Number(i64),
        /// True or false.
        #[prost(bool, tag = "4")]
        Flag(bool),
    }
}

impl Recorded {
    /// A delivery at position `seq`, which was made at `now_us`, and how many of its headers are left out.
    pub(crate) fn of(delivery: lapin::message::Delivery, seq: u64, now_us: u64) -> (Self, usize) {
        let properties = &delivery.properties;
        let text = |value: &Option<ShortString>| value.as_ref().map(ToString::to_string);
        // Those of the broker say where the message was.
        let headers =
            properties.headers().iter().flat_map(|headers| headers.inner()).filter(|(name, _)| !name.as_str().starts_with(BROKERS));
        let count = headers.clone().count();
        let mut recorded = Self {
            seq,
            time_us: 0,
            content_type: text(properties.content_type()),
            content_encoding: text(properties.content_encoding()),
            message_id: text(properties.message_id()),
            timestamp_s: *properties.timestamp(),
            headers: headers.filter_map(|(name, value)| header(name, value)).collect(),
            correlation_id: text(properties.correlation_id()),
            reply_to: text(properties.reply_to()),
            kind: text(properties.kind()),
            app_id: text(properties.app_id()),
            priority: properties.priority().map(u32::from),
            routing_key: delivery.routing_key.to_string(),
            body: delivery.data,
        };
        recorded.headers.sort_by(|a, b| a.name.cmp(&b.name));
        recorded.time_us = super::time::of(&recorded).unwrap_or(now_us);
        let left_out = count - recorded.headers.len();
        (recorded, left_out)
    }
}

/// A header, unless it is made of others.
fn header(name: &ShortString, value: &AMQPValue) -> Option<RecordedHeader> {
    use header_value::Value::{Flag, Number, Text};
    let (value, letter) = match value {
        AMQPValue::LongString(text) => (Some(Text(text.as_bytes().to_vec())), USUAL),
        AMQPValue::ByteArray(bytes) => (Some(Text(bytes.as_slice().to_vec())), 'x'),
        AMQPValue::Boolean(flag) => (Some(Flag(*flag)), USUAL),
        AMQPValue::LongLongInt(number) => (Some(Number(*number)), USUAL),
        AMQPValue::ShortShortInt(number) => (Some(Number((*number).into())), 'b'),
        AMQPValue::ShortShortUInt(number) => (Some(Number((*number).into())), 'B'),
        AMQPValue::ShortInt(number) => (Some(Number((*number).into())), 's'),
        AMQPValue::ShortUInt(number) => (Some(Number((*number).into())), 'u'),
        AMQPValue::LongInt(number) => (Some(Number((*number).into())), 'I'),
        AMQPValue::LongUInt(number) => (Some(Number((*number).into())), 'i'),
        AMQPValue::Timestamp(seconds) => (Some(Number(i64::try_from(*seconds).ok()?)), 'T'),
        AMQPValue::Float(fraction) => (Some(Number(fraction.to_bits().into())), 'f'),
        AMQPValue::Double(fraction) => (Some(Number(fraction.to_bits().cast_signed())), 'd'),
        AMQPValue::Void => (None, 'V'),
        // RabbitMQ takes no short strings in headers.
        _ => return None,
    };
    Some(RecordedHeader { name: name.to_string(), value, amqp_type: if letter == USUAL { 0 } else { letter.into() } })
}

/// Start of the names that the broker gives its headers.
const BROKERS: &str = "x-stream-";
/// The type that a value has if nothing else is said.
const USUAL: char = '\0';

#[cfg(test)]
mod tests {
    use lapin::types::{DecimalValue, FieldArray, FieldTable};

    use super::*;

    #[test]
    fn what_is_made_of_other_values_is_left_out() {
        let kept = |value: AMQPValue| header(&"x".into(), &value).is_some();
        assert!(kept(AMQPValue::Double(f64::NAN)) && kept(AMQPValue::Void) && kept(AMQPValue::ByteArray(vec![0xff].into())));
        assert!(!kept(AMQPValue::FieldTable(FieldTable::default())) && !kept(AMQPValue::FieldArray(FieldArray::default())));
        assert!(!kept(AMQPValue::DecimalValue(DecimalValue { scale: 1, value: 7 })));
    }
}
