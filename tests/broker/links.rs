//! The link to the broker is cut, or dies without a word; the broker itself stops for a while.

use std::time::Duration;

use tickwire::Transport;
use tickwire::publish::PublisherState;
use tickwire::v1::FeedHealth::{Down, Live, Recovering, Stale};
use tokio::time::{Instant, sleep_until, timeout};

use super::house::{House, WITHIN, shared};
use super::node::Node;
use super::oracle::{Feed, INSTRUMENTS, Load};
use super::proxy::Proxy;
use super::view::{passed_through, wait_for_versions, wait_until};
use super::{watch_sdk, watch_sse, watch_ws};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_link_costs_no_value() {
    let proxy = Proxy::start(shared().port()).await;
    let node = Node::open(&proxy.url(""), "cut.").await;
    let feed = Feed::load(&shared().url(), Load { names: "cut.", ..Load::default() });
    let mut every = watch_ws::watch(node.address, "stock.#", 0, true);
    let mut events = watch_sse::watch(node.address, "stock.#", true);
    let mut sdk = watch_sdk::watch(node.address, "stock.#", Transport::WebSocket, true);
    wait_until(&mut every, "all instruments are seen", |view| view.versions.len() == INSTRUMENTS).await;
    for _ in 0..2 {
        proxy.cut();
        let said = node.ready(503).await;
        assert!(said.contains("RabbitMQ cannot be reached"), "{said}");
        wait_until(&mut every, "the feed is down", |view| view.health.last() == Some(&Down)).await;
        feed.narrow();
        proxy.mend();
        node.ready(200).await;
        wait_until(&mut every, "the feed is live again", |view| view.health.last() == Some(&Live)).await;
    }
    let (last, _signs_of_life) = feed.end().await;
    for (who, view) in [("class 0", &mut every), ("SSE", &mut events), ("the SDK", &mut sdk)] {
        wait_for_versions(view, who, &last).await;
        assert_eq!(view.borrow().connections, 1, "{who} keeps its connection");
    }
    // The log goes on where it was: nothing was read twice, and nothing was lost.
    assert_eq!((node.count("log_resets_total").await, node.count("log_truncations_total").await, every.borrow().gaps()), (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_dies_silently_is_noticed_by_both_clocks() {
    let proxy = Proxy::start(shared().port()).await;
    // With signs of life every two seconds on the connection, it is given up after four.
    let node = Node::open(&proxy.url("?heartbeat=2"), "halfopen.").await;
    let feed = Feed::load(&shared().url(), Load { names: "halfopen.", ..Load::default() });
    let mut every = watch_ws::watch(node.address, "stock.#", 0, true);
    let mut sdk = watch_sdk::watch(node.address, "stock.#", Transport::WebSocket, true);
    wait_until(&mut every, "all instruments are seen", |view| view.versions.len() == INSTRUMENTS).await;

    proxy.silence();
    feed.narrow();
    wait_until(&mut every, "the feed's clock sees it first", |view| view.health.last() == Some(&Stale)).await;
    wait_until(&mut every, "then the connection's", |view| view.health.last() == Some(&Down)).await;
    node.ready(503).await;
    proxy.mend();
    node.ready(200).await;
    let (last, _signs_of_life) = feed.end().await;
    for (who, view) in [("class 0", &mut every), ("the SDK", &mut sdk)] {
        wait_for_versions(view, who, &last).await;
        let health = view.borrow().health.clone();
        assert!(passed_through(&health, &[Live, Stale, Down, Recovering, Live]), "{who} was told {health:?}");
        assert_eq!((view.borrow().connections, view.borrow().gaps()), (1, 0), "{who}");
    }
}

/// The same between a feed and its broker: what was under way is published again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_whose_link_is_cut_or_dies_silently_loses_nothing() {
    let proxy = Proxy::start(shared().port()).await;
    let node = Node::open(&shared().url(), "feedlink.").await;
    let feed = Feed::load(&proxy.url("?heartbeat=2"), Load { names: "feedlink.", ..Load::default() });
    let mut every = watch_ws::watch(node.address, "stock.#", 0, true);
    wait_until(&mut every, "all instruments are seen", |view| view.versions.len() == INSTRUMENTS).await;
    for break_link in [Proxy::cut, Proxy::silence] {
        break_link(&proxy);
        let mut states = feed.states();
        timeout(WITHIN, states.wait_for(|state| *state == PublisherState::Connecting)).await.expect("the feed notices").unwrap();
        wait_until(&mut every, "the feed is stale", |view| view.health.last() == Some(&Stale)).await;
        feed.narrow();
        proxy.mend();
        wait_until(&mut every, "the feed is live again", |view| view.health.last() == Some(&Live)).await;
    }
    let (last, publisher) = feed.end().await;
    wait_for_versions(&mut every, "class 0", &last).await;
    assert_eq!((every.borrow().gaps(), node.count("broker_failures_total").await), (0, 0), "the node has nothing to do with it");
    assert!(publisher.stats().resent > 0, "{:?}", publisher.stats());
}

/// The signs of life are those that connections have by default: both ends give the connection up, and connecting meets silence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_stops_for_30_s_costs_no_value() {
    let house = House::open().await;
    let feed = Feed::start(&house.broker.url());
    let mut every = watch_ws::watch(house.address, "stock.#", 0, true);
    let mut events = watch_sse::watch(house.address, "stock.#", true);
    let mut sdk = watch_sdk::watch(house.address, "stock.#", Transport::WebSocket, true);
    wait_until(&mut every, "all instruments are seen", |view| view.versions.len() == INSTRUMENTS).await;

    house.broker.pause().unwrap();
    // The length of the stop is the fault.
    let stopped = Instant::now();
    feed.narrow();
    wait_until(&mut every, "the feed's clock sees it first", |view| view.health.last() == Some(&Stale)).await;
    wait_until(&mut every, "then the connection's", |view| view.health.last() == Some(&Down)).await;
    let said = house.ready(503).await;
    assert!(said.contains("RabbitMQ cannot be reached"), "{said}");
    sleep_until(stopped + Duration::from_secs(30)).await;
    house.broker.resume().unwrap();
    house.ready(200).await;
    wait_until(&mut every, "the feed is live again", |view| view.health.last() == Some(&Live)).await;
    let (last, _signs_of_life) = feed.end().await;
    for (who, view) in [("class 0", &mut every), ("SSE", &mut events), ("the SDK", &mut sdk)] {
        wait_for_versions(view, who, &last).await;
        assert_eq!((view.borrow().connections, view.borrow().gaps()), (1, 0), "{who} keeps its connection, and what it was told");
    }
    assert_eq!((house.count("log_resets_total").await, house.count("log_truncations_total").await), (0, 0), "{}", house.log());
}
