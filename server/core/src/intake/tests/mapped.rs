//! Stories of messages in other forms, and of mappings that are wrong.

use alloc::string::ToString;

use super::*;

#[test]
fn quotes_of_somebody_else_need_no_change() {
    let mut story = Story::mapped(&[MappingSpec {
        symbol: "stock.{/sym}".into(),
        body: "quote".into(),
        fields: texts(&["bid=/px/b", "ask=/px/a", "volume=/vol"]),
        time: "/ts".into(),
        ..spec()
    }]);
    let receipt =
        story.take("md.equities", Some("text/plain"), br#"{"sym":"AAPL","px":{"b":187.42,"a":"187.44"},"vol":1200,"ts":1790000000123.5}"#);
    assert_eq!((receipt.accepted, receipt.ts_us), (1, 1_790_000_000_123_500));
    // An older one comes late, a null is now unknown, what is absent stays, and a time may be missing.
    story.json("md.equities", r#"{"sym":"AAPL","px":{"b":1},"ts":1790000000000}"#);
    story.json("md.equities", r#"{"sym":"AAPL","px":{"b":null}}"#);
    story.told(expect![[r#"
        stock.AAPL is 1, scales 2/0, feed stock
        1@1 quote bid=18742 ask=18744 volume=1200
        poison old_version: ts_event_us 1790000000000000 is older than 1790000000123500
        1@3 quote clear [1]"#]]);
}

#[test]
fn a_batch_gives_one_update_an_element_and_a_bad_one_costs_only_itself() {
    let mut story = Story::mapped(&[MappingSpec {
        each: "/data".into(),
        symbol: "stock.{/s}".into(),
        body: "quote".into(),
        fields: texts(&["bid=/b"]),
        ..spec()
    }]);
    let receipt = story.json("md.batch", r#"{"data":[{"s":"A","b":"1"},{"b":"2"},{"s":"C D","b":"3"},{"s":"D","x":1},{"s":"E","b":"5"}]}"#);
    assert_eq!(receipt.accepted, 2);
    // No such array: a message of another kind, and no fault.
    assert!(story.json("md.batch", r#"{"heartbeat":1}"#).unmapped);
    assert!(!story.json("md.batch", r#"{"data":7}"#).unmapped);
    story.told(expect![[r#"
        stock.A is 1, scales 0/0, feed stock
        1@1 quote bid=1
        stock.E is 2, scales 0/0, feed stock
        2@1 quote bid=5
        poison bad_symbol: /s is no text or number
        poison empty: has no field that the mapping to quote names
        poison bad_symbol: "stock.C D" has a character other than A-Z a-z 0-9 _ % : / + - and dots
        poison undecodable: /data is not an array"#]]);
}

#[test]
fn conditions_tell_kinds_of_messages_apart_and_values_are_translated() {
    let quotes =
        MappingSpec { when: texts(&["/type=q"]), symbol: "stock.{/s}".into(), body: "quote".into(), fields: texts(&["bid=/b"]), ..spec() };
    let halts = MappingSpec {
        when: texts(&["/type=h"]),
        body: "status".into(),
        fields: texts(&["phase=/state", "reason=/code"]),
        values: texts(&["phase:H=HALTED", "phase:T=OPEN"]),
        ..quotes.clone()
    };
    let mut story = Story::mapped(&[quotes, halts]);
    story.take("md.all", None, br#"[{"type":"q","s":"A","b":"1"},{"type":"h","s":"A","state":"H","code":112},{"type":"?","s":"A"}]"#);
    story.json("md.all", r#"{"type":"h","s":"A","state":"X"}"#);
    assert!(story.json("md.all", r#"{"type":"other"}"#).unmapped);
    story.told(expect![[r#"
        stock.A is 1, scales 0/0, feed stock
        1@1 quote bid=1
        1@1 status HALTED
        poison bad_value: updates[0].status.phase: is not a name of the schema"#]]);
}

#[test]
fn a_football_feed_has_scores_and_markets_of_its_own() {
    let score = MappingSpec {
        pattern: "stock.football.#".into(),
        symbol: "{key}".into(),
        body: "score".into(),
        fields: texts(&["home=/goals/0", "away=/goals/1", "period=/period", "clock_running=/running", "extra.corners_home=/corners/0"]),
        values: texts(&["period:1H=1", "period:2H=2", "clock_running:1=true", "clock_running:0=false"]),
        ..MappingSpec::default()
    };
    let odds = MappingSpec {
        each: "/markets".into(),
        symbol: "{key}.{/name}".into(),
        body: "odds".into(),
        fields: texts(&["outcomes=/selections", "outcomes.id=/id", "outcomes.back=/price", "outcomes.active=/open"]),
        values: Vec::new(),
        image: true,
        ..score.clone()
    };
    let mut story = Story::mapped(&[score, odds]);
    story.json(
        "stock.football.ARS-CHE",
        r#"{"goals":[1,0],"period":"1H","running":1,"corners":[3,1],
            "markets":[{"name":"1x2","selections":[{"id":1,"price":"1.85","open":true},{"id":2,"price":"3.4","open":true}]}]}"#,
    );
    story.json("stock.football.ARS-CHE", r#"{"goals":["one",0]}"#);
    story.told(expect![[r#"
        stock.football.ARS-CHE is 1, scales 0/0, feed stock
        1@1 score Some(1)-Some(0)
        stock.football.ARS-CHE.1x2 is 2, scales 2/0, feed stock
        2@1 IMAGE odds of 2
        poison bad_value: updates[0].score.home: is not an integer"#]]);
}

#[test]
fn times_come_in_any_unit() {
    for (unit, text, us) in [
        (TimeUnit::Seconds, "1790000000", Some(1_790_000_000_000_000)),
        (TimeUnit::Seconds, "1790000000.123456789", Some(1_790_000_000_123_456)),
        (TimeUnit::Milliseconds, "1.79e12", Some(1_790_000_000_000_000)),
        (TimeUnit::Nanoseconds, "1790000000123456789", Some(1_790_000_000_123_456)),
        (TimeUnit::Microseconds, "18446744073709551616", None),
        (TimeUnit::Seconds, "18446744073709551", None),
        (TimeUnit::Seconds, "-1", None),
        (TimeUnit::Rfc3339, "2026-11-24T16:00:00.5Z", Some(1_795_536_000_500_000)),
        (TimeUnit::Rfc3339, "2026-11-24T17:00:00.5+01:00", Some(1_795_536_000_500_000)),
        (TimeUnit::Rfc3339, "1960-11-24T17:00:00Z", None),
        (TimeUnit::Rfc3339, "yesterday", None),
    ] {
        assert_eq!(unit.microseconds(text), us, "{unit:?} {text}");
    }
}

#[test]
fn what_cannot_be_mapped_is_poison_with_its_place() {
    let mut story = Story::mapped(&[MappingSpec { time: "/t".into(), body: "quote".into(), fields: texts(&["bid=/b"]), ..spec() }]);
    story.json("md.A", "{");
    story.json("md.A", r#"{"b":"1","t":"noon"}"#);
    story.json("md.A", r#"{"b":[1]}"#);
    story.json("md.A", r#"{"c":1}"#);
    let many = format!("[{}]", [r#"{"b":1}"#; 1_001].join(","));
    story.json("md.A", &many);
    // Our own protobuf is not mapped, wherever it comes.
    story.protobuf("md.A", message([quote("", 5)]));
    story.told(expect![[r#"
        poison undecodable: EOF while parsing an object at line 1 column 1
        poison bad_value: /t is no time in ms
        poison bad_value: updates[0].quote.bid: is not a decimal number
        poison empty: has no field that the mapping to quote names
        poison too_many_updates: more than 1000 updates
        md.A is 1, scales 4/2, feed stock
        1@6 quote bid=5"#]]);
}

#[test]
fn a_wrong_mapping_is_told_by_its_field() {
    let right = MappingSpec { body: "quote".into(), fields: texts(&["bid=/b"]), ..spec() };
    let fault = |spec: MappingSpec| Mapping::new(&spec).unwrap_err().to_string();
    let faults = [
        fault(MappingSpec { pattern: "a..b".into(), ..right.clone() }),
        fault(MappingSpec { body: "outcomes".into(), ..right.clone() }),
        fault(MappingSpec { fields: Vec::new(), ..right.clone() }),
        fault(MappingSpec { fields: texts(&["bid"]), ..right.clone() }),
        fault(MappingSpec { fields: texts(&["price=/b"]), ..right.clone() }),
        fault(MappingSpec { fields: texts(&["bid=b"]), ..right.clone() }),
        fault(MappingSpec { fields: texts(&["bid=/~2"]), ..right.clone() }),
        fault(MappingSpec { body: "odds".into(), fields: texts(&["outcomes.back=/b"]), ..right.clone() }),
        fault(MappingSpec { values: texts(&["ask:1=2"]), ..right.clone() }),
        fault(MappingSpec { values: texts(&["bid"]), ..right.clone() }),
        fault(MappingSpec { when: texts(&["/b"]), ..right.clone() }),
        fault(MappingSpec { symbol: "stock.{/s".into(), ..right.clone() }),
        fault(MappingSpec { time: "t".into(), ..right }),
    ];
    expect![[r#"
        pattern has an empty word
        body is not one of quote, trade, bar, status, score, odds
        fields needs 1 to 64 of FIELD=/POINTER
        fields has "bid", which is not FIELD=/POINTER
        fields has "price", but the body has bid, bid_quantity, ask, ask_quantity, last, last_quantity, last_ts_us, volume, turnover, trades, open, high, low, previous_close, settlement, interval_high, interval_low
        fields has bid, whose pointer "b" does not start with a slash
        fields has bid, whose pointer "/~2" has a ~ that is neither ~0 nor ~1
        fields has outcomes.back but not outcomes=/POINTER, where the outcomes are
        values has "ask", which is not among the fields
        values has "bid", which is not FIELD:VALUE=OURS
        when has "/b", which is not /POINTER=VALUE
        symbol "stock.{/s" has a { without its }
        time "t" does not start with a slash"#]].assert_eq(&faults.join("\n"));
}

impl Story {
    fn mapped(specs: &[MappingSpec]) -> Self {
        let mut rules = config().rules;
        rules.push(FeedRule { pattern: Pattern::parse("md.#").unwrap(), ..rules[0].clone() });
        let mappings = specs.iter().map(|spec| Mapping::new(spec).unwrap()).collect();
        Self::with(IntakeConfig { rules, mappings, ..config() })
    }
}

fn spec() -> MappingSpec {
    MappingSpec { pattern: "md.#".into(), ..MappingSpec::default() }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}
