//! Calls over gRPC, by a client down to the frames of HTTP/2: windows that stay shut, limits that only the server keeps.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use tickwire_proto::v1::{self, ErrorCode, NoticeKind, server_frame::Control, subscribe_item::Target, update::Body};
use tickwire_rig::Tickwire;
use tickwire_simulator::steady_price;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::wire::{PATIENCE, Wire};

/// A connection that calls share.
struct Channel {
    requests: SendRequest<Full<Bytes>>,
    address: SocketAddr,
}

/// One call.
struct Call {
    body: Incoming,
    buffer: BytesMut,
    /// Of the end, or of an answer that is only an end.
    trailers: Option<http::HeaderMap>,
    cseq: u64,
}

impl Channel {
    async fn open(address: SocketAddr) -> Self {
        Self::with_window(address, 65_535).await
    }

    /// A connection on which the server may send `window` bytes of a call before somebody reads them.
    async fn with_window(address: SocketAddr, window: u32) -> Self {
        let socket = TcpStream::connect(address).await.unwrap();
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(window).initial_connection_window_size(1 << 20);
        let (requests, connection) = builder.handshake(TokioIo::new(socket)).await.unwrap();
        tokio::spawn(connection);
        Self { requests, address }
    }

    async fn call(&mut self, path: &str, message: &[u8], headers: &[(&str, &str)]) -> Call {
        let mut framed = vec![0];
        framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
        framed.extend_from_slice(message);
        let mut request = http::Request::post(format!("http://{}{path}", self.address)).header("content-type", "application/grpc");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.requests.ready().await.unwrap();
        let response = self.requests.send_request(request.body(Full::from(framed)).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
        let trailers = response.headers().contains_key("grpc-status").then(|| response.headers().clone());
        Call { body: response.into_body(), buffer: BytesMut::new(), trailers, cseq: 0 }
    }

    async fn subscribe(&mut self, symbols: &[&str], headers: &[(&str, &str)]) -> Call {
        let item = |symbol: &&str| v1::SubscribeItem { target: Some(Target::Symbol((*symbol).to_owned())), ..Default::default() };
        let items = symbols.iter().map(item).collect();
        let request = v1::SubscribeRequest { items, conflate_ms: Some(0), heartbeat_ms: Some(500), resume: None };
        self.call(SUBSCRIBE, &request.encode_to_vec(), headers).await
    }
}

impl Call {
    /// The next message, or `None` at the end.
    async fn message(&mut self) -> Option<Bytes> {
        while self.buffer.len() < 5 || self.buffer.len() < 5 + (&self.buffer[1..5]).get_u32() as usize {
            let frame = timeout(PATIENCE, self.body.frame()).await.expect("something comes").transpose().unwrap()?;
            match frame.into_data() {
                Ok(data) => self.buffer.extend_from_slice(&data),
                Err(frame) => self.trailers = frame.into_trailers().ok(),
            }
        }
        assert_eq!(self.buffer[0], 0, "nothing is compressed");
        let len = (&self.buffer[1..5]).get_u32() as usize;
        self.buffer.advance(5);
        Some(self.buffer.split_to(len).freeze())
    }

    /// The next frame. Frames are numbered without holes.
    async fn frame(&mut self) -> Option<v1::ServerFrame> {
        let frame = v1::ServerFrame::decode(self.message().await?).unwrap();
        self.cseq += 1;
        assert_eq!(frame.cseq, self.cseq, "frames are numbered without holes");
        Some(frame)
    }

    /// Reads frames until `wanted` finds what it wants.
    async fn until<T>(&mut self, mut wanted: impl FnMut(&v1::ServerFrame) -> Option<T>) -> T {
        loop {
            let frame = self.frame().await.expect("the call goes on");
            if let Some(found) = wanted(&frame) {
                return found;
            }
        }
    }

