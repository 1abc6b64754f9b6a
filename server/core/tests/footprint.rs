//! What the engine takes from memory: bytes of a subscriber, and nothing at all per delivered record.

use std::alloc::System;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tickwire_core::access::{Authority, Grant};
use tickwire_core::engine::{Arrival, ConnectionKey, Engine, EngineConfig, FrameRef, Sink, Written};
use tickwire_core::{Batch, Entry};
use tickwire_proto::Pattern;
use tickwire_proto::time::Moment;
use tickwire_proto::v1::{self, ErrorCode, client_frame::Command, subscribe_item::Target, update::Body};
use tickwire_proto::wire::{Encoding, encode_client};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// One test at a time: the allocator counts for all of them.
static TURN: Mutex<()> = Mutex::new(());

#[test]
fn a_subscriber_with_20_subscriptions_takes_at_most_700_bytes() {
    let _turn = turn();
    for encoding in [Encoding::Protobuf, Encoding::Json] {
        let mut world = World::new(INSTRUMENTS);
        // The first ones pay for what all share: lanes, scratch buffers.
        (0..INSTRUMENTS / 20).for_each(|n| world.subscribe(n, encoding, 100, 20));
        let before = held();
        let count = 4_000;
        (0..count).for_each(|n| world.subscribe(INSTRUMENTS / 20 + n, encoding, 100, 20));
        world.settle();
        let each = (held() - before) / i64::from(count);
        println!("{encoding:?}: {each} bytes per subscriber with 20 subscriptions");
        assert!(each <= 700, "{encoding:?}: {each} bytes per subscriber with 20 subscriptions");
    }
}

#[test]
fn a_delivered_record_allocates_nothing() {
    let _turn = turn();
    for (encoding, conflate_ms) in [Encoding::Protobuf, Encoding::Json].into_iter().flat_map(|encoding| [(encoding, 0), (encoding, 100)]) {
        let mut world = World::new(20);
        (0..1_000).for_each(|n| world.subscribe(n, encoding, conflate_ms, 20));
        world.settle();
        let mut batch = Batch { entries: (1..=20).map(|id| Entry::Update(quote(id, 0))).collect() };
        let (mut seq, mut sent, mut allocated) = (100, 0, 0);
        for round in 0..60 {
            for entry in &mut batch.entries {
                if let Entry::Update(update) = entry {
                    seq += 1;
                    *update = quote(update.id, seq);
                }
            }
            let region = Region::new(ALLOCATOR);
            world.engine.apply(world.now, &batch);
            world.pass(Duration::from_millis(100));
            let change = region.change();
            // The first rounds find how large the buffers have to be.
            if round >= 20 {
                allocated += change.allocations + change.reallocations;
            }
            sent = world.engine.stats().records_sent;
        }
        assert!(sent >= 60 * 20 * 1_000, "{encoding:?} at {conflate_ms} ms: only {sent} records");
        assert_eq!(allocated, 0, "{encoding:?} at {conflate_ms} ms: allocations in 40 rounds of 20,000 records");
    }
}

#[test]
fn a_silent_lane_is_never_looked_at() {
    let _turn = turn();
    let visits = |lanes: u32| {
        let mut world = World::new(lanes.max(1) + 1);
        (0..lanes / 1_000).for_each(|n| world.subscribe(n, Encoding::Protobuf, 100, 1_000));
        let key = ConnectionKey(u32::MAX);
        world.subscribe_to(key, Encoding::Protobuf, 100, [format!("s.{}", lanes.max(1) + 1)]);
        world.settle();
        assert_eq!(world.engine.stats().lanes, u64::from(lanes) + 1);
        let before = world.engine.stats().lane_visits;
        for seq in 1..=1_000 {
            world.engine.apply(world.now, &Batch { entries: vec![Entry::Update(quote(lanes.max(1) + 1, 100 + seq))] });
            world.pass(Duration::from_millis(10));
        }
        world.engine.stats().lane_visits - before
    };
    let alone = visits(0);
    assert!(alone > 1_000, "the busy lane is looked at");
    assert_eq!(visits(100_000), alone, "visits beside 100,000 silent lanes");
}

/// An engine in virtual time whose clients take everything.
struct World {
    engine: Engine,
    now: Moment,
    instruments: u32,
}

