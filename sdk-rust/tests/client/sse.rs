//! The same over server-sent events: what the request says, and what the stream may look like.

use tickwire::v1::server_frame::Control;
use tickwire::{Encoding, State, Transport, v1};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::server::{Server, control_frame, image_frame, until, welcome, within};

const OPEN: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\nd\r\nretry: 1000\n\n\r\n";

/// Writes one frame as an event, cut into two chunks.
async fn send(tcp: &mut TcpStream, name: &str, id: &str, frame: &[u8]) {
    let event = format!("event: {name}\n{id}data: {}\n\n", std::str::from_utf8(frame).unwrap());
    let (head, tail) = event.split_at(event.len() / 2);
    let chunks = format!("{:x}\r\n{head}\r\n{:X};x=1\r\n{tail}\r\n", head.len(), tail.len());
    tcp.write_all(chunks.as_bytes()).await.unwrap();
}

/// Welcomes and serves `s1` up to the first heartbeat, which carries `token`.
async fn serve(tcp: &mut TcpStream, resume: v1::Resume, cents: i64, token: &str) {
    let json = Encoding::Json;
    let result = v1::SubscribeResult { symbol: "s1".to_owned(), id: 1, ..v1::SubscribeResult::default() };
    let ack = v1::SubscribeAck { request_id: 1, results: vec![result], images_follow: 1 };
    send(tcp, "welcome", "", &control_frame(json, 1, &welcome(resume))).await;
    send(tcp, "subscribe_ack", "", &control_frame(json, 2, &Control::SubscribeAck(ack))).await;
    send(tcp, "message", "", &image_frame(json, 3, "s1", cents as u64, cents)).await;
    let done = v1::SnapshotComplete { request_id: 1 };
    send(tcp, "snapshot_complete", "", &control_frame(json, 4, &Control::SnapshotComplete(done))).await;
    let heartbeat = v1::Heartbeat { token: token.to_owned() };
    send(tcp, "heartbeat", &format!("id: {token}\n"), &control_frame(json, 5, &Control::Heartbeat(heartbeat))).await;
}

#[tokio::test]
async fn an_event_stream_serves_and_resumes() {
    let server = Server::start(Encoding::Json).await;
    let client = server.client().transport(Transport::Sse).token("secret").connect().await.unwrap();
    assert_eq!(client.state(), State::Idle);
    let mut quotes = client.subscribe(["s1", "x.#"]).await.unwrap();

    let (mut tcp, head) = server.respond(OPEN).await;
    let first = head.lines().next().unwrap();
    assert!(first.starts_with("GET /v1/sse?symbols=s1,x.%23&conflate_ms=0&heartbeat_ms=5000"), "{first}");
    assert!(!first.contains("secret") && head.contains("\r\nAuthorization: Bearer secret\r\n"), "{head}");
    assert!(head.contains("\r\nAccept: text/event-stream\r\n") && !head.contains("Last-Event-ID"), "{head}");
    drop(quotes);

    // One request stands for all that is wanted, so another set makes another request.
    drop(tcp);
    let mut only = client.subscribe(["s1"]).await.unwrap();
    loop {
        let head;
        (tcp, head) = server.respond(OPEN).await;
        if head.starts_with("GET /v1/sse?symbols=s1&") {
            break;
        }
    }
    serve(&mut tcp, v1::Resume::Fresh, 100, "e:7").await;
    assert_eq!(within(only.next()).await.unwrap().to_string(), "s1 bid 1.00");
    until(|| client.state() == State::Live).await;

    drop(tcp);
    let (mut tcp, head) = server.respond(OPEN).await;
    assert!(head.contains("\r\nLast-Event-ID: e:7\r\n"), "{head}");
    serve(&mut tcp, v1::Resume::Resumed, 250, "e:9").await;
    assert_eq!(within(only.next()).await.unwrap().to_string(), "s1 bid 2.50");
    quotes = only;
    client.close().await;
    assert_eq!(within(quotes.next()).await, None);
}

#[tokio::test]
async fn refused_requests_end_or_wait_as_the_server_says() {
    let server = Server::start(Encoding::Json).await;
    let client = server.client().transport(Transport::Sse).connect().await.unwrap();
    let _quotes = client.subscribe(["s1"]).await.unwrap();
    server.respond("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n").await;
    server.respond("HTTP/1.1 502 Bad Gateway\r\n\r\n").await;
    let body = r#"{"code":"NOT_ENTITLED","text":"s1 is not in the token"}"#;
    let refusal = format!("HTTP/1.1 403 Forbidden\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let mut events = client.events();
    server.respond(&refusal).await;
    let mut reason = String::new();
    while let Some(event) = within(events.next()).await {
        if let tickwire::Event::State { state: State::Closed, reason: text, code } = event {
            assert_eq!(code, Some(tickwire::ErrorCode::NotEntitled));
            reason = text;
        }
    }
    assert_eq!(reason, "s1 is not in the token");
}
