//! A server that finds a long past.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Connection, ConnectionProperties};
use tokio::time::{Instant, sleep};

use super::house::{House, WITHIN, get};
use super::view::wait_until;
use super::watch_ws;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_past_is_read_and_whoever_waits_is_told_how_far() {
    let mut house = House::open().await;
    house.kill_server();
    let connection = Connection::connect(&house.broker.url(), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    for thousand in 0..MESSAGES / 1_000 {
        let sent = (1..=1_000).map(|number| {
            let body = format!("{{\"quote\":{{\"last\":\"{}\"}}}}", thousand * 1_000 + number);
            let options = BasicPublishOptions { mandatory: true, immediate: false };
            let channel = &channel;
            async move {
                let sent =
                    channel.basic_publish("tickwire.feed".into(), "past.A".into(), options, body.as_bytes(), BasicProperties::default());
                assert!(sent.await.unwrap().await.unwrap().take_message().is_none(), "the log takes it");
            }
        });
        join_all(sent).await;
    }
    house.start_server();
    // Whoever waits is told how far it is.
    let mut said = BTreeSet::new();
    let by = Instant::now() + WITHIN;
    loop {
        let answer = get(house.address, "/readyz").await.unwrap();
        if answer.starts_with("HTTP/1.1 200") {
            break;
        }
        said.extend(answer.split_once("\"catching_up\":").map(|(_, progress)| progress.to_owned()));
        assert!(Instant::now() < by, "{answer}");
        sleep(Duration::from_millis(5)).await;
    }
    assert!(!said.is_empty(), "{}", house.log());
    let mut view = watch_ws::watch(house.address, "past.*", 0, false);
    wait_until(&mut view, "the last price is seen", |view| {
        view.quotes.get("past.A").is_some_and(|quote| quote.last == Some(MESSAGES as i64))
    })
    .await;

    // What a stopped node lets pile up is bounded by the usual credit.
    let by = Instant::now() + WITHIN;
    loop {
        let channels = house.broker.control(&["--silent", "list_channels", "prefetch_count"]).unwrap();
        let counts: Vec<_> = channels.lines().map(str::trim).collect();
        assert!(!counts.contains(&"10000"), "{channels}");
        if counts.contains(&"1000") {
            break;
        }
        assert!(Instant::now() < by, "{channels}");
        sleep(Duration::from_millis(100)).await;
    }
    assert!(house.log().contains("caught up with the log"), "{}", house.log());
}

const MESSAGES: usize = 30_000;
