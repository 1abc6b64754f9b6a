//! What is at the broker already: left alone, compared, and, if that is the operator's wish, never added to.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Connection, ConnectionProperties, ExchangeKind};

use super::house::shared;
use super::node::Node;
use super::oracle::{Feed, INSTRUMENTS, Load};
use super::view::{wait_for_versions, wait_until};
use super::watch_ws;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_there_with_other_settings_is_kept_and_told() {
    let operator = Operator::of("other.").await;
    operator.exchange("tickwire.feed").await;
    let log = [stream(), ("x-max-age", text("3h")), ("x-max-length-bytes", AMQPValue::LongLongInt(5_000_000))];
    operator.queue("tickwire.feed.log", &log).await;
    operator.queue("tickwire.dead", &[("x-max-length", AMQPValue::LongLongInt(7))]).await;

    let node = Node::open(&shared().url(), "other.").await;
    // What is there is what it was, and what is missing is made.
    let there = operator.there().await;
    for (name, settings) in [("feed.log", "3h"), ("feed.log", "5000000"), ("dead", "{\"x-max-length\",7}"), ("checkpoint", "stream")] {
        let line = there.lines().find(|line| line.starts_with(&format!("other.tickwire.{name}\t"))).unwrap_or_default();
        assert!(line.contains(settings), "{name}: {line}");
    }
    let log = node.log();
    let warned = |name: &str| {
        log.lines().filter(|line| line.contains("the broker has it with other settings; they are kept") && line.contains(name)).count()
    };
    assert_eq!([warned("\"other.tickwire.feed.log\""), warned("\"other.tickwire.dead\"")], [1, 1], "{log}");
    assert_eq!([warned("\"other.tickwire.feed\""), warned("\"other.tickwire.checkpoint\"")], [0, 0], "{log}");
    assert!(log.contains("inequivalent arg 'x-max-length-bytes'") || log.contains("inequivalent arg 'x-max-age'"), "{log}");
    assert_eq!(node.count("broker_failures_total").await, 0, "a difference is no failure");

    let feed = Feed::load(&shared().url(), Load { names: "other.", ..Load::default() });
    let mut view = watch_ws::watch(node.address, "stock.#", 0, true);
    wait_until(&mut view, "all instruments are seen", |view| view.versions.len() == INSTRUMENTS).await;
    let (last, _signs_of_life) = feed.end().await;
    wait_for_versions(&mut view, "class 0", &last).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_managed_topology_is_read_and_never_added_to() {
    let mut node = Node::at(&shared().url(), "managed.");
    node.configure("topology = \"managed\"\n");
    node.start_server();
    let said = node.wait_for("/readyz", |answer| answer.contains("refuses")).await;
    assert!(said.starts_with("HTTP/1.1 503") && said.contains("404 NOT_FOUND"), "{said}");
    // It has tried more than once.
    node.counted("broker_failures_total", 2).await;
    let operator = Operator::of("managed.").await;
    assert_eq!(operator.there().await, "", "it declares nothing");

    operator.exchange("tickwire.feed").await;
    operator.exchange("tickwire.dead").await;
    operator.queue("tickwire.feed.log", &[stream()]).await;
    operator.queue("tickwire.checkpoint", &[stream()]).await;
    operator.queue("tickwire.dead", &[]).await;
    operator.bind("tickwire.feed.log", "tickwire.feed").await;
    operator.bind("tickwire.dead", "tickwire.dead").await;
    let before = operator.there().await;
    node.ready(200).await;
    let feed = Feed::load(&shared().url(), Load { names: "managed.", ..Load::default() });
    let mut view = watch_ws::watch(node.address, "stock.#", 0, true);
    wait_until(&mut view, "all instruments are seen", |view| view.versions.len() == INSTRUMENTS).await;
    let (last, _signs_of_life) = feed.end().await;
    wait_for_versions(&mut view, "class 0", &last).await;
    assert_eq!(operator.there().await, before);
    assert!(!node.log().contains("declared at the broker") && !node.log().contains("other settings"), "{}", node.log());
}

/// Somebody who makes exchanges and queues with these names in front.
struct Operator {
    _connection: Connection,
    channel: Channel,
    names: &'static str,
}

impl Operator {
    async fn of(names: &'static str) -> Self {
        let connection = Connection::connect(&shared().url(), ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        Self { _connection: connection, channel, names }
    }

    fn name(&self, name: &str) -> ShortString {
        format!("{}{name}", self.names).into()
    }

    async fn exchange(&self, name: &str) {
        let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
        self.channel.exchange_declare(self.name(name), ExchangeKind::Topic, durable, FieldTable::default()).await.unwrap();
    }

    async fn queue(&self, name: &str, settings: &[(&str, AMQPValue)]) {
        let mut arguments = FieldTable::default();
        for (key, value) in settings {
            arguments.insert((*key).into(), value.clone());
        }
        let durable = QueueDeclareOptions { durable: true, ..Default::default() };
        self.channel.queue_declare(self.name(name), durable, arguments).await.unwrap();
    }

    async fn bind(&self, queue: &str, exchange: &str) {
        let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
        self.channel.queue_bind(self.name(queue), self.name(exchange), "#".into(), options, arguments).await.unwrap();
    }

    /// Exchanges and queues with these names in front, and their settings, a line each.
    async fn there(&self) -> String {
        let exchanges = shared().control(&["--silent", "list_exchanges", "name", "type"]).unwrap();
        let queues = shared().control(&["--silent", "list_queues", "name", "arguments"]).unwrap();
        let mut ours: Vec<&str> = exchanges.lines().chain(queues.lines()).filter(|line| line.starts_with(self.names)).collect();
        ours.sort_unstable();
        ours.join("\n")
    }
}

fn stream() -> (&'static str, AMQPValue) {
    ("x-queue-type", text("stream"))
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}
