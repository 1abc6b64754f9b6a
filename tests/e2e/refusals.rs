//! Bad input: each row gets its code, and nobody else notices.

use std::time::{Duration, Instant};

use tickwire_proto::v1::{self, ErrorCode, client_frame::Command};
use tickwire_rig::Tickwire;

use crate::peer::{Peer, Transport};
use crate::wire::{Wire, masked};

const HELLO_SOON: [&str; 2] = ["--set", "limits.hello_within_ms=300"];

/// What a client sends behind its Hello, and the close code that it gets. `Some`: the Error frame before it.
fn rows() -> Vec<(&'static str, Vec<u8>, u16, Option<ErrorCode>)> {
    let text = |payload: &[u8]| masked(0x81, payload);
    let many = |frame: Vec<u8>, count: usize| frame.repeat(count);
    let mut fragments = masked(0x01, b"");
    fragments.extend(many(masked(0x00, b""), 100));
    let mut split = masked(0x01, &[b' '; 40_000]);
    split.extend(masked(0x80, &[b' '; 40_000]));
    vec![
        ("no JSON", text(b"{"), 4_201, Some(ErrorCode::BadMessage)),
        ("no command", text(b"{\"request_id\":1}"), 4_201, Some(ErrorCode::BadMessage)),
        ("an array", text(b"[]"), 4_201, Some(ErrorCode::BadMessage)),
        ("nested deeply", text("[".repeat(60_000).as_bytes()), 4_201, Some(ErrorCode::BadMessage)),
        ("binary where text was agreed", masked(0x82, b"{}"), 4_201, Some(ErrorCode::BadMessage)),
        ("65,537 bytes", text(&[b' '; 65_537]), 4_203, Some(ErrorCode::MessageTooLarge)),
        ("80,000 bytes in two fragments", split, 4_203, Some(ErrorCode::MessageTooLarge)),
        ("a hundred fragments", fragments, 4_203, Some(ErrorCode::MessageTooLarge)),
        (
            "a length beyond everything",
            vec![0x81, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
            4_203,
            Some(ErrorCode::MessageTooLarge),
        ),
        ("not masked", vec![0x81, 0x02, b'{', b'}'], 1_002, None),
        ("reserved bit", masked(0xC1, b"{}"), 1_002, None),
        ("reserved opcode", masked(0x83, b"{}"), 1_002, None),
        ("continuation of nothing", masked(0x80, b"{}"), 1_002, None),
        ("fragmented ping", masked(0x09, b""), 1_002, None),
        ("long ping", masked(0x89, &[0; 126]), 1_002, None),
        ("no UTF-8", text(b"\xFF\xFE"), 1_007, None),
        ("close code of one byte", masked(0x88, b"\x03"), 1_002, None),
        ("ping flood", many(masked(0x89, b"x"), 1_000), 1_008, None),
        ("command flood", many(text(b"{\"ping\":{\"nonce\":\"1\"}}"), 200), 4_302, Some(ErrorCode::RateLimited)),
    ]
}

#[test]
fn every_row_gets_its_close_code_and_others_go_on() {
    let server = Tickwire::start(&["demo", "--steady", "10x1000"]).unwrap();
    let mut neighbour = Peer::subscribed(server.address(), Transport::Json, &["bench.S1"], 0);
    for (name, bytes, close_code, error) in rows() {
        let mut peer = Peer::open(server.address(), Transport::Json);
        peer.hello(v1::Hello::default());
        peer.wire.send(&bytes);
        if let Some(code) = error {
            assert_eq!(peer.error().code(), code, "{name}");
        }
        assert_eq!(peer.wire.close_code(), close_code, "{name}");
        neighbour.quote();
    }
}

#[test]
fn protobuf_that_is_none_is_a_bad_message() {
    let server = Tickwire::start(&["demo", "--steady", "1x10"]).unwrap();
    for (name, first, payload) in [("random", 0x82, &b"\xFF\xFF\xFF\xFF"[..]), ("empty", 0x82, b""), ("text", 0x81, b"{}")] {
        let mut peer = Peer::open(server.address(), Transport::Protobuf);
        peer.hello(v1::Hello::default());
        peer.wire.frame(first, payload);
        assert_eq!(peer.error().code(), ErrorCode::BadMessage, "{name}");
        assert_eq!(peer.wire.close_code(), 4_201, "{name}");
    }
}

#[test]
fn a_client_without_hello_is_told_so() {
    let server = Tickwire::start(&[&["demo", "--steady", "1x10"][..], &HELLO_SOON].concat()).unwrap();
    let mut silent = Peer::open(server.address(), Transport::Protobuf);
    assert_eq!(silent.error().code(), ErrorCode::HelloTimeout);
    assert_eq!(silent.wire.close_code(), 4_206);
    // Pings are no Hello, and neither is half a frame.
    let mut slow = Peer::open(server.address(), Transport::Protobuf);
    slow.wire.frame(0x89, b"here");
    slow.wire.send(&masked(0x82, &[0; 100])[..50]);
    assert_eq!(slow.error().code(), ErrorCode::HelloTimeout);
    assert_eq!(slow.wire.close_code(), 4_206);
    let mut wrong = Peer::open(server.address(), Transport::Protobuf);
    wrong.command(Command::Ping(v1::Ping { nonce: 1 }));
    assert_eq!(wrong.error().code(), ErrorCode::BadMessage);
    assert_eq!(wrong.wire.close_code(), 4_201);
}

#[test]
fn bad_items_are_refused_one_by_one_while_the_rest_is_served() {
    let server = Tickwire::start(&["demo", "--steady", "10x1000", "--set", "limits.subscriptions_max=5"]).unwrap();
    for transport in [Transport::Protobuf, Transport::Json] {
        let mut peer = Peer::open(server.address(), transport);
        peer.hello(v1::Hello::default());
        let long = "x".repeat(129);
        let names = ["bench.S0", "no.such", "a..b", "bench.\r\nS1", &long, "bench.S1", "bench.#", ""];
        peer.subscribe(&names);
        let codes: Vec<_> = peer.ack().results.iter().map(v1::SubscribeResult::code).collect();
        use ErrorCode::{BadSymbol, TooManySubscriptions, UnknownSymbol, Unspecified as Granted};
        assert_eq!(
            codes,
            [Granted, UnknownSymbol, BadSymbol, BadSymbol, BadSymbol, Granted, TooManySubscriptions, BadSymbol],
            "{transport:?}"
        );
        peer.quote();
    }
}

#[test]
fn a_client_that_closes_gets_its_code_back() {
    let server = Tickwire::start(&["demo", "--steady", "1x10"]).unwrap();
    for (payload, code) in [(&b"\x03\xE8bye"[..], 1_000), (b"\x0F\xA1", 4_001), (b"", 1_005)] {
        let mut peer = Peer::subscribed(server.address(), Transport::Protobuf, &["bench.S0"], 0);
        peer.quote();
        peer.wire.frame(0x88, payload);
        assert_eq!(peer.wire.close_code(), code);
    }
}

#[test]
fn fragments_and_pings_in_between_make_one_message() {
    let server = Tickwire::start(&["demo", "--steady", "1x10"]).unwrap();
    let mut wire = Wire::upgrade(server.address(), "Sec-WebSocket-Protocol: tickwire.v1.json\r\n").unwrap();
    let hello = b"{\"hello\":{\"protocol\":1,\"sdk\":\"pieces\"}}";
    wire.frame(0x01, &hello[..7]);
    wire.frame(0x89, b"and a ping");
    wire.frame(0x00, b"");
    wire.frame(0x80, &hello[7..]);
    let (first, payload) = wire.next_frame().unwrap();
    assert_eq!((first, &payload[..]), (0x8A, &b"and a ping"[..]), "the ping is answered before the message is whole");
    let (first, payload) = wire.next_frame().unwrap();
    assert_eq!(first, 0x81);
    assert!(String::from_utf8(payload).unwrap().contains("\"welcome\""));
    // The same in single bytes.
    let mut bytewise = Wire::upgrade(server.address(), "Sec-WebSocket-Protocol: tickwire.v1.json\r\n").unwrap();
    for byte in masked(0x81, hello) {
        bytewise.send(&[byte]);
    }
    assert_eq!(bytewise.next_frame().unwrap().0, 0x81);
}

#[test]
fn a_flood_from_one_who_never_reads_costs_next_to_nothing() {
    let server = Tickwire::start(&["demo", "--steady", "1x10"]).unwrap();
    let mut warm = Peer::subscribed(server.address(), Transport::Protobuf, &["bench.S0"], 0);
    warm.quote();
    let before = server.resident_bytes().unwrap();
    for frame in [masked(0x89, &[7; 125]), masked(0x00, b""), masked(0x82, b""), masked(0x8A, b"")] {
        let wire = Wire::upgrade(server.address(), "").unwrap();
        let (mut stream, by) = (wire.stream.try_clone().unwrap(), Instant::now() + Duration::from_secs(10));
        let flood = frame.repeat(100);
        // The server cuts us: a write fails.
        while std::io::Write::write_all(&mut stream, &flood).is_ok() {
            assert!(Instant::now() < by, "still connected after 10 s of flood");
        }
    }
    let grown = server.resident_bytes().unwrap().saturating_sub(before);
    assert!(grown < 1 << 20, "four floods cost {grown} bytes");
    warm.quote();
}
