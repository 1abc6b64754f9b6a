//! Feeds beside each other: hours, namespaces, numbers of instruments and plausible prices are each feed's own.

use std::time::{SystemTime, UNIX_EPOCH};

use lapin::options::ConfirmSelectOptions;
use lapin::{Connection, ConnectionProperties};
use tickwire::v1::FeedHealth::{Live, Stale};
use tokio::time::{Instant, sleep};

use super::dead::wait_for_letters;
use super::house::{House, WITHIN, get};
use super::poison::publish;
use super::view::wait_until;
use super::watch_ws;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_feed_does_wrong_costs_no_other() {
    let mut house = House::open_without_server();
    house.configure(&format!(
        "[[feed.rules]]\nfeed = \"night\"\npattern = \"night.#\"\nsilence_ms = 2000\nhours = [\"{} 00:00-00:01\"]\nnamespace = \"night.x.\"\n\
         instruments_max = 2\njump_percent_max = 20\n",
        in_three_days()
    ));
    house.start_server();
    house.ready(200).await;
    let mut view = watch_ws::watch(house.address, "#", 0, false);
    let connection = Connection::connect(&house.broker.url(), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    for (key, last) in [
        ("night.x.A", "100"),
        ("night.x.A", "1000"),
        ("night.x.B", "7"),
        ("night.x.C", "7"),
        ("night.y.A", "7"),
        ("stock.A", "100"),
        ("stock.A", "1000"),
        ("stock.B", "7"),
        ("stock.C", "7"),
    ] {
        publish(&channel, key, "application/json", "", format!(r#"{{"quote":{{"last":"{last}"}}}}"#).as_bytes()).await;
    }
    wait_until(&mut view, "the last one is applied", |view| view.quotes.contains_key("stock.C")).await;
    let quotes = view.borrow().quotes.clone();
    let mut seen: Vec<_> = quotes.iter().map(|(symbol, quote)| (symbol.as_str(), quote.last)).collect();
    seen.sort_unstable();
    let expected = [("night.x.A", 100), ("night.x.B", 7), ("stock.A", 1_000), ("stock.B", 7), ("stock.C", 7)];
    assert_eq!(seen, expected.map(|(symbol, last)| (symbol, Some(last))));
    let letters = wait_for_letters(&house.broker.url(), 3).await;
    for (letter, cause) in letters.iter().zip(["implausible", "too_many_instruments", "outside_namespace"]) {
        assert!(letter.contains(&format!(r#""reason":"{cause}""#)), "{letters:?}");
    }

    // Both feeds are mute from here on, and only one of them has to speak now.
    wait_until(&mut view, "the feed is stale", |view| view.health.last() == Some(&Stale)).await;
    let ready = get(house.address, "/readyz").await.unwrap();
    assert!(ready.starts_with("HTTP/1.1 200") && ready.contains(r#""feed":"stock","health":"STALE""#), "{ready}");
    assert!(ready.contains(r#""feed":"night","health":"LIVE","reason":"closed until "#), "{ready}");
    let metrics = get(house.address, "/metrics").await.unwrap();
    for line in [
        r#"tickwire_feed_health{feed="stock",health="stale"} 1"#,
        r#"tickwire_feed_health{feed="stock",health="live"} 0"#,
        r#"tickwire_feed_health{feed="night",health="live"} 1"#,
        r#"tickwire_feed_health_changes_total{feed="stock",health="stale"} 1"#,
        r#"tickwire_feed_poison_total{cause="implausible"} 1"#,
    ] {
        assert!(metrics.contains(line), "{line} is missing in {metrics}");
    }
    publish(&channel, "stock.A", "application/json", "", br#"{"quote":{"last":"1001"}}"#).await;
    wait_until(&mut view, "the feed is live again", |view| view.health.last() == Some(&Live)).await;
    let by = Instant::now() + WITHIN;
    while !get(house.address, "/readyz").await.unwrap().contains(r#""feed":"stock","health":"LIVE""#) {
        assert!(Instant::now() < by);
        sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// A day of the week on which a market is not open now, in any time zone.
fn in_three_days() -> &'static str {
    let days = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 86_400;
    // The first of January 1970 was a Thursday.
    ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"][((days + 3) % 7) as usize]
}
