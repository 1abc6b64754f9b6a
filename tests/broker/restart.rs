//! A server that is restarted, and one that is there before its broker.

use tickwire::Transport;

use super::house::House;
use super::oracle::{Feed, INSTRUMENTS};
use super::view::{wait_for_versions, wait_until};
use super::{watch_sdk, watch_sse, watch_ws};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_a_restarted_server_see_the_newest() {
    let mut house = House::open().await;
    let feed = Feed::start(&house.broker.url());
    let mut websocket = watch_ws::watch(house.address, "stock.#", 100, true);
    let mut events = watch_sse::watch(house.address, "stock.#", true);
    let mut sdk = watch_sdk::watch(house.address, "stock.#", Transport::WebSocket, true);
    let mut sdk_events = watch_sdk::watch(house.address, "stock.#", Transport::Sse, true);
    for view in [&mut websocket, &mut events, &mut sdk, &mut sdk_events] {
        wait_until(view, "all instruments are seen", |view| view.versions.len() == INSTRUMENTS).await;
    }
    // So that the new server starts from it.
    house.counted("checkpoints_written_total", 1).await;

    house.kill_server();
    feed.narrow();
    house.start_server();
    house.ready(200).await;
    for view in [&mut websocket, &mut events, &mut sdk, &mut sdk_events] {
        wait_until(view, "the client is back", |view| view.connections >= 2).await;
    }
    let before = websocket.borrow().versions["stock.S0"];
    wait_until(&mut websocket, "prices go on", |view| view.versions["stock.S0"] > before).await;
    let (last, _signs_of_life) = feed.end().await;
    let clients = [("WebSocket", &mut websocket), ("SSE", &mut events), ("the SDK", &mut sdk), ("the SDK over SSE", &mut sdk_events)];
    for (who, view) in clients {
        wait_for_versions(view, who, &last).await;
    }
    let log = house.server.as_ref().unwrap().log();
    assert!(log.contains("starts from a checkpoint"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_waits_for_its_broker() {
    let mut house = House::open_without_server();
    house.broker.kill().unwrap();
    house.start_server();
    house.ready(503).await;
    let feed = Feed::start(&house.broker.url());
    let mut view = watch_ws::watch(house.address, "stock.#", 0, true);
    house.broker.restart().unwrap();
    house.ready(200).await;
    wait_until(&mut view, "all instruments are seen", |view| view.versions.len() == INSTRUMENTS).await;
    let (last, _signs_of_life) = feed.end().await;
    wait_for_versions(&mut view, "class 0", &last).await;
}
