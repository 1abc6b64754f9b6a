//! Rates: each keeps its interval; of the minimums of the server, of some instruments and of a token the slowest holds, and is what
//! clients are told.

use std::time::Duration;

use expect_test::expect;
use tickwire_core::engine::{EngineConfig, RATE_CLASSES_MS, RateRule};
use tickwire_proto::Pattern;

use super::{check_in, world};

#[test]
fn the_slowest_minimum_holds_and_is_echoed() {
    check_with(
        20,
        "
            new fx.A; new fx.slow.B; new stock.C
            open x conflate=0; sub x fx.A fx.slow.B stock.C@0 fx.slow.B@2000
            attach y token=slow; hello y conflate=0; sub y fx.A@100 fx.slow.B stock.C",
        expect![[r#"
            0 x: welcome FRESH heartbeat=5000 min=50
            0 x: ack fx.A@100 fx.slow.B@500 stock.C@50 fx.slow.B@2000 images=0
            0 x: info fx.A | info fx.slow.B | info stock.C | complete
            0 x: heartbeat log:-
            0 y: welcome FRESH heartbeat=5000 min=500
            0 y: ack fx.A@500 fx.slow.B@500 stock.C@500 images=0
            0 y: info fx.A | info fx.slow.B | info stock.C | complete
            0 y: heartbeat log:-
        "#]],
    );
}

#[test]
fn a_pattern_is_told_the_slowest_rate_of_what_it_matches() {
    check_with(
        0,
        "
            new fx.A; new fx.slow.B; new stock.C
            open x conflate=0; sub x # fx.* stock.# index.#",
        expect![[r#"
            0 x: welcome FRESH heartbeat=5000
            0 x: ack #@500x3 fx.*@100x1 stock.#@0x1 index.#@0x0 images=0
            0 x: info fx.A | info fx.slow.B | info stock.C | complete
            0 x: heartbeat log:-
        "#]],
    );
}

#[test]
fn an_instrument_that_comes_later_has_its_own_minimum() {
    check_with(
        0,
        "
            open x conflate=0; sub x fx.#@0
            new fx.A; quote fx.A 1 bid=1
            quote fx.A 2 bid=2
            quote fx.A 3 bid=3
            wait 150",
        expect![[r#"
            0 x: welcome FRESH heartbeat=5000
            0 x: ack fx.#@0x0 images=0
            0 x: complete
            0 x: heartbeat log:-
            0 x: info fx.A | quote fx.A #1 bid=1 IMAGE
            100 x: quote fx.A #3 bid=3 merged=1
        "#]],
    );
}

#[test]
fn a_change_of_rate_while_live_stays_above_the_minimum() {
    check_with(
        0,
        "
            new fx.A; quote fx.A 1 bid=1
            new stock.C; quote stock.C 2 bid=1
            open x conflate=1000; sub x fx.A stock.C
            wait 1000
            configure x conflate=0
            quote fx.A 3 bid=2; quote stock.C 4 bid=2
            wait 20
            quote fx.A 5 bid=3; quote stock.C 6 bid=3
            wait 200",
        expect![[r#"
            0 x: welcome FRESH heartbeat=5000
            0 x: ack fx.A@1000 stock.C@1000 images=2
            0 x: info fx.A | info stock.C | quote fx.A #1 bid=1 IMAGE | quote stock.C #2 bid=1 IMAGE
            0 x: complete
            0 x: heartbeat log:2
            1000 x: ok conflate=0
            1000 x: quote fx.A #3 bid=2 | quote stock.C #4 bid=2
            1020 x: quote stock.C #6 bid=3
            1100 x: quote fx.A #5 bid=3
        "#]],
    );
}

#[test]
fn a_stricter_token_slows_live_lanes_and_a_wider_one_frees_them_to_the_minimum() {
    check_with(
        0,
        "
            new fx.A; quote fx.A 1 bid=1
            open x conflate=0; sub x fx.A
            wait 1000
            auth x slow
            quote fx.A 2 bid=2
            wait 110
            quote fx.A 3 bid=3
            wait 500
            auth x all
            wait 500
            quote fx.A 4 bid=4
            wait 20
            quote fx.A 5 bid=5
            wait 200",
        expect![[r#"
            0 x: welcome FRESH heartbeat=5000
            0 x: ack fx.A@100 images=1
            0 x: info fx.A | quote fx.A #1 bid=1 IMAGE
            0 x: complete
            0 x: heartbeat log:1
            1000 x: ok conflate=500
            1000 x: quote fx.A #2 bid=2
            1500 x: quote fx.A #3 bid=3
            1610 x: ok conflate=0
            2110 x: quote fx.A #4 bid=4
            2222 x: quote fx.A #5 bid=5
        "#]],
    );
}

#[test]
fn every_rate_class_keeps_its_interval_and_loses_no_input() {
    // A change every 10 ms for 31 s, and a client for each class, which asks for one millisecond less than it gets.
    let mut world = super::World::new(super::world::config());
    super::script::run(&mut world, "new stock.A; quote stock.A 1 last=0");
    for class in RATE_CLASSES_MS {
        super::script::run(&mut world, &format!("open c{class} heartbeat=30000; sub c{class} stock.A@{}", class.saturating_sub(1)));
    }
    world.wait(Duration::from_millis(6_000));
    for step in 1..=3_100 {
        super::script::run(&mut world, &format!("quote stock.A {} last={step}\nwait 10", step + 1));
    }
    world.wait(Duration::from_millis(6_000));
    let transcript = world.transcript();
    for class in RATE_CLASSES_MS {
        let lines = || transcript.lines().filter_map(|line| line.split_once(&format!(" c{class}: quote stock.A")));
        let times: Vec<u64> = lines().map(|(at, _)| at.parse().expect("milliseconds")).collect();
        assert_eq!(times[0], 6_000, "the first change after silence leaves at once");
        let interval = u64::from(class.max(10));
        for pair in times.windows(2) {
            // It drifts towards the beat of the others by an eighth at most, and is never early.
            let step = pair[1] - pair[0];
            assert!(interval <= step && step <= interval + interval / 8, "class {class} left {step} ms after {}", pair[0]);
        }
        let client = world.client(&format!("c{class}"));
        let quotes = client.updates.iter().filter(|told| told.update.seq > 1);
        assert_eq!(quotes.map(|told| told.update.merged + 1).sum::<u32>(), 3_100, "class {class}");
        assert_eq!(client.images[&1].quote.expect("a quote").last, Some(3_100), "class {class}");
        assert!(transcript.contains(&format!(" c{class}: ack stock.A@{class} ")), "class {class} is granted");
    }
}

/// `fx.slow.#` at 500 ms at the fastest, the rest of `fx.#` at 100 ms, everything else as fast as the server allows.
#[track_caller]
fn check_with(conflate_ms_min: u32, script: &str, expected: expect_test::Expect) {
    let rule = |pattern, conflate_ms_min| RateRule { pattern: Pattern::parse(pattern).expect("a pattern"), conflate_ms_min };
    let rate_rules = vec![rule("fx.slow.#", 500), rule("fx.#", 100), rule("stock.#", 0)];
    check_in(world::World::new(EngineConfig { conflate_ms_min, rate_rules, ..world::config() }), script, expected);
}
