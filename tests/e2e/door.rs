//! Requests: health, refusals by HTTP, origins, limits, and connections that are used again.

use std::time::Duration;

use tickwire_rig::Tickwire;

use crate::peer::{Peer, Transport};
use crate::wire::{UPGRADE, Wire};

#[test]
fn health_and_lists() {
    let server = Tickwire::start(&["demo", "--steady", "10x100"]).unwrap();
    Peer::subscribed(server.address(), Transport::Json, &["bench.S0"], 0).quote();
    let mut wire = Wire::connect(server.address());
    assert_eq!(wire.ask("GET /livez", "").status, 200);
    let ready = wire.ask("GET /readyz", "");
    assert_eq!(ready.status, 200, "{ready:?}");
    assert!(ready.body.contains("\"feed\":\"bench\"") && ready.body.contains("\"ready\":true"), "{ready:?}");
    let page = |wire: &mut Wire, query: &str| -> (Vec<String>, serde_json::Value) {
        let response = wire.ask(&format!("GET /v1/instruments?{query}"), "");
        assert_eq!(response.status, 200, "{response:?}");
        let body: serde_json::Value = serde_json::from_str(&response.body).unwrap();
        let symbols = body["instruments"].as_array().unwrap().iter().map(|info| info["symbol"].as_str().unwrap().to_owned()).collect();
        (symbols, body["next_after"].clone())
    };
    let (first, next) = page(&mut wire, "limit=7");
    assert_eq!((first.len(), first[0].as_str(), &next), (7, "bench.S0", &serde_json::json!(7)));
    let (rest, next) = page(&mut wire, "limit=7&after=7");
    assert_eq!((rest, next), (vec!["bench.S7".to_owned(), "bench.S8".to_owned(), "bench.S9".to_owned()], serde_json::Value::Null));
    assert_eq!(page(&mut wire, "pattern=bench.S4").0, ["bench.S4"]);
    assert_eq!(wire.ask("GET /v1/instruments?pattern=a..b", "").code(), "BAD_SYMBOL");
    let metrics = wire.ask("GET /metrics", "");
    assert!(metrics.body.contains("tickwire_records_sent_total{shard=\"0\"}") && metrics.body.ends_with("# EOF\n"), "{}", metrics.body);
    let missing = wire.ask("GET /nothing/here", "");
    assert_eq!((missing.status, missing.header("content-type")), (404, Some("application/json")));
    assert_eq!(wire.ask("POST /livez", "Content-Length: 0\r\n").status, 405);
}

#[test]
fn connections_go_to_the_shard_with_the_fewest() {
    let server = Tickwire::start(&["demo", "--steady", "2x10", "--set", "shards=3", "--set", "metrics=on"]).unwrap();
    let shares = || {
        let metrics = Wire::connect(server.address()).ask("GET /metrics", "Connection: close\r\n").body;
        let share = |shard| metrics.lines().find_map(|line| line.strip_prefix(&format!("tickwire_connections{{shard=\"{shard}\"}} ")));
        [0, 1, 2].map(|shard| share(shard).and_then(|count| count.parse::<u32>().ok()).unwrap_or(0))
    };
    let join = || Peer::subscribed(server.address(), Transport::Protobuf, &["bench.S0"], 0);
    let mut peers: Vec<Peer> = (0..9).map(|_| join()).collect();
    peers.iter_mut().for_each(|peer| drop(peer.quote()));
    assert_eq!(shares(), [3, 3, 3]);
    // Who leaves makes room for who comes.
    peers.truncate(3);
    while shares().iter().sum::<u32>() > 3 {
        std::thread::yield_now();
    }
    peers.extend((0..6).map(|_| join()));
    peers.iter_mut().for_each(|peer| drop(peer.quote()));
    assert_eq!(shares(), [3, 3, 3]);
}

#[test]
fn a_kept_connection_becomes_an_event_stream() {
    let server = Tickwire::start(&["demo", "--steady", "10x1000"]).unwrap();
    let mut wire = Wire::connect(server.address());
    for _ in 0..3 {
        assert_eq!(wire.ask("GET /livez", "").status, 200);
    }
    wire.send(b"GET /v1/sse?symbols=bench.S0&conflate_ms=0 HTTP/1.1\r\nHost: h\r\n\r\n");
    let (status, head) = wire.head();
    assert_eq!(status, 200);
    for line in ["Content-Type: text/event-stream", "Cache-Control: no-cache, no-transform", "X-Accel-Buffering: no"] {
        assert!(head.contains(line), "{head}");
    }
    let mut peer = Peer::over(wire, Transport::Sse);
    assert_eq!(peer.chunk(), b"retry: 1000\n\n");
    peer.quote();
}

