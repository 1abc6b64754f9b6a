//! What is recorded comes back byte by byte, whatever it is, and a recorder that was killed goes on where it was.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Connection, ConnectionProperties};
use tickwire_rig::{Broker, Tickwire};

use super::house::{WITHIN, root};
use super::publisher::declare_log;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recording_that_is_replayed_and_recorded_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path()).unwrap();
    declare_log(&broker, "").await;
    declare_log(&broker, "copy.").await;
    publish_strange(&broker).await;
    let market = root().join("tests/data/market-day.twrec");
    let market = market.to_str().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (first, second, third) = (file("first"), file("second"), file("third"));

    tickwire(&["replay", market, "--amqp", &broker.url(), "--speed", "max"]);
    tickwire(&["record", &first, "--amqp", &broker.url(), "--from", "first", "--until-end"]);
    let all = list(&first);
    assert!(all[0].contains(r#""routing_key":"not.a symbol""#) && all[0].contains(r#""timestamp_s":1764000000"#), "{}", all[0]);
    let headers = concat!(
        r#""headers":{"bytes":"bytes 00ff","f32":"f32 0.1","f64":"f64 1.7976931348623157e308","flag":true,"i16":"i16 -3","i32":"i32 -4","i64":-5,"i8":"i8 -2","#,
        r#""nothing":null,"text":"ff00","time":"time 1764000001","u16":"u16 3","u32":"u32 4","u8":"u8 2"}"#
    );
    assert!(all[0].contains(headers) && all[0].contains(r#""app_id":"a1","body":"00ff0a","content_encoding":"br","#), "{}", all[0]);
    assert!(
        all[0].contains(r#""correlation_id":"c1","#) && all[0].contains(r#""message_id":"m1","priority":7,"reply_to":"r1","#),
        "{}",
        all[0]
    );
    assert!(all[0].contains(r#""type":"t1"}"#), "{}", all[0]);
    let without_place =
        |lines: &[String]| -> Vec<String> { lines.iter().map(|line| line.split_once(r#","routing_key""#).unwrap().1.to_owned()).collect() };
    assert_eq!(without_place(&all[2..]), without_place(&list(market)), "the market is behind the strange ones");

    tickwire(&["replay", &first, "--amqp", &broker.url(), "--exchange", "copy.tickwire.feed", "--speed", "max"]);
    tickwire(&["record", &second, "--amqp", &broker.url(), "--names-prefix", "copy.", "--from", "first", "--until-end"]);
    assert!(list(&second) == all, "another log with the same messages at the same positions and times");
    // Nothing is overwritten.
    assert!(failed(&["record", &second, "--amqp", &broker.url()]).contains("cannot make"));

    // A recorder that was killed, and its successor.
    let mut killed = Command::new(Tickwire::program().unwrap())
        .args(["record", &third, "--amqp", &broker.url(), "--from", "first"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let by = Instant::now() + WITHIN;
    while std::fs::metadata(&third).map_or(0, |file| file.len()) < 1_000 {
        assert!(Instant::now() < by, "the recorder writes nothing");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    cut(Path::new(&third), 100);
    publish_strange(&broker).await;
    tickwire(&["record", &third, "--amqp", &broker.url(), "--append", "--until-end"]);
    let whole = list(&third);
    assert!(whole.len() == all.len() + 2 && whole[..all.len()] == all, "{} lines of {}", whole.len(), all.len());

    // The log is another one now: a recorder does not mix them.
    broker.control(&["delete_queue", "tickwire.feed.log"]).unwrap();
    declare_log(&broker, "").await;
    publish_strange(&broker).await;
    assert!(failed(&["record", &third, "--amqp", &broker.url(), "--append", "--until-end"]).contains("the log is another one"));
    assert_eq!(list(&third).len(), whole.len());
}

/// Two messages that no feed would publish, with everything that a message can have.
async fn publish_strange(broker: &Broker) {
    let connection = Connection::connect(&broker.url(), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let mut headers = FieldTable::default();
    headers.insert("text".into(), AMQPValue::LongString(vec![0xff, 0].into()));
    headers.insert("flag".into(), AMQPValue::Boolean(true));
    headers.insert("nothing".into(), AMQPValue::Void);
    headers.insert("bytes".into(), AMQPValue::ByteArray(vec![0, 0xff].into()));
    headers.insert("time".into(), AMQPValue::Timestamp(1_764_000_001));
    headers.insert("i8".into(), AMQPValue::ShortShortInt(-2));
    headers.insert("i16".into(), AMQPValue::ShortInt(-3));
    headers.insert("i32".into(), AMQPValue::LongInt(-4));
    headers.insert("i64".into(), AMQPValue::LongLongInt(-5));
    headers.insert("u8".into(), AMQPValue::ShortShortUInt(2));
    headers.insert("u16".into(), AMQPValue::ShortUInt(3));
    headers.insert("u32".into(), AMQPValue::LongUInt(4));
    headers.insert("f32".into(), AMQPValue::Float(0.1));
    headers.insert("f64".into(), AMQPValue::Double(f64::MAX));
    let strange = BasicProperties::default()
        .with_content_type("application/strange".into())
        .with_content_encoding("br".into())
        .with_message_id("m1".into())
        .with_correlation_id("c1".into())
        .with_reply_to("r1".into())
        .with_type("t1".into())
        .with_app_id("a1".into())
        .with_priority(7)
        .with_timestamp(1_764_000_000)
        .with_headers(headers);
    for (properties, body) in [(strange, &[0, 0xff, b'\n'][..]), (BasicProperties::default().with_timestamp(1_764_000_000), b"")] {
        let options = BasicPublishOptions { mandatory: true, immediate: false };
        let sent = channel.basic_publish("tickwire.feed".into(), "not.a symbol".into(), options, body, properties).await.unwrap();
        assert!(sent.await.unwrap().take_message().is_none());
    }
}

/// What a recording has, a line for each message.
fn list(file: &str) -> Vec<String> {
    tickwire(&["replay", file, "--list", "--quiet"]).lines().map(str::to_owned).collect()
}

/// Runs `tickwire`, which has to succeed; what it says on stdout.
fn tickwire(arguments: &[&str]) -> String {
    let output = Tickwire::run(arguments, &[]).unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs `tickwire`, which has to fail; what it says on stderr.
fn failed(arguments: &[&str]) -> String {
    let output = Tickwire::run(arguments, &[]).unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// Cuts the last bytes of a file off, as a crash in the middle of a block would.
fn cut(file: &Path, bytes: u64) {
    let file = std::fs::OpenOptions::new().write(true).open(file).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length - bytes).unwrap();
}
