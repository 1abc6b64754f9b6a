//! The reader against a real broker: what it tells after each thing that can happen to a log.

use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use prost::Message as _;
use tickwire_core::checkpoint::{Builder, Head};
use tickwire_proto::Moment;
use tickwire_rig::Broker;
use tokio::time::timeout;

use super::checkpoint::seal;
use super::*;
use crate::ingest::source::body_hash;

/// A log's whole life, in one broker since its start takes seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tells_what_happens_to_a_log() {
    let folder = tempfile::tempdir().unwrap();
    let mut broker = Broker::start(folder.path()).unwrap();
    let publisher = Publisher::connect(&broker).await;

    // A log that nobody has written to: it begins, and that is all there is.
    let mut source = start(&broker);
    assert_eq!(next(&mut source).await, "connected");
    let first_epoch = next(&mut source).await;
    assert!(first_epoch.starts_with("reset "), "{first_epoch}");
    assert_eq!(next(&mut source).await, "caught up");

    publisher.publish(0..3).await;
    assert_eq!(take(&mut source, 3).await, bodies(0..3));

    // A crash of the broker: it is told once, and the log goes on without a repeat.
    broker.kill().unwrap();
    assert_eq!(next(&mut source).await, "down");
    broker.restart().unwrap();
    assert_eq!(next_but_down(&mut source).await, "connected");
    assert_eq!(next(&mut source).await, "caught up");
    let publisher = Publisher::connect(&broker).await;
    publisher.publish(3..5).await;
    assert_eq!(take(&mut source, 2).await, bodies(3..5));

    // A node that starts without a checkpoint reads everything, in an epoch of its own.
    let mut newcomer = start(&broker);
    assert_eq!(next(&mut newcomer).await, "connected");
    let second_epoch = next(&mut newcomer).await;
    assert!(second_epoch > first_epoch);
    assert_eq!(take(&mut newcomer, 5).await, bodies(0..5));
    assert_eq!(next(&mut newcomer).await, "caught up");

    // All nodes follow the highest epoch, without going down.
    let epoch = second_epoch.trim_start_matches("reset ").to_owned();
    newcomer.keep(Builder::new(head(&epoch, 2, body_hash(b"update 2"), 0)).finish());
    assert_eq!(next(&mut source).await, "connected");
    assert_eq!(next(&mut source).await, format!("restore {epoch} at 2"));
    assert_eq!(take(&mut source, 2).await, bodies(3..5));
    assert_eq!(next(&mut source).await, "caught up");
    drop(newcomer);

    // A node that starts with a checkpoint reads what came after.
    source.keep(Builder::new(head(&epoch, 3, body_hash(b"update 3"), 0)).finish());
    heard_checkpoint(&mut source).await;
    // Neither damage, nor another version, nor one half, nor noise stands in the way of a good one before it.
    let last = Head { parts: 1, ..head(&epoch, 4, body_hash(b"update 4"), 0) };
    let good = seal(&last.encode_to_vec()).unwrap();
    let (mut damaged, mut future) = (good.clone(), good.clone());
    damaged[good.len() - 1] ^= 1;
    future[3] += 1;
    let half = seal(&Head { parts: 2, ..last.clone() }.encode_to_vec()).unwrap();
    // An instrument that is none.
    let wrong = seal(&[last.encode_to_vec(), vec![7 << 3 | 2, 1, 0xff]].concat()).unwrap();
    // Nor does one of a node that lagged behind when it wrote it.
    let late = seal(&Head { parts: 1, ..head(&epoch, 1, body_hash(b"update 1"), 0) }.encode_to_vec()).unwrap();
    for body in [&damaged, &future, &half, &b"noise".to_vec(), &Vec::new(), &wrong, &late] {
        publisher.publish_to("", "tickwire.checkpoint", body).await;
    }
    let mut newcomer = start(&broker);
    assert_eq!(next(&mut newcomer).await, "connected");
    assert_eq!(next(&mut newcomer).await, format!("restore {epoch} at 3"));
    assert_eq!(take(&mut newcomer, 1).await, bodies(4..5));
    assert_eq!(next(&mut newcomer).await, "caught up");

    // Another log under the same name, at first shorter than the old one: both nodes begin anew, in one epoch in the end.
    publisher.recreate_log().await;
    publisher.publish(100..102).await;
    let told = next_but_down(&mut source).await;
    assert_eq!(told, "connected");
    let epochs = [reset_epoch(&mut source).await, reset_epoch(&mut newcomer).await];
    assert!(epochs.iter().all(|new| new > &epoch), "{epochs:?} after {epoch}");
    assert_eq!(take(&mut source, 2).await, bodies(100..102));
    assert_eq!(next(&mut source).await, "caught up");
}

