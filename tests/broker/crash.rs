//! A broker that is killed under load, and a feed that falls silent.

use std::time::Duration;

use tickwire::Transport;
use tickwire::publish::PublisherState;
use tickwire::v1::FeedHealth::{Down, Live, Recovering, Stale};
use tokio::time::{sleep, timeout};

use super::house::{House, WITHIN};
use super::oracle::{Feed, INSTRUMENTS, Load};
use super::view::{passed_through, wait_for_versions, wait_until};
use super::{watch_sdk, watch_sse, watch_ws};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_broker_costs_no_value() {
    let mut house = House::open().await;
    // 5,000 messages a second.
    let feed = Feed::load(&house.broker.url(), Load { a_turn: 25, alone: true, ..Load::default() });
    let mut every = watch_ws::watch(house.address, "stock.#", 0, true);
    let mut conflated = watch_ws::watch(house.address, "stock.#", 250, true);
    let mut events = watch_sse::watch(house.address, "stock.#", true);
    let mut sdk = watch_sdk::watch(house.address, "stock.#", Transport::WebSocket, true);
    wait_until(&mut every, "all instruments are seen", |view| view.versions.len() == INSTRUMENTS).await;

    house.broker.kill().unwrap();
    house.ready(503).await;
    feed.narrow();
    for view in [&mut every, &mut conflated, &mut events, &mut sdk] {
        wait_until(view, "the feed is down", |view| view.health.last() == Some(&Down)).await;
    }
    house.broker.restart().unwrap();
    house.ready(200).await;
    wait_until(&mut every, "the feed is live again", |view| passed_through(&view.health, &[Live, Down, Live])).await;
    let before = every.borrow().versions["stock.S0"];
    wait_until(&mut every, "prices go on", |view| view.versions["stock.S0"] > before).await;

    let (last, _signs_of_life) = feed.end().await;
    for (who, view) in [("class 0", &mut every), ("class 250", &mut conflated), ("SSE", &mut events), ("the SDK", &mut sdk)] {
        wait_for_versions(view, who, &last).await;
        assert_eq!(view.borrow().connections, 1, "{who} keeps its connection");
        let health = view.borrow().health.clone();
        assert!(passed_through(&health, &[Live, Down, Recovering, Live]), "{who} was told {health:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mute_feed_is_stale_and_a_quiet_one_is_not() {
    let house = House::open().await;
    let feed = Feed::start(&house.broker.url());
    let mut view = watch_ws::watch(house.address, "stock.#", 0, true);
    wait_until(&mut view, "the feed is live", |view| view.health.last() == Some(&Live) && !view.quotes.is_empty()).await;

    // Quiet: no prices for longer than the limit, but signs of life.
    let (last, signs_of_life) = feed.end().await;
    wait_for_versions(&mut view, "class 0", &last).await;
    sleep(Duration::from_secs(3)).await;
    assert_eq!(view.borrow().health.last(), Some(&Live), "{:?}", view.borrow().health);

    // Mute: nothing at all.
    drop(signs_of_life);
    wait_until(&mut view, "the feed is stale", |view| view.health.last() == Some(&Stale)).await;
    let feed = Feed::start(&house.broker.url());
    wait_until(&mut view, "the feed is live again", |view| view.health.last() == Some(&Live)).await;
    drop(feed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_blocks_publishers_is_shown_and_costs_nothing() {
    let house = House::open().await;
    let feed = Feed::start(&house.broker.url());
    let mut view = watch_ws::watch(house.address, "stock.#", 0, true);
    wait_until(&mut view, "the feed is live", |view| view.health.last() == Some(&Live) && !view.quotes.is_empty()).await;

    // The alarms: publishers are told, consumers only meet silence.
    let alarms = [
        (["set_vm_memory_high_watermark", "0.000001"], ["set_vm_memory_high_watermark", "0.6"]),
        (["set_disk_free_limit", "1000000GB"], ["set_disk_free_limit", "50MB"]),
    ];
    for (raise, end) in alarms {
        house.broker.control(&raise).unwrap();
        let mut states = feed.states();
        let blocked = states.wait_for(|state| matches!(state, PublisherState::Blocked(_)));
        timeout(WITHIN, blocked).await.expect("the publisher is blocked").unwrap();
        wait_until(&mut view, "the feed is stale", |view| view.health.last() == Some(&Stale)).await;
        assert_eq!(house.count("broker_failures_total").await, 0, "the connection that reads is left alone");
        feed.narrow();
        house.broker.control(&end).unwrap();
        wait_until(&mut view, "the feed is live again", |view| view.health.last() == Some(&Live)).await;
    }
    let (last, _signs_of_life) = feed.end().await;
    wait_for_versions(&mut view, "class 0", &last).await;
    assert_eq!(view.borrow().connections, 1);
}
