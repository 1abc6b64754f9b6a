//! The client against a server that the test plays: reconnects, tokens, refusals, slow readers and dropped futures.
#![allow(clippy::unwrap_used, reason = "a helper that fails to unwrap fails its test")]

mod server;
mod sse;
mod tls;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use server::{Server, until, within};
use tickwire::v1::client_frame::Command;
use tickwire::v1::server_frame::Control;
use tickwire::{Change, Client, ConnectError, Encoding, ErrorCode, Event, State, SubscribeError, TransportError, v1};
use tokio::join;

/// A connected client with one subscription to `s1`, synced.
async fn connected(server: &Server) -> (Client, tickwire::Subscription, server::Peer) {
    let client = async {
        let client = within(server.client().connect()).await.unwrap();
        let subscription = client.subscribe(["s1"]).await.unwrap();
        (client, subscription)
    };
    let peer = async {
        let (mut peer, _) = server.welcome().await;
        assert_eq!(peer.serve_subscribe(1).await, ["s1"]);
        peer
    };
    let ((client, subscription), peer) = join!(client, peer);
    until(|| client.state() == State::Live).await;
    (client, subscription, peer)
}

async fn next_text(subscription: &mut tickwire::Subscription) -> String {
    within(subscription.next()).await.expect("stream ended").to_string()
}

#[tokio::test]
async fn changes_arrive_in_both_encodings() {
    for encoding in [Encoding::Protobuf, Encoding::Json] {
        let server = Server::start(encoding).await;
        let (client, mut quotes, mut peer) = connected(&server).await;
        assert_eq!(next_text(&mut quotes).await, "s1 bid 1.00");
        peer.bid("s1", 2, 18_742).await;
        assert_eq!(next_text(&mut quotes).await, "s1 bid 187.42");
        peer.halt("s1", 3, "news").await;
        assert_eq!(next_text(&mut quotes).await, "[HALTED: news] s1 bid 187.42 HALTED");
        assert_eq!(client.latest("s1").unwrap().seq, 3);
        assert_eq!((client.latest("s2"), client.stats().connects), (None, 1));
    }
}

#[tokio::test]
async fn a_slow_reader_sees_the_newest_state_only() {
    let server = Server::start(Encoding::Protobuf).await;
    let (client, mut quotes, mut peer) = connected(&server).await;
    assert_eq!(next_text(&mut quotes).await, "s1 bid 1.00");
    for n in 1..=1_000 {
        peer.bid("s1", 1 + n, 100 + n as i64).await;
    }
    until(|| client.stats().records == 1_001).await;
    let Change::State(newest) = within(quotes.next()).await.unwrap() else { panic!("not a state") };
    assert_eq!((newest.to_string().as_str(), newest.merged), ("s1 bid 11.00", 999));
    assert!(quotes.next().now_or_never().is_none(), "nothing else waits");
    assert_eq!(client.stats().conflated, 999);
}

