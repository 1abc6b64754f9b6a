//! JSON as feeds write it.

use tickwire_proto::json::{FeedJson, Places};
use tickwire_proto::v1::update::Body;
use tickwire_proto::{Scale, v1};

/// The first update of `json` at 2 places for prices and 3 for quantities.
fn resolve(json: &str) -> Result<v1::Update, String> {
    let message = FeedJson::parse(json.as_bytes()).map_err(|error| error.to_string())?;
    let update = message.updates().next().ok_or("no update")?;
    update.resolve(Scale::new(2).unwrap(), Scale::new(3).unwrap()).map_err(|error| error.to_string())
}

fn bid(json: &str) -> Result<i64, String> {
    match resolve(&format!(r#"{{"quote":{{"bid":{json}}}}}"#))?.body {
        Some(Body::Quote(v1::Quote { bid: Some(bid), .. })) => Ok(bid),
        other => Err(format!("{other:?}")),
    }
}

#[test]
fn decimals_are_exact_as_strings_and_as_numbers() {
    for (json, mantissa) in [
        (r#""187.42""#, 18_742),
        ("187.42", 18_742),
        ("187.4200000", 18_742),
        ("-0.5", -50),
        ("187", 18_700),
        ("1.8742e2", 18_742),
        ("1.8742E+2", 18_742),
        ("0.1", 10),
        // Neither of these survives a float.
        ("92233720368547758.07", i64::MAX),
        ("-92233720368547758.08", i64::MIN),
        ("90071992547409.93", 9_007_199_254_740_993),
    ] {
        assert_eq!(bid(json), Ok(mantissa), "{json}");
    }
}

#[test]
fn what_is_no_decimal_of_the_instrument_is_refused() {
    for (json, text) in [
        ("187.425", "quote.bid: has more decimal places than the instrument"),
        ("1e400", "quote.bid: does not fit into 64 bits"),
        ("92233720368547758.08", "quote.bid: does not fit into 64 bits"),
        (r#""NaN""#, "quote.bid: is not a decimal number"),
        (r#""""#, "quote.bid: is not a decimal number"),
        (r#"" 1""#, "quote.bid: is not a decimal number"),
        (r#""+1""#, "quote.bid: is not a decimal number"),
        ("true", "quote.bid: is not a decimal number"),
        ("[1]", "quote.bid: is not a decimal number"),
    ] {
        assert_eq!(bid(json), Err(text.into()), "{json}");
    }
    assert!(bid("NaN").unwrap_err().contains("expected"), "not JSON at all");
}

#[test]
fn the_short_form_has_its_body_at_the_top() {
    let update =
        resolve(r#"{"quote":{"bid":"187.42","last":null},"ts_event_us":"17","flags":["CORRECTION"],"publisher":"p","publisher_seq":4}"#);
    let quote = v1::Quote { bid: Some(18_742), ..Default::default() };
    let expected = v1::Update { ts_event_us: 17, clear: vec![5], flags: 4, body: Some(Body::Quote(quote)), ..Default::default() };
    assert_eq!(update, Ok(expected));

    let message =
        FeedJson::parse(br#"{"score":{"home":1},"alive":{"publisher":"p","interval_ms":1000},"ts_publish_us":5,"publisher_seq":"4"}"#)
            .unwrap();
    let alive = v1::Alive { publisher: "p".into(), interval_ms: 1_000 };
    let expected = v1::FeedMessage { alive: Some(alive), ts_publish_us: 5, publisher_seq: 4, ..Default::default() };
    assert_eq!((message.head(), message.updates().len()), (&expected, 1));
}

#[test]
fn a_message_may_have_no_update() {
    for json in ["{}", r#"{"alive":{"interval_ms":1000}}"#, r#"{"updates":[]}"#, r#"{"updates":null,"quote":null}"#, r#"{"depth":{}}"#] {
        assert_eq!(FeedJson::parse(json.as_bytes()).unwrap().updates().len(), 0, "{json}");
    }
}

#[test]
fn a_bad_update_leaves_its_neighbours_alone() {
    let message = FeedJson::parse(
        br#"{"updates":[{"symbol":"a.A","quote":{"bid":1}},{"quote":{"bid":"x"}},7,{"odds":{"outcomes":[{"id":1},{"id":2,"back":{}}]}},
            {"symbol":3,"quote":{}},{"score":{"home":-1}},{"status":{"phase":"HALTD"}},{"quote":{},"trade":{}},{},{"symbol":"b.B","score":{"home":2}}]}"#,
    )
    .unwrap();
    let results: Vec<_> = message
        .updates()
        .map(|update| match update.resolve(Scale::default(), Scale::default()) {
            Ok(_) => format!("good {:?}", update.symbol()),
            Err(error) => error.to_string(),
        })
        .collect();
    let expected = [
        "good Some(\"a.A\")",
        "updates[1].quote.bid: is not a decimal number",
        "updates[2]: is not an object",
        "updates[3].odds.outcomes[1].back: is not a decimal number",
        "updates[4].symbol: is not a string",
        "updates[5].score.home: is out of range",
        "updates[6].status.phase: is not a name of the schema",
        "updates[7].trade: stands beside another of which only one may be given",
        "updates[8]: has no body",
        "good Some(\"b.B\")",
    ];
    assert_eq!(results, expected);
    let places: Vec<_> = message.updates().map(|update| update.places().is_ok()).collect();
    assert_eq!(places, [true, false, false, false, true, true, true, true, true, true]);
}

#[test]
fn places_are_those_that_values_need() {
    let places =
        |json: &str| FeedJson::parse(json.as_bytes()).unwrap().updates().next().unwrap().places().map_err(|error| error.to_string());
    let needed = |price, quantity| Ok(Places { price, quantity });
    assert_eq!(places(r#"{"quote":{"bid":"187.420","ask":"187.4400","bid_quantity":100,"volume":"5.250","open":null}}"#), needed(2, 2));
    assert_eq!(places(r#"{"trade":{"price":"1e-8","quantity":"1e3"}}"#), needed(8, 0));
    assert_eq!(places(r#"{"bar":{"close":0.125,"volume":1.5}}"#), needed(3, 1));
    assert_eq!(places(r#"{"odds":{"line":"2.5","outcomes":[{"id":1,"back":"1.85","back_quantity":"10.5"}]}}"#), needed(2, 1));
    assert_eq!(places(r#"{"score":{"home":1,"extra":{"cards":"2"}}}"#), needed(0, 0));
    assert_eq!(places(r#"{"quote":{"bid":"NaN"}}"#), Err("quote.bid: is not a decimal number".into()));
}

#[test]
fn null_clears_fields_outcomes_and_extras() {
    let clear = |json: &str| resolve(json).map(|update| update.clear);
    assert_eq!(clear(r#"{"quote":{"interval_low":null,"bid":null,"ask":null,"greeks":null}}"#), Ok(vec![1, 3, 17]));
    assert_eq!(clear(r#"{"score":{"clock_s":null,"extra":null}}"#), Ok(vec![4, 8]));
    assert_eq!(
        clear(r#"{"odds":{"line":null,"outcomes":[{"id":2,"lay":null},{"id":1,"back":null,"result":null}]}}"#),
        Ok(vec![2, 18, 24, 36])
    );
    assert_eq!(clear(r#"{"odds":{"outcomes":null}}"#), Ok(vec![1]));
    assert_eq!(clear(r#"{"status":{"phase":"OPEN","resume_us":null}}"#), Ok(vec![3]));
    let refused = "odds.outcomes[0]: has no id, or one whose fields cannot be cleared";
    assert_eq!(clear(r#"{"odds":{"outcomes":[{"id":0,"back":null}]}}"#), Err(refused.into()));
    assert_eq!(clear(r#"{"odds":{"outcomes":[{"id":300000000,"back":null}]}}"#), Err(refused.into()));
}

#[test]
fn the_head_must_be_right() {
    let error = |json: &str| FeedJson::parse(json.as_bytes()).map(|message| message.head().clone()).unwrap_err().to_string();
    assert_eq!(error("[]"), "is not an object");
    assert_eq!(error(r#"{"updates":{}}"#), "updates: is not an array");
    assert_eq!(error(r#"{"updates":[],"quote":{}}"#), "updates: stands beside the body of a short message");
    assert_eq!(error(r#"{"info":{"tick_size":"0.001","price_scale":2}}"#), "info.tick_size: has more decimal places than the instrument");
    assert_eq!(error(r#"{"info":{"price_scale":-1}}"#), "info.price_scale: is out of range");
    assert_eq!(error(r#"{"info":{"outcome_names":{"x":"Home"}}}"#), "info.outcome_names.x: is not the number of an outcome");
    assert_eq!(error(r#"{"info":{"asset_class":"STONK"}}"#), "info.asset_class: is not a name of the schema");
    assert_eq!(error(&format!(r#"{{"x":{}1{}}}"#, "[".repeat(20), "]".repeat(20))), "is nested too deeply");

    let info = br#"{"info":{"symbol":"soccer.a.1x2","asset_class":"SPORT_MARKET","price_scale":"2","tick_size":0.01,"outcome_names":{"1":"Home"}}}"#;
    let message = FeedJson::parse(info).unwrap();
    let info = message.head().info.as_ref().unwrap();
    assert_eq!((info.price_scale, info.tick_size, info.outcome_names[&1].as_str()), (2, Some(1), "Home"));
}

#[test]
fn of_duplicate_names_the_last_wins() {
    let update = resolve(r#"{"quote":{"bid":"1","ask":"1"},"quote":{"bid":"2","bid":"3"}}"#).unwrap();
    assert_eq!(update.body, Some(Body::Quote(v1::Quote { bid: Some(300), ..Default::default() })));
}
