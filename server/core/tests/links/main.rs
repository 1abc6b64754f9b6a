//! Credit over links with hidden buffers: a real engine, the real client session, virtual time.
//!
//! The buffer stands for that of a proxy: it takes all that the server writes, and only reports of the client tell what has left it.

#[path = "../world/everybody.rs"]
mod everybody;
mod link;
#[path = "../world/random.rs"]
#[allow(dead_code, reason = "there is less chance here than in the large world")]
mod random;
#[path = "../world/request.rs"]
mod request;
mod watched;
mod world;

use std::time::Duration;

use link::Shape;
use world::{Back, Feed, World};

#[test]
fn what_a_client_holds_on_a_slow_link_is_fresh_whatever_the_buffer() {
    for (seed, buffer) in (1..).zip([64 << 10, 1 << 20, 4 << 20]) {
        for (trip_ms, p50_max, p99_max) in [(0, 200, 300), (20, 200, 300), (100, 250, 400), (300, 500, 900)] {
            let mut world = World::new(seed, slow(trip_ms, buffer), OVERLOAD, CREDIT_BYTES_MAX);
            world.pass(seconds(3));
            let seen = world.pass(seconds(30));
            let what = format!("a trip of {trip_ms} ms, a buffer of {buffer} bytes: {seen:?}");
            assert!(seen.age_p50 <= p50_max && seen.age_p99 <= p99_max, "old at {what}");
            assert!(seen.used >= 97.0, "idle at {what}");
            assert!(seen.buffered_max <= 40 << 10, "hoarded at {what}");
            assert!(seen.reports_per_mb <= 500.0, "many reports at {what}");
            world.ends_well(seconds(5));
        }
    }
}

#[test]
fn a_watched_client_uses_a_fast_link_to_the_full() {
    for trip_ms in [20, 200] {
        let feed = Feed { instruments: 1_500, updates_per_s: 160_000, wide: true };
        let mut world =
            World::with(trip_ms, Shape { bytes_per_ms: 12_500, trip_ms, buffer: 4 << 20 }, feed, CREDIT_BYTES_MAX, Back::Watched);
        world.pass(seconds(3));
        let seen = world.pass(seconds(11));
        assert!(seen.used >= 98.0 && seen.age_p99 <= 400, "a trip of {trip_ms} ms: {seen:?}");
        world.ends_well(seconds(2));
    }
}

#[test]
fn without_credit_a_hidden_buffer_hoards() {
    let mut world = World::new(1, slow(20, 1 << 20), OVERLOAD, 0);
    world.pass(seconds(10));
    let seen = world.pass(seconds(20));
    assert!(seen.age_p50 > 5_000 && seen.buffered_max > 900_000, "{seen:?}");
}

#[test]
fn a_fast_link_is_used_to_the_full() {
    for trip_ms in [20, 100, 200] {
        let feed = Feed { instruments: 1_500, updates_per_s: 160_000, wide: true };
        let shape = Shape { bytes_per_ms: 12_500, trip_ms, buffer: 4 << 20 };
        let mut world = World::new(trip_ms, shape, feed, CREDIT_BYTES_MAX);
        world.pass(seconds(3));
        let seen = world.pass(seconds(11));
        assert!(seen.used >= 98.0, "a trip of {trip_ms} ms: {seen:?}");
        assert!(seen.age_p50 <= 200 && seen.age_p99 <= 400, "a trip of {trip_ms} ms: {seen:?}");
        assert!(seen.reports_per_mb <= 3.0, "a trip of {trip_ms} ms: {seen:?}");
        world.ends_well(seconds(2));
    }
}

#[test]
fn a_link_that_changes_is_followed_within_seconds() {
    for trip_ms in [0, 20, 100] {
        // More than either link takes at first, and two thirds of the fast one.
        let feed = Feed { instruments: 50, updates_per_s: 40_000, wide: false };
        let mut world = World::new(trip_ms, slow(trip_ms, 4 << 20), feed, CREDIT_BYTES_MAX);
        world.pass(seconds(10));
        let slow_at_first = world.pass(seconds(5));
        assert!(slow_at_first.age_p50 <= 250, "400 kbit/s, a trip of {trip_ms} ms: {slow_at_first:?}");

        world.link.shape.bytes_per_ms = 1_250;
        world.pass(seconds(1));
        let fast = world.pass(seconds(5));
        assert!(fast.age_p99 <= 50 + trip_ms / 2, "10 Mbit/s for a second, a trip of {trip_ms} ms: {fast:?}");

        // What is under way at that moment has to leave over the slow link.
        world.link.shape.bytes_per_ms = 50;
        world.pass(seconds(6));
        let slow_again = world.pass(seconds(5));
        assert!(slow_again.age_p50 <= 250, "400 kbit/s for 6 s, a trip of {trip_ms} ms: {slow_again:?}");
        assert!(slow_again.used >= 97.0, "400 kbit/s for 6 s, a trip of {trip_ms} ms: {slow_again:?}");
        world.ends_well(seconds(5));
    }
}

#[test]
fn a_way_that_becomes_longer_or_shorter_is_followed_within_half_a_minute() {
    let feed = Feed { instruments: 500, updates_per_s: 40_000, wide: false };
    let mut world = World::new(1, Shape { bytes_per_ms: 1_250, trip_ms: 20, buffer: 4 << 20 }, feed, CREDIT_BYTES_MAX);
    for trip_ms in [20, 200, 20] {
        world.link.shape.trip_ms = trip_ms;
        world.pass(seconds(30));
        let seen = world.pass(seconds(10));
        assert!(seen.used >= 66.0 && seen.age_p99 <= 100 + trip_ms, "a trip of {trip_ms} ms: {seen:?}");
    }
    world.ends_well(seconds(3));
}

#[test]
fn a_client_with_little_to_take_reports_once_a_second() {
    let feed = Feed { instruments: 3, updates_per_s: 10, wide: false };
    let mut world = World::new(1, slow(20, 1 << 20), feed, CREDIT_BYTES_MAX);
    world.pass(seconds(5));
    let seen = world.pass(seconds(60));
    // A sample of the clock every half a minute is the rest.
    assert!(seen.reports_per_s <= 1.05, "{seen:?}");
}

/// 400 kbit/s.
fn slow(trip_ms: u64, buffer: u64) -> Shape {
    Shape { bytes_per_ms: 50, trip_ms, buffer }
}

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

/// Four times what 400 kbit/s take.
const OVERLOAD: Feed = Feed { instruments: 20, updates_per_s: 4_000, wide: false };
/// As configured by default.
const CREDIT_BYTES_MAX: u32 = 4 << 20;
