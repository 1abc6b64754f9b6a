//! A market in which nothing happens.

use std::time::Duration;

use lapin::options::ConfirmSelectOptions;
use lapin::{Connection, ConnectionProperties};
use tokio::time::sleep;

use super::house::{House, get};
use super::poison::publish;
use super::view::wait_until;
use super::watch_ws;

/// A broker ends the channel of deliveries that are not acknowledged in time, by default half an hour: here after 5 s, with a look every second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_market_keeps_its_channel() {
    let mut house = House::with_broker("consumer_timeout = 5000\n");
    house.broker.control(&["eval", "application:set_env(rabbit, channel_tick_interval, 1000)."]).unwrap();
    house.start_server();
    house.ready(200).await;
    let connection = Connection::connect(&house.broker.url(), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    for number in 1..=20 {
        let body = format!("{{\"quote\":{{\"last\":\"{number}\"}}}}");
        publish(&channel, "quiet.A", "application/json", "", body.as_bytes()).await;
    }
    let mut view = watch_ws::watch(house.address, "quiet.*", 0, false);
    wait_until(&mut view, "the last price is seen", |view| view.quotes.get("quiet.A").is_some_and(|quote| quote.last == Some(20))).await;

    // The length of the silence: more than twice what the broker bears.
    sleep(Duration::from_secs(12)).await;
    publish(&channel, "quiet.B", "application/json", "", b"{\"quote\":{\"last\":\"1\"}}").await;
    wait_until(&mut view, "the market goes on", |view| view.quotes.contains_key("quiet.B")).await;
    let metrics = get(house.address, "/metrics").await.unwrap();
    assert!(metrics.contains("tickwire_broker_failures_total 0"), "the channel was not kept:\n{}", house.log());
}
