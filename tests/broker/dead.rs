//! Refused messages can be looked at, and have a second chance when their cause is mended.

use std::time::Duration;

use lapin::options::ConfirmSelectOptions;
use lapin::{Connection, ConnectionProperties};
use tickwire_rig::Tickwire;
use tokio::time::{Instant, sleep};

use super::house::{House, WITHIN};
use super::poison::publish;
use super::view::wait_until;
use super::watch_ws;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_message_is_published_again_when_its_cause_is_mended() {
    let mut house = House::open().await;
    let connection = Connection::connect(&house.broker.url(), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    publish(&channel, "stock.AAPL", "text/plain", "", br#"{"b":"187.42"}"#).await;
    publish(&channel, "stock.MSFT", "application/json", "", br#"{"quote":{"bid":"x"}}"#).await;
    let url = house.broker.url();
    let list = wait_for_letters(&url, 2).await;
    assert!(list[0].contains(r#""reason":"content_type","routing_key":"stock.AAPL""#), "{list:?}");
    assert!(list[1].contains(r#""reason":"bad_value","routing_key":"stock.MSFT""#), "{list:?}");

    // Looking takes nothing away.
    let offset = list[0].split_once(r#""offset":"#).unwrap().1.split([',', '}']).next().unwrap().to_owned();
    let shown = dead(&url, &["show", &offset]).unwrap();
    assert!(shown.contains("content type: text/plain") && shown.contains(r#"{"b":"187.42"}"#), "{shown}");
    let table = dead(&url, &["list"]).unwrap();
    assert_eq!(table.lines().count(), 3, "{table}");
    // A table's columns stand below each other.
    for line in table.lines() {
        assert!(line[75..77] == *"  " && !line[..75].ends_with("  "), "{table}");
    }
    assert!(dead(&url, &["show", "99999"]).unwrap_err().contains("no refused message has the offset 99999"));
    assert!(dead(&url, &["replay", &offset, "99999"]).unwrap_err().contains("nothing was published"));

    // The operator adds a mapping.
    house.kill_server();
    house.configure("[[feed.mappings]]\npattern = \"stock.*\"\nbody = \"quote\"\nfields = [\"bid=/b\"]\n");
    house.start_server();
    house.ready(200).await;
    assert_eq!(dead(&url, &["replay", "--reason", "content_type"]).unwrap(), "dead: published 1 of 1 messages\n");
    let mut view = watch_ws::watch(house.address, "stock.*", 0, false);
    wait_until(&mut view, "the second chance is taken", |view| view.quotes.contains_key("stock.AAPL")).await;
    assert_eq!(view.borrow().quotes["stock.AAPL"].bid, Some(18_742));
    let left = dead(&url, &["list", "--json"]).unwrap();
    assert!(!left.contains("content_type") && left.contains("bad_value"), "{left}");
}

/// The lines of `tickwire dead list --json`, when there are so many.
pub(crate) async fn wait_for_letters(url: &str, count: usize) -> Vec<String> {
    let by = Instant::now() + WITHIN;
    loop {
        let list: Vec<String> = dead(url, &["list", "--json"]).unwrap().lines().map(str::to_owned).collect();
        if list.len() >= count {
            return list;
        }
        assert!(Instant::now() < by, "{list:?}");
        sleep(Duration::from_millis(100)).await;
    }
}

/// What `tickwire dead` says: on success both outputs, else the error.
fn dead(url: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Tickwire::run(&[&["dead"], arguments, &["--amqp", url]].concat(), &[]).unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    if output.status.success() { Ok(String::from_utf8(output.stdout).unwrap() + &said) } else { Err(said) }
}
