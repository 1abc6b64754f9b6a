//! What must not get in, and what it must not do: stop the rest, panic, grow without bound, or make two nodes differ.

use proptest::prelude::*;

use super::*;

/// Each body is refused for its cause.
#[test]
fn bad_content_is_refused_by_cause() {
    let table: &[(&str, Cause)] = &[
        ("", Cause::Empty),
        ("{}", Cause::Empty),
        (r#"{"ts_publish_us":"5"}"#, Cause::Empty),
        (r#"{"quote":{}}"#, Cause::Empty),
        (r#"{"quote":{"interval_high":5}}"#, Cause::Empty),
        (r#"{"updates":[{}]}"#, Cause::BadValue),
        ("[]", Cause::Undecodable),
        ("\"1\"", Cause::Undecodable),
        ("{\"quote\":{\"bid\":1}", Cause::Undecodable),
        (r#"{"quote":{"bid":NaN}}"#, Cause::Undecodable),
        (r#"{"quote":{"bid":"NaN"}}"#, Cause::BadValue),
        (r#"{"quote":{"bid":1e400}}"#, Cause::BadValue),
        (r#"{"quote":{"bid":99999999999999999999}}"#, Cause::BadValue),
        (r#"{"quote":{"bid":"0.0000000000001"}}"#, Cause::ScaleOutOfRange),
        (r#"{"quote":{"bid":true}}"#, Cause::BadValue),
        (r#"{"quote":{"bid_quantity":-1}}"#, Cause::BadValue),
        (r#"{"quote":{"high":1,"low":2}}"#, Cause::BadValue),
        (r#"{"quote":{"trades":"18446744073709551615"}}"#, Cause::BadValue),
        (r#"{"quote":{"bid":1},"ts_event_us":"18446744073709551615"}"#, Cause::BadValue),
        (r#"{"quote":{"bid":1},"ts_event_us":"253402300799000000"}"#, Cause::BadValue),
        (r#"{"quote":{"bid":1},"symbol":"stock.\u0000"}"#, Cause::BadSymbol),
        (r#"{"quote":{"bid":1},"symbol":"stock.*"}"#, Cause::BadSymbol),
        (r#"{"trade":{"price":1,"quantity":0}}"#, Cause::BadValue),
        (r#"{"trade":{"price":1,"quantity":1,"bust":true}}"#, Cause::BadValue),
        (r#"{"trade":{"price":1,"quantity":1,"trade_id":"\u001b[2J"}}"#, Cause::BadValue),
        (r#"{"bar":{"start_us":"60000000","length_s":0,"open":1,"high":1,"low":1,"close":1}}"#, Cause::BadValue),
        (r#"{"bar":{"start_us":"60000000","length_s":60,"open":1,"high":1,"low":2,"close":1}}"#, Cause::BadValue),
        (r#"{"status":{"reason":"why"}}"#, Cause::BadValue),
        (r#"{"score":{"home":-1}}"#, Cause::BadValue),
        (r#"{"score":{"extra":{"":1}}}"#, Cause::BadValue),
        (r#"{"odds":{"outcomes":[{"id":1,"back":2},{"id":1,"back":3}]}}"#, Cause::BadValue),
        (r#"{"odds":{"outcomes":[{"id":134217728,"back":2}]}}"#, Cause::BadValue),
        (r#"{"odds":{"outcomes":[{"id":1,"result":9}]}}"#, Cause::BadValue),
        (r#"{"info":{"price_scale":13}}"#, Cause::ScaleOutOfRange),
        (r#"{"info":{"symbol":"stock.OTHER"}}"#, Cause::BadSymbol),
        (r#"{"info":{"display_name":"a\nb"}}"#, Cause::BadValue),
        (r#"{"alive":{"interval_ms":4000000000}}"#, Cause::BadValue),
    ];
    for (body, cause) in table {
        let (receipt, batch) = take(Some("application/json"), body.as_bytes());
        assert_eq!(receipt.poison.iter().map(|poison| poison.cause).collect::<Vec<_>>(), [*cause], "{body}: {:?}", receipt.poison);
        assert_eq!(batch.entries, [Entry::Position(1)], "{body} left something behind");
    }
}

#[test]
fn a_body_that_says_nothing_in_protobuf_is_refused() {
    let bodies = [Body::Quote(v1::Quote::default()), Body::Trade(v1::Trade::default()), Body::Status(v1::Status::default())];
    for body in bodies {
        let update = v1::Update { body: Some(body), ..Default::default() };
        let (receipt, _) = take(Some("application/x-protobuf"), &message([update]).encode_to_vec());
        assert_eq!(receipt.poison[0].cause, Cause::Empty);
    }
    let (receipt, _) = take(Some("application/x-protobuf"), &message([v1::Update::default()]).encode_to_vec());
    assert_eq!(receipt.poison[0].cause, Cause::Empty);
}

#[test]
fn content_types_are_a_table() {
    let json: &[u8] = br#" {"quote":{"bid":1}}"#;
    let protobuf = &message([quote("", 1)]).encode_to_vec()[..];
    let table = [
        (None, json, None),
        (None, protobuf, None),
        (Some("application/json; charset=utf-8"), json, None),
        (Some("Application/JSON"), json, None),
        (Some("application/x-protobuf"), protobuf, None),
        (Some("application/protobuf"), protobuf, None),
        (Some("text/plain"), json, Some(Cause::ContentType)),
        (Some(""), json, Some(Cause::ContentType)),
        (Some("application/x-protobuf"), json, Some(Cause::Undecodable)),
        (Some("application/json"), protobuf, Some(Cause::Undecodable)),
    ];
    for (content_type, body, cause) in table {
        let (receipt, _) = take(content_type, body);
        assert_eq!(receipt.poison.first().map(|poison| poison.cause), cause, "{content_type:?}");
        assert_eq!(receipt.accepted, u32::from(cause.is_none()));
    }
}

#[test]
fn limits_hold() {
    let mut story = Story::new();
    story.intake.config.instruments_max = 2;
    story.intake.config.updates_max = 3;
    story.intake.config.body_bytes_max = 400;
    let causes = |receipt: Receipt| receipt.poison.iter().map(|poison| poison.cause).collect::<Vec<_>>();
    let three = message([quote("stock.A", 1), quote("stock.B", 2), quote("stock.C", 3)]);
    assert_eq!(causes(story.protobuf("stock.x", three)), [Cause::TooManyInstruments]);
    let four = [quote("", 1), quote("", 2), quote("", 3), quote("", 4)];
    assert_eq!(causes(story.protobuf("stock.A", message(four))), [Cause::TooManyUpdates]);
    assert_eq!(causes(story.json("stock.A", r#"{"updates":[{},{},{},{}]}"#)), [Cause::TooManyUpdates]);
    assert_eq!(causes(story.json("stock.A", &" ".repeat(401))), [Cause::TooLarge]);
    assert_eq!(causes(story.json("stock..A", "{}")), [Cause::BadSymbol]);
}

#[test]
fn small_bodies_that_would_be_large_in_memory_are_not_decoded() {
    // Two bytes each: an empty update, and an empty outcome.
    let updates = [0x0a, 0x00].repeat(400_000);
    assert_eq!(take(None, &updates).0.poison[0].cause, Cause::TooManyUpdates);
    let odds = [0x0a, 0x00].repeat(30_000);
    let wrap = |tag: u8, inner: &[u8]| {
        let mut out = Vec::from([tag]);
        prost::encode_length_delimiter(inner.len(), &mut out).unwrap();
        out.extend_from_slice(inner);
        out
    };
    let body = wrap(0x0a, &wrap(0x7a, &odds));
    assert_eq!(take(None, &body).0.poison[0].cause, Cause::TooLarge);
}

#[test]
fn state_that_grows_in_small_steps_is_bounded() {
    let mut story = Story::new();
    for number in 0..40 {
        let accepted = story.json("stock.A", &format!(r#"{{"score":{{"extra":{{"k{number}":1}}}}}}"#)).accepted;
        assert_eq!(accepted == 1, number < 32, "key {number}");
        let accepted =
            story.json("stock.A", &format!(r#"{{"bar":{{"start_us":"60000000","length_s":{},"close":0}}}}"#, number + 1)).accepted;
        assert_eq!(accepted == 1, number < 16, "bar length {number}");
    }
    for number in 0..520 {
        let accepted = story.json("stock.A", &format!(r#"{{"odds":{{"outcomes":[{{"id":{number},"back":2}}]}}}}"#)).accepted;
        assert_eq!(accepted == 1, number < 512, "outcome {number}");
    }
}

#[test]
fn details_are_short_and_printable() {
    let (receipt, _) = take(Some(&"\u{1b}[31m".repeat(5_000)), b"{}");
    let detail = &receipt.poison[0].detail;
    assert!(detail.len() < 600 && !detail.chars().any(char::is_control), "{detail}");
}

#[test]
fn deep_nesting_is_no_way_in() {
    let receipt = take(Some("application/json"), "[".repeat(200_000).as_bytes()).0;
    assert_eq!(receipt.poison[0].cause, Cause::Undecodable);
    let body = format!(r#"{{"quote":{}{}}}"#, r#"{"x":"#.repeat(10_000), "1");
    assert_eq!(take(Some("application/json"), body.as_bytes()).0.poison[0].cause, Cause::Undecodable);
}

proptest! {
    #[test]
    fn random_bytes_never_panic_and_always_move_the_position(body in proptest::collection::vec(any::<u8>(), 0..200), kind in 0..3_usize) {
        let content_type = [None, Some("application/json"), Some("application/x-protobuf")][kind];
        let (receipt, batch) = take(content_type, &body);
        prop_assert_eq!(batch.entries.last(), Some(&Entry::Position(1)));
        prop_assert!(receipt.accepted > 0 || !receipt.poison.is_empty() || receipt.alive.is_some() || batch.entries.len() > 1);
    }

    #[test]
    fn random_json_never_panics_and_what_is_refused_leaves_nothing(body in json_message()) {
        let (receipt, batch) = take(Some("application/json"), body.as_bytes());
        let updates = batch.entries.iter().filter(|entry| matches!(entry, Entry::Update(_))).count();
        prop_assert!(updates >= receipt.accepted as usize);
        prop_assert!(receipt.accepted > 0 || batch.entries.len() == 1, "{body}");
    }

    #[test]
    fn mutated_protobuf_never_panics(at in 0..60_usize, to in any::<u8>(), cut in 0..60_usize) {
        let info = v1::InstrumentInfo { price_scale: 2, display_name: "Apple".into(), tick_size: Some(1), ..Default::default() };
        let whole = v1::FeedMessage { info: Some(info), ts_publish_us: 1_000, ..message([quote("stock.B", 5), quote("", 7)]) };
        let mut bytes = whole.encode_to_vec();
        let at = at % bytes.len();
        bytes[at] = to;
        bytes.truncate(bytes.len() - cut % bytes.len());
        let _ = take(None, &bytes);
    }

    #[test]
    fn the_neighbours_of_poison_survive(bad in 0..6_usize, before in 0..5_usize, after in 0..5_usize) {
        let poison = [r#"{"quote":{"bid":"x"}}"#, r#"{"quote":{"bid_quantity":-1}}"#, r#"{}"#, r#"7"#, r#"{"symbol":"..","quote":{"bid":1}}"#,
            r#"{"status":{"phase":"NOWHERE"}}"#][bad];
        let good = |count: usize| core::iter::repeat_n(r#"{"quote":{"bid":1}}"#, count);
        let updates: Vec<&str> = good(before).chain([poison]).chain(good(after)).collect();
        let (receipt, _) = take(Some("application/json"), format!(r#"{{"updates":[{}]}}"#, updates.join(",")).as_bytes());
        prop_assert_eq!((receipt.accepted as usize, receipt.poison.len()), (before + after, 1), "{:?}", receipt.poison);
    }

    #[test]
    fn two_nodes_that_read_the_same_log_build_the_same_batches(bodies in proptest::collection::vec((0..4_usize, json_message()), 1..20)) {
        let play = || {
            let mut story = Story::new();
            for (symbol, body) in &bodies {
                story.json(["stock.A", "stock.B", "crypto.C", "stock.a.b"][*symbol], body);
            }
            story.lines
        };
        prop_assert_eq!(play(), play());
    }
}

/// Messages that are often almost right.
fn json_message() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        (-2_000_i64..2_000, 0..14_u32).prop_map(|(mantissa, places)| format!("\"{mantissa}e-{places}\"")),
        any::<i64>().prop_map(|number| number.to_string()),
        Just("null".to_string()),
        Just("\"\"".to_string()),
        Just("[1]".to_string()),
        Just("true".to_string()),
    ];
    let field = (prop_oneof![Just("bid"), Just("ask"), Just("bid_quantity"), Just("volume"), Just("trades"), Just("last_ts_us")], value)
        .prop_map(|(name, value)| format!("\"{name}\":{value}"));
    let quote = proptest::collection::vec(field, 0..4).prop_map(|fields| format!(r#"{{"quote":{{{}}}}}"#, fields.join(",")));
    prop_oneof![
        quote.clone(),
        proptest::collection::vec(quote, 0..4).prop_map(|updates| format!(r#"{{"updates":[{}]}}"#, updates.join(","))),
    ]
}

fn take(content_type: Option<&str>, body: &[u8]) -> (Receipt, Batch) {
    let mut batch = Batch::default();
    let message = Message { seq: 1, routing_key: "stock.A", content_type, body };
    (Intake::new(config()).take(message, &mut batch), batch)
}
