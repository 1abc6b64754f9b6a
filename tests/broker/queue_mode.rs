//! A broker without streams: weaker, and never silent about it.

use std::time::Duration;

use lapin::options::ConfirmSelectOptions;
use lapin::{Channel, Connection, ConnectionProperties};
use tickwire::v1::FeedHealth::{Down, Live};
use tokio::time::{Instant, sleep};

use super::house::{House, WITHIN, get};
use super::oracle::{Feed, INSTRUMENTS};
use super::poison::publish;
use super::view::{passed_through, wait_for_versions, wait_until};
use super::watch_ws;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_streams_every_loss_is_told_and_the_rest_is_right() {
    let mut house = House::without_streams();
    house.start_server();
    house.ready(200).await;
    assert!(house.log().contains("the broker has no streams"), "{}", house.log());
    let feed = Feed::start(&house.broker.url());
    let mut view = watch_ws::watch(house.address, "stock.#", 0, true);
    wait_until(&mut view, "all instruments are seen", |view| view.versions.len() == INSTRUMENTS).await;
    assert_eq!(view.borrow().gaps(), 0);

    // The queue is deleted under the reader: another life, told to everyone.
    house.broker.control(&["eval", DELETE_OWN_QUEUES]).unwrap();
    wait_until(&mut view, "the loss is told", |view| view.gaps() >= INSTRUMENTS).await;
    wait_until(&mut view, "the feed is live again", |view| passed_through(&view.health, &[Live, Down, Live])).await;
    assert_eq!(counter(&house, "tickwire_queue_losses_total").await, 1);

    // The same when the broker crashes under load; what the publisher sends again afterwards turns nothing back.
    let told = view.borrow().gaps();
    house.broker.kill().unwrap();
    house.ready(503).await;
    house.broker.restart().unwrap();
    house.ready(200).await;
    wait_until(&mut view, "the loss is told again", |view| view.gaps() >= told + INSTRUMENTS).await;
    wait_until(&mut view, "the feed is live again", |view| passed_through(&view.health, &[Live, Down, Live, Down, Live])).await;
    let (last, _signs_of_life) = feed.end().await;
    wait_for_versions(&mut view, "class 0", &last).await;
    assert_eq!(view.borrow().connections, 1, "the client keeps its connection");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_too_slow_for_its_queue_says_so_and_one_that_starts_has_the_last_checkpoint() {
    let mut house = House::without_streams();
    house.configure("[feed.amqp]\nmode = \"queue\"\nqueue_length = 200\n");
    house.start_server();
    house.ready(200).await;
    let connection = Connection::connect(&house.broker.url(), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let mut view = watch_ws::watch(house.address, "slow.*", 0, false);
    last_price(&channel, "slow.A", 1).await;
    last_price(&channel, "slow.QUIET", 7).await;
    wait_until(&mut view, "both are seen", |view| view.quotes.len() == 2).await;

    // 200 messages wait at the broker, and 1,000 and what sockets hold are with the paused node.
    house.server.as_ref().unwrap().signal("STOP").unwrap();
    for number in 2..=LAST {
        last_price(&channel, "slow.A", number).await;
    }
    house.server.as_ref().unwrap().signal("CONT").unwrap();
    wait_until(&mut view, "the loss is told", |view| view.gaps() > 0).await;
    wait_until(&mut view, "the newest is there", |view| view.quotes["slow.A"].last == Some(LAST)).await;
    assert_eq!(counter(&house, "tickwire_broker_failures_total").await, 0, "{}", house.log());

    // Nobody publishes what a new node does not know: it is in the checkpoint.
    let by = Instant::now() + WITHIN;
    while counter(&house, "tickwire_checkpoints_written_total").await == 0 {
        assert!(Instant::now() < by, "{}", house.log());
        sleep(Duration::from_millis(100)).await;
    }
    house.kill_server();
    house.start_server();
    house.ready(200).await;
    let mut late = watch_ws::watch(house.address, "slow.*", 0, false);
    wait_until(&mut late, "the quiet one is known", |view| view.quotes.get("slow.QUIET").is_some_and(|quote| quote.last == Some(7))).await;
    assert!(house.log().contains("starts from a checkpoint"), "{}", house.log());
    // What comes is newer than what was kept.
    last_price(&channel, "slow.QUIET", 8).await;
    wait_until(&mut late, "the quiet one moves", |view| view.quotes["slow.QUIET"].last == Some(8)).await;
    wait_until(&mut view, "also for those who resume", |view| view.quotes["slow.QUIET"].last == Some(8)).await;
}

async fn last_price(channel: &Channel, symbol: &str, price: i64) {
    let body = format!("{{\"quote\":{{\"last\":\"{price}\"}}}}");
    publish(channel, symbol, "application/json", "", body.as_bytes()).await;
}

async fn counter(house: &House, name: &str) -> u64 {
    let metrics = get(house.address, "/metrics").await.unwrap();
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {metrics}")).parse().unwrap()
}

/// Exclusive queues are deleted by their owner only, or by the node itself.
const DELETE_OWN_QUEUES: &str =
    "[rabbit_amqqueue:delete(Q, false, false, <<\"test\">>) || Q <- rabbit_amqqueue:list(), amqqueue:get_exclusive_owner(Q) =/= none].";
/// Price and number of the last message.
const LAST: i64 = 4_000;
