//! The publisher kit against a broker that crashes: what the log has in the end.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicQosOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Connection, ConnectionProperties, Consumer, ExchangeKind};
use prost::Message;
use tickwire::publish::{Publisher, PublisherState};
use tickwire::v1::{FeedMessage, Quote, Update, update::Body};
use tickwire_rig::Broker;
use tokio::time::{sleep, timeout};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loses_nothing_and_ends_with_the_newest_when_the_broker_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut broker = Broker::start(folder.path()).unwrap();
    declare_log(&broker, "").await;

    let publisher = Publisher::builder(&broker.url()).name("test").alive("stock.alive", Duration::from_millis(500)).start().unwrap();
    let feed = tokio::spawn({
        let publisher = publisher.clone();
        async move {
            let mut last = HashMap::new();
            for version in 1..=VERSIONS {
                let symbol = format!("stock.S{}", version % SYMBOLS);
                publisher.update(&symbol, quote(version)).await.unwrap();
                last.insert(symbol, version);
                if version % 10 == 0 {
                    sleep(Duration::from_millis(4)).await;
                }
            }
            publisher.flush().await.unwrap();
            last
        }
    });
    sleep(Duration::from_secs(1)).await;
    broker.kill().unwrap();
    let mut states = publisher.states();
    states.wait_for(|state| *state == PublisherState::Connecting).await.unwrap();
    broker.restart().unwrap();
    let last = timeout(WITHIN, feed).await.expect("everything is stored in the end").unwrap();

    let log = read_log(&broker, publisher.stats().messages).await;
    let mut numbers: Vec<u64> = log.iter().map(|message| message.publisher_seq).collect();
    // Repeats go back by less than a window and come again in order, so that nothing old is left standing.
    assert!(numbers.windows(2).all(|pair| pair[1] <= pair[0] + 1), "a hole in the log");
    let mut newest = HashMap::new();
    for message in &log {
        for update in &message.updates {
            let Some(Body::Quote(quote)) = &update.body else { panic!("only quotes were published") };
            newest.insert(format!("stock.S{}", quote.volume.unwrap()), quote.last.unwrap());
        }
    }
    assert_eq!(newest.len(), SYMBOLS as usize);
    for (symbol, version) in last {
        assert_eq!(newest[&symbol], version, "{symbol}");
    }
    numbers.sort_unstable();
    numbers.dedup();
    let stats = publisher.stats();
    assert!(stats.messages < VERSIONS as u64, "updates share messages: {stats:?}");
    assert!(stats.resent > 0, "the kill met messages under way: {stats:?}");
    assert!(numbers.iter().copied().eq(1..=numbers.len() as u64), "a message is missing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waits_for_a_broker_and_for_a_log() {
    let folder = tempfile::tempdir().unwrap();
    let mut broker = Broker::start(folder.path()).unwrap();
    broker.kill().unwrap();
    let publisher = Publisher::builder(&broker.url()).name("early").start().unwrap();
    publisher.update("stock.S1", quote(1)).await.unwrap();
    broker.restart().unwrap();
    assert!(timeout(Duration::from_secs(2), publisher.flush()).await.is_err(), "there is no exchange and no log yet");
    declare_log(&broker, "").await;
    timeout(WITHIN, publisher.flush()).await.expect("the log takes it").unwrap();
    assert_eq!(read_log(&broker, 1).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_no_queue_took_is_not_stored_although_it_is_confirmed() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path()).unwrap();
    let connection = Connection::connect(&broker.url(), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
    channel.exchange_declare("tickwire.feed".into(), ExchangeKind::Topic, durable, FieldTable::default()).await.unwrap();
    let publisher = Publisher::builder(&broker.url()).name("early").start().unwrap();
    publisher.update("stock.S1", quote(1)).await.unwrap();
    let mut stats = publisher.stats();
    let by = tokio::time::Instant::now() + WITHIN;
    while stats.returned < 3 && tokio::time::Instant::now() < by {
        sleep(Duration::from_millis(20)).await;
        stats = publisher.stats();
    }
    // An Ack with the message in it, again and again.
    assert!(stats.returned >= 3 && stats.confirmed == 0, "{stats:?}");
    assert!(timeout(Duration::from_millis(200), publisher.flush()).await.is_err());
    declare_log(&broker, "").await;
    timeout(WITHIN, publisher.flush()).await.expect("the log takes it").unwrap();
    assert_eq!((publisher.stats().confirmed, read_log(&broker, 1).await.len()), (1, 1));
}

fn quote(version: i64) -> Update {
    let quote = Quote { last: Some(version), volume: Some(version % SYMBOLS), ..Default::default() };
    Update { ts_event_us: version as u64, body: Some(Body::Quote(quote)), ..Default::default() }
}

/// What the server would declare for a log, with this prefix of its names.
pub(crate) async fn declare_log(broker: &Broker, prefix: &str) {
    let name = |name: &str| ShortString::try_new(format!("{prefix}{name}")).unwrap();
    let (feed, log) = (name("tickwire.feed"), name("tickwire.feed.log"));
    let connection = Connection::connect(&broker.url(), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
    channel.exchange_declare(feed.clone(), ExchangeKind::Topic, durable, FieldTable::default()).await.unwrap();
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("stream".into()));
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare(log.clone(), durable, arguments).await.unwrap();
    let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
    channel.queue_bind(log.clone(), feed.clone(), "#".into(), options, arguments).await.unwrap();
}

/// Everything in the log, read until the message with number `last` has come.
async fn read_log(broker: &Broker, last: u64) -> Vec<FeedMessage> {
    let connection = Connection::connect(&broker.url(), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.basic_qos(1_000, BasicQosOptions::default()).await.unwrap();
    let mut arguments = FieldTable::default();
    arguments.insert("x-stream-offset".into(), AMQPValue::LongString("first".into()));
    let mut consumer: Consumer =
        channel.basic_consume("tickwire.feed.log".into(), "".into(), BasicConsumeOptions::default(), arguments).await.unwrap();
    let mut log: Vec<FeedMessage> = Vec::new();
    while log.last().is_none_or(|message| message.publisher_seq < last) {
        let delivery = timeout(WITHIN, consumer.next()).await.expect("the log goes on").unwrap().unwrap();
        log.push(FeedMessage::decode(delivery.data.as_slice()).unwrap());
        delivery.ack(BasicAckOptions::default()).await.unwrap();
    }
    log
}

const SYMBOLS: i64 = 20;
/// At about 2,000 a second: 8 s of publishing, more than a broker's restart takes.
const VERSIONS: i64 = 16_000;
/// Time for anything to happen, on a loaded machine.
const WITHIN: Duration = Duration::from_secs(90);