impl World {
    fn new(instruments: u32) -> Self {
        let mut engine = Engine::new(config(), Box::new(Anyone));
        let mut entries = vec![Entry::Reset { epoch: "log".into() }];
        for id in 1..=instruments {
            let info = v1::InstrumentInfo { symbol: format!("s.{id}"), id, feed: "f".into(), price_scale: 2, ..Default::default() };
            entries.extend([Entry::Instrument(info), Entry::Update(quote(id, 1))]);
        }
        entries.push(Entry::Synced);
        engine.apply(Moment::ZERO, &Batch { entries });
        Self { engine, now: Moment::ZERO, instruments }
    }

    /// A client subscribes to `count` instruments, beginning at a place of its own.
    fn subscribe(&mut self, n: u32, encoding: Encoding, conflate_ms: u32, count: u32) {
        let instruments = self.instruments;
        let symbols = (0..count).map(|place| format!("s.{}", (n * count + place) % instruments + 1));
        self.subscribe_to(ConnectionKey(n), encoding, conflate_ms, symbols);
    }

    fn subscribe_to(&mut self, key: ConnectionKey, encoding: Encoding, conflate_ms: u32, symbols: impl IntoIterator<Item = String>) {
        self.engine.attach(self.now, key, Arrival { encoding, grant: None, request: None, session: format!("n1-{}", key.0) });
        let item = |symbol| v1::SubscribeItem { target: Some(Target::Symbol(symbol)), conflate_ms: None, trades: false };
        let items = symbols.into_iter().map(item);
        let hello = v1::Hello { protocol: 1, conflate_ms: Some(conflate_ms), ..Default::default() };
        let subscribe = v1::Subscribe { items: items.collect(), replace: false };
        for command in [Command::Hello(hello), Command::Subscribe(subscribe)] {
            let mut bytes = Vec::new();
            encode_client(encoding, &v1::ClientFrame { request_id: 1, command: Some(command) }, &mut bytes);
            self.engine.receive(self.now, key, &bytes);
        }
        self.flush();
    }

    fn flush(&mut self) {
        while self.engine.deadline().is_some_and(|deadline| deadline <= self.now) {
            self.engine.flush(self.now, &mut Drain);
        }
    }

    /// Lets `span` pass, and flushes whenever the engine asks for it.
    fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(deadline) = self.engine.deadline().filter(|deadline| *deadline <= end) {
            self.now = self.now.max(deadline);
            self.engine.flush(self.now, &mut Drain);
        }
        self.now = end;
    }

    /// Until only heartbeats are left.
    fn settle(&mut self) {
        self.pass(Duration::from_secs(30));
    }
}

/// A socket that takes everything.
struct Drain;

impl Sink for Drain {
    fn frame(&mut self, _: ConnectionKey, _: FrameRef<'_>) {}

    fn commit(&mut self, _: ConnectionKey) -> Written {
        Written::All
    }

    fn close(&mut self, _: ConnectionKey, code: ErrorCode, text: &str) {
        panic!("closed: {code:?} {text}");
    }
}

/// Everyone may see everything.
struct Anyone;

impl Authority for Anyone {
    fn grant(&self, _: Option<&str>, _: u64) -> Result<Grant, ErrorCode> {
        let patterns = vec![Pattern::parse("#").expect("a pattern")];
        Ok(Grant { subject: String::new(), patterns, expires_at_s: None, conflate_ms_min: 0, subscriptions_max: None })
    }
}

fn quote(id: u32, seq: u64) -> v1::Update {
    let price = seq as i64;
    let quote = v1::Quote { bid: Some(price), ask: Some(price + 2), last: Some(price + 1), volume: Some(price), ..Default::default() };
    v1::Update { id, seq, ts_event_us: seq, body: Some(Body::Quote(quote)), ..Default::default() }
}

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes that are allocated now.
fn held() -> i64 {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated as i64 - stats.bytes_deallocated as i64
}

fn config() -> EngineConfig {
    EngineConfig {
        node: "n1".into(),
        message_bytes_max: 65_536,
        subscriptions_max: 2_000,
        items_max: 1_000,
        commands_per_s: 10,
        commands_burst: 40,
        hello_within: Duration::from_secs(5),
        conflate_ms_default: 250,
        conflate_ms_min: 0,
        heartbeat: Duration::from_secs(5),
        stalled_max: Duration::from_secs(30),
        events_kept: 10_000,
        events_waiting_max: 256,
    }
}

/// Enough that lanes have few and many subscribers.
const INSTRUMENTS: u32 = 500;
