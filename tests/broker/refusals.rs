//! A broker that refuses the server: what it is told by whom, that it tries again, and that it recovers when the cause is mended.

use std::time::{Duration, Instant};

use tickwire::publish::{Publisher, PublisherState};
use tickwire_rig::Tickwire;
use tokio::time::timeout;

use super::house::{WITHIN, shared};
use super::node::Node;
use super::publisher::declare_log;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_broker_refuses_is_said_with_its_code_and_tried_again() {
    let broker = shared();
    let port = broker.port();
    // One run of `rabbitmqctl` for all: it takes seconds to start.
    let user = |name: &str| format!("rabbit_auth_backend_internal:add_user(<<\"{name}\">>, <<\"secret\">>, <<\"test\">>)");
    let allow = |name: &str, vhost: &str, what: &str| {
        format!("rabbit_auth_backend_internal:set_permissions(<<\"{name}\">>, <<\"{vhost}\">>, {what}, {what}, {what}, <<\"test\">>)")
    };
    let (everything, nothing) = ("<<\".*\">>", "<<\"\">>");
    let made = [
        user("renamed"),
        allow("renamed", "/", everything),
        user("reader"),
        allow("reader", "/", nothing),
        // May enter, and look at nothing there.
        "rabbit_vhost:add(<<\"closed\">>, <<\"test\">>)".to_owned(),
        user("visitor"),
    ];
    broker.control(&["eval", &format!("{}, ok.", made.join(", "))]).unwrap();
    // Who with which password comes where, what that is called, and what is to be done.
    let cases = [
        ("stranger", "secret", "%2f", "403 ACCESS_REFUSED", "correct user and password"),
        ("renamed", "secret2", "%2f", "403 ACCESS_REFUSED", "correct user and password"),
        ("guest", "guest", "prices", "530 NOT_ALLOWED", "make the virtual host"),
        ("visitor", "secret", "closed", "530 NOT_ALLOWED", "give the user rights in the virtual host"),
        ("reader", "secret", "%2f", "403 ACCESS_REFUSED", "give the user the rights to configure, write and read"),
    ];
    let started = Instant::now();
    let mut nodes = Vec::new();
    for (name, password, vhost, code, to_do) in cases {
        let mut node = Node::at(&format!("amqp://{name}:{password}@127.0.0.1:{port}/{vhost}"), "refused.");
        node.start_server();
        nodes.push((node, code, to_do));
    }
    for (node, code, to_do) in &nodes {
        let said = node.wait_for("/readyz", |answer| answer.contains("refuses")).await;
        assert!(said.starts_with("HTTP/1.1 503") && said.contains(code), "{said}");
        node.logged("the broker refuses the feed; tries again every 5 s").await;
        let log = node.log();
        assert!(log.contains(to_do) && log.contains(&code[4..]), "{log}");
        assert!(!log.contains("secret"), "{log}");
        // The third try follows two waits: it is neither given up nor hurried.
        node.counted("broker_failures_total", 3).await;
        assert!(started.elapsed() >= Duration::from_secs(10), "{log}");
    }
    let mended = [
        user("stranger"),
        allow("stranger", "/", everything),
        "rabbit_auth_backend_internal:change_password(<<\"renamed\">>, <<\"secret2\">>, <<\"test\">>)".to_owned(),
        "rabbit_vhost:add(<<\"prices\">>, <<\"test\">>)".to_owned(),
        allow("guest", "prices", everything),
        allow("visitor", "closed", everything),
        allow("reader", "/", everything),
    ];
    broker.control(&["eval", &format!("{}, ok.", mended.join(", "))]).unwrap();
    for (node, ..) in &nodes {
        node.ready(200).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_that_is_refused_says_why_and_goes_on_when_that_is_mended() {
    let broker = shared();
    declare_log(broker, "locked.").await;
    let run = |expression: &str| broker.control(&["eval", &format!("{expression}, ok.")]).unwrap();
    run("rabbit_auth_backend_internal:add_user(<<\"feeder\">>, <<\"other\">>, <<\"test\">>)");
    let url = format!("amqp://feeder:s3cret@127.0.0.1:{}/%2f", broker.port());
    let feed = Publisher::builder(&url).name("feeder").exchange("locked.tickwire.feed").start().unwrap();
    let mut states = feed.states();
    let mut refused = async |why: &str| {
        let met = states.wait_for(|state| matches!(state, PublisherState::Refused(said) if said.contains(why) && !said.contains("s3cret")));
        timeout(WITHIN, met).await.expect(why).unwrap();
    };
    feed.update_json("stock.A", r#"{"quote":{"last":"1"}}"#).await.unwrap();
    // A wrong password, no right in the virtual host, and none to write.
    refused("Login was refused").await;
    run("rabbit_auth_backend_internal:change_password(<<\"feeder\">>, <<\"s3cret\">>, <<\"test\">>)");
    refused("access to vhost '/' refused").await;
    let allow = |write: &str| {
        format!("rabbit_auth_backend_internal:set_permissions(<<\"feeder\">>, <<\"/\">>, <<>>, <<\"{write}\">>, <<>>, <<\"test\">>)")
    };
    run(&allow("other"));
    refused("access to exchange 'locked.tickwire.feed'").await;
    // The command says it as well, while it waits.
    let lines = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(lines.path(), "{\"symbol\":\"stock.B\",\"quote\":{\"last\":\"2\"}}\n").unwrap();
    let file = lines.path().to_str().unwrap();
    let output = Tickwire::run(&["publish", file, "--amqp", &url, "--exchange", "locked.tickwire.feed"], &[]).unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && said.contains("(the broker refuses us: ") && said.contains("access to exchange"), "{said}");
    assert_eq!(feed.stats().confirmed, 0);
    run(&allow("locked.*"));
    timeout(WITHIN, feed.flush()).await.expect("it goes on by itself").unwrap();
    assert_eq!(feed.stats().confirmed, 1);
}
