//! What the engine's work costs, without sockets: `cargo bench -p tickwire-core`.

#[path = "../tests/crowd/mod.rs"]
mod crowd;

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput};
use tickwire_core::engine::ConnectionKey;
use tickwire_core::{Batch, Entry};
use tickwire_proto::Scale;
use tickwire_proto::v1::{self, client_frame::Command, subscribe_item::Target};
use tickwire_proto::wire::{Encoding, FrameWriter, Naming, decode_server, encode_client, encode_update};

use crowd::{World, quote};

/// An update of an instrument that nobody subscribes to; of one whose lane waits for its interval; one at class 0 with its flush.
fn updates(c: &mut Criterion) {
    let mut group = c.benchmark_group("apply");
    group.throughput(Throughput::Elements(1));
    for (name, subscribers, conflate_ms) in [("no one waits", 0, 0), ("merge into a waiting lane", 1, 5_000)] {
        let mut world = World::new(1);
        (0..subscribers).for_each(|n| world.subscribe(n, Encoding::Protobuf, conflate_ms, 1));
        world.settle();
        let mut seq = 100;
        group.bench_function(name, |b| {
            let mut batch = Batch { entries: vec![Entry::Update(quote(1, 0))] };
            b.iter(|| {
                seq += 1;
                if let Entry::Update(update) = &mut batch.entries[0] {
                    update.seq = seq;
                }
                world.engine.apply(world.now, &batch);
            });
        });
    }
    group.finish();
}

fn flushes(c: &mut Criterion) {
    let mut group = c.benchmark_group("apply and flush");
    for subscribers in [1, 100, 5_000] {
        for encoding in [Encoding::Protobuf, Encoding::Json] {
            let mut world = World::new(1);
            (0..subscribers).for_each(|n| world.subscribe(n, encoding, 0, 1));
            world.settle();
            let mut seq = 100;
            let mut batch = Batch { entries: vec![Entry::Update(quote(1, 0))] };
            group.throughput(Throughput::Elements(u64::from(subscribers)));
            group.bench_function(format!("{subscribers} subscribers, {encoding:?}"), |b| {
                b.iter(|| {
                    seq += 1;
                    if let Entry::Update(update) = &mut batch.entries[0] {
                        update.seq = seq;
                    }
                    world.engine.apply(world.now, &batch);
                    world.flush();
                });
            });
        }
    }
    group.finish();
}

fn codec(c: &mut Criterion) {
    let mut group = c.benchmark_group("codec");
    let scale = Scale::new(2).expect("2 is a scale");
    let naming = Naming { symbol: "stock.AAPL", price_scale: scale, quantity_scale: Scale::default() };
    let update = quote(1, 18_742);
    for encoding in [Encoding::Protobuf, Encoding::Json] {
        let mut bytes = Vec::new();
        group.bench_function(format!("encode a quote, {encoding:?}"), |b| {
            b.iter(|| {
                bytes.clear();
                encode_update(encoding, black_box(&update), naming, &mut bytes);
            });
        });
        let mut frame = Vec::new();
        let mut writer = FrameWriter::begin(&mut frame, encoding, 1, 1);
        writer.update(&bytes);
        writer.finish();
        group.bench_function(format!("decode its frame, {encoding:?}"), |b| {
            b.iter(|| decode_server(encoding, black_box(&frame), &|_| Some((scale, Scale::default()))));
        });
    }
    group.finish();
}

/// 10,000 connections with a pattern of their own, and an instrument that one of them waits for.
fn patterns(c: &mut Criterion) {
    c.bench_function("a new instrument beside 10,000 patterns", |b| {
        let mut world = World::new(1);
        for n in 0..10_000 {
            world.subscribe_to(ConnectionKey(n), Encoding::Protobuf, 100, [format!("league{n}.#")]);
        }
        world.settle();
        let mut id = 1;
        b.iter(|| {
            id += 1;
            let info = v1::InstrumentInfo { symbol: format!("other.{id}"), id, ..Default::default() };
            world.engine.apply(world.now, &Batch { entries: vec![Entry::Instrument(info)] });
        });
    });
}

/// A client with 500 instruments comes back: Hello, Subscribe, and what the flush writes, when one of ten has changed.
fn resume(c: &mut Criterion) {
    c.bench_function("resume with 500 instruments, 50 of them changed", |b| {
        let mut world = World::new(500);
        for id in 1..=50 {
            world.engine.apply(world.now, &Batch { entries: vec![Entry::Update(quote(id, 2))] });
        }
        let item = |id| v1::SubscribeItem { target: Some(Target::Symbol(format!("s.{id}"))), conflate_ms: None, trades: false };
        let commands = [
            Command::Hello(v1::Hello { protocol: 1, resume: Some("log:1".into()), conflate_ms: Some(100), ..Default::default() }),
            Command::Subscribe(v1::Subscribe { items: (1..=500).map(item).collect(), replace: false }),
        ];
        let messages = commands.map(|command| {
            let mut bytes = Vec::new();
            encode_client(Encoding::Protobuf, &v1::ClientFrame { request_id: 1, command: Some(command) }, &mut bytes);
            bytes
        });
        let key = ConnectionKey(1);
        b.iter_batched(
            || (),
            |()| {
                world.attach(key, Encoding::Protobuf);
                for message in &messages {
                    world.engine.receive(world.now, key, message);
                }
                world.flush();
                world.engine.detach(key);
            },
            BatchSize::PerIteration,
        );
    });
}

fn main() {
    let criterion = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    let mut criterion = criterion.sample_size(30).configure_from_args();
    for bench in [updates, flushes, codec, patterns, resume] {
        bench(&mut criterion);
    }
    criterion.final_summary();
}
