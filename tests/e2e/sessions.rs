//! Prices on each transport and encoding, held against what the market must have said.

use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use prost::Message as _;
use tickwire_proto::v1::{self, ErrorCode, server_frame::Control, update::Body};
use tickwire_rig::Tickwire;
use tickwire_simulator::steady_price;

use crate::peer::{Peer, Transport};

#[test]
fn every_transport_gives_ack_snapshot_and_true_records() {
    let server = Tickwire::start(&["demo", "--steady", "10x1000"]).unwrap();
    for transport in Transport::ALL {
        let mut peer = Peer::subscribed(server.address(), transport, &["bench.S3", "bench.nope"], 0);
        let welcome = peer.until(|frame| match &frame.control {
            Some(Control::Welcome(welcome)) => Some(welcome.clone()),
            _ => None,
        });
        assert_eq!((welcome.heartbeat_ms, welcome.window_bytes), (500, 0), "{transport:?}");
        let ack = peer.ack();
        let results: Vec<_> = ack.results.iter().map(|result| (result.symbol.as_str(), result.code(), result.conflate_ms)).collect();
        assert_eq!(results, [("bench.S3", ErrorCode::Unspecified, 0), ("bench.nope", ErrorCode::UnknownSymbol, 0)], "{transport:?}");
        assert_eq!(ack.images_follow, 1);
        let mut version = None;
        for _ in 0..50 {
            let (update, quote) = peer.quote();
            assert_eq!(peer.symbols[&update.id], "bench.S3");
            let now = quote.trades.unwrap();
            assert_eq!(quote.last, Some(steady_price(3, now)), "{transport:?}: version {now}");
            if let Some(before) = version.replace(now) {
                assert!(now > before, "{transport:?}: version {now} after {before}");
            } else {
                assert!(update.flags & 1 != 0, "{transport:?}: the first record is an image");
            }
        }
    }
}

#[test]
fn conflated_records_account_for_every_update() {
    let server = Tickwire::start(&["demo", "--steady", "1x500"]).unwrap();
    for transport in Transport::ALL {
        let mut peer = Peer::subscribed(server.address(), transport, &["bench.S0"], 100);
        let (_, image) = peer.quote();
        let (mut version, started) = (image.trades.unwrap(), Instant::now());
        for _ in 0..10 {
            let (update, quote) = peer.quote();
            assert_eq!(quote.trades, Some(version + u64::from(update.merged) + 1), "{transport:?}");
            assert_eq!(quote.last, Some(steady_price(0, quote.trades.unwrap())), "{transport:?}");
            version = quote.trades.unwrap();
        }
        assert!(started.elapsed() >= Duration::from_millis(900), "ten records at 100 ms take about a second at least");
    }
}

#[test]
fn a_pattern_gives_all_that_it_matches() {
    let server = Tickwire::start(&["demo", "--steady", "20x200"]).unwrap();
    for transport in Transport::ALL {
        let mut peer = Peer::subscribed(server.address(), transport, &["bench.*"], 50);
        assert_eq!(peer.ack().results[0].matched, 20, "{transport:?}");
        let mut seen = std::collections::HashSet::new();
        while seen.len() < 20 {
            seen.extend(peer.next().updates.iter().map(|update| update.id));
        }
    }
}

#[test]
fn heartbeats_come_in_silence_with_token_and_feeds() {
    let server = Tickwire::start(&["demo", "--steady", "1x1"]).unwrap();
    for transport in Transport::ALL {
        let mut peer = Peer::subscribed(server.address(), transport, &["bench.nope"], 0);
        for _ in 0..3 {
            let (token, feeds) = peer.until(|frame| match &frame.control {
                Some(Control::Heartbeat(heartbeat)) => Some((heartbeat.token.clone(), frame.feeds.clone())),
                _ => None,
            });
            assert!(token.contains(':'), "{transport:?}: {token:?}");
            assert_eq!(feeds.iter().map(|feed| feed.feed.as_str()).collect::<Vec<_>>(), ["bench"], "{transport:?}");
        }
    }
}

#[test]
fn a_stream_resumes_by_its_last_event_id() {
    let server = Tickwire::start(&["demo", "--steady", "10x100"]).unwrap();
    let query = "symbols=bench.S1&conflate_ms=0&heartbeat_ms=500";
    let mut peer = Peer::stream(server.address(), query, "").unwrap();
    let token = peer.until(|frame| match &frame.control {
        Some(Control::Heartbeat(heartbeat)) => Some(heartbeat.token.clone()),
        _ => None,
    });
    drop(peer);
    for (id, expected) in [(token.as_str(), v1::Resume::Resumed), ("elsewhere:7", v1::Resume::Images), ("non sense", v1::Resume::Images)] {
        let mut peer = Peer::stream(server.address(), query, &format!("Last-Event-ID: {id}\r\n")).unwrap_or_else(|response| {
            panic!("{id}: {response:?}");
        });
        let resume = peer.until(|frame| match &frame.control {
            Some(Control::Welcome(welcome)) => Some(welcome.resume()),
            _ => None,
        });
        assert_eq!(resume, expected, "{id}");
        let (_, quote) = peer.quote();
        assert_eq!(quote.last, Some(steady_price(1, quote.trades.unwrap())));
    }
}

/// An independent WebSocket library agrees with our framing.
#[tokio::test]
async fn a_client_of_another_make_is_served() {
    let server = Tickwire::start(&["demo", "--steady", "10x1000"]).unwrap();
    let uri: http::Uri = server.ws().parse().unwrap();
    let (mut socket, response) = tokio_websockets::ClientBuilder::from_uri(uri)
        .add_header(http::header::SEC_WEBSOCKET_PROTOCOL, http::HeaderValue::from_static("tickwire.v1.pb"))
        .unwrap()
        .connect()
        .await
        .unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "tickwire.v1.pb");
    let hello = v1::Hello { protocol: 1, sdk: "other".to_owned(), conflate_ms: Some(0), ..Default::default() };
    let item = v1::SubscribeItem { target: Some(v1::subscribe_item::Target::Pattern("#".to_owned())), ..Default::default() };
    for command in
        [v1::client_frame::Command::Hello(hello), v1::client_frame::Command::Subscribe(v1::Subscribe { items: vec![item], replace: false })]
    {
        let frame = v1::ClientFrame { request_id: 1, command: Some(command) };
        socket.send(tokio_websockets::Message::binary(frame.encode_to_vec())).await.unwrap();
    }
    socket.send(tokio_websockets::Message::ping("are you there")).await.unwrap();
    let (mut records, mut ponged) = (0, false);
    while records < 1_000 || !ponged {
        let message = socket.next().await.expect("the server left").unwrap();
        ponged |= message.is_pong();
        if message.is_binary() {
            let frame = v1::ServerFrame::decode(&message.as_payload()[..]).unwrap();
            records += frame.updates.iter().filter(|update| matches!(update.body, Some(Body::Quote(_)))).count();
        }
    }
    socket.close().await.unwrap();
}
