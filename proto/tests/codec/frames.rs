//! Frames of the session: what they look like, and what readers make of strangers.

use prost::Message;
use tickwire_proto::wire::{self, Encoding, FrameWriter, Naming, WireError};
use tickwire_proto::{Scale, v1};

fn check_client(json: &str, expected: Result<v1::client_frame::Command, WireError>) {
    let read = wire::decode_client(Encoding::Json, json.as_bytes());
    assert_eq!(read.map(|frame| frame.command.unwrap()), expected, "{json}");
}

fn bad(text: &str) -> WireError {
    WireError::Json(text.into())
}

/// Reads one JSON frame to a client that knows instrument 7, with 2 places for prices and none for quantities.
fn server(json: &str) -> Result<v1::ServerFrame, WireError> {
    wire::decode_server(Encoding::Json, json.as_bytes(), &|id| (id == 7).then(|| (Scale::new(2).unwrap(), Scale::default())))
}

#[test]
fn numbers_may_come_as_strings_and_the_other_way_round() {
    use v1::client_frame::Command;
    check_client(r#"{"ping":{"nonce":"18446744073709551615"}}"#, Ok(Command::Ping(v1::Ping { nonce: u64::MAX })));
    check_client(r#"{"ping":{"nonce":18446744073709551615}}"#, Ok(Command::Ping(v1::Ping { nonce: u64::MAX })));
    let configure = v1::Configure { conflate_ms: Some(250), paused: None };
    check_client(r#"{"request_id":"4","configure":{"conflate_ms":"250","paused":null}}"#, Ok(Command::Configure(configure)));
}

#[test]
fn a_client_frame_says_where_it_is_wrong() {
    check_client(r#"{"ping":{"nonce":18446744073709551616}}"#, Err(bad("ping.nonce: is out of range")));
    check_client(r#"{"ping":{"nonce":"+1"}}"#, Err(bad("ping.nonce: is not an integer")));
    check_client(r#"{"ping":{"nonce":1.5}}"#, Err(bad("ping.nonce: is not an integer")));
    check_client(r#"{"subscribe":{"items":[{"symbol":"a"},{"symbol":3}]}}"#, Err(bad("subscribe.items[1].symbol: is not a string")));
    let both = "subscribe.items[0].symbol: stands beside another of which only one may be given";
    check_client(r#"{"subscribe":{"items":[{"pattern":"a","symbol":"a"}]}}"#, Err(bad(both)));
    check_client("[]", Err(bad("is not an object")));
    check_client(&format!(r#"{{"new":{}}}"#, "[".repeat(5_000)), Err(bad("is nested too deeply")));
}

#[test]
fn a_frame_without_a_known_command_is_told_from_a_broken_one() {
    check_client("{}", Err(WireError::NoCommand));
    check_client(r#"{"request_id":3,"teleport":{"to":"moon"}}"#, Err(WireError::NoCommand));
    assert_eq!(wire::decode_client(Encoding::Protobuf, &[]), Err(WireError::NoCommand));
    // Field 100, a command of the future.
    assert_eq!(wire::decode_client(Encoding::Protobuf, &[0xa2, 0x06, 0x00]), Err(WireError::NoCommand));
    assert!(matches!(wire::decode_client(Encoding::Protobuf, &[0x08]), Err(WireError::Protobuf(_))));
    assert!(matches!(wire::decode_client(Encoding::Json, b"{"), Err(WireError::Json(_))));
}

#[test]
fn a_frame_of_a_newer_server_is_read_as_far_as_it_is_known() {
    let frame = server(
        r#"{"cseq":"5","ts_send_us":"6","levitate":{"up":1},"updates":[
            {"id":7,"symbol":"stock.AAPL","seq":"9","ts_event_us":"8","flags":["IMAGE","SHINY",32],"mood":"good","quote":{"bid":"187.42","greeks":{}}},
            {"id":7,"seq":"10","ts_event_us":"8","depth":{"levels":[]}},
            {"id":7,"seq":"11","ts_event_us":"8","status":{"phase":"DREAMING"}}]}"#,
    )
    .unwrap();
    assert_eq!((frame.cseq, frame.control, frame.updates.len()), (5, None, 3));
    assert_eq!(frame.updates[0].flags, 1 | 32);
    assert_eq!(frame.updates[0].body, Some(v1::update::Body::Quote(v1::Quote { bid: Some(18_742), ..Default::default() })));
    assert_eq!(frame.updates[1].body, None);
    assert_eq!(frame.updates[2].body, Some(v1::update::Body::Status(v1::Status::default())));

    // The same in protobuf: field 100 in the frame.
    let mut bytes = v1::ServerFrame { cseq: 5, ..Default::default() }.encode_to_vec();
    bytes.extend([0xa2, 0x06, 0x01, 0x00]);
    assert_eq!(wire::decode_server(Encoding::Protobuf, &bytes, &|_| None).unwrap().cseq, 5);
}

#[test]
fn an_info_of_the_same_frame_counts_before_what_was_known() {
    let update = r#""updates":[{"id":7,"seq":"1","quote":{"bid":"1.234"}}]"#;
    let frame = server(&format!(r#"{{{update},"infos":[{{"symbol":"a","id":7,"price_scale":3,"quantity_scale":0}}]}}"#)).unwrap();
    assert_eq!(frame.updates[0].body, Some(v1::update::Body::Quote(v1::Quote { bid: Some(1_234), ..Default::default() })));
    let too_precise = "updates[0].quote.bid: has more decimal places than the instrument";
    assert_eq!(server(&format!("{{{update}}}")), Err(bad(too_precise)));
}

#[test]
fn a_decimal_of_an_unannounced_instrument_is_an_error() {
    let text = "updates[0].quote.bid: belongs to an instrument that was not announced";
    assert_eq!(server(r#"{"updates":[{"id":8,"quote":{"bid":"1"}}]}"#), Err(bad(text)));
    assert!(server(r#"{"updates":[{"id":8,"score":{"home":1}}]}"#).is_ok(), "a score needs no scale");
}

#[test]
fn the_parts_of_a_json_frame_are_put_together_in_any_combination() {
    let control = v1::server_frame::Control::TokenExpiring(v1::TokenExpiring { in_ms: 5 });
    for parts in 0..81 {
        let [infos, controls, feeds, updates] = [parts % 3, parts / 3 % 3, parts / 9 % 3, parts / 27 % 3];
        if controls == 2 {
            continue;
        }
        let mut out = b"before[".to_vec();
        let mut writer = FrameWriter::begin(&mut out, Encoding::Json, 1, 2);
        (0..infos).for_each(|_| writer.info(b"{}"));
        (0..controls).for_each(|_| writer.control(&control));
        (0..feeds).for_each(|_| writer.feed(b"{}"));
        (0..updates).for_each(|_| writer.update(b"{}"));
        writer.finish();
        let frame: serde_json::Value = serde_json::from_slice(&out[7..]).unwrap();
        let count = |name: &str| frame.get(name).map_or(0, |part| part.as_array().unwrap().len());
        assert_eq!([count("infos"), count("feeds"), count("updates")], [infos, feeds, updates], "{frame}");
        assert_eq!(frame.get("token_expiring").is_some(), controls == 1);
    }
}

#[test]
fn a_record_does_not_grow_a_buffer_that_has_room() {
    let quote = v1::Quote { bid: Some(i64::MIN), ask: Some(i64::MAX), last_ts_us: Some(u64::MAX), ..Default::default() };
    let update = v1::Update { id: 7, seq: 9, clear: vec![5], body: Some(v1::update::Body::Quote(quote)), ..Default::default() };
    let naming = Naming { symbol: "stock.AAPL", price_scale: Scale::new(12).unwrap(), quantity_scale: Scale::default() };
    for encoding in [Encoding::Protobuf, Encoding::Json] {
        let mut out = Vec::with_capacity(4_096);
        let before = out.as_ptr();
        for _ in 0..8 {
            wire::encode_update(encoding, &update, naming, &mut out);
        }
        assert_eq!((out.as_ptr(), out.capacity()), (before, 4_096));
    }
}
