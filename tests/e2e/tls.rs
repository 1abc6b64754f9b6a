//! Encrypted connections: every transport, every certificate that is not right, and what is no TLS at all.
#![expect(clippy::print_stdout, reason = "a figure for the documentation")]

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rcgen::KeyPair;
use tickwire::{Client, ConnectError, Transport as Way, TransportError};
use tickwire_proto::v1::{ErrorCode, NoticeKind, server_frame::Control};
use tickwire_rig::Tickwire;
use tickwire_tests::Authority;
use tokio_rustls::rustls::{SupportedProtocolVersion, version};

use crate::examples::{python_script, succeeded};
use crate::peer::{Peer, Transport};
use crate::wire::{PATIENCE, Wire};

/// A server with a certificate of `names`, and where its files are.
fn start(authority: &Authority, names: &[&str], settings: &[&str]) -> (Tickwire, tempfile::TempDir) {
    start_steady(authority, names, "10x1000", settings)
}

fn start_steady(authority: &Authority, names: &[&str], steady: &str, settings: &[&str]) -> (Tickwire, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    authority.issue(folder.path(), names);
    let set = |key: &str, file: &str| format!("tls.{key}={}", folder.path().join(file).display());
    let (cert, key) = (set("cert", "cert.pem"), set("key", "key.pem"));
    let args = [&["demo", "--steady", steady, "--set", &cert, "--set", &key], settings].concat();
    (Tickwire::start(&args).unwrap(), folder)
}

const BOTH: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];

#[test]
fn every_transport_is_the_same_when_encrypted() {
    let authority = Authority::new();
    let (server, _folder) = start(&authority, &["localhost"], &[]);
    for versions in [&BOTH[..1], &BOTH[1..]] {
        for transport in Transport::ALL {
            let wire = Wire::encrypted(server.address(), authority.client(versions)).unwrap();
            let mut peer = Peer::begun(wire, transport, &["bench.*"], 0);
            for _ in 0..50 {
                peer.quote();
            }
        }
        // A kept connection becomes an event stream, as it does without TLS.
        let mut wire = Wire::encrypted(server.address(), authority.client(versions)).unwrap();
        assert_eq!(wire.ask("GET /readyz", "").status, 200);
        Peer::begun(wire, Transport::Sse, &["bench.S0"], 0).quote();
    }
}

#[tokio::test]
async fn the_sdk_trusts_whom_it_is_told_to_and_nobody_else() -> Result<()> {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (server, _folder) = start(&authority, &["localhost"], &[]);
    let (port, pem) = (server.address().port(), authority.pem());
    for (scheme, way) in [("wss", Way::WebSocket), ("https", Way::Sse)] {
        let builder = |host: &str| Client::builder(format!("{scheme}://{host}:{port}")).transport(way);
        let client = builder("localhost").root_certificates_pem(pem.clone()).connect().await?;
        let mut quotes = client.subscribe(["bench.S0"]).await?;
        for _ in 0..3 {
            tokio::time::timeout(PATIENCE, quotes.next()).await?.context("the subscription goes on")?;
        }
        client.close().await;
    }
    // The first try says what is wrong with the certificate: another name, and another signature.
    for (host, pem) in [("127.0.0.1", pem), ("localhost", stranger.pem())] {
        let refused = Client::builder(format!("wss://{host}:{port}")).root_certificates_pem(pem).connect().await;
        let Err(ConnectError::Unreachable { source: TransportError::Io(error), .. }) = refused else { panic!("{refused:?}") };
        ensure!(error.to_string().contains("certificate"), "{error}");
    }
    Ok(())
}

