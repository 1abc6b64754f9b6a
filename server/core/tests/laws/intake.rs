//! Feeds may write protobuf or JSON: the book that comes of it is the same.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use prost::Message as _;
use tickwire_core::intake::{Intake, Message};
use tickwire_core::{Batch, Entry};
use tickwire_proto::v1::{self, update::Body};
use tickwire_proto::wire::{self, Encoding, Naming};
use tickwire_proto::{Scale, image::Image};

use super::intake_config;

fn update() -> impl Strategy<Value = v1::Update> {
    let price = || option::of(-1_000_000..1_000_000_i64);
    let size = || option::of(0..1_000_000_i64);
    let quote = (price(), size(), price(), size()).prop_map(|(bid, bid_quantity, last, volume)| {
        let clear =
            [(1, bid.is_none()), (5, last.is_none())].into_iter().filter_map(|(number, unknown)| unknown.then_some(number)).collect();
        (clear, Body::Quote(v1::Quote { bid, bid_quantity, last, volume, trades: Some(1), ..Default::default() }))
    });
    let trade = (1..9_000_i64, 1..9_000_i64, any::<bool>()).prop_map(|(price, quantity, bust)| {
        (Vec::new(), Body::Trade(v1::Trade { price, quantity, bust, trade_id: "t1".into(), ..Default::default() }))
    });
    let status = (1..8_i32, option::of(1..9_u64))
        .prop_map(|(phase, resume_us)| (Vec::new(), Body::Status(v1::Status { phase, resume_us, ..Default::default() })));
    let outcome = (1..5_u32, 0..1_000_000_i64, any::<Option<bool>>()).prop_map(|(id, back, active)| v1::Outcome {
        id,
        back: Some(back),
        active,
        ..Default::default()
    });
    let odds = (outcome, price(), size())
        .prop_map(|(outcome, line, matched)| (Vec::new(), Body::Odds(v1::Odds { outcomes: vec![outcome], line, matched })));
    let score = (0..9_u32, any::<Option<bool>>())
        .prop_map(|(home, r#final)| (Vec::new(), Body::Score(v1::Score { home: Some(home), r#final, ..Default::default() })));
    prop_oneof![quote, trade, status, odds, score].prop_map(|(clear, body)| v1::Update { clear, body: Some(body), ..Default::default() })
}

/// The batch of messages, and the image that it makes. An engine is given nothing else, so equal batches make equal records for clients.
fn taken(scales: [Scale; 2], encoding: Encoding, messages: &[Vec<v1::Update>]) -> (Vec<Entry>, Image) {
    let (mut intake, mut batch) = (Intake::new(intake_config()), Batch::default());
    let [price_scale, quantity_scale] = scales;
    let info = v1::InstrumentInfo {
        symbol: "a".into(),
        price_scale: price_scale.places(),
        quantity_scale: quantity_scale.places(),
        ..Default::default()
    };
    let announcement = v1::FeedMessage { info: Some(info), ..Default::default() };
    let mut bodies = vec![(Encoding::Protobuf, announcement.encode_to_vec())];
    bodies.extend(messages.iter().map(|updates| (encoding, body(scales, encoding, updates))));
    for (seq, (encoding, body)) in (1..).zip(&bodies) {
        let content_type = Some(if *encoding == Encoding::Json { "application/json" } else { "application/x-protobuf" });
        let receipt = intake.take(Message { seq, routing_key: "a", content_type, body }, &mut batch);
        assert_eq!(receipt.poison, [], "{}", String::from_utf8_lossy(body));
    }
    let mut image = Image::default();
    for entry in &batch.entries {
        if let Entry::Update(update) = entry {
            image.apply(update);
        }
    }
    (batch.entries, image)
}

fn body([price_scale, quantity_scale]: [Scale; 2], encoding: Encoding, updates: &[v1::Update]) -> Vec<u8> {
    if encoding == Encoding::Protobuf {
        return v1::FeedMessage { updates: updates.to_vec(), ..Default::default() }.encode_to_vec();
    }
    let mut body = b"{\"updates\":[".to_vec();
    for (n, update) in updates.iter().enumerate() {
        if n > 0 {
            body.push(b',');
        }
        wire::encode_update(encoding, update, Naming { symbol: "a", price_scale, quantity_scale }, &mut body);
    }
    body.extend_from_slice(b"]}");
    body
}

proptest! {
    /// Law: JSON and protobuf of a feed carry the same meaning: the same batch, entry by entry, and so the same book on every node.
    #[test]
    fn json_and_protobuf_of_a_feed_make_the_same_book(
        messages in vec(vec(update(), 1..4), 1..12),
        price in 1..=Scale::MAX,
        quantity in 0..=Scale::MAX,
    ) {
        let scales = [price, quantity].map(|places| Scale::new(places).unwrap());
        let (protobuf, json) = (taken(scales, Encoding::Protobuf, &messages), taken(scales, Encoding::Json, &messages));
        prop_assert_eq!(protobuf, json);
    }
}
