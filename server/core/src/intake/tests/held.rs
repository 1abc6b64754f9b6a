//! A past whose quotes were held back makes the same book as one that was told.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec;

use expect_test::expect;
use proptest::prelude::*;
use tickwire_proto::Moment;
use tickwire_proto::v1::ErrorCode;

use super::*;
use crate::access::{Authority, Grant};
use crate::engine::{Engine, EngineConfig};

#[test]
fn only_the_newest_quote_is_told_and_what_finds_it_told_comes_behind_it() {
    let mut story = Story::new();
    story.intake.hold_back();
    for body in [
        r#"{"info":{"price_scale":2,"quantity_scale":0}}"#,
        r#"{"quote":{"bid":"1.00","ask":"1.02"}}"#,
        r#"{"quote":{"bid":"1.01","ask":null}}"#,
        r#"{"status":{"phase":"HALTED"}}"#,
        r#"{"quote":{"volume":7}}"#,
        r#"{"quote":{"volume":8}}"#,
    ] {
        story.json("stock.A", body);
    }
    story.intake.tell_held(&mut story.batch);
    story.json("stock.A", r#"{"quote":{"volume":9}}"#);
    story.told(expect![[r#"
        stock.A is 1, scales 2/0, feed stock
        1@3 quote bid=101 clear [3]
        1@4 status HALTED
        1@6 quote volume=8
        1@7 quote volume=9"#]]);
}

#[test]
fn another_life_is_told_nothing_of_the_one_before() {
    let mut story = Story::new();
    story.intake.hold_back();
    story.json("stock.A", r#"{"quote":{"bid":1}}"#);
    story.intake.reset("2", &mut story.batch);
    story.intake.hold_back();
    story.json("stock.B", r#"{"quote":{"bid":2}}"#);
    story.intake.tell_held(&mut story.batch);
    story.told(expect![[r#"
        stock.A is 1, scales 0/0, feed stock
        reset to epoch 2
        stock.B is 2, scales 0/0, feed stock
        2@2 quote bid=2"#]]);
}

proptest! {
    #[test]
    fn the_book_is_the_same(past in prop::collection::vec(said(), 1..60), present in prop::collection::vec(said(), 0..5)) {
        let (mut told, mut held) = (Node::new(), Node::new());
        held.intake.hold_back();
        for (n, (symbol, body)) in past.iter().enumerate() {
            told.take(n as u64 + 1, symbol, body);
            held.take(n as u64 + 1, symbol, body);
        }
        let entries = [&mut told, &mut held].map(Node::sync);
        prop_assert!(entries[1] <= entries[0], "{} entries held, {} told", entries[1], entries[0]);
        prop_assert_eq!(told.engine.checkpoint(), held.engine.checkpoint());
        for (n, (symbol, body)) in present.iter().enumerate() {
            let seq = (past.len() + n) as u64 + 1;
            told.take(seq, symbol, body);
            held.take(seq, symbol, body);
            prop_assert_eq!(&told.batch, &held.batch);
        }
        told.apply();
        held.apply();
        prop_assert_eq!(told.engine.checkpoint(), held.engine.checkpoint());
        prop_assert_eq!(told.engine.stats().seq, held.engine.stats().seq);
    }
}

/// Symbol and body of a message.
fn said() -> impl Strategy<Value = (&'static str, String)> {
    let value = 0_i64..1_000;
    let body = prop_oneof![
        4 => (0..3_usize, value.clone(), 0..3_u32).prop_map(|(field, value, places)| {
            format!(r#"{{"quote":{{"{}":"{value}e-{places}"}}}}"#, ["bid", "ask", "volume"][field])
        }),
        2 => (0..3_usize).prop_map(|field| format!(r#"{{"quote":{{"{}":null}}}}"#, ["bid", "ask", "volume"][field])),
        1 => (0..3_u32).prop_map(|flag| format!(r#"{{"quote":{{"last":5}},"flags":{}}}"#, [1, 4, 8][flag as usize])),
        1 => value.clone().prop_map(|value| format!(r#"{{"trade":{{"price":{value},"quantity":1}}}}"#)),
        1 => Just(r#"{"status":{"phase":"HALTED"}}"#.into()),
        1 => value.clone().prop_map(|home| format!(r#"{{"score":{{"home":{home}}}}}"#)),
        1 => Just(r#"{"score":{"final":true}}"#.into()),
        1 => value.clone().prop_map(|back| format!(r#"{{"odds":{{"outcomes":[{{"id":1,"back":{back}}}]}}}}"#)),
        1 => value.prop_map(|close| {
            format!(r#"{{"bar":{{"start_us":"60","length_s":60,"open":{close},"high":{close},"low":{close},"close":{close}}}}}"#)
        }),
        1 => (0..4_u32, 0..4_u32).prop_map(|(price, quantity)| format!(r#"{{"info":{{"price_scale":{price},"quantity_scale":{quantity}}}}}"#)),
        1 => Just("{}".into()),
        1 => Just("poison".into()),
    ];
    (prop_oneof![Just("stock.A"), Just("stock.B")], body)
}

struct Node {
    intake: Intake,
    engine: Engine,
    /// Not applied yet.
    batch: Batch,
}

impl Node {
    fn new() -> Self {
        let engine = Engine::new(EngineConfig::default(), Box::new(Nobody));
        Self { intake: Story::new().intake, engine, batch: Batch::default() }
    }

    fn take(&mut self, seq: u64, symbol: &str, body: &str) {
        let message = Message { seq, routing_key: symbol, content_type: Some("application/json"), body: body.as_bytes() };
        self.intake.take(message, &mut self.batch);
    }

    /// Returns how many entries it took.
    fn sync(&mut self) -> usize {
        self.intake.tell_held(&mut self.batch);
        self.batch.entries.push(Entry::Synced);
        self.apply()
    }

    fn apply(&mut self) -> usize {
        let batch = core::mem::take(&mut self.batch);
        self.engine.apply(Moment::ZERO, &batch);
        batch.entries.len()
    }
}

/// There is no door.
struct Nobody;

impl Authority for Nobody {
    fn grant(&self, _: Option<&str>, _: u64) -> Result<Grant, ErrorCode> {
        Err(ErrorCode::AuthRequired)
    }
}