#[tokio::test]
async fn dropped_futures_lose_nothing() {
    let server = Server::start(Encoding::Protobuf).await;
    let (_client, mut quotes, mut peer) = connected(&server).await;
    let sending = async {
        for n in 0..200 {
            peer.halt("s1", 2 + n, &n.to_string()).await;
            tokio::task::yield_now().await;
        }
        peer
    };
    let reading = async {
        let mut reasons = Vec::new();
        while reasons.len() < 200 {
            // Each future gets one poll at most, and is dropped.
            if let Some(change) = quotes.next().now_or_never() {
                if let Some(Change::Event { update, .. }) = change {
                    let Some(v1::update::Body::Status(status)) = update.body else { panic!("not a status") };
                    reasons.push(status.reason);
                }
            } else {
                tokio::task::yield_now().await;
            }
        }
        reasons
    };
    let (_peer, reasons) = within(async { join!(sending, reading) }).await;
    assert_eq!(reasons, (0..200).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_client_comes_back_by_itself() {
    let server = Server::start(Encoding::Protobuf).await;
    let (client, mut quotes, peer) = connected(&server).await;
    assert_eq!(next_text(&mut quotes).await, "s1 bid 1.00");
    let mut events = client.events();
    drop(peer);
    let (mut peer, _) = server.welcome().await;
    // The last value stays while the connection is away.
    assert_eq!(client.latest("s1").unwrap().to_string(), "s1 bid 1.00");
    assert_eq!(peer.serve_subscribe(1).await, ["s1"]);
    peer.bid("s1", 2, 200).await;
    until(|| client.latest("s1").is_some_and(|s1| s1.to_string() == "s1 bid 2.00")).await;
    until(|| client.state() == State::Live).await;
    assert_eq!(client.stats().connects, 2);
    let mut states = Vec::new();
    while let Some(Some(event)) = events.next().now_or_never() {
        if let Event::State { state, .. } = event {
            states.push(state);
        }
    }
    assert_eq!(states, [State::Backoff, State::Connecting, State::Syncing, State::Live]);
}

#[tokio::test]
async fn unknown_symbols_are_refused_and_the_rest_is_served() {
    let server = Server::start(Encoding::Json).await;
    let (client, _quotes, mut peer) = connected(&server).await;
    let mut events = client.events();
    let mut both = client.subscribe(["nothing", "s2"]).await.unwrap();
    peer.serve_subscribe(5).await;
    assert_eq!(next_text(&mut both).await, "s2 bid 1.00");
    assert_eq!(both.refused(), [("nothing".to_owned(), ErrorCode::UnknownSymbol)]);
    let refused = within(async {
        loop {
            if let Some(Event::Refused { subscription, symbol, code }) = events.next().await {
                break (subscription, symbol, code);
            }
        }
    });
    assert_eq!(refused.await, (both.id(), "nothing".to_owned(), ErrorCode::UnknownSymbol));
}

#[tokio::test]
async fn bad_items_are_refused_before_they_are_sent() {
    let server = Server::start(Encoding::Protobuf).await;
    let client = server.client().connect_lazily().await.unwrap();
    let refused = client.subscribe(["s1", "no spaces"]).await.err().map(|error| error.to_string());
    assert_eq!(refused.as_deref(), Some("symbol \"no spaces\" has a character other than A-Z a-z 0-9 _ % : / + - and dots"));
    assert_eq!(client.subscribe::<[&str; 0]>([]).await.err(), Some(SubscribeError::Empty));
    client.close().await;
    assert_eq!(client.subscribe(["s1"]).await.err(), Some(SubscribeError::Closed));
}

#[tokio::test]
async fn handles_close_what_they_stand_for() {
    let server = Server::start(Encoding::Protobuf).await;
    let (client, quotes, mut peer) = connected(&server).await;
    let more = client.subscribe(["s2"]).await.unwrap();
    peer.serve_subscribe(2).await;
    more.unsubscribe();
    match peer.command().await {
        (_, Command::Unsubscribe(unsubscribe)) => assert_eq!(unsubscribe.symbols, ["s2"]),
        (_, other) => panic!("expected unsubscribe, got {other:?}"),
    }
    drop(client);
    quotes.set_conflation(Duration::from_millis(100));
    match peer.command().await {
        (_, Command::Subscribe(subscribe)) => assert_eq!(subscribe.items[0].conflate_ms, Some(100)),
        (_, other) => panic!("expected subscribe, got {other:?}"),
    }
    drop(quotes);
    assert_eq!(peer.ended().await, Some(1_000));
}

#[tokio::test]
async fn close_ends_every_stream() {
    let server = Server::start(Encoding::Protobuf).await;
    let (client, mut quotes, peer) = connected(&server).await;
    let mut events = client.events();
    let waiting = tokio::spawn(async move {
        while let Some(change) = quotes.next().await {
            assert_eq!(change.symbol().as_str(), "s1");
        }
    });
    let (_, code) = within(async { join!(client.close(), peer.ended()) }).await;
    assert_eq!((code, client.state()), (Some(1_000), State::Closed));
    within(waiting).await.unwrap();
    assert!(matches!(within(events.next()).await, Some(Event::State { state: State::Closed, code: None, .. })));
    assert_eq!(within(events.next()).await, None);
}

#[tokio::test]
async fn a_fatal_code_ends_the_client() {
    let server = Server::start(Encoding::Protobuf).await;
    let (client, mut quotes, mut peer) = connected(&server).await;
    assert_eq!(next_text(&mut quotes).await, "s1 bid 1.00");
    let mut events = client.events();
    let code = ErrorCode::BadMessage;
    let error = v1::Error { code: code as i32, text: "no such command".to_owned(), ..v1::Error::default() };
    peer.control(Control::Error(error)).await;
    let closing = tokio::spawn(peer.close(code.close_code(), "no such command"));
    assert_eq!(within(quotes.next()).await, None);
    within(closing).await.unwrap();
    let mut last = None;
    while let Some(event) = within(events.next()).await {
        last = Some(event);
    }
    assert_eq!(last, Some(Event::State { state: State::Closed, code: Some(code), reason: "no such command".to_owned() }));
}

#[tokio::test]
async fn connect_fails_with_the_reason() {
    let server = Server::start(Encoding::Protobuf).await;
    for (response, expected) in [
        (
            "HTTP/1.1 401 Unauthorized\r\nContent-Length: 49\r\n\r\n{\"code\":\"AUTH_REQUIRED\",\"text\":\"a token, please\"}",
            "refused by the server: AUTH_REQUIRED: a token, please",
        ),
        ("HTTP/1.1 503 Unavailable\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", "server answered HTTP 503"),
        ("HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "server answered HTTP 404"),
        ("HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n", "answer to the websocket handshake is wrong"),
        ("SSH-2.0-OpenSSH\r\n\r\n", "not a tickwire server: response is not HTTP/1.1"),
    ] {
        let (connected, _) = within(async { join!(server.client().connect(), server.respond(response)) }).await;
        let error = connected.expect_err("connected to nothing");
        let text = match &error {
            ConnectError::Unreachable { source, .. } => source.to_string(),
            other => other.to_string(),
        };
        assert!(text.ends_with(expected), "{text} is not {expected}");
    }
    let url = server.url();
    drop(server);
    let refused = within(Client::builder(url).connect()).await;
    assert!(matches!(refused, Err(ConnectError::Unreachable { source: TransportError::Io(_), .. })), "{refused:?}");
}

#[tokio::test]
async fn a_message_above_the_limit_ends_the_connection() {
    let server = Server::start(Encoding::Protobuf).await;
    let connecting = server.client().frame_bytes_max(4_096).connect();
    let (client, (mut peer, _)) = within(async { join!(connecting, server.welcome()) }).await;
    let client = client.unwrap();
    let mut events = client.events();
    peer.write(vec![0; 5_000]).await;
    let ended = within(async {
        loop {
            if let Some(Event::State { state: State::Backoff, reason, .. }) = events.next().await {
                break reason;
            }
        }
    });
    assert_eq!(ended.await, "message is larger than 4096 bytes");
}

#[tokio::test]
async fn tokens_are_fetched_at_the_start_and_renewed_in_place() {
    let server = Server::start(Encoding::Protobuf).await;
    let calls = Arc::new(AtomicU32::new(0));
    let counted = calls.clone();
    let provider = move || {
        let n = counted.fetch_add(1, Ordering::Relaxed);
        async move { if n == 1 { Err(std::io::Error::other("not now")) } else { Ok(format!("token-{n}")) } }
    };
    let (client, (mut peer, hello)) = within(async { join!(server.client().token_provider(provider).connect(), server.welcome()) }).await;
    let client = client.unwrap();
    assert_eq!(hello.token.as_deref(), Some("token-0"));
    // The second call fails: the connection stays up, and the next request is answered.
    peer.control(Control::TokenExpiring(v1::TokenExpiring { in_ms: 60_000 })).await;
    until(|| calls.load(Ordering::Relaxed) == 2).await;
    peer.control(Control::TokenExpiring(v1::TokenExpiring { in_ms: 50_000 })).await;
    match peer.command().await {
        (_, Command::Authenticate(authenticate)) => assert_eq!(authenticate.token, "token-2"),
        (_, other) => panic!("expected authenticate, got {other:?}"),
    }
    assert!(!format!("{client:?}").contains("token-"));
    // A new connection says hello with the newest one.
    drop(peer);
    let (_peer, hello) = server.welcome().await;
    assert_eq!(hello.token.as_deref(), Some("token-2"));
}

#[tokio::test]
async fn a_failing_token_callback_fails_the_connect() {
    let server = Server::start(Encoding::Protobuf).await;
    let provider = || async { Err::<String, _>(std::io::Error::other("vault is sealed")) };
    let refused = within(server.client().token_provider(provider).connect()).await;
    assert!(matches!(refused, Err(ConnectError::Token(_))), "{refused:?}");
}

#[tokio::test]
async fn a_dropped_connect_drops_the_connection() {
    let server = Server::start(Encoding::Protobuf).await;
    let connecting = tokio::spawn(server.client().connect());
    let peer = server.accept().await;
    connecting.abort();
    let _ = peer.ended().await;
}

#[tokio::test]
async fn a_lazy_client_waits_for_its_server() {
    let server = Server::start(Encoding::Protobuf).await;
    let address = server.url();
    drop(server);
    let client = Client::builder(&address).backoff(Duration::from_millis(1), Duration::from_millis(20)).connect_lazily().await.unwrap();
    let mut quotes = client.subscribe(["s1"]).await.unwrap();
    until(|| client.state() == State::Backoff).await;
    let server = Server::start_at(&address).await;
    let (mut peer, _) = server.welcome().await;
    peer.serve_subscribe(1).await;
    assert_eq!(next_text(&mut quotes).await, "s1 bid 1.00");
}
