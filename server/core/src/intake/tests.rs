//! Stories of messages: what they make of the book, and what is refused.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

use expect_test::{Expect, expect};
use prost::Message as _;
use tickwire_proto::Pattern;
use tickwire_proto::v1::{UpdateFlag, update::Body};

use super::*;

mod feeds;
mod held;
mod hostile;
mod mapped;
mod model;
mod versions;

#[test]
fn one_line_of_json_makes_an_instrument() {
    check(
        r#"stock.AAPL {"quote":{"bid":"187.42","ask":"187.44","bid_quantity":300}}"#,
        expect![[r#"
            stock.AAPL is 1, scales 2/0, feed stock
            1@1 quote bid=18742 bid_quantity=300 ask=18744"#]],
    );
}

#[test]
fn inferred_scales_grow_and_the_state_follows_at_the_new_ones() {
    check(
        r#"stock.AAPL {"quote":{"bid":"187.4","volume":"10"}}
           stock.AAPL {"quote":{"bid":"187.420","volume":"10.5"}}
           stock.AAPL {"quote":{"bid":"188"}}"#,
        expect![[r#"
            stock.AAPL is 1, scales 1/0, feed stock
            1@1 quote bid=1874 volume=10
            stock.AAPL is 1, scales 2/1, feed stock
            1@2 IMAGE quote bid=18740 volume=100
            1@2 quote bid=18742 volume=105
            1@3 quote bid=18800"#]],
    );
}

#[test]
fn announced_scales_stay_and_a_more_precise_value_costs_only_its_own_update() {
    check(
        r#"stock.AAPL {"info":{"price_scale":2,"quantity_scale":0},"updates":[{"quote":{"bid":"1.234"}},{"quote":{"bid":"1.23"}}]}
           stock.AAPL {"quote":{"bid_quantity":"0.5"}}"#,
        expect![[r#"
            stock.AAPL is 1, scales 2/0, feed stock
            1@1 quote bid=123
            poison bad_value: updates[0].quote.bid: has more decimal places than the instrument
            poison bad_value: quote.bid_quantity: has more decimal places than the instrument"#]],
    );
}

#[test]
fn a_new_announcement_changes_scales_and_what_cannot_be_kept_becomes_unknown() {
    check(
        r#"stock.AAPL {"info":{"price_scale":2,"tick_size":"0.01"},"updates":[{"quote":{"bid":"1.25","ask":"1.50"}},
             {"bar":{"start_us":"60000000","length_s":60,"open":"1.25","high":"1.25","low":"1.25","close":"1.25"}},{"status":{"phase":"OPEN"}}]}
           stock.AAPL {"info":{"price_scale":1,"tick_size":"0.1","display_name":"Apple"}}
           stock.AAPL {"info":{"price_scale":1,"tick_size":"0.1","display_name":"Apple"}}
           stock.AAPL {"info":{"price_scale":1,"tick_size":"0.1","display_name":"Apple Inc."}}"#,
        expect![[r#"
            stock.AAPL is 1, scales 2/0, feed stock, tick 1
            1@1 quote bid=125 ask=150
            1@1 bar 60000000+60 125
            1@1 status OPEN
            stock.AAPL is 1, scales 1/0, feed stock, tick 1, "Apple"
            1@2 IMAGE bar 0+0 0
            1@2 IMAGE quote ask=15
            stock.AAPL is 1, scales 1/0, feed stock, tick 1, "Apple Inc.""#]],
    );
}

#[test]
fn a_name_without_scales_leaves_them_to_be_inferred() {
    check(
        r#"stock.AAPL {"info":{"display_name":"Apple"},"quote":{"bid":"1.25"}}
           stock.AAPL {"info":{"display_name":"Apple Inc."}}"#,
        expect![[r#"
            stock.AAPL is 1, scales 0/0, feed stock, "Apple"
            stock.AAPL is 1, scales 2/0, feed stock, "Apple"
            1@1 quote bid=125
            stock.AAPL is 1, scales 2/0, feed stock, "Apple Inc.""#]],
    );
}

#[test]
fn protobuf_that_nobody_announced_has_the_default_scales_also_beside_json() {
    let mut story = Story::new();
    story.protobuf("stock.AAPL", message([quote("", 1_874_200)]));
    story.json("stock.AAPL", r#"{"quote":{"ask":"187.43251"}}"#);
    story.protobuf("stock.AAPL", message([quote("", 1_874_300)]));
    story.told(expect![[r#"
        stock.AAPL is 1, scales 4/2, feed stock
        1@1 quote bid=1874200
        stock.AAPL is 1, scales 5/2, feed stock
        1@2 IMAGE quote bid=18742000
        1@2 quote ask=18743251
        1@3 quote bid=18743000"#]]);
}

#[test]
fn mantissas_whose_scales_were_refused_are_refused_as_well() {
    let mut story = Story::new();
    let info = v1::InstrumentInfo { price_scale: 13, ..Default::default() };
    story.protobuf("stock.A", v1::FeedMessage { info: Some(info), ..message([quote("", 1), quote("stock.B", 2)]) });
    story.told(expect![[r#"
        stock.B is 1, scales 4/2, feed stock
        1@1 quote bid=2
        poison scale_out_of_range: 13 decimal places of prices
        poison scale_out_of_range: its announcement was refused"#]]);
}

#[test]
fn one_message_may_carry_several_instruments_of_its_feed() {
    check(
        r#"stock.batch {"updates":[{"symbol":"stock.A","quote":{"bid":1}},{"symbol":"stock.B","quote":{"bid":2}},
             {"symbol":"crypto.C","quote":{"bid":3}},{"symbol":"stock..D","quote":{"bid":4}},{"symbol":"stock.A","quote":{"ask":5}}]}"#,
        expect![[r#"
            stock.A is 1, scales 0/0, feed stock
            1@1 quote bid=1
            stock.B is 2, scales 0/0, feed stock
            2@1 quote bid=2
            1@1 quote ask=5
            poison bad_symbol: "crypto.C" belongs to another feed than the routing key
            poison bad_symbol: "stock..D" has an empty word"#]],
    );
}

#[test]
fn a_sign_of_life_makes_no_instrument() {
    let (receipt, batch) = take_json("stock.alive", r#"{"alive":{"publisher":"p","interval_ms":1000},"ts_publish_us":"77"}"#);
    assert_eq!(batch.entries, [Entry::Position(1)]);
    assert_eq!((receipt.feed.as_deref(), receipt.ts_us, receipt.accepted), (Some("stock"), 77, 0));
    assert_eq!(receipt.alive.map(|alive| alive.interval_ms), Some(1_000));
}

#[test]
fn a_hole_in_the_numbers_of_a_publisher_is_found_in_either_encoding() {
    let mut story = Story::new();
    let json = |number: u64| format!(r#"{{"publisher":"p","publisher_seq":"{number}","quote":{{"bid":1}}}}"#);
    assert_eq!(story.json("stock.A", &json(4)).hole, None, "the log may begin anywhere");
    // Whatever else is wrong with a message, its number came.
    let numbered = |publisher_seq| v1::FeedMessage { publisher: "p".into(), publisher_seq, ..message([quote("stock..B", 1)]) };
    let receipt = story.protobuf("stock.A", numbered(5));
    assert_eq!((receipt.hole, receipt.poison.len()), (None, 1));
    let receipt = story.json("crypto.A", &json(8));
    assert_eq!(receipt.hole, Some(Hole { publisher: "p".into(), after: 5, before: 8, count: 1 }));
    assert_eq!(receipt.accepted, 1, "what comes after a hole is taken");
    assert_eq!(story.json("stock.A", &json(1)).hole, None, "the publisher started anew");
    assert_eq!(story.protobuf("stock.A", numbered(3)).hole.map(|hole| (hole.after, hole.before, hole.count)), Some((1, 3, 2)));
    story.intake.reset("2", &mut story.batch);
    assert_eq!(story.json("stock.A", &json(9)).hole, None, "another log");
}

#[test]
fn a_receipt_names_the_time_of_the_newest_update() {
    let updates = r#"[{"ts_event_us":"50","quote":{"bid":1}},{"ts_event_us":"40","trade":{"price":1,"quantity":1}},{"quote":{"ask":1}}]"#;
    let (receipt, batch) = take_json("stock.A", &format!(r#"{{"ts_publish_us":"60","updates":{updates}}}"#));
    assert_eq!((receipt.accepted, receipt.ts_us), (3, 60), "an update without a time happened when it was published");
    let times: Vec<u64> =
        batch.entries.iter().filter_map(|entry| if let Entry::Update(update) = entry { Some(update.ts_event_us) } else { None }).collect();
    assert_eq!(times, [50, 40, 60]);
}

#[test]
fn what_feeds_do_not_decide_is_taken_out() {
    let mut story = Story::new();
    let body = Body::Quote(v1::Quote { bid: Some(1), interval_high: Some(9), ..Default::default() });
    let clear = [99, 16, 3, 3, 17, 1 << 31].into();
    let update = v1::Update { id: 7, seq: 99, merged: 5, flags: u32::MAX, clear, body: Some(body), ..Default::default() };
    let info = v1::InstrumentInfo { id: 44, feed: "evil".into(), price_scale: 1, ..Default::default() };
    story.protobuf("stock.A", v1::FeedMessage { info: Some(info), ..message([update]) });
    story.told(expect![[r#"
        stock.A is 1, scales 1/0, feed stock
        1@1 IMAGE CORRECTION EVENT quote bid=1 clear [3]"#]]);
}

#[test]
fn a_prefix_is_removed_and_messages_without_it_are_refused() {
    let mut intake = Intake::new(IntakeConfig { routing_prefix: "prod.".into(), ..config() });
    let mut batch = Batch::default();
    let body = br#"{"quote":{"bid":1}}"#;
    let message = |routing_key| Message { seq: 1, routing_key, content_type: None, body };
    assert_eq!(intake.take(message("prod.stock.A"), &mut batch).accepted, 1);
    assert_eq!(intake.take(message("stock.A"), &mut batch).poison[0].cause, Cause::OutsidePrefix);
    assert!(matches!(&batch.entries[0], Entry::Instrument(info) if info.symbol == "stock.A"));
}

#[test]
fn a_checkpoint_restores_names_scales_and_state_and_ids_stay() {
    let mut before = Story::new();
    before.json("stock.A", r#"{"info":{"price_scale":2},"quote":{"bid":"1.25"}}"#);
    before.json("stock.B", r#"{"quote":{"bid":"1.5"},"ts_event_us":"1000"}"#);
    let checkpoint = before.checkpoint();

    let mut after = Story::new();
    after.json("stock.B", r#"{"quote":{"bid":"9","ask":"9"}}"#);
    after.intake.restore(&checkpoint, &mut after.batch);
    after.json("stock.A", r#"{"quote":{"bid":"1.234"}}"#);
    after.json("stock.B", r#"{"quote":{"bid":"1.55"}}"#);
    after.json("stock.B", r#"{"quote":{"bid":"1.6"},"ts_event_us":"999"}"#);
    after.told(expect![[r#"
        stock.B is 1, scales 0/0, feed stock
        1@1 quote bid=9 ask=9
        reset to epoch 4711
        stock.A is 2, scales 2/0, feed stock
        2@1 IMAGE quote bid=125
        stock.B is 1, scales 1/0, feed stock
        1@2 IMAGE quote bid=15
        poison bad_value: quote.bid: has more decimal places than the instrument
        stock.B is 1, scales 2/0, feed stock
        1@3 IMAGE quote bid=150
        1@3 quote bid=155
        poison old_version: ts_event_us 999 is older than 1000"#]]);
    assert!(after.intake.is_announced(InstrumentId(2)) && !after.intake.is_announced(InstrumentId(1)));
    assert!(!after.intake.is_announced(InstrumentId(0)) && !after.intake.is_announced(InstrumentId(9)));
}

#[test]
fn of_an_instrument_that_a_checkpoint_names_twice_the_first_counts() {
    let mut before = Story::new();
    before.json("stock.A", r#"{"info":{"price_scale":2},"quote":{"bid":"1.25"}}"#);
    let mut checkpoint = before.checkpoint();
    let mut second = checkpoint.instruments[0].clone();
    second.info.as_mut().unwrap().price_scale = 4;
    checkpoint.instruments.push(second);

    let mut after = Story::new();
    after.intake.restore(&checkpoint, &mut after.batch);
    after.json("stock.A", r#"{"quote":{"ask":"1.3"}}"#);
    after.told(expect![[r#"
        reset to epoch 4711
        stock.A is 1, scales 2/0, feed stock
        1@1 IMAGE quote bid=125
        1@1 quote ask=130"#]]);
}

#[test]
fn a_reset_empties_bodies_and_keeps_names() {
    let mut story = Story::new();
    story.json("stock.A", r#"{"quote":{"bid":"1.25"},"ts_event_us":"1000"}"#);
    story.intake.reset("2", &mut story.batch);
    story.json("stock.A", r#"{"quote":{"ask":"1.255"},"ts_event_us":"5"}"#);
    story.told(expect![[r#"
        stock.A is 1, scales 2/0, feed stock
        1@1 quote bid=125
        reset to epoch 2
        stock.A is 1, scales 3/0, feed stock
        1@2 quote ask=1255"#]]);
}

/// Takes one JSON message per `symbol {…}` of `story`; a message may go on in the next lines.
#[track_caller]
fn check(story: &str, told: Expect) {
    let mut played = Story::new();
    let mut messages: Vec<String> = Vec::new();
    for line in story.lines().map(str::trim) {
        match messages.last_mut() {
            Some(last) if line.starts_with(['{', '[']) => last.push_str(line),
            _ => messages.push(line.into()),
        }
    }
    for message in messages {
        let (symbol, body) = message.split_once(' ').unwrap();
        played.json(symbol, body);
    }
    played.told(told);
}

/// An intake with what it said so far.
struct Story {
    intake: Intake,
    batch: Batch,
    seq: u64,
    lines: String,
}

impl Story {
    fn new() -> Self {
        Self::with(config())
    }

    fn with(config: IntakeConfig) -> Self {
        Self { intake: Intake::new(config), batch: Batch::default(), seq: 0, lines: String::new() }
    }

    fn json(&mut self, symbol: &str, body: &str) -> Receipt {
        self.take(symbol, Some("application/json"), body.as_bytes())
    }

    fn protobuf(&mut self, symbol: &str, message: v1::FeedMessage) -> Receipt {
        self.take(symbol, Some("application/x-protobuf"), &message.encode_to_vec())
    }

    fn take(&mut self, routing_key: &str, content_type: Option<&str>, body: &[u8]) -> Receipt {
        self.seq += 1;
        let mut batch = Batch::default();
        let receipt = self.intake.take(Message { seq: self.seq, routing_key, content_type, body }, &mut batch);
        assert_eq!(batch.entries.last(), Some(&Entry::Position(self.seq)), "every message moves the position");
        self.batch.entries.append(&mut batch.entries);
        self.tell();
        for poison in &receipt.poison {
            writeln!(self.lines, "poison {poison}").unwrap();
        }
        receipt
    }

    fn tell(&mut self) {
        for entry in core::mem::take(&mut self.batch.entries) {
            match entry {
                Entry::Reset { epoch } => writeln!(self.lines, "reset to epoch {epoch}"),
                Entry::Instrument(info) => {
                    let tick = info.tick_size.map(|tick| format!(", tick {tick}")).unwrap_or_default();
                    let name = if info.display_name.is_empty() { String::new() } else { format!(", {:?}", info.display_name) };
                    let scales = format!("{}/{}", info.price_scale, info.quantity_scale);
                    writeln!(self.lines, "{} is {}, scales {scales}, feed {}{tick}{name}", info.symbol, info.id, info.feed)
                }
                Entry::Update(update) => writeln!(self.lines, "{}", show(&update)),
                _ => Ok(()),
            }
            .unwrap();
        }
    }

    #[track_caller]
    fn told(&mut self, told: Expect) {
        self.tell();
        told.assert_eq(self.lines.trim_end());
    }

    /// The book as a node would keep it.
    fn checkpoint(&self) -> v1::Checkpoint {
        let instruments = self.intake.instruments.iter().map(|instrument| v1::CheckpointInstrument {
            info: Some(instrument.info.clone()),
            images: instrument.scaled_bodies().map(|body| instrument.image_of(body, instrument.info.id.into())).collect(),
            announced: instrument.announced,
            events: None,
        });
        v1::Checkpoint { epoch: "4711".into(), seq: self.seq, parts: 1, instruments: instruments.collect(), ..Default::default() }
    }
}

fn show(update: &v1::Update) -> String {
    let mut line = format!("{}@{}", update.id, update.seq);
    for (flag, name) in [
        (UpdateFlag::Image, "IMAGE"),
        (UpdateFlag::Correction, "CORRECTION"),
        (UpdateFlag::Event, "EVENT"),
        (UpdateFlag::Conflated, "CONFLATED"),
    ] {
        if update.flags & flag as u32 != 0 {
            line = format!("{line} {name}");
        }
    }
    match update.body.as_ref().unwrap() {
        Body::Quote(quote) => {
            line += " quote";
            let fields = [
                ("bid", quote.bid),
                ("bid_quantity", quote.bid_quantity),
                ("ask", quote.ask),
                ("volume", quote.volume),
                ("interval_high", quote.interval_high),
            ];
            fields.iter().filter_map(|(name, value)| Some(format!(" {name}={}", (*value)?))).for_each(|field| line += &field);
        }
        Body::Bar(bar) => {
            line = format!("{line} bar {}+{} {}{}", bar.start_us, bar.length_s, bar.close, if bar.r#final { " final" } else { "" })
        }
        Body::Status(status) => line = format!("{line} status {}", status.phase().as_str_name()),
        Body::Score(score) => line = format!("{line} score {:?}-{:?}", score.home, score.away),
        Body::Odds(odds) => line = format!("{line} odds of {}", odds.outcomes.len()),
        Body::Trade(trade) => line = format!("{line} trade {} x {}", trade.price, trade.quantity),
    }
    if !update.clear.is_empty() {
        line = format!("{line} clear {:?}", update.clear);
    }
    line
}

fn take_json(symbol: &str, body: &str) -> (Receipt, Batch) {
    let mut batch = Batch::default();
    let message = Message { seq: 1, routing_key: symbol, content_type: None, body: body.as_bytes() };
    (Intake::new(config()).take(message, &mut batch), batch)
}

fn message<const N: usize>(updates: [v1::Update; N]) -> v1::FeedMessage {
    v1::FeedMessage { updates: updates.into(), ..Default::default() }
}

fn quote(symbol: &str, bid: i64) -> v1::Update {
    v1::Update { symbol: symbol.into(), body: Some(Body::Quote(v1::Quote { bid: Some(bid), ..Default::default() })), ..Default::default() }
}

fn config() -> IntakeConfig {
    let rule = |feed: &str| FeedRule::new(feed, Pattern::parse(&format!("{feed}.#")).unwrap());
    IntakeConfig {
        routing_prefix: String::new(),
        price_scale: Scale::new(4).unwrap(),
        quantity_scale: Scale::new(2).unwrap(),
        body_bytes_max: 1 << 20,
        updates_max: 1_000,
        instruments_max: 200_000,
        rules: [rule("stock"), rule("crypto")].into(),
        mappings: Vec::new(),
    }
}