#[test]
fn browsers_get_http_2_with_everything_on_it() -> Result<()> {
    let authority = Authority::new();
    let (server, folder) = start(&authority, &["localhost"], &["--set", "browser.origins=https://app.example"]);
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.pem())?;
    let curl = |path: &str, more: &[&str]| -> Result<String> {
        let url = format!("https://localhost:{}{path}", server.address().port());
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--http2", "--no-buffer", "--write-out", " [%{http_version} %{http_code}]", "--cacert"])
            .arg(&ca)
            .args(more)
            .arg(url)
            .output()
            .context("the Debian package is `curl`")?;
        Ok(String::from_utf8(output.stdout)?)
    };
    assert_eq!(curl("/livez", &[])?, "{\"alive\":true} [2 200]");
    ensure!(curl("/", &[])?.contains("<html") || curl("/", &[])?.ends_with("[2 200]"), "the page is served");
    let origin = ["--header", "Origin: https://app.example"];
    let events = curl("/v1/sse?symbols=bench.S0&conflate_ms=0", &[&["--max-time", "3", "--dump-header", "-"], &origin[..]].concat())?;
    for wanted in [
        "HTTP/2 200",
        "content-type: text/event-stream",
        "access-control-allow-origin: https://app.example",
        "retry: 1000\n",
        "event: welcome\n",
        "event: snapshot_complete\n",
        "\"last\":\"",
    ] {
        ensure!(events.contains(wanted), "{wanted:?} is missing in {events}");
    }
    ensure!(!events.contains("connection: close"), "{events}");
    ensure!(curl("/v1/sse?symbols=", &[])?.ends_with("[2 400]"), "refusals are those of HTTP/1.1");
    ensure!(curl("/v1/ws", &[])?.ends_with("[2 426]"), "a WebSocket has a connection of its own");
    ensure!(curl("/v1/sse?symbols=a", &["--header", "Origin: https://evil.example"])?.ends_with("[2 403]"), "origins are checked");
    // Calls are encrypted like the rest.
    let address = format!("localhost:{}", server.address().port());
    let output = python_script("watch_grpc.py", &["--address", &address, "--ca", &ca.display().to_string(), "--count", "5", "bench.S0"])?;
    ensure!(succeeded(&output)?.lines().count() == 5, "five records were asked for");
    Ok(())
}