    /// Reads to the end: status and our code.
    async fn ending(&mut self) -> (u32, String) {
        while self.message().await.is_some() {}
        let trailers = self.trailers.as_ref().expect("a call ends with a status");
        let text = |name: &str| trailers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
        (text("grpc-status").parse().unwrap(), text("tickwire-code"))
    }
}

#[tokio::test]
async fn calls_share_a_connection_and_get_every_version() {
    let server = Tickwire::start(&["demo", "--steady", "4x200"]).unwrap();
    let mut channel = Channel::open(server.address()).await;
    let (mut first, mut second) = (channel.subscribe(&["bench.S0"], &[]).await, channel.subscribe(&["bench.S1", "no such"], &[]).await);
    let ack = second.until(|frame| match &frame.control {
        Some(Control::SubscribeAck(ack)) => Some(ack.clone()),
        _ => None,
    });
    let codes: Vec<_> = ack.await.results.iter().map(v1::SubscribeResult::code).collect();
    assert_eq!(codes, [ErrorCode::Unspecified, ErrorCode::BadSymbol], "items are refused one by one");
    for (call, index) in [(&mut first, 0), (&mut second, 1)] {
        let mut prices = Vec::new();
        while prices.len() < 20 {
            let frame = call.frame().await.unwrap();
            prices.extend(frame.updates.iter().filter_map(|update| match &update.body {
                Some(Body::Quote(quote)) => quote.last,
                _ => None,
            }));
        }
        let start = (0..10_000).find(|version| steady_price(index, *version) == prices[1]).expect("a price of this symbol");
        let expected: Vec<i64> = (start..).map(|version| steady_price(index, version)).take(prices.len() - 1).collect();
        assert_eq!(prices[1..], expected, "every version, in order");
    }
    drop(first);
    second.until(|frame| matches!(frame.control, Some(Control::Heartbeat(_))).then_some(())).await;
}

#[tokio::test]
async fn a_call_that_is_not_read_holds_nothing_but_marks() {
    let server = Tickwire::start(&["demo", "--steady", "500x50000"]).unwrap();
    let mut channel = Channel::with_window(server.address(), 8 * 1_024).await;
    let symbols: Vec<String> = (0..500).map(|n| format!("bench.S{n}")).collect();
    let symbols: Vec<&str> = symbols.iter().map(String::as_str).collect();
    let mut call = channel.subscribe(&symbols, &[]).await;
    call.until(|frame| matches!(frame.control, Some(Control::SnapshotComplete(_))).then_some(())).await;
    // The window is shut while 200,000 updates and more pass, which would be megabytes.
    let before = metric(&server, "tickwire_frame_bytes_total");
    let start = metric(&server, "tickwire_updates_applied_total");
    while metric(&server, "tickwire_updates_applied_total") < start + 200_000 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let written = metric(&server, "tickwire_frame_bytes_total") - before;
    assert!(written < 300_000, "{written} bytes were written for a call that nobody read");
    assert_eq!(metric(&server, "tickwire_slow_connections"), 1);
    // Once it is read again it is told so, and everything is new within few records: there was no backlog.
    call.until(|frame| match &frame.control {
        Some(Control::Notice(notice)) if notice.kind() == NoticeKind::Slow => Some(()),
        _ => None,
    })
    .await;
    let mut newest: HashMap<u32, u64> = HashMap::new();
    while newest.len() < 500 {
        for update in call.frame().await.unwrap().updates {
            let seen = newest.entry(update.id).or_default();
            assert!(update.seq >= *seen, "nothing goes backward");
            *seen = update.seq;
        }
    }
}

#[tokio::test]
async fn the_server_keeps_the_time_of_a_call() {
    let server = Tickwire::start(&["demo", "--steady", "1x100"]).unwrap();
    let mut channel = Channel::open(server.address()).await;
    let mut call = channel.subscribe(&["bench.S0"], &[("grpc-timeout", "500m")]).await;
    call.until(|frame| (!frame.updates.is_empty()).then_some(())).await;
    assert_eq!(call.ending().await.0, 4, "DEADLINE_EXCEEDED");
    let refused = channel.subscribe(&["bench.S0"], &[("grpc-timeout", "soon")]).await.ending().await;
    assert_eq!(refused, (3, "BAD_MESSAGE".to_owned()));
    // Whoever leaves, by time or by choice, leaves nothing behind.
    drop(channel.subscribe(&["bench.S0"], &[]).await);
    eventually(|| metric(&server, "tickwire_connections") == 0).await;
}

#[tokio::test]
async fn refusals_have_a_status_and_our_code() {
    let limits = ["demo", "--steady", "1x100", "--set", "limits.items_max=2", "--set", "limits.connections_max=1"];
    let server = Tickwire::start(&limits).unwrap();
    let mut channel = Channel::open(server.address()).await;
    for (path, message, headers, expected) in [
        (SUBSCRIBE, &b"\xFF"[..], &[][..], (3, "")),
        (SUBSCRIBE, b"", &[("authorization", "Basic x")], (16, "AUTH_INVALID")),
        (SUBSCRIBE, b"", &[("authorization", "Bearer forged")], (16, "AUTH_INVALID")),
        ("/tickwire.v1.Ticker/Publish", b"", &[], (12, "")),
        ("/tickwire.v2.Ticker/Subscribe", b"", &[], (12, "")),
    ] {
        let mut call = channel.call(path, message, headers).await;
        let (status, code) = call.ending().await;
        assert_eq!((status, code.as_str()), expected, "{path} {message:?} {headers:?}");
    }
    assert_eq!(channel.subscribe(&["a", "b", "c"], &[]).await.ending().await, (3, "BAD_MESSAGE".to_owned()));
    let mut only = channel.subscribe(&["bench.S0"], &[]).await;
    let mut full = channel.subscribe(&["bench.S0"], &[]).await;
    assert_eq!(full.ending().await, (14, "SERVER_FULL".to_owned()));
    assert_eq!(full.trailers.unwrap()["grpc-retry-pushback-ms"], "1000");
    only.frame().await.unwrap();
    // HTTP/2 without TLS is for calls.
    let page = http::Request::get(format!("http://{}/livez", server.address())).body(Full::default()).unwrap();
    assert_eq!(channel.requests.send_request(page).await.unwrap().status(), 415);
}

#[tokio::test]
async fn calls_of_one_connection_have_a_budget() {
    let server = Tickwire::start(&["demo", "--steady", "1x100"]).unwrap();
    let mut channel = Channel::open(server.address()).await;
    // Far more than the budget at once; each ends at once, so that the limit of calls beside each other does not matter.
    let calls = (0..2_000).map(|_| {
        let mut own = Channel { requests: channel.requests.clone(), address: channel.address };
        async move { own.call("/no/Such", b"", &[]).await.ending().await }
    });
    let endings = timeout(PATIENCE, futures_util::future::join_all(calls)).await.unwrap();
    let count = |expected: (u32, &str)| endings.iter().filter(|(status, code)| (*status, code.as_str()) == expected).count();
    let (served, refused) = (count((12, "")), count((8, "RATE_LIMITED")));
    assert!(served >= 256 && refused > 0 && served + refused == 2_000, "{served} were served, {refused} refused");
    // The budget is of one connection, and grows again.
    Channel::open(server.address()).await.subscribe(&["bench.S0"], &[]).await.frame().await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    channel.subscribe(&["bench.S0"], &[]).await.frame().await.unwrap();
}

#[tokio::test]
async fn callers_are_told_goodbye() {
    let mut server = Tickwire::start(&["demo", "--steady", "1x100"]).unwrap();
    let mut channel = Channel::open(server.address()).await;
    eventually_serving(&mut channel).await;
    let mut watch = channel.call("/grpc.health.v1.Health/Watch", b"", &[]).await;
    assert_eq!(watch.message().await.unwrap(), SERVING);
    let mut call = channel.subscribe(&["bench.S0"], &[]).await;
    call.frame().await.unwrap();
    server.terminate().unwrap();
    let goodbye = call.until(|frame| match &frame.control {
        Some(Control::Goodbye(goodbye)) => Some(*goodbye),
        _ => None,
    });
    assert_eq!(goodbye.await.code(), ErrorCode::ShuttingDown);
    assert_eq!(call.ending().await, (14, "SHUTTING_DOWN".to_owned()));
    assert_eq!(watch.message().await.unwrap(), NOT_SERVING);
    drop((call, watch, channel));
    assert!(server.wait(PATIENCE).unwrap().success(), "{}", server.log());
}

#[tokio::test]
async fn tools_find_what_there_is() {
    let server = Tickwire::start(&["demo", "--steady", "1x100"]).unwrap();
    let mut channel = Channel::open(server.address()).await;
    eventually_serving(&mut channel).await;
    let unknown = channel.call("/grpc.health.v1.Health/Check", b"\x0A\x01x", &[]).await.ending().await;
    assert_eq!(unknown.0, 5, "NOT_FOUND");
    for version in ["v1", "v1alpha"] {
        let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
        // list_services: ""
        let list = channel.call(&path, b"\x3A\x00", &[]).await.message().await.unwrap();
        for service in ["tickwire.v1.Ticker", "grpc.health.v1.Health"] {
            assert!(list.windows(service.len()).any(|window| window == service.as_bytes()), "{list:?}");
        }
        // file_containing_symbol
        let mut ask = vec![0x22, 18];
        ask.extend_from_slice(b"tickwire.v1.Ticker");
        let file = channel.call(&path, &ask, &[]).await.message().await.unwrap();
        assert!(file.windows(16).any(|window| window == b"SubscribeRequest"), "{file:?}");
    }
}

#[test]
fn a_preface_is_read_within_the_limits_of_heads() {
    let server = Tickwire::start(&["demo", "--steady", "1x100", "--set", "limits.head_within_ms=300"]).unwrap();
    let mut slow = Wire::connect(server.address());
    slow.send(b"PRI * HTTP/2.0\r\n\r\nSM");
    assert!(!slow.fill(), "cut without a word");
    let mut wrong = Wire::connect(server.address());
    wrong.send(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n");
    assert_eq!(wrong.response().status, 400);
    // Frames that are none end the connection.
    let mut garbage = Wire::connect(server.address());
    garbage.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nGET / HTTP/1.1\r\n\r\n");
    while garbage.fill() {}
}

/// Waits until the node says that it serves.
async fn eventually_serving(channel: &mut Channel) {
    for service in [&b""[..], b"\x0A\x12tickwire.v1.Ticker"] {
        let by = tokio::time::Instant::now() + PATIENCE;
        while channel.call("/grpc.health.v1.Health/Check", service, &[]).await.message().await.unwrap() != SERVING {
            assert!(tokio::time::Instant::now() < by, "never serves");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn eventually(mut is: impl FnMut() -> bool) {
    let by = tokio::time::Instant::now() + PATIENCE;
    while !is() {
        assert!(tokio::time::Instant::now() < by, "did not come to pass within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A metric, over all shards.
fn metric(server: &Tickwire, name: &str) -> u64 {
    let response = Wire::connect(server.address()).ask("GET /metrics", "Connection: close\r\n");
    let of_shard = |line: &str| line.strip_prefix(name)?.strip_prefix('{')?.rsplit(' ').next()?.parse::<u64>().ok();
    response.body.lines().filter_map(of_shard).sum()
}

const SUBSCRIBE: &str = "/tickwire.v1.Ticker/Subscribe";
/// `HealthCheckResponse` of a node that serves ...
const SERVING: &[u8] = &[0x08, 0x01];
/// ... and of one that does not.
const NOT_SERVING: &[u8] = &[0x08, 0x02];
