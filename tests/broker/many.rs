//! Many messages: poison of every kind among them, and two nodes that have to agree about all of them.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use prost::Message;
use tickwire::publish::Publisher;
use tickwire::v1::{FeedMessage, Quote, Update, update::Body};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::house::{WITHIN, shared};
use super::node::Node;
use super::oracle::{self, SYMBOLS};
use super::snapshot::{self, Snapshot};
use super::view::wait_until;
use super::watch_ws;

/// Beginning of the routing key, content type, encoding and body of poison, and why it is refused: every cause that there is. The bodies of the
/// last two are made large.
const POISON: [(&str, &str, &str, &[u8], &str); 15] = [
    ("p.poison.", "text/csv", "", b"187.42", "content_type"),
    ("p.poison.", "application/json", "br", QUOTE, "content_encoding"),
    ("p.poison.", "application/json", "gzip", QUOTE, "undecodable"),
    ("p.poison.", "application/json", "", b"{\"quote\":{\"last\":", "undecodable"),
    ("p.poison.", "application/x-protobuf", "", &[0xff, 0xff, 0xff], "undecodable"),
    ("p.poison.", "application/json", "", b"{}", "empty"),
    ("p.poison.", "application/json", "", b"{\"quote\":{\"last\":\"NaN\"}}", "bad_value"),
    ("p.poison.", "application/json", "", b"{\"quote\":{\"last\":\"0.1234567890123\"}}", "scale_out_of_range"),
    ("p.poison..", "application/json", "", QUOTE, "bad_symbol"),
    ("poison.", "application/json", "", QUOTE, "outside_prefix"),
    ("p.space.", "application/json", "", QUOTE, "outside_namespace"),
    ("p.cap.", "application/json", "", QUOTE, "too_many_instruments"),
    ("p.plain.", "application/json", "", QUOTE, "implausible"),
    ("p.poison.", "application/json", "", b"", "too_many_updates"),
    ("p.poison.", "application/json", "", b"", "too_large"),
];
const QUOTE: &[u8] = b"{\"quote\":{\"last\":\"1\"}}";
/// Feeds that allow less than others.
const RULES: &str = r#"
routing_prefix = "p."
[[feed.rules]]
feed = "space"
pattern = "space.#"
namespace = "space.of.its.own."
[[feed.rules]]
feed = "cap"
pattern = "cap.#"
instruments_max = 1
[[feed.rules]]
feed = "plain"
pattern = "plain.#"
price_min = "1.01"
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_100_000_messages_the_thousand_that_are_poison_are_set_aside_and_no_other() {
    let mut node = Node::at(&shared().url(), "many.");
    node.configure(RULES);
    node.start_server();
    node.ready(200).await;
    let mut view = watch_ws::watch(node.address, "stock.#", 0, true);
    let connection = Connection::connect(&shared().url(), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let mut last = HashMap::new();
    let mut poison = Vec::new();
    let many = format!("{{\"updates\":[{}]}}", vec![String::from_utf8_lossy(QUOTE); 1_001].join(",")).into_bytes();
    let large = vec![b' '; (1 << 20) + 1];
    // The one instrument that its feed may have.
    send(&channel, "p.cap.ONLY", "application/json", "", QUOTE).await.await.unwrap();
    for block in 0..MESSAGES / BLOCK {
        // A node copies at most a hundred refused messages a second.
        let not_before = Instant::now() + Duration::from_millis(700);
        let mut confirms = Vec::new();
        for turn in block * BLOCK..(block + 1) * BLOCK {
            if turn % 100 == 50 {
                let at = poison.len();
                // Of the largest a few are enough.
                let (prefix, content_type, encoding, body, reason) =
                    POISON[if at % 100 == 0 { POISON.len() - 1 } else { at % (POISON.len() - 1) }];
                let key = format!("{prefix}{at}");
                let body = match reason {
                    "too_large" => &large,
                    "too_many_updates" => &many,
                    _ => body,
                };
                confirms.push(send(&channel, &key, content_type, encoding, body).await);
                poison.push((key, reason));
                continue;
            }
            let (index, version) = (turn % SYMBOLS, turn / SYMBOLS + 1);
            let update = Update { body: Some(Body::Quote(oracle::quote(index, version))), ..Default::default() };
            let message = FeedMessage { updates: vec![update], ..Default::default() };
            let symbol = format!("stock.S{index}");
            confirms.push(send(&channel, &format!("p.{symbol}"), "application/x-protobuf", "", &message.encode_to_vec()).await);
            last.insert(symbol, version);
        }
        for stored in join_all(confirms).await {
            assert!(stored.unwrap().take_message().is_none(), "the log takes it");
        }
        node.counted("feed_messages_total", 1 + (block + 1) as u64 * BLOCK as u64).await;
        sleep_until(not_before).await;
    }
    wait_until(&mut view, "the last versions are seen", |view| view.versions == last).await;
    assert_eq!((view.borrow().faults.clone(), view.borrow().connections), (Vec::new(), 1));
    assert_eq!(node.count("feed_updates_total").await, 1 + (MESSAGES - poison.len() as i64) as u64);
    assert_eq!(node.count("broker_failures_total").await, 0);
    node.counted("dead_letters_written_total", poison.len() as u64).await;
    assert_eq!(node.count("dead_letters_dropped_total").await, 0);
    let letters = read_dead(&connection, poison.len()).await;
    let (told, offsets): (Vec<_>, Vec<_>) = letters.into_iter().map(|(key, reason, offset)| ((key, reason), offset)).unzip();
    let expected: Vec<_> = poison.into_iter().map(|(key, reason)| (key, reason.to_owned())).collect();
    assert_eq!(told, expected);
    assert!(offsets.windows(2).all(|pair| pair[0] < pair[1]), "{offsets:?}");
}

/// 1,000,000 updates in batches of 50 through files of 1 MB: each new file uses up a position, which is no loss.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_have_the_same_state_at_the_same_position() {
    let mut nodes = [Node::at(&shared().url(), "pair."), Node::at(&shared().url(), "pair.")];
    for node in &mut nodes {
        node.configure("segment_bytes = 1000000\n");
        node.start_server();
        node.ready(200).await;
    }
    let publisher = Publisher::builder(&shared().url()).name("pair").exchange("pair.tickwire.feed").start().unwrap();
    let mut sent = 0;
    for part in 1..=PARTS {
        while sent < part * UPDATES / PARTS {
            let updates = (sent..sent + BATCH).map(|turn| {
                let (index, version) = (turn % INSTRUMENTS, turn / INSTRUMENTS + 1);
                let quote = Quote { last: Some(version * INSTRUMENTS + index), volume: Some(version), ..Default::default() };
                Update { symbol: format!("stock.S{index}"), body: Some(Body::Quote(quote)), ..Default::default() }
            });
            publisher.message("stock.batch", FeedMessage { updates: updates.collect(), ..Default::default() }).await.unwrap();
            sent += BATCH;
        }
        publisher.flush().await.unwrap();
        // One of them may have read the log twice: nodes that begin together agree on an epoch afterwards.
        let [one, other] = [has_all(&nodes[0], sent).await, has_all(&nodes[1], sent).await];
        assert_eq!(one.position(), other.position());
        assert!(one.quotes == other.quotes, "the nodes differ at {:?}", one.position());
    }
    let stats = publisher.stats();
    assert_eq!(stats.resent, 0, "{stats:?}");
    let newest = snapshot::take(nodes[0].address).await.position();
    assert!(newest + 1 - stats.messages >= 3, "{newest} for {} messages: too few files", stats.messages);
    for node in &nodes {
        assert_eq!((node.count("log_truncations_total").await, node.count("gaps_total").await), (0, 0));
    }
}

