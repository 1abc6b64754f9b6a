//! Messages that cannot be used are set aside with a reason, and the rest goes on.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use tokio::time::timeout;

use super::house::{House, WITHIN, get};
use super::view::wait_until;
use super::watch_ws;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poison_is_set_aside_and_the_rest_goes_on() {
    let house = House::open().await;
    let mut view = watch_ws::watch(house.address, "stock.*", 0, false);
    let connection = Connection::connect(&house.broker.url(), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();

    let too_many = format!("{{\"updates\":[{}]}}", vec!["{\"quote\":{\"last\":\"1\"}}"; 1_001].join(","));
    let too_large = vec![b' '; (1 << 20) + 1];
    let poison: [(&str, &str, &str, &str, &[u8]); 11] = [
        ("content_type", "stock.A", "text/csv", "", b"187.42"),
        ("content_encoding", "stock.B", "application/json", "br", b"{\"quote\":{\"last\":\"1\"}}"),
        ("undecodable", "stock.K", "application/json", "gzip", b"{\"quote\":{\"last\":\"1\"}}"),
        ("too_large", "stock.C", "application/json", "", &too_large),
        ("undecodable", "stock.D", "application/json", "", b"{\"quote\":{\"last\":"),
        ("undecodable", "stock.E", "application/x-protobuf", "", &[0xff, 0xff, 0xff]),
        ("empty", "stock.F", "application/json", "", b"{}"),
        ("bad_symbol", "stock..G", "application/json", "", b"{\"quote\":{\"last\":\"1\"}}"),
        ("too_many_updates", "stock.H", "application/json", "", too_many.as_bytes()),
        ("bad_value", "stock.I", "application/json", "", b"{\"quote\":{\"last\":\"NaN\"}}"),
        ("scale_out_of_range", "stock.J", "application/json", "", b"{\"quote\":{\"last\":\"0.1234567890123\"}}"),
    ];
    for (_, key, content_type, encoding, body) in &poison {
        publish(&channel, key, content_type, encoding, body).await;
    }
    // A good update beside a bad one, and good ones after all of that.
    publish(
        &channel,
        "stock.batch",
        "application/json",
        "",
        br#"{"updates":[{"symbol":"stock.GOOD","quote":{"last":"1.25"}},{"symbol":"stock.GOOD","quote":{"last":"x"}}]}"#,
    )
    .await;
    publish(&channel, "stock.LAST", "", "", b"{\"quote\":{\"last\":\"9.75\"}}").await;

    wait_until(&mut view, "the rest goes on", |view| view.quotes.contains_key("stock.LAST")).await;
    assert_eq!(view.borrow().quotes["stock.GOOD"].last, Some(125));
    assert_eq!(view.borrow().quotes.len(), 2, "{:?}", view.borrow().quotes);
    assert_eq!(view.borrow().connections, 1);

    let dead = read_dead(&connection, poison.len() + 1).await;
    for (reason, key, _, _, body) in &poison {
        let letter = dead.get(*key).unwrap_or_else(|| panic!("{key} is not in the dead letter queue: {:?}", dead.keys()));
        assert_eq!((letter.reason.as_str(), letter.id.as_str()), (*reason, format!("tickwire.feed.log:{}", letter.offset).as_str()));
        assert_eq!(letter.body, body[..body.len().min(64 << 10)], "{key}");
    }
    assert_eq!(dead["stock.batch"].reason, "bad_value");
    let metrics = get(house.address, "/metrics").await.unwrap();
    assert!(metrics.contains("poison"), "{metrics}");
}

struct Letter {
    reason: String,
    offset: i64,
    id: String,
    body: Vec<u8>,
}

/// Publishes one message, and waits until the log has it.
pub(crate) async fn publish(channel: &Channel, key: &str, content_type: &str, encoding: &str, body: &[u8]) {
    let mut properties = BasicProperties::default();
    if !content_type.is_empty() {
        properties = properties.with_content_type(content_type.into());
    }
    if !encoding.is_empty() {
        properties = properties.with_content_encoding(encoding.into());
    }
    let options = BasicPublishOptions { mandatory: true, immediate: false };
    let sent = channel.basic_publish("tickwire.feed".into(), key.into(), options, body, properties).await.unwrap();
    assert!(sent.await.unwrap().take_message().is_none(), "the log takes it");
}

/// The first `count` dead letters, by routing key.
async fn read_dead(connection: &Connection, count: usize) -> HashMap<String, Letter> {
    let channel = connection.create_channel().await.unwrap();
    let options = BasicConsumeOptions::default();
    let mut consumer = channel.basic_consume("tickwire.dead".into(), "".into(), options, FieldTable::default()).await.unwrap();
    let mut letters = HashMap::new();
    while letters.len() < count {
        let next = timeout(WITHIN.min(Duration::from_secs(20)), consumer.next()).await;
        let delivery = next.unwrap_or_else(|_| panic!("{count} dead letters, of which came {:?}", letters.keys())).unwrap().unwrap();
        delivery.ack(BasicAckOptions::default()).await.unwrap();
        let headers = delivery.properties.headers().clone().unwrap();
        let text = |name: &str| match headers.inner().get(name) {
            Some(AMQPValue::LongString(text)) => text.to_string(),
            other => panic!("{name} is {other:?}"),
        };
        let Some(AMQPValue::LongLongInt(offset)) = headers.inner().get("tickwire-offset") else { panic!("no tickwire-offset") };
        let id = delivery.properties.message_id().as_ref().unwrap().to_string();
        let letter = Letter { reason: text("tickwire-reason"), offset: *offset, id, body: delivery.data.clone() };
        letters.insert(delivery.routing_key.to_string(), letter);
    }
    letters
}
