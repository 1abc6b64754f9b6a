//! What Python publishes with pika arrives at every kind of client.

use tickwire::{Transport, v1::Quote};

use super::house::{House, publish};
use super::view::wait_until;
use super::{watch_sdk, watch_sse, watch_ws};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_value_from_python_arrives_everywhere() {
    let house = House::open().await;
    let mut websocket = watch_ws::watch(house.address, "stock.*", 0, false);
    let mut events = watch_sse::watch(house.address, "stock.*", false);
    let mut sdk = watch_sdk::watch(house.address, "stock.*", Transport::WebSocket, false);
    let mut sdk_events = watch_sdk::watch(house.address, "stock.*", Transport::Sse, false);

    let mut lines = String::new();
    for cents in 18_700..=18_742 {
        lines += &format!("stock.AAPL {{\"quote\":{{\"bid\":\"{}.{:02}\",\"last\":\"187.41\"}}}}\n", cents / 100, cents % 100);
    }
    lines += "stock.AAPL {\"quote\":{\"last\":187.42}}\n";
    lines += "stock.MSFT {\"quote\":{\"ask\":\"421.05\",\"last\":\"421.00\"}}\n";
    publish(&house, "python/publisher.py", &["-"], &lines);

    let apple = Quote { bid: Some(18_742), last: Some(18_742), ..Default::default() };
    let clients = [("WebSocket", &mut websocket), ("SSE", &mut events), ("the SDK", &mut sdk), ("the SDK over SSE", &mut sdk_events)];
    for (who, view) in clients {
        wait_until(view, &format!("{who} sees Microsoft"), |view| view.quotes.contains_key("stock.MSFT")).await;
        wait_until(view, &format!("{who} sees Apple's last price"), |view| view.quotes["stock.AAPL"].last == apple.last).await;
    }
    // Who comes later gets all of it in the image.
    let mut late = watch_ws::watch(house.address, "stock.*", 250, false);
    wait_until(&mut late, "a late client sees both", |view| view.quotes.len() == 2).await;
    assert_eq!(late.borrow().quotes["stock.AAPL"], apple);
    assert_eq!(late.borrow().quotes["stock.MSFT"].ask, Some(42_105));
}
