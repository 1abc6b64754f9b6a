//! What a publisher lost before the broker had it.

use lapin::options::ConfirmSelectOptions;
use lapin::{Connection, ConnectionProperties};

use super::house::{House, get};
use super::poison::publish;
use super::view::wait_until;
use super::watch_ws;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holes_in_the_numbers_of_a_publisher_are_counted() {
    let house = House::open().await;
    let mut view = watch_ws::watch(house.address, "stock.*", 0, false);
    let connection = Connection::connect(&house.broker.url(), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    // The publisher starts anew after 7, and 2 comes twice.
    for number in [3, 4, 7, 1, 2, 2, 3] {
        let body = format!(r#"{{"publisher":"nyse-1","publisher_seq":"{number}","quote":{{"last":"{number}"}}}}"#);
        publish(&channel, "stock.A", "application/json", "", body.as_bytes()).await;
    }
    publish(&channel, "stock.LAST", "application/json", "", b"{\"quote\":{\"last\":\"9.75\"}}").await;
    wait_until(&mut view, "all is applied", |view| view.quotes.contains_key("stock.LAST")).await;
    let metrics = get(house.address, "/metrics").await.unwrap();
    let holes: Vec<_> = metrics.lines().filter(|line| line.starts_with("tickwire_feed_publisher_holes_total")).collect();
    assert!(matches!(holes[..], [line] if line.ends_with(" 1")), "{holes:?}");
}