/// A node was away for so long that the log no longer has what came in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tells_a_gap_when_the_log_was_truncated() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path()).unwrap();
    let publisher = Publisher::connect(&broker).await;
    publisher.declare_log(4_000_000).await;
    let mut source = start(&broker);
    while next(&mut source).await != "caught up" {}
    publisher.publish(0..2).await;
    assert_eq!(take(&mut source, 2).await, bodies(0..2));
    source.keep(Builder::new(head("1700000000000", 1, body_hash(b"update 1"), 0)).finish());
    heard_or_followed(&mut source).await;
    drop(source);

    // 12 MB into a log of 4 MB with segments of 1 MB.
    publisher.fill(60, 200_000).await;
    let mut late = start(&broker);
    assert_eq!(next(&mut late).await, "connected");
    let restored = next(&mut late).await;
    assert!(restored.starts_with("restore "), "{restored}");
    let gap = next(&mut late).await;
    assert!(gap.starts_with("gap 1 to "), "{gap}");
}

/// Credit counts messages, and memory bytes: a feed task that stands still lets only so much pile up, however large the messages are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_messages_wait_at_the_broker() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path()).unwrap();
    let publisher = Publisher::connect(&broker).await;
    publisher.declare_log(1_000_000_000).await;
    for _ in 0..LARGE {
        publisher.publish_to("", "tickwire.feed.log", &[b'x'; 1 << 20]).await;
    }

    let mut source = start(&broker);
    while !next(&mut source).await.starts_with("reset ") {}
    // The first are taken, so that their size is known; then nobody takes any more.
    let mut taken = 0;
    while taken < 16 {
        taken += take_some(&mut source).await;
    }
    let under_way = under_way(&broker);
    assert!(under_way < LARGE / 2, "{under_way} MiB are under way or here");
    // It goes on where it stood, and nothing is lost.
    while taken < LARGE {
        taken += take_some(&mut source).await;
    }
    assert_eq!(taken, LARGE);
}

/// The same where the log is a queue, whose consumer ends before the next begins: nothing is lost or in another order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_gives_credit_by_size_and_keeps_the_order() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path()).unwrap();
    let mut source = start_with(AmqpConfig { mode: Mode::Queue, ..config(&broker) });
    while next(&mut source).await != "caught up" {}
    let publisher = Publisher::connect(&broker).await;
    let small = async {
        publisher.publish(0..SMALL).await;
    };
    let (_, taken) = tokio::join!(small, take(&mut source, SMALL as usize));
    assert_eq!(taken, bodies(0..SMALL));
    let credits = broker.control(&["--silent", "list_consumers", "prefetch_count"]).unwrap();
    assert!(credits.lines().any(|line| line.trim() == "1000"), "{credits}");

    let large = async { publisher.fill(LARGE, 1 << 20).await };
    let few = async {
        let mut taken = 0;
        while taken < 64 {
            taken += take_some(&mut source).await;
        }
        taken
    };
    let (_, mut taken) = tokio::join!(large, few);
    let under_way = under_way(&broker);
    assert!(under_way < LARGE / 2, "{under_way} MiB are under way or here");
    while taken < LARGE {
        taken += take_some(&mut source).await;
    }
    publisher.publish(SMALL..SMALL + 3).await;
    assert_eq!(take(&mut source, 3).await, bodies(SMALL..SMALL + 3));
}