#[test]
fn events_are_named_unless_they_are_data() {
    let server = Tickwire::start(&["demo", "--steady", "1x10"]).unwrap();
    let mut peer = Peer::subscribed(server.address(), Transport::Sse, &["bench.S0"], 0);
    let mut names = Vec::new();
    while names.len() < 6 {
        let text = String::from_utf8(peer.chunk()).unwrap();
        names.push(match text.lines().find_map(|line| line.strip_prefix("event: ")) {
            Some(name) => name.to_owned(),
            None => text.split(':').next().unwrap().to_owned(),
        });
        assert_eq!(text.contains("event: heartbeat"), text.contains("\nid: "), "heartbeats carry the id: {text}");
    }
    assert_eq!(names, ["retry", "welcome", "subscribe_ack", "data", "snapshot_complete", "heartbeat"]);
}

#[test]
fn http_1_0_gets_events_without_chunks() {
    let server = Tickwire::start(&["demo", "--steady", "1x100"]).unwrap();
    let mut wire = Wire::connect(server.address());
    wire.send(b"GET /v1/sse?symbols=bench.S0 HTTP/1.0\r\n\r\n");
    let (status, head) = wire.head();
    assert!(status == 200 && !head.to_ascii_lowercase().contains("chunked"), "{head}");
    assert_eq!(wire.take(13), b"retry: 1000\n\n");
    assert_eq!(wire.take(15), b"event: welcome\n");
}

#[test]
fn heads_arrive_in_any_pieces() {
    let server = Tickwire::start(&["demo", "--steady", "1x100"]).unwrap();
    for request in ["GET /livez HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(), format!("GET /v1/ws HTTP/1.1\r\nHost: h\r\n{UPGRADE}\r\n")] {
        let mut wire = Wire::connect(server.address());
        for byte in request.as_bytes() {
            wire.send(&[*byte]);
        }
        assert!(matches!(wire.head().0, 200 | 101), "{request}");
    }
    // A client that does not wait for the answer loses nothing.
    let mut eager = Wire::connect(server.address());
    let mut bytes = format!("GET /v1/ws HTTP/1.1\r\nHost: h\r\n{UPGRADE}Sec-WebSocket-Protocol: tickwire.v1.json\r\n\r\n").into_bytes();
    bytes.extend(crate::wire::masked(0x81, b"{\"hello\":{\"protocol\":1,\"sdk\":\"eager\"}}"));
    eager.send(&bytes);
    assert_eq!(eager.head().0, 101);
    assert!(String::from_utf8(eager.next_frame().unwrap().1).unwrap().contains("welcome"));
}

#[test]
fn bad_requests_are_told_what_is_wrong() {
    let server = Tickwire::start(&["demo", "--steady", "1x100", "--set", "limits.items_max=2"]).unwrap();
    let large = format!("X: {}\r\n", "y".repeat(20_000));
    let many = "X: y\r\n".repeat(100);
    let wrong_version = UPGRADE.replace("13", "8");
    for (request, headers, status, code) in [
        ("GET /v1/sse", "", 400, "BAD_MESSAGE"),
        ("GET /v1/sse?symbols=", "", 400, "BAD_SYMBOL"),
        ("GET /v1/sse?symbols=a%00b", "", 400, "BAD_SYMBOL"),
        ("GET /v1/sse?symbols=a&conflate_ms=x", "", 400, "BAD_MESSAGE"),
        ("GET /v1/sse?symbols=a,b,c", "", 400, "BAD_MESSAGE"),
        ("HEAD /v1/sse?symbols=a", "", 405, "UNSUPPORTED"),
        ("POST /v1/sse?symbols=a", "", 405, "UNSUPPORTED"),
        ("OPTIONS /v1/sse?symbols=a", "", 405, "UNSUPPORTED"),
        ("GET /v1/ws", "", 426, "UNSUPPORTED"),
        ("GET /v1/ws", &wrong_version, 426, "UNSUPPORTED"),
        ("POST /v1/ws", UPGRADE, 405, "UNSUPPORTED"),
        ("GET /livez", "Host: again\r\n", 400, "BAD_MESSAGE"),
        ("GET /livez", &large, 431, "BAD_MESSAGE"),
        ("GET /livez", &many, 431, "BAD_MESSAGE"),
        ("\u{16}\u{3}\u{1}", "", 400, "BAD_MESSAGE"),
    ] {
        let response = Wire::connect(server.address()).ask(request, headers);
        assert_eq!((response.status, response.code().as_str()), (status, code), "{request}");
        assert_eq!(response.header("connection"), Some("close"), "{request}");
    }
}

#[test]
fn silent_connections_are_cut() {
    let server = Tickwire::start(&["demo", "--steady", "1x100", "--set", "limits.head_within_ms=300"]).unwrap();
    for start in ["", "GET /livez HTTP/1.1\r\nHost: "] {
        let mut wire = Wire::connect(server.address());
        wire.send(start.as_bytes());
        assert!(!wire.fill(), "cut without a word");
    }
}

