//! A broker behind TLS that asks who we are, in another virtual host, as the second of two addresses.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use lapin::options::ConfirmSelectOptions;
use lapin::{Connection, ConnectionProperties};
use tickwire_tests::Authority;
use tokio::time::Instant;

use super::house::{House, WITHIN};
use super::poison::publish;
use super::view::wait_until;
use super::watch_ws;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_behind_tls_is_read_when_both_sides_are_trusted() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let files = tempfile::tempdir().unwrap();
    let folder = |name: &str| {
        let folder = files.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        folder
    };
    let (broker, ours, theirs) = (folder("broker"), folder("ours"), folder("theirs"));
    authority.issue(&broker, &["localhost"]);
    authority.issue(&ours, &["tickwire"]);
    stranger.issue(&theirs, &["tickwire"]);
    for (name, authority) in [("ca.pem", &authority), ("stranger.pem", &stranger)] {
        std::fs::write(files.path().join(name), authority.pem()).unwrap();
    }
    let port = free_port();
    let mut house = House::with_broker(&format!(
        "listeners.ssl.1 = 127.0.0.1:{port}\nssl_options.cacertfile = {}\nssl_options.certfile = {}\nssl_options.keyfile = {}\n\
         ssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true\n",
        files.path().join("ca.pem").display(),
        broker.join("cert.pem").display(),
        broker.join("key.pem").display(),
    ));
    house.broker.control(&["eval", ADD_VHOST]).unwrap();

    // Nobody listens at the first address, and the second is not of its certificate's name: both are tried, and nothing is read.
    let (dead, foreign) = (format!("amqps://127.0.0.1:{}/prices", free_port()), format!("amqps://127.0.0.1:{port}/prices"));
    house.configure(&tls(&files.path().join("ca.pem"), &ours));
    house.start_server_at(&[&dead, &foreign]);
    house.logged("invalid peer certificate").await;
    house.ready(503).await;
    house.kill_server();
    // A root that did not sign the broker's certificate, no certificate of ours, and one that the broker does not trust.
    let right = format!("amqps://localhost:{port}/prices");
    for settings in [
        tls(&files.path().join("stranger.pem"), &ours),
        format!("[feed.amqp.tls]\nca = \"{}\"\n", files.path().join("ca.pem").display()),
        tls(&files.path().join("ca.pem"), &theirs),
    ] {
        house.configure(&settings);
        house.start_server_at(&[&right]);
        house.logged("refuses the feed").await;
        house.kill_server();
    }

    house.configure(&tls(&files.path().join("ca.pem"), &ours));
    house.start_server_at(&[&dead, &right]);
    house.ready(200).await;
    let (mut view, by) = (watch_ws::watch(house.address, "stock.*", 0, false), Instant::now() + WITHIN);
    let connection = Connection::connect(&house.broker.url().replace("%2f", "prices"), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    publish(&channel, "stock.A", "application/json", "", b"{\"quote\":{\"last\":\"1\"}}").await;
    // Something to refuse, so that there is a connection for publishing as well.
    publish(&channel, "stock..B", "application/json", "", b"{\"quote\":{\"last\":\"1\"}}").await;
    wait_until(&mut view, "the price is seen", |view| view.quotes.contains_key("stock.A")).await;
    let connections = loop {
        let listed = house.broker.control(&["--silent", "list_connections", "ssl", "vhost", "client_properties"]).unwrap();
        let ours: Vec<String> = listed.lines().filter(|line| line.contains("tickwire ")).map(str::to_owned).collect();
        if ours.len() == 2 {
            break ours;
        }
        assert!(Instant::now() < by, "{listed}");
    };
    for connection in &connections {
        assert!(connection.starts_with("true\tprices\t"), "{connection}");
    }
    assert!(connections.iter().any(|line| line.contains(": feed")), "{connections:?}");
    assert!(connections.iter().any(|line| line.contains(": checkpoints and dead letters")), "{connections:?}");
}

fn tls(ca: &Path, identity: &Path) -> String {
    let (cert, key) = (identity.join("cert.pem"), identity.join("key.pem"));
    format!("[feed.amqp.tls]\nca = \"{}\"\ncert = \"{}\"\nkey = \"{}\"\n", ca.display(), cert.display(), key.display())
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

const ADD_VHOST: &str = "rabbit_vhost:add(<<\"prices\">>, <<\"test\">>), rabbit_auth_backend_internal:set_permissions(<<\"guest\">>, <<\"prices\">>, <<\".*\">>, <<\".*\">>, <<\".*\">>, <<\"test\">>).";