/// Messages without acknowledgement, as soon as their number rests.
fn under_way(broker: &Broker) -> usize {
    let mut before = 0;
    loop {
        let channels = broker.control(&["--silent", "list_channels", "messages_unacknowledged"]).unwrap();
        let now = channels.lines().filter_map(|line| line.trim().parse::<usize>().ok()).sum();
        if now > 0 && now == before {
            return now;
        }
        before = now;
    }
}

/// A large checkpoint is many messages, and the last chunk of their stream has only its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn starts_from_a_checkpoint_of_many_parts_and_goes_by_it() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path()).unwrap();
    let publisher = Publisher::connect(&broker).await;
    let mut source = start(&broker);
    while next(&mut source).await != "caught up" {}
    publisher.publish(0..3).await;
    assert_eq!(take(&mut source, 3).await, bodies(0..3));
    drop(source);
    for seq in 0..2 {
        let head = head("1700000000000", seq, body_hash(format!("update {seq}").as_bytes()), seq);
        for part in 0..5 {
            publisher.publish_to("", "tickwire.checkpoint", &seal(&Head { part, parts: 5, ..head.clone() }.encode_to_vec()).unwrap()).await;
        }
    }
    let mut newcomer = start(&broker);
    assert_eq!(next(&mut newcomer).await, "connected");
    assert_eq!(next(&mut newcomer).await, "restore 1700000000000 at 1");
    // Otherwise every node that starts would write one at once.
    assert!(matches!(newcomer.told.recv().await, Some(Told::Checkpoint { seq: 1, ts_written_us: 1 })));
    assert_eq!(take(&mut newcomer, 1).await, bodies(2..3));
    assert_eq!(next(&mut newcomer).await, "caught up");
}

fn head(epoch: &str, seq: u64, body_hash: u64, ts_written_us: u64) -> Head {
    Head { epoch: epoch.to_owned(), seq, body_hash, ts_written_us, ..Default::default() }
}

fn start(broker: &Broker) -> Amqp {
    start_with(config(broker))
}

fn config(broker: &Broker) -> AmqpConfig {
    AmqpConfig::new(Brokers::one(BrokerUrl::parse(&broker.url()).unwrap()))
}

fn start_with(config: AmqpConfig) -> Amqp {
    Amqp::start(config, "n1".to_owned(), Clock::start(), Arc::new(Metrics::default()))
}

/// The next thing told, as text.
async fn next(source: &mut Amqp) -> String {
    match timeout(WITHIN, told(source)).await.expect("something is told") {
        SourceEvent::Down(_) => "down".to_owned(),
        SourceEvent::Connected => "connected".to_owned(),
        SourceEvent::Reset { epoch } => format!("reset {epoch}"),
        SourceEvent::Restore(checkpoint) => format!("restore {} at {}", checkpoint.epoch, checkpoint.seq),
        SourceEvent::Gap { from, to } => format!("gap {from} to {to}"),
        SourceEvent::Messages(messages) => {
            messages.iter().map(|message| String::from_utf8_lossy(&message.body).into_owned()).collect::<Vec<_>>().join(", ")
        }
        SourceEvent::CaughtUp => "caught up".to_owned(),
        SourceEvent::Interrupted { epoch } => format!("interrupted {epoch}"),
        SourceEvent::Behind { tail } => format!("behind {tail}"),
    }
}

/// The next event but those for people who wait: they come when the broker answers.
async fn told(source: &mut Amqp) -> SourceEvent {
    loop {
        let event = source.next().await;
        if !matches!(event, SourceEvent::Behind { .. }) {
            return event;
        }
    }
}

/// Connecting takes several tries while a broker starts.
async fn next_but_down(source: &mut Amqp) -> String {
    loop {
        let told = next(source).await;
        if told != "down" {
            return told;
        }
    }
}

