//! What the engine takes from memory: bytes of a subscriber, and nothing at all per delivered record.

mod crowd;

use std::alloc::System;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tickwire_core::engine::{ConnectionKey, EngineConfig, FrameRef, RATE_CLASSES_MS, Sink, Written};
use tickwire_core::{Batch, Entry};
use tickwire_proto::v1::{self, update::Body};
use tickwire_proto::wire::Encoding;

use crowd::{World, config, quote};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// One test at a time: the allocator counts for all of them.
static TURN: Mutex<()> = Mutex::new(());

#[test]
fn a_subscriber_with_20_subscriptions_takes_at_most_700_bytes() {
    let _turn = turn();
    for (encoding, credit, paced, bytes_max) in [
        (Encoding::Protobuf, false, false, 700),
        (Encoding::Json, false, false, 700),
        (Encoding::Protobuf, true, false, 850),
        (Encoding::Json, true, false, 850),
        (Encoding::Protobuf, false, true, 700),
    ] {
        let mut world = World::with(EngineConfig { paced, ..config() }, INSTRUMENTS);
        world.credit = credit;
        // The first ones pay for what all share: lanes, scratch buffers.
        (0..INSTRUMENTS / 20).for_each(|n| world.subscribe(n, encoding, 100, 20));
        let before = held();
        let count = 4_000;
        (0..count).for_each(|n| world.subscribe(INSTRUMENTS / 20 + n, encoding, 100, 20));
        if credit {
            (0..INSTRUMENTS / 20 + count).for_each(|n| world.report(n, encoding));
        } else {
            world.settle();
        }
        let each = (held() - before) / i64::from(count);
        assert!(each <= bytes_max, "{encoding:?}: {each} bytes per subscriber with 20 subscriptions, credit {credit}, paced {paced}");
    }
}

#[test]
fn a_client_that_takes_nothing_costs_no_more_than_the_formula() {
    let _turn = turn();
    for (encoding, subscriptions) in [(Encoding::Protobuf, 20), (Encoding::Protobuf, 1_000), (Encoding::Json, 200)] {
        let mut world = World::new(subscriptions);
        let status = |id, seq| {
            let status = v1::Status { phase: v1::TradingPhase::Halted as i32, reason: "x".repeat(64), ..Default::default() };
            Entry::Update(v1::Update { id, seq, body: Some(Body::Status(status)), ..Default::default() })
        };
        // What all share comes first: lanes, and a ring that is full of events.
        world.subscribe(0, encoding, 100, subscriptions);
        let mut seq = 100;
        for _ in 0..EngineConfig::default().events_kept {
            seq += 1;
            world.engine.apply(world.now, &Batch { entries: vec![status(1, seq)] });
            world.flush();
        }
        world.settle();
        let before = held();
        let count = 40;
        for n in 1..=count {
            world.subscribe(n, encoding, 100, subscriptions);
        }
        // Everything changes, and more events than may wait come between, each behind a state that has to be fixed before it.
        for round in 0..ROUNDS {
            for id in [round % subscriptions + 1, (round * 7) % subscriptions + 1] {
                seq += 1;
                world.engine.apply(world.now, &Batch { entries: vec![Entry::Update(quote(id, seq)), status(id, seq)] });
            }
            world.now = world.now + Duration::from_millis(1);
            world.engine.flush(world.now, &mut Deaf);
        }
        for id in 1..=subscriptions {
            world.engine.apply(world.now, &Batch { entries: vec![Entry::Update(quote(id, seq + 1))] });
        }
        world.now = world.now + Duration::from_millis(200);
        world.engine.flush(world.now, &mut Deaf);
        assert_eq!(world.engine.stats().slow, u64::from(count) + 1, "nobody takes anything");
        let each = (held() - before) / i64::from(count);
        let bound = WORST_FIXED + WORST_PER_SUBSCRIPTION * i64::from(subscriptions);
        assert!(each <= bound, "{encoding:?}, {subscriptions} subscriptions: {each} bytes, and {bound} by the formula");
    }
}

