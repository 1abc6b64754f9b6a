//! What the engine takes from memory: bytes of a subscriber, and nothing at all per delivered record.

mod crowd;

use std::alloc::System;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tickwire_core::engine::ConnectionKey;
use tickwire_core::{Batch, Entry};
use tickwire_proto::wire::Encoding;

use crowd::{World, quote};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// One test at a time: the allocator counts for all of them.
static TURN: Mutex<()> = Mutex::new(());

#[test]
fn a_subscriber_with_20_subscriptions_takes_at_most_700_bytes() {
    let _turn = turn();
    for (encoding, credit, bytes_max) in
        [(Encoding::Protobuf, false, 700), (Encoding::Json, false, 700), (Encoding::Protobuf, true, 850), (Encoding::Json, true, 850)]
    {
        let mut world = World::new(INSTRUMENTS);
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
        assert!(each <= bytes_max, "{encoding:?}: {each} bytes per subscriber with 20 subscriptions, credit {credit}");
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
        // At another rate: their heartbeats ask for the news of their own.
        (0..lanes / 1_000).for_each(|n| world.subscribe(n, Encoding::Protobuf, 250, 1_000));
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

#[test]
fn a_heartbeat_looks_at_what_is_pending_and_not_at_what_is_subscribed_to() {
    let _turn = turn();
    let mut world = World::new(1_001);
    world.subscribe_to(ConnectionKey(0), Encoding::Protobuf, 100, (1..=20).map(|id| format!("s.{id}")));
    world.settle();
    let (visits, frames) = (world.engine.stats().lane_visits, world.engine.stats().frames_sent);
    world.pass(Duration::from_secs(60));
    assert!(world.engine.stats().frames_sent >= frames + 4, "heartbeats leave");
    assert_eq!(world.engine.stats().lane_visits, visits, "of a connection with 20 silent subscriptions");

    // One busy lane among many: the heartbeats look at it, and at no other.
    let visits_of_busy = |subscriptions: u32| {
        let mut world = World::new(1_001);
        world.subscribe_to(ConnectionKey(0), Encoding::Protobuf, 100, (1..=subscriptions).map(|id| format!("s.{id}")));
        world.settle();
        let before = world.engine.stats().lane_visits;
        for seq in 1..=6_000 {
            world.engine.apply(world.now, &Batch { entries: vec![Entry::Update(quote(1, 100 + seq))] });
            world.pass(Duration::from_millis(10));
        }
        world.engine.stats().lane_visits - before
    };
    let alone = visits_of_busy(1);
    assert_eq!(visits_of_busy(1_000), alone, "visits beside 999 silent lanes");
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