/// The next `count` messages, however they are batched.
async fn take(source: &mut Amqp, count: usize) -> Vec<String> {
    let mut taken = Vec::new();
    while taken.len() < count {
        taken.extend(next(source).await.split(", ").map(str::to_owned));
    }
    taken
}

/// How many messages are told next.
async fn take_some(source: &mut Amqp) -> usize {
    match timeout(WITHIN, source.next()).await.expect("something is told") {
        SourceEvent::Messages(messages) => messages.len(),
        _ => 0,
    }
}

async fn reset_epoch(source: &mut Amqp) -> String {
    loop {
        if let Some(epoch) = next(source).await.strip_prefix("reset ") {
            return epoch.to_owned();
        }
    }
}

/// Drives the source until its own checkpoint has come back from the broker.
async fn heard_checkpoint(source: &mut Amqp) {
    loop {
        match timeout(WITHIN, source.told.recv()).await.expect("the checkpoint is heard") {
            Some(Told::Checkpoint { seq: 3, .. }) => return,
            Some(Told::Checkpoint { .. }) => {}
            told => panic!("{told:?}"),
        }
    }
}

async fn heard_or_followed(source: &mut Amqp) {
    // The checkpoint's epoch is older than the log's, so nothing is told about it; it only has to be stored.
    let _ = timeout(Duration::from_secs(2), source.told.recv()).await;
}

fn bodies(numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|number| format!("update {number}")).collect()
}

struct Publisher {
    _connection: Connection,
    channel: Channel,
}

impl Publisher {
    async fn connect(broker: &Broker) -> Self {
        let connection = Connection::connect(&broker.url(), ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        Self { _connection: connection, channel }
    }

    /// Publishes until the log takes it: its leader comes up after the port.
    async fn publish(&self, numbers: std::ops::Range<u32>) {
        for body in bodies(numbers) {
            self.publish_body(body.as_bytes()).await;
        }
    }

    async fn fill(&self, count: usize, bytes: usize) {
        for _ in 0..count {
            self.publish_body(&vec![b'x'; bytes]).await;
        }
    }

    async fn publish_body(&self, body: &[u8]) {
        self.publish_to("tickwire.feed", "a.b", body).await;
    }

    async fn publish_to(&self, exchange: &str, key: &str, body: &[u8]) {
        let options = BasicPublishOptions { mandatory: true, immediate: false };
        loop {
            let sent = self.channel.basic_publish(exchange.into(), key.into(), options, body, BasicProperties::default()).await;
            if sent.unwrap().await.unwrap().take_message().is_none() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn recreate_log(&self) {
        self.channel.queue_delete("tickwire.feed.log".into(), QueueDeleteOptions::default()).await.unwrap();
    }

    /// With files of 1 MB.
    async fn declare_log(&self, bytes_max: i64) {
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("stream".into()));
        arguments.insert("x-max-length-bytes".into(), AMQPValue::LongLongInt(bytes_max));
        arguments.insert("x-stream-max-segment-size-bytes".into(), AMQPValue::LongLongInt(1_000_000));
        let options = QueueDeclareOptions { durable: true, ..Default::default() };
        self.channel.queue_declare("tickwire.feed.log".into(), options, arguments).await.unwrap();
    }
}

#[test]
fn copies_a_hundred_refused_messages_a_second() {
    let mut dead_letters = Bucket::default();
    let mut copied = |millis| {
        let mut take = || dead_letters.take(Moment::from_millis(millis), DEAD_LETTERS_PER_S, DEAD_LETTERS_PER_S);
        (0..500).filter(|_| take().is_ok()).count()
    };
    assert_eq!(copied(0), 100);
    assert_eq!(copied(500), 50);
    assert_eq!(copied(60_000), 100);
}

/// Messages of 1 MiB.
const LARGE: usize = 300;
/// Messages of a few bytes: enough to know that they are small, with any credit.
const SMALL: u32 = 3_000;
/// Time for anything to be told, on a loaded machine.
const WITHIN: Duration = Duration::from_secs(60);