#[test]
fn a_head_that_drips_is_cut_at_its_deadline() {
    let server = Tickwire::start(&["demo", "--steady", "1x100", "--set", "limits.head_within_ms=400"]).unwrap();
    let mut wire = Wire::connect(server.address());
    wire.send(b"GET /livez HTTP/1.1\r\nHost: h\r\nX: ");
    // Never silent for long, and never done.
    let drips = (0..500).take_while(|_| {
        std::thread::sleep(Duration::from_millis(20));
        wire.try_send(b"x")
    });
    assert!(drips.count() < 500, "cut, although it went on talking");
}

#[test]
fn newcomers_go_to_the_shard_with_the_fewest() {
    let server = Tickwire::start(&["demo", "--steady", "1x100", "--set", "shards=3"]).unwrap();
    let connect = || Peer::subscribed(server.address(), Transport::Protobuf, &["bench.S0"], 0);
    let by_shard = || -> Vec<u64> {
        let metrics = Wire::connect(server.address()).ask("GET /metrics", "Connection: close\r\n").body;
        let of_shard = |line: &str| line.strip_prefix("tickwire_connections{")?.rsplit(' ').next()?.parse().ok();
        metrics.lines().filter_map(of_shard).collect()
    };
    // In each round some leave, wherever they are, and those who come fill what they left.
    let mut peers: Vec<Peer> = Vec::new();
    for (leave, come) in [(0, 9), (4, 4), (5, 2)] {
        peers.drain(..leave);
        let left = peers.len() as u64;
        until(|| (by_shard().iter().sum::<u64>() == left).then_some(()));
        peers.extend((0..come).map(|_| connect()));
        until(|| (by_shard() == [peers.len() as u64 / 3; 3]).then_some(()));
    }
}

#[test]
fn only_listed_pages_and_our_own_may_connect() {
    let server = Tickwire::start(&["demo", "--steady", "1x100", "--set", "browser.origins=https://app.example"]).unwrap();
    let own = format!("http://{}", server.address());
    for (origin, allowed) in [
        ("https://app.example", true),
        (own.as_str(), true),
        ("https://app.example.evil", false),
        ("https://evil-app.example", false),
        ("http://app.example", false),
        ("null", false),
        ("https://app.example\r\nOrigin: https://app.example", false),
    ] {
        let header = format!("Origin: {origin}\r\n");
        match Wire::upgrade(server.address(), &header) {
            Ok(_) => assert!(allowed, "{origin}"),
            Err(response) => assert_eq!((allowed, response.status, response.code().as_str()), (false, 403, "ORIGIN_REFUSED"), "{origin}"),
        }
        let stream = Peer::stream(server.address(), "symbols=bench.S0", &header);
        assert_eq!(stream.is_ok(), allowed, "{origin}");
    }
    let mut wire = Wire::connect(server.address());
    let headers = "Origin: https://app.example\r\nAccess-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: authorization\r\n";
    let preflight = wire.ask("OPTIONS /v1/sse", headers);
    assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (204, Some("https://app.example")));
}

#[test]
fn the_newcomer_is_refused_when_there_are_too_many() {
    let limits = ["demo", "--steady", "1x100", "--set", "limits.connections_per_ip_max=3", "--set", "limits.connections_max=2"];
    let server = Tickwire::start(&limits).unwrap();
    let mut first = Peer::subscribed(server.address(), Transport::Json, &["bench.S0"], 0);
    let second = Peer::subscribed(server.address(), Transport::Sse, &["bench.S0"], 0);
    let full = Wire::upgrade(server.address(), "").err().unwrap();
    assert_eq!((full.status, full.code().as_str(), full.header("retry-after")), (503, "SERVER_FULL", Some("1")));
    // The one refused above may still be counted for a moment: the third is the one that is served, and kept.
    let third = until(|| {
        let mut wire = Wire::connect(server.address());
        (wire.ask("GET /livez", "").status == 200).then_some(wire)
    });
    let crowded = until(|| Some(Wire::connect(server.address()).ask("GET /livez", "")).filter(|response| response.status == 503));
    assert_eq!((crowded.code().as_str(), crowded.header("retry-after")), ("TOO_MANY_CONNECTIONS", Some("10")));
    first.quote();
    drop((second, third));
    // Whoever leaves makes room.
    until(|| Wire::upgrade(server.address(), "").ok());
}

#[test]
fn the_page_comes_with_its_types_and_may_be_cached() {
    let server = Tickwire::start(&["demo", "--steady", "1x100"]).unwrap();
    let mut wire = Wire::connect(server.address());
    let page = wire.ask("GET /", "");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(page.header("content-security-policy").is_some_and(|policy| policy.contains("default-src 'none'")));
    let again = wire.ask("GET /", &format!("If-None-Match: {}\r\n", page.header("etag").unwrap()));
    assert_eq!(again.status, 304);
    assert_eq!(wire.ask("GET /../Cargo.toml", "").status, 404);
    assert_eq!(wire.ask("GET /sdk/.gitignore", "").status, 404);
}

/// Asks until there is an answer, for at most 10 s.
#[track_caller]
fn until<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let by = std::time::Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(std::time::Instant::now() < by, "did not come to pass within 10 s");
        std::thread::sleep(Duration::from_millis(10));
    }
}