#[test]
fn certificates_are_changed_under_live_connections() {
    let (old, new) = (Authority::new(), Authority::new());
    let (server, folder) = start(&old, &["localhost"], &[]);
    let connect = |authority: &Authority| Wire::encrypted(server.address(), authority.client(&BOTH));
    let mut live = Peer::begun(connect(&old).unwrap(), Transport::Protobuf, &["bench.S0"], 0);
    live.quote();
    // A key that does not go with its certificate changes nothing, and the log says so.
    std::fs::write(folder.path().join("key.pem"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    server.signal("HUP").unwrap();
    until(|| server.log().contains("the new certificate cannot be used; the old one stays in use"));
    assert!(server.log().contains("does not go with the certificate"), "{}", server.log());
    connect(&old).unwrap();
    new.issue(folder.path(), &["localhost"]);
    server.signal("HUP").unwrap();
    until(|| connect(&new).is_ok());
    let refused = connect(&old).err().unwrap().to_string();
    assert!(refused.contains("certificate"), "{refused}");
    for _ in 0..100 {
        live.quote();
    }
}

#[test]
fn what_is_no_tls_is_told_or_cut() {
    let authority = Authority::new();
    let (server, _folder) = start(&authority, &["localhost"], &["--set", "limits.head_within_ms=500"]);
    let plain = Wire::connect(server.address()).ask("GET /livez", "");
    assert_eq!((plain.status, plain.code().as_str()), (400, "UNSUPPORTED"));
    assert!(plain.body.contains("https://"), "{plain:?}");
    // Handshakes that are none: the end, after an alert where one can be said.
    for (bytes, told) in [(&[22, 3, 1, 0, 4, 2, 0, 0, 0][..], true), (&[22; 64], false), (&[22, 3, 1, 0, 4, 1, 255, 255, 255], false)] {
        let mut garbage = Wire::connect(server.address());
        garbage.send(bytes);
        while garbage.fill() {}
        assert!(!told || garbage.buffer.first() == Some(&21), "an alert: {:?}", garbage.buffer);
    }
    // A handshake that never ends, and one that is followed by silence, have one and the same time.
    for hello in [&b""[..], &[22], &[22, 3, 1, 2, 0, 1, 0, 1]] {
        let mut slow = Wire::connect(server.address());
        slow.send(hello);
        while slow.fill() {}
    }
    let mut silent = Wire::encrypted(server.address(), authority.client(&BOTH)).unwrap();
    silent.send(b"GET /livez HTTP/1.1\r\n");
    let (start, mut buffer) = (Instant::now(), [0; 64]);
    while std::io::Read::read(&mut silent.stream, &mut buffer).is_ok_and(|len| len > 0) {}
    assert!(start.elapsed() < PATIENCE, "cut");
}

#[test]
fn a_slow_encrypted_client_gets_newer_data_and_the_reason_at_the_end() {
    let authority = Authority::new();
    let (mut server, _folder) = start_steady(&authority, &["localhost"], "300x30000", &[]);
    let wire = || Wire::encrypted(server.address(), authority.client(&BOTH)).unwrap();
    let mut peer = Peer::begun(wire(), Transport::Protobuf, &["bench.*"], 0);
    until(|| server.metric("tickwire_slow_connections", &mut wire()) == 1);
    std::thread::sleep(Duration::from_millis(1_200));
    peer.until(|frame| match &frame.control {
        Some(Control::Notice(notice)) if notice.kind() == NoticeKind::Slow => Some(()),
        _ => None,
    });
    server.terminate().unwrap();
    let goodbye = peer.until(|frame| match &frame.control {
        Some(Control::Goodbye(goodbye)) => Some(*goodbye),
        _ => None,
    });
    assert_eq!((goodbye.code(), peer.wire.close_code()), (ErrorCode::ShuttingDown, 4_502));
    drop(peer);
    assert!(server.wait(PATIENCE).unwrap().success(), "{}", server.log());
}

#[test]
fn an_idle_encrypted_connection_is_small() {
    let authority = Authority::new();
    let (server, _folder) = start_steady(&authority, &["localhost"], "20x1", &[]);
    let connect = || {
        let wire = Wire::encrypted(server.address(), authority.client(&BOTH)).unwrap();
        let mut peer = Peer::begun(wire, Transport::Protobuf, &["bench.*"], 5_000);
        peer.until(|frame| matches!(frame.control, Some(Control::SnapshotComplete(_))).then_some(()));
        peer
    };
    // The first ones pay for what all share.
    let mut peers: Vec<Peer> = (0..100).map(|_| connect()).collect();
    let before = server.resident_bytes().unwrap();
    peers.extend((0..IDLE).map(|_| connect()));
    let each = (server.resident_bytes().unwrap() - before) / IDLE;
    println!("an idle encrypted WebSocket with 20 subscriptions takes {each} bytes of resident memory ({IDLE} of them)");
    assert!(each < 16 * 1_024, "{each} bytes each");
}

/// Connections to measure by.
const IDLE: u64 = 500;

/// A gauge, over all shards, asked for over TLS.
trait Gauge {
    fn metric(&self, name: &str, wire: &mut Wire) -> u64;
}

impl Gauge for Tickwire {
    fn metric(&self, name: &str, wire: &mut Wire) -> u64 {
        let response = wire.ask("GET /metrics", "");
        let of_shard = |line: &str| line.strip_prefix(name)?.strip_prefix('{')?.rsplit(' ').next()?.parse::<u64>().ok();
        response.body.lines().filter_map(of_shard).sum()
    }
}

/// Waits for a condition.
#[track_caller]
fn until(mut is: impl FnMut() -> bool) {
    let by = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < by, "did not come to pass within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