/// The state of a node that has applied `sent` updates, and nothing else.
async fn has_all(node: &Node, sent: i64) -> Snapshot {
    let by = Instant::now() + WITHIN;
    loop {
        let snapshot = snapshot::take(node.address).await;
        let wrong = (0..INSTRUMENTS).find(|index| {
            let version = (sent - 1 - index) / INSTRUMENTS + 1;
            let quote = snapshot.quotes.get(&format!("stock.S{index}")).map(|(_, quote)| (quote.last, quote.volume));
            quote != Some((Some(version * INSTRUMENTS + index), Some(version)))
        });
        match wrong {
            None if snapshot.quotes.len() as i64 == INSTRUMENTS => return snapshot,
            wrong => assert!(Instant::now() < by, "{wrong:?} of {} instruments is wrong after {sent} updates", snapshot.quotes.len()),
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Sends a message; what is returned waits until the log has it.
async fn send(
    channel: &Channel,
    key: &str,
    content_type: &str,
    encoding: &str,
    body: &[u8],
) -> impl Future<Output = lapin::Result<Confirmation>> + use<> {
    let mut properties = BasicProperties::default().with_content_type(content_type.into());
    if !encoding.is_empty() {
        properties = properties.with_content_encoding(encoding.into());
    }
    let options = BasicPublishOptions { mandatory: true, immediate: false };
    channel.basic_publish("many.tickwire.feed".into(), key.into(), options, body, properties).await.unwrap()
}

/// Routing key, reason and offset of the first `count` dead letters.
async fn read_dead(connection: &Connection, count: usize) -> Vec<(String, String, i64)> {
    let channel = connection.create_channel().await.unwrap();
    channel.basic_qos(1_000, BasicQosOptions::default()).await.unwrap();
    let options = BasicConsumeOptions::default();
    let mut consumer = channel.basic_consume("many.tickwire.dead".into(), "".into(), options, FieldTable::default()).await.unwrap();
    let mut letters = Vec::new();
    while letters.len() < count {
        let delivery = timeout(WITHIN, consumer.next()).await.expect("another dead letter").unwrap().unwrap();
        delivery.ack(BasicAckOptions::default()).await.unwrap();
        let headers = delivery.properties.headers().clone().unwrap();
        let (Some(AMQPValue::LongString(reason)), Some(AMQPValue::LongLongInt(offset))) =
            (headers.inner().get("tickwire-reason"), headers.inner().get("tickwire-offset"))
        else {
            panic!("{headers:?}")
        };
        letters.push((delivery.routing_key.to_string(), reason.to_string(), *offset));
    }
    letters
}

const MESSAGES: i64 = 100_000;
/// Messages that are published and read before the next ones: 50 of them are poison.
const BLOCK: i64 = 5_000;
const UPDATES: i64 = 1_000_000;
/// Times at which the nodes are compared.
const PARTS: i64 = 4;
const BATCH: i64 = 50;
const INSTRUMENTS: i64 = 1_000;
