//! The steps: a name, and what sets the scene and returns the step.

use std::hint::black_box;
use std::time::Duration;

use tickwire_core::{Batch, Entry};
use tickwire_proto::Scale;
use tickwire_proto::v1::{self, update::Body};
use tickwire_proto::wire::{Encoding, FrameWriter, Naming, decode_server, encode_update};

use crate::crowd::{World, quote};

/// Sets the scene, and returns what is taken many times.
type Scene = fn() -> Box<dyn FnMut()>;

/// All of them. A name that changes loses its baseline.
pub(crate) const STEPS: &[(&str, Scene)] = &[
    ("apply, no one waits", || apply(0)),
    ("apply, merge into a waiting lane", || apply(5_000)),
    ("apply and flush, 1 protobuf", || tick(Encoding::Protobuf, 1)),
    ("apply and flush, 100 protobuf", || tick(Encoding::Protobuf, 100)),
    ("apply and flush, 5000 protobuf", || tick(Encoding::Protobuf, 5_000)),
    ("apply and flush, 1 json", || tick(Encoding::Json, 1)),
    ("apply and flush, 100 json", || tick(Encoding::Json, 100)),
    ("apply and flush, 5000 json", || tick(Encoding::Json, 5_000)),
    ("conflated tick, 100 protobuf of 20", || conflated(Encoding::Protobuf)),
    ("conflated tick, 100 json of 20", || conflated(Encoding::Json)),
    ("event and trade, 100 protobuf", events),
    ("encode a quote, protobuf", || encode(Encoding::Protobuf)),
    ("encode a quote, json", || encode(Encoding::Json)),
    ("decode a quote, protobuf", || decode(Encoding::Protobuf)),
    ("decode a quote, json", || decode(Encoding::Json)),
];

/// One update of an instrument whose lane waits for the end of its interval, or that nobody subscribes to.
fn apply(conflate_ms: u32) -> Box<dyn FnMut()> {
    let mut world = World::new(1);
    if conflate_ms > 0 {
        world.subscribe(0, Encoding::Protobuf, conflate_ms, 1);
    }
    world.settle();
    let mut batch = Batch { entries: vec![Entry::Update(quote(1, 0))] };
    let mut seq = FIRST_SEQ;
    Box::new(move || {
        renew(&mut batch, &mut seq);
        world.engine.apply(world.now, &batch);
    })
}

/// One update at class 0, and its flush to so many subscribers.
fn tick(encoding: Encoding, subscribers: u32) -> Box<dyn FnMut()> {
    let mut world = World::new(1);
    (0..subscribers).for_each(|n| world.subscribe(n, encoding, 0, 1));
    world.settle();
    apply_and_flush(world, Batch { entries: vec![Entry::Update(quote(1, 0))] })
}

fn apply_and_flush(mut world: World, mut batch: Batch) -> Box<dyn FnMut()> {
    let mut seq = FIRST_SEQ;
    Box::new(move || {
        renew(&mut batch, &mut seq);
        world.engine.apply(world.now, &batch);
        world.flush();
    })
}

/// Five updates of each of 20 instruments, which leave as one frame for each of 100 subscribers.
fn conflated(encoding: Encoding) -> Box<dyn FnMut()> {
    let mut world = World::new(20);
    (0..100).for_each(|n| world.subscribe(n, encoding, 100, 20));
    world.settle();
    let mut batch = Batch { entries: (1..=20).map(|id| Entry::Update(quote(id, 0))).collect() };
    let mut seq = FIRST_SEQ;
    Box::new(move || {
        for _ in 0..5 {
            renew(&mut batch, &mut seq);
            world.engine.apply(world.now, &batch);
            world.pass(Duration::from_millis(20));
        }
    })
}

/// A quote, a halt that flushes it first, and a trade that nobody asked for, to 100 subscribers.
fn events() -> Box<dyn FnMut()> {
    let mut world = World::new(1);
    (0..100).for_each(|n| world.subscribe(n, Encoding::Protobuf, 100, 1));
    world.settle();
    let status = v1::Status { phase: v1::TradingPhase::Halted as i32, ..Default::default() };
    let trade = v1::Trade { price: 18_742, quantity: 1, ..Default::default() };
    let other = |body| Entry::Update(v1::Update { id: 1, body: Some(body), ..Default::default() });
    apply_and_flush(world, Batch { entries: vec![Entry::Update(quote(1, 0)), other(Body::Status(status)), other(Body::Trade(trade))] })
}

fn encode(encoding: Encoding) -> Box<dyn FnMut()> {
    let update = quote(1, 18_742);
    let mut bytes = Vec::new();
    Box::new(move || {
        bytes.clear();
        encode_update(encoding, black_box(&update), naming(), &mut bytes);
    })
}

fn decode(encoding: Encoding) -> Box<dyn FnMut()> {
    let mut record = Vec::new();
    encode_update(encoding, &quote(1, 18_742), naming(), &mut record);
    let mut frame = Vec::new();
    let mut writer = FrameWriter::begin(&mut frame, encoding, 1, 1);
    writer.update(&record);
    writer.finish();
    let scales = (naming().price_scale, naming().quantity_scale);
    Box::new(move || {
        let decoded = decode_server(encoding, black_box(&frame), &|_| Some(scales));
        assert!(black_box(decoded).is_ok(), "the frame is whole");
    })
}

/// Gives every update the next position, and every quote the values that go with it.
fn renew(batch: &mut Batch, seq: &mut u64) {
    for entry in &mut batch.entries {
        let Entry::Update(update) = entry else { continue };
        *seq += 1;
        update.seq = *seq;
        if matches!(update.body, Some(Body::Quote(_))) {
            *update = quote(update.id, *seq);
        }
    }
}

fn naming() -> Naming<'static> {
    Naming { symbol: "stock.AAPL", price_scale: Scale::new(2).expect("2 is a scale"), quantity_scale: Scale::default() }
}

/// Positions from here on take three bytes in protobuf and six digits in JSON, however many rounds there are.
const FIRST_SEQ: u64 = 200_000;
