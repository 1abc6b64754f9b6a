//! A recorder that could not do its work says so, and leaves nothing behind that would stand in the way of the next try.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use lapin::options::QueueDeleteOptions;
use lapin::{Connection, ConnectionProperties};
use tickwire::publish::Publisher;
use tickwire::v1::{Quote, Update, update::Body};
use tickwire_rig::Tickwire;

use super::house::shared;
use super::proxy::Proxy;
use super::publisher::declare_log;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorder_that_missed_something_fails() {
    let folder = tempfile::tempdir().unwrap();
    let tape = folder.path().join("tape").to_str().unwrap().to_owned();
    let run = |url: &str, more: &[&str]| {
        Tickwire::run(&[&["record", &tape, "--names-prefix", "missed.", "--amqp", url], more].concat(), &[]).unwrap()
    };
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let url = shared().url();

    let away = run("amqp://127.0.0.1:1/%2f", &["--for", "300ms"]);
    assert!(away.status.code() == Some(1) && said(&away).contains("the log was never reached"), "{}", said(&away));
    let missing = run(&url, &["--until-end"]);
    assert!(missing.status.code() == Some(1) && said(&missing).contains("no queue 'missed.tickwire.feed.log'"), "{}", said(&missing));
    assert!(!Path::new(&tape).exists());

    declare_log(shared(), "missed.").await;
    publish(&url, 3).await;
    // From the end of the log to its end is nothing.
    let nothing = run(&url, &["--until-end"]);
    assert!(nothing.status.success() && said(&nothing).contains("ended: 0 messages"), "{}", said(&nothing));
    std::fs::remove_file(&tape).unwrap();

    // The log that it waits at the end of is made again, shorter. A broker waits in silence for a position beyond the end.
    let proxy = Proxy::start(shared().port()).await;
    let mut recorder = Command::new(Tickwire::program().unwrap())
        .args(["record", &tape, "--names-prefix", "missed.", "--for", "3m", "--amqp", &proxy.url("")])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(recorder.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(said.by_ref().any(|line| line == "record: reads the log"));
    proxy.cut();
    assert!(said.by_ref().any(|line| line.contains("the broker is away")));
    let connection = Connection::connect(&url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.queue_delete("missed.tickwire.feed.log".into(), QueueDeleteOptions::default()).await.unwrap();
    declare_log(shared(), "missed.").await;
    publish(&url, 1).await;
    proxy.mend();
    let rest: Vec<String> = said.collect();
    assert!(rest.iter().any(|line| line.contains("the log is another one than before")), "{rest:?}");
    assert_eq!(recorder.wait().unwrap().code(), Some(1));
    assert!(!Path::new(&tape).exists());
}

/// Publishes so many messages.
async fn publish(url: &str, count: i64) {
    let publisher = Publisher::builder(url).exchange("missed.tickwire.feed").start().unwrap();
    for last in 0..count {
        let body = Some(Body::Quote(Quote { last: Some(last), ..Default::default() }));
        publisher.update("stock.A", Update { body, ..Default::default() }).await.unwrap();
        publisher.flush().await.unwrap();
    }
}
