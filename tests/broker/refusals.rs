//! A broker that refuses the server: what it is told by whom, and that it recovers when the cause is mended.

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
    broker.control(&["eval", &format!("{}, {}, ok.", user("reader"), allow("reader", "/", nothing))]).unwrap();
    let mut cases =
        [("stranger", "%2f", "403 ACCESS_REFUSED"), ("guest", "prices", "530 NOT_ALLOWED"), ("reader", "%2f", "403 ACCESS_REFUSED")].map(
            |(name, vhost, code)| {
                let password = if name == "guest" { "guest" } else { "secret" };
                (Node::at(&format!("amqp://{name}:{password}@127.0.0.1:{port}/{vhost}"), "refused."), code)
            },
        );
    for (node, code) in &mut cases {
        node.start_server();
        let said = node.wait_for("/readyz", |answer| answer.contains("refuses")).await;
        assert!(said.starts_with("HTTP/1.1 503") && said.contains(*code), "{said}");
        let log = node.log();
        assert!(log.contains("its configuration or ours has to change") && log.contains(&code[..3]), "{log}");
        assert!(!log.contains("secret"), "{log}");
    }
    let vhost = "rabbit_vhost:add(<<\"prices\">>, <<\"test\">>)";
    let mended = [
        user("stranger"),
        allow("stranger", "/", everything),
        vhost.into(),
        allow("guest", "prices", everything),
        allow("reader", "/", everything),
    ];
    broker.control(&["eval", &format!("{}, ok.", mended.join(", "))]).unwrap();
    for (node, _) in &cases {
        node.ready(200).await;
    }
}
