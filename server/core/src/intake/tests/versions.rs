//! Stories of order: an older version never overwrites a newer one, and no version freezes an instrument.

use super::*;

/// Some afternoon, in microseconds.
const NOON: u64 = 1_700_000_000_000_000;
const HOUR: u64 = 3_600_000_000;

#[test]
fn an_older_time_is_refused_per_kind_unless_it_is_a_correction() {
    check(
        r#"stock.A {"quote":{"bid":1},"ts_event_us":"1000"}
           stock.A {"quote":{"bid":2},"ts_event_us":"999"}
           stock.A {"quote":{"bid":3},"ts_event_us":"1000"}
           stock.A {"quote":{"bid":4}}
           stock.A {"status":{"phase":"HALTED"},"ts_event_us":"900"}
           stock.A {"trade":{"price":1,"quantity":1},"ts_event_us":"900"}
           stock.A {"quote":{"bid":5},"ts_event_us":"999","flags":4}
           stock.A {"quote":{"bid":6},"ts_event_us":"999"}"#,
        expect![[r#"
            stock.A is 1, scales 0/0, feed stock
            1@1 quote bid=1
            poison old_version: ts_event_us 999 is older than 1000
            1@3 quote bid=3
            1@4 quote bid=4
            1@5 status HALTED
            1@6 trade 1 x 1
            1@7 CORRECTION quote bid=5
            poison old_version: ts_event_us 999 is older than 1000"#]],
    );
}

#[test]
fn bars_go_by_their_start_and_final_is_final() {
    let bar = |start: u64, close: u32, rest: &str| {
        format!(r#"{{"bar":{{"start_us":"{start}","length_s":60,"open":{close},"high":{close},"low":{close},"close":{close}{rest}}}}}"#)
    };
    let mut story = Story::new();
    story.json("stock.A", &bar(120_000_000, 1, ""));
    story.json("stock.A", &bar(60_000_000, 2, ""));
    story.json("stock.A", &bar(120_000_000, 3, r#","final":true"#));
    story.json("stock.A", &bar(120_000_000, 4, ""));
    story.json("stock.A", &bar(180_000_000, 5, ""));
    story.told(expect![[r#"
        stock.A is 1, scales 0/0, feed stock
        1@1 bar 120000000+60 1
        poison old_version: bar starts before the newest of 60 s
        1@3 bar 120000000+60 3 final
        poison old_version: bar is final already
        1@5 bar 180000000+60 5"#]]);
}

#[test]
fn a_time_an_hour_after_its_message_is_refused() {
    let mut story = Story::new();
    let (publish, at, after) = (NOON, NOON + HOUR, NOON + HOUR + 1);
    story.json("stock.A", &format!(r#"{{"ts_publish_us":"{publish}","ts_event_us":"{at}","quote":{{"bid":1}}}}"#));
    let receipt = story.json("stock.A", &format!(r#"{{"ts_publish_us":"{publish}","ts_event_us":"{after}","quote":{{"bid":2}}}}"#));
    assert_eq!(receipt.poison[0].cause, Cause::BadValue);
    assert_eq!(accepted(&mut story, "A", NOON + HOUR), 1);
}

#[test]
fn one_poison_time_does_not_freeze_its_instrument_even_if_its_message_agrees() {
    let mut story = Story::new();
    assert_eq!(accepted(&mut story, "A", NOON), 1);
    let poison = NOON + 1_000 * HOUR;
    let body = format!(r#"{{"ts_publish_us":"{poison}","ts_event_us":"{poison}","quote":{{"bid":2}}}}"#);
    assert_eq!(story.json("stock.A", &body).accepted, 1, "it may be the first message after a weekend");
    assert_eq!(accepted(&mut story, "A", NOON + 1), 1, "but it guards nothing");
    assert_eq!(accepted(&mut story, "A", NOON), 0, "and the older version still does");
}

#[test]
fn a_poison_first_time_is_outvoted() {
    let mut story = Story::new();
    accepted(&mut story, "A", NOON + 1_000 * HOUR);
    assert_eq!(accepted(&mut story, "A", NOON), 0);
    accepted(&mut story, "B", NOON + 1);
    assert_eq!(accepted(&mut story, "A", NOON + 2), 1);
}

#[test]
fn after_a_weekend_versions_guard_again() {
    let mut story = Story::new();
    accepted(&mut story, "A", NOON);
    let monday = NOON + 60 * HOUR;
    assert_eq!([monday, monday + 2, monday + 3, monday + 1].map(|at| accepted(&mut story, "A", at)), [1, 1, 1, 0]);
}

/// Updates accepted of one quote that happened at `ts_us`.
fn accepted(story: &mut Story, name: &str, ts_us: u64) -> u32 {
    story.json(&format!("stock.{name}"), &format!(r#"{{"ts_event_us":"{ts_us}","quote":{{"bid":7}}}}"#)).accepted
}
