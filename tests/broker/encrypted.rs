//! A broker behind TLS that asks who we are, as the second of two addresses.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use lapin::options::ConfirmSelectOptions;
use lapin::{Connection, ConnectionProperties};
use tempfile::TempDir;
use tickwire::publish::Publisher;
use tickwire_rig::Tickwire;
use tickwire_tests::Authority;
use tokio::time::{Instant, timeout};

use super::house::{House, WITHIN};
use super::poison::publish;
use super::view::wait_until;
use super::watch_ws;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_behind_tls_is_read_when_both_sides_are_trusted() {
    let Encrypted { mut house, files, port } = Encrypted::open();
    let (ours, theirs) = (files.path().join("ours"), files.path().join("theirs"));
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

/// The same for everything that publishes, and for what looks at the log or at refused messages.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn feeds_and_commands_reach_a_broker_behind_tls_at_a_further_address() {
    let Encrypted { mut house, files, port } = Encrypted::open();
    let file = |name: &str| files.path().join(name).to_str().unwrap().to_owned();
    let (ca, cert, key) = (file("ca.pem"), file("ours/cert.pem"), file("ours/key.pem"));
    let (dead, right) = (format!("amqps://localhost:{}/%2f", free_port()), format!("amqps://localhost:{port}/%2f"));
    house.configure(&tls(&files.path().join("ca.pem"), &files.path().join("ours")));
    house.start_server_at(&[&right]);
    house.ready(200).await;
    let mut view = watch_ws::watch(house.address, "#", 0, false);

    let kit = Publisher::builder(&dead).or_at(&right).ca_file(&ca).identity_files(&cert, &key).name("kit").start().unwrap();
    kit.update_json("stock.KIT", r#"{"quote":{"last":"1"}}"#).await.unwrap();
    timeout(WITHIN, kit.flush()).await.expect("the second address takes it").unwrap();
    wait_until(&mut view, "what the kit says is seen", |view| view.quotes.contains_key("stock.KIT")).await;
    let listed = house.broker.control(&["--silent", "list_connections", "ssl", "client_properties"]).unwrap();
    assert!(listed.lines().any(|line| line.starts_with("true\t") && line.contains("tickwire publisher kit")), "{listed}");
    drop(kit);

    let both = format!("{dead},{right}");
    let run = |command: &[&str], amqp: &str, ca: &str| {
        let at = ["--amqp", amqp, "--amqp-ca", ca, "--amqp-cert", &cert, "--amqp-key", &key];
        let output = Tickwire::run(&[command, &at].concat(), &[]).unwrap();
        let said = String::from_utf8(output.stderr).unwrap() + &String::from_utf8(output.stdout).unwrap();
        if output.status.success() { Ok(said) } else { Err(said) }
    };
    let (lines, tape) = (file("lines.json"), file("tape"));
    std::fs::write(&lines, "{\"symbol\":\"stock.LINE\",\"quote\":{\"last\":\"2\"}}\n").unwrap();
    run(&["publish", &lines], &both, &ca).unwrap();
    run(&["simulate", "--for", "1s"], &both, &ca).unwrap();
    wait_until(&mut view, "lines and market are seen", |view| view.quotes.contains_key("stock.LINE") && view.quotes.len() > 5).await;
    run(&["record", &tape, "--from", "first", "--until-end"], &both, &ca).unwrap();
    run(&["replay", &tape, "--speed", "max"], &both, &ca).unwrap();
    assert!(run(&["dead", "list"], &both, &ca).unwrap().contains("OFFSET"));

    // Those who trust others say so, and send nothing.
    for command in [&["publish", &lines][..], &["record", &file("none"), "--until-end"], &["dead", "list"]] {
        let said = run(command, &right, &file("stranger.pem")).unwrap_err();
        assert!(said.contains("invalid peer certificate"), "{command:?}: {said}");
    }
    // Files for nothing are a mistake: what they were for would travel in the clear.
    for command in [&["publish", &lines][..], &["dead", "list"]] {
        let output = Tickwire::run(&[command, &["--amqp", &house.broker.url(), "--amqp-ca", &ca]].concat(), &[]).unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && said.contains("no address begins with amqps://"), "{said}");
    }
}

/// A broker behind TLS that asks who we are, and files: `ca.pem`, `ours` that it signed, `stranger.pem` and `theirs` of somebody else.
struct Encrypted {
    house: House,
    files: TempDir,
    port: u16,
}

impl Encrypted {
    fn open() -> Self {
        let (authority, stranger) = (Authority::new(), Authority::new());
        let files = tempfile::tempdir().unwrap();
        for (name, authority, host) in
            [("broker", &authority, "localhost"), ("ours", &authority, "tickwire"), ("theirs", &stranger, "tickwire")]
        {
            let folder = files.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            authority.issue(&folder, &[host]);
        }
        for (name, authority) in [("ca.pem", &authority), ("stranger.pem", &stranger)] {
            std::fs::write(files.path().join(name), authority.pem()).unwrap();
        }
        let port = free_port();
        let house = House::with_broker(&format!(
            "listeners.ssl.1 = 127.0.0.1:{port}\nssl_options.cacertfile = {}\nssl_options.certfile = {}\nssl_options.keyfile = {}\n\
             ssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true\n",
            files.path().join("ca.pem").display(),
            files.path().join("broker/cert.pem").display(),
            files.path().join("broker/key.pem").display(),
        ));
        Self { house, files, port }
    }
}

fn tls(ca: &Path, identity: &Path) -> String {
    let (cert, key) = (identity.join("cert.pem"), identity.join("key.pem"));
    format!("[feed.amqp.tls]\nca = \"{}\"\ncert = \"{}\"\nkey = \"{}\"\n", ca.display(), cert.display(), key.display())
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

const ADD_VHOST: &str = "rabbit_vhost:add(<<\"prices\">>, <<\"test\">>), rabbit_auth_backend_internal:set_permissions(<<\"guest\">>, <<\"prices\">>, <<\".*\">>, <<\".*\">>, <<\".*\">>, <<\"test\">>).";
