//! Lines and recordings are published in their order, and at the pace that was asked for: never ahead of it.

use std::time::{Duration, Instant};

use tickwire_rig::Tickwire;

use super::house::shared;
use super::publisher::declare_log;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_and_recordings_keep_their_order_and_their_pace() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let lines = file("lines.json");
    std::fs::write(&lines, (0..LINES).map(line).collect::<String>()).unwrap();
    for prefix in ["pace.", "rate.", "again.", "faster.", "most."] {
        declare_log(shared(), prefix).await;
    }
    let url = shared().url();
    let publish = |prefix: &str, pace: &[&str]| {
        let exchange = format!("{prefix}tickwire.feed");
        took(&[&["publish", &lines, "--amqp", &url, "--exchange", &exchange], pace].concat())
    };
    let record = |prefix: &str| {
        let tape = file(prefix);
        took(&["record", &tape, "--amqp", &url, "--names-prefix", prefix, "--from", "first", "--until-end"]);
        tape
    };

    // As it was, and by a rate: a line does not leave before it is due.
    assert!(publish("pace.", &["--speed", "1x"]) >= EVERY * (LINES - 1));
    assert!(publish("rate.", &["--rate", "10"]) >= Duration::from_millis(100) * (LINES - 1));
    let tape = record("pace.");
    let expected: Vec<_> = (0..LINES).map(price).collect();
    assert_eq!(prices(&tape), expected);
    assert_eq!(prices(&record("rate.")), expected);

    // A recording is replayed in the time that it took, or a part of that.
    let span = span(&tape);
    assert!(span >= EVERY, "{span:?}");
    let replay = |prefix: &str, speed: &str| {
        took(&["replay", &tape, "--amqp", &url, "--exchange", &format!("{prefix}tickwire.feed"), "--speed", speed])
    };
    assert!(replay("again.", "1x") >= span);
    assert!(replay("faster.", "2x") >= span / 2);
    replay("most.", "max");
    let all = bodies(&tape);
    for prefix in ["again.", "faster.", "most."] {
        assert_eq!(bodies(&record(prefix)), all, "{prefix}");
    }
}

/// Runs `tickwire`, which has to succeed; how long it took.
fn took(arguments: &[&str]) -> Duration {
    let start = Instant::now();
    let output = Tickwire::run(arguments, &[]).unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    start.elapsed()
}

/// The messages of a recording.
fn messages(tape: &str) -> Vec<serde_json::Value> {
    let output = Tickwire::run(&["replay", tape, "--list", "--quiet"], &[]).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Routing key and body of each message.
fn bodies(tape: &str) -> Vec<(String, String)> {
    let text = |message: &serde_json::Value, name: &str| message[name].as_str().unwrap().to_owned();
    messages(tape).iter().map(|message| (text(message, "routing_key"), text(message, "body"))).collect()
}

/// The prices in a recording, in its order.
fn prices(tape: &str) -> Vec<String> {
    let read = |hex: String| (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect::<Vec<_>>();
    let message = |(_, body): (String, String)| serde_json::from_slice::<serde_json::Value>(&read(body)).unwrap();
    let updates = bodies(tape).into_iter().map(message).flat_map(|message| message["updates"].as_array().unwrap().clone());
    updates.map(|update| update["quote"]["last"].as_str().unwrap().to_owned()).collect()
}

/// From the first message of a recording to its last.
fn span(tape: &str) -> Duration {
    let times: Vec<u64> = messages(tape).iter().map(|message| message["time_us"].as_str().unwrap().parse().unwrap()).collect();
    Duration::from_micros(times[times.len() - 1] - times[0])
}

fn line(n: u32) -> String {
    let ts = 1_764_000_000_000_000 + u64::from(n) * EVERY.as_micros() as u64;
    format!("{{\"symbol\":\"stock.A\",\"ts_event_us\":\"{ts}\",\"quote\":{{\"last\":\"{}\"}}}}\n", price(n))
}

fn price(n: u32) -> String {
    format!("{}.5", 100 + n)
}

const LINES: u32 = 11;
/// Between two lines, by their times.
const EVERY: Duration = Duration::from_millis(200);
