//! The log itself is damaged: deleted and made again, shorter or longer than it was, or shortened past a node's place.

use std::time::Duration;

use futures_util::future::join_all;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use tickwire::Transport;
use tokio::time::{Instant, sleep_until};

use super::house::shared;
use super::node::Node;
use super::oracle::{Feed, INSTRUMENTS, Load};
use super::view::{wait_for_versions, wait_until};
use super::{watch_sdk, watch_sse, watch_ws};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_deleted_while_it_is_read_begins_anew() {
    let node = Node::open(&shared().url(), "deleted.").await;
    let feed = Feed::load(&shared().url(), Load { names: "deleted.", ..Load::default() });
    let mut every = watch_ws::watch(node.address, "stock.#", 0, true);
    let mut events = watch_sse::watch(node.address, "stock.#", true);
    let mut sdk = watch_sdk::watch(node.address, "stock.#", Transport::WebSocket, true);
    wait_until(&mut every, "all instruments are seen", |view| view.versions.len() == INSTRUMENTS).await;

    let broker = Hand::at_names("deleted.").await;
    broker.delete_log().await;
    node.counted("log_resets_total", 1).await;
    wait_until(&mut every, "the new log is told", |view| view.logs() == 1).await;
    node.ready(200).await;
    broker.delete_log().await;
    node.counted("log_resets_total", 2).await;
    wait_until(&mut every, "the new log is told", |view| view.logs() == 2).await;
    node.ready(200).await;

    let (last, _signs_of_life) = feed.end().await;
    for (who, view) in [("class 0", &mut every), ("SSE", &mut events), ("the SDK", &mut sdk)] {
        wait_for_versions(view, who, &last).await;
        assert_eq!(view.borrow().connections, 1, "{who} keeps its connection");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_made_again_meanwhile_is_known_as_another_one() {
    let mut node = Node::open(&shared().url(), "remade.").await;
    let feed = Feed::load(&shared().url(), Load { names: "remade.", alone: true, ..Load::default() });
    let mut every = watch_ws::watch(node.address, "stock.#", 0, true);
    let mut sdk = watch_sdk::watch(node.address, "stock.#", Transport::WebSocket, true);
    let broker = Hand::at_names("remade.").await;
    for (life, is_longer) in [(1, false), (2, true)] {
        wait_until(&mut every, "all instruments are seen", |view| view.versions.len() == INSTRUMENTS).await;
        // The place of a new server is that of the newest checkpoint.
        node.counted("checkpoints_written_total", 1).await;
        feed.pause().await;
        node.kill_server();
        let before = feed.messages();
        broker.delete_log().await;
        broker.declare_log().await;
        if is_longer {
            // Other messages at the same positions.
            feed.go_on();
            let mut count = tokio::time::interval(Duration::from_millis(50));
            while feed.messages() < 2 * before + 100 {
                count.tick().await;
            }
        }
        node.start_server();
        node.ready(200).await;
        assert_eq!(node.count("log_resets_total").await, 1, "{}", node.log());
        for view in [&mut every, &mut sdk] {
            wait_until(view, "the client is back", |view| view.connections == life + 1).await;
        }
        wait_until(&mut every, "the new log is told", |view| view.logs() >= life).await;
        feed.go_on();
    }
    let (last, _signs_of_life) = feed.end().await;
    wait_for_versions(&mut every, "class 0", &last).await;
    wait_for_versions(&mut sdk, "the SDK", &last).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_shortened_meanwhile_is_a_gap() {
    let mut node = Node::at(&shared().url(), "shortened.");
    node.configure(SMALL_LOG);
    node.start_server();
    node.ready(200).await;
    let feed = Feed::load(&shared().url(), Load { names: "shortened.", ..Load::default() });
    let mut every = watch_ws::watch(node.address, "stock.#", 0, true);
    let mut events = watch_sse::watch(node.address, "stock.#", true);
    wait_until(&mut every, "all instruments are seen", |view| view.versions.len() == INSTRUMENTS).await;
    node.counted("checkpoints_written_total", 1).await;

    node.kill_server();
    Hand::at_names("shortened.").await.fill_log().await;
    node.start_server();
    node.ready(200).await;
    assert_eq!((node.count("log_truncations_total").await, node.count("log_resets_total").await), (1, 0), "{}", node.log());
    for view in [&mut every, &mut events] {
        wait_until(view, "the loss is told", |view| view.connections == 2 && view.gaps() > 0).await;
    }
    let (last, _signs_of_life) = feed.end().await;
    wait_for_versions(&mut every, "class 0", &last).await;
    wait_for_versions(&mut events, "SSE", &last).await;
}

/// The server stops for 10 s, and the broker's limits are reached meanwhile: what it is about to read is gone. Another node has not stopped, and
/// its checkpoint is what there is to go on from.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_past_the_limits_of_the_log_goes_on_from_a_checkpoint_and_tells_the_gap() {
    let mut node = Node::at(&shared().url(), "slow.");
    node.configure(SMALL_LOG);
    node.start_server();
    node.ready(200).await;
    let feed = Feed::load(&shared().url(), Load { names: "slow.", ..Load::default() });
    let mut every = watch_ws::watch(node.address, "stock.#", 0, true);
    let mut sdk = watch_sdk::watch(node.address, "stock.#", Transport::WebSocket, true);
    wait_until(&mut every, "all instruments are seen", |view| view.versions.len() == INSTRUMENTS).await;

    // Which gives the log its name, for another node as well.
    node.counted("checkpoints_written_total", 1).await;
    assert!(!node.log().contains("starts from a checkpoint"), "{}", node.log());
    let mut other = Node::at(&shared().url(), "slow.");
    other.configure(SMALL_LOG);
    other.start_server();
    other.ready(200).await;
    let written = other.count("checkpoints_written_total").await;

    node.signal("STOP");
    let stopped = Instant::now();
    Hand::at_names("slow.").await.flood_log().await;
    other.counted("checkpoints_written_total", written + 1).await;
    sleep_until(stopped + Duration::from_secs(10)).await;
    node.signal("CONT");
    for view in [&mut every, &mut sdk] {
        wait_until(view, "the loss is told", |view| view.gaps() > 0).await;
    }
    node.ready(200).await;
    node.counted("log_truncations_total", 1).await;
    node.logged("starts from a checkpoint").await;
    assert_eq!(node.count("log_resets_total").await, 0, "{}", node.log());
    let (last, _signs_of_life) = feed.end().await;
    wait_for_versions(&mut every, "class 0", &last).await;
    wait_for_versions(&mut sdk, "the SDK", &last).await;
}

/// What an operator does to the log, and a loud neighbour.
struct Hand {
    _connection: Connection,
    channel: Channel,
    names: &'static str,
}

impl Hand {
    async fn at_names(names: &'static str) -> Self {
        let connection = Connection::connect(&shared().url(), ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        Self { _connection: connection, channel, names }
    }

    fn log(&self) -> String {
        format!("{}tickwire.feed.log", self.names)
    }

    async fn delete_log(&self) {
        self.channel.queue_delete(self.log().into(), QueueDeleteOptions::default()).await.unwrap();
    }

    async fn declare_log(&self) {
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("stream".into()));
        let durable = QueueDeclareOptions { durable: true, ..Default::default() };
        self.channel.queue_declare(self.log().into(), durable, arguments).await.unwrap();
        let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
        let exchange = format!("{}tickwire.feed", self.names);
        self.channel.queue_bind(self.log().into(), exchange.into(), "#".into(), options, arguments).await.unwrap();
    }

    /// 6 MB of somebody else's prices, three times what the small log keeps.
    async fn fill_log(&self) {
        let exchange = format!("{}tickwire.feed", self.names);
        let body = format!("{{\"quote\":{{\"last\":\"1\"}}}}{}", " ".repeat(200_000));
        for _ in 0..30 {
            let (options, properties) = (BasicPublishOptions { mandatory: true, immediate: false }, BasicProperties::default());
            let sent = self.channel.basic_publish(exchange.as_str().into(), "fill.X".into(), options, body.as_bytes(), properties).await;
            assert!(sent.unwrap().await.unwrap().take_message().is_none());
        }
    }

    /// Three times what the small log keeps, in so many messages that a checkpoint is due.
    async fn flood_log(&self) {
        let exchange = format!("{}tickwire.feed", self.names);
        for _ in 0..FLOOD / 1_000 {
            let sent = (0..1_000).map(async |_| {
                let (options, body) = (BasicPublishOptions { mandatory: true, immediate: false }, b"{\"quote\":{\"last\":\"1\"}}");
                let sent = self.channel.basic_publish(exchange.as_str().into(), "fill.X".into(), options, body, BasicProperties::default());
                assert!(sent.await.unwrap().await.unwrap().take_message().is_none());
            });
            join_all(sent).await;
        }
    }
}

/// Messages of a flood.
const FLOOD: usize = 70_000;
const SMALL_LOG: &str = "max_length_bytes = 2000000\nsegment_bytes = 1000000\n";