#[test]
fn a_delivered_record_allocates_nothing() {
    let _turn = turn();
    let ways = [(0, false), (100, false), (100, true)];
    for (encoding, (conflate_ms, paced)) in
        [Encoding::Protobuf, Encoding::Json].into_iter().flat_map(|encoding| ways.map(|way| (encoding, way)))
    {
        let mut world = World::with(EngineConfig { paced, ..config() }, 20);
        (0..1_000).for_each(|n| world.subscribe(n, encoding, conflate_ms, 20));
        world.settle();
        let (mut seq, mut said, mut allocated) = (100, 0, 0);
        // An instrument changes every 120 ms then: a first change each time, which finds its connections busy.
        let (step_ms, turns) = if paced { (20, 6) } else { (100, 1) };
        for round in 0..60 {
            let changed = (1..=20).filter(|id| id % turns == round % turns);
            let entries = changed.map(|id| Entry::Update(quote(id, seq + u64::from(id)))).collect();
            let batch = Batch { entries };
            (seq, said) = (seq + 20, said + batch.entries.len() as u64);
            let region = Region::new(ALLOCATOR);
            world.engine.apply(world.now, &batch);
            world.pass(Duration::from_millis(step_ms));
            let change = region.change();
            // The first rounds find how large the buffers have to be.
            if round >= 20 {
                allocated += change.allocations + change.reallocations;
            }
        }
        let sent = world.engine.stats().records_sent;
        assert!(sent >= said * 1_000, "{encoding:?} at {conflate_ms} ms: only {sent} records of {said} changes");
        assert_eq!(allocated, 0, "{encoding:?} at {conflate_ms} ms, paced {paced}: allocations in 40 rounds");
    }
}

#[test]
fn a_million_silent_lanes_are_never_looked_at() {
    let _turn = turn();
    // Both worlds have the same connections, and so the same heartbeats.
    let visits = |lanes_each: u32| {
        let before = held();
        let mut world = World::new(SILENT_INSTRUMENTS + 1);
        let empty = held();
        let connections = SILENT_INSTRUMENTS / 1_000 * RATE_CLASSES_MS.len() as u32;
        for n in 0..connections {
            let rate = RATE_CLASSES_MS[n as usize % RATE_CLASSES_MS.len()];
            let first = n / RATE_CLASSES_MS.len() as u32 * 1_000 + 1;
            world.subscribe_to(ConnectionKey(n), Encoding::Protobuf, rate, (first..first + lanes_each).map(|id| format!("s.{id}")));
        }
        let busy = SILENT_INSTRUMENTS + 1;
        world.subscribe_to(ConnectionKey(u32::MAX), Encoding::Protobuf, 100, [format!("s.{busy}")]);
        world.settle();
        let (stats, lanes) = (world.engine.stats(), u64::from(connections * lanes_each) + 1);
        assert_eq!(stats.lanes, lanes);
        let (instrument, lane) = ((empty - before) / i64::from(busy), (held() - empty) / lanes as i64);
        assert!(instrument <= 900, "{instrument} bytes an instrument");
        assert!(lane <= 300 || lanes_each < 1_000, "{lane} bytes a lane with its subscriber's place");
        for seq in 1..=1_000 {
            world.engine.apply(world.now, &Batch { entries: vec![Entry::Update(quote(busy, 100 + seq))] });
            world.pass(Duration::from_millis(10));
        }
        let after = world.engine.stats();
        assert!(after.frames_sent - stats.frames_sent > 2 * u64::from(connections), "ten seconds of heartbeats");
        after.lane_visits - stats.lane_visits
    };
    let beside_few = visits(1);
    assert!(beside_few > 1_000, "the busy lane is looked at");
    assert_eq!(visits(1_000), beside_few, "visits beside 1,000,000 silent lanes, and beside 1,000");
}

/// A socket that takes nothing.
struct Deaf;

impl Sink for Deaf {
    fn frame(&mut self, _: ConnectionKey, _: FrameRef<'_>) {}

    fn commit(&mut self, _: ConnectionKey) -> Written {
        Written::Blocked
    }

    fn close(&mut self, _: ConnectionKey, code: v1::ErrorCode, text: &str) {
        panic!("closed: {code:?} {text}");
    }
}

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes that are allocated now.
fn held() -> i64 {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated as i64 - stats.bytes_deallocated as i64
}

/// Enough that lanes have few and many subscribers.
const INSTRUMENTS: u32 = 500;
/// At each of eight rates: a million lanes.
const SILENT_INSTRUMENTS: u32 = 125_000;
/// The worst case of a connection in the engine, as docs/limits.md has it: bytes whatever it subscribes to ...
const WORST_FIXED: i64 = 96 << 10;
/// ... and bytes of a subscription.
const WORST_PER_SUBSCRIPTION: i64 = 400;
/// Rounds of events that overflow once, and fill what waits once more. A third overflow within a minute would end the connection.
const ROUNDS: u32 = 120;
