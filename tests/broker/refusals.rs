//! A broker that refuses the server: what it is told by whom, that it tries again, and that it recovers when the cause is mended.

use std::time::{Duration, Instant};

use super::house::shared;
use super::node::Node;

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
