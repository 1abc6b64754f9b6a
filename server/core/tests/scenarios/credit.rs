//! Credit: what a client has not reported as processed is bounded, and what waits for room behaves as before a full socket.

use expect_test::expect;
use tickwire_core::engine::EngineConfig;

use super::script;
use super::world::{World, config};
use super::{check, check_in};

/// A client with two instruments that has used up the smallest window and reported nothing since it had its images.
fn used_up() -> World {
    let mut world = World::new(EngineConfig { credit_bytes_max: 4_096, ..config() });
    world.clients.quiet = true;
    script::run(
        &mut world,
        "
            new stock.A; new stock.B; quote stock.A 1 last=1; quote stock.B 2 last=1
            open a credit=true heartbeat=30000; sub a stock.*@0
            progress a",
    );
    for seq in 10..=300 {
        script::run(&mut world, &format!("quote stock.A {seq} last=1"));
    }
    let told = world.client("a").updates.last().map_or(0, |told| told.update.seq);
    assert!((50..200).contains(&told), "4 KiB are some hundred records: told up to {told}");
    assert_eq!(world.engine.stats().credit_window_bytes, 4_096);
    world.clients.quiet = false;
    world
}

#[test]
fn what_waits_for_room_goes_longest_dirty_first_one_record_each() {
    check_in(
        used_up(),
        "
            quote stock.B 301 last=9
            quote stock.A 302 last=7
            quote stock.B 303 last=3
            wait 20
            progress a",
        expect![[r#"
            20 a: quote stock.A #302 last=7 high=7 low=1 merged=155 | quote stock.B #303 last=3 high=9 low=3 merged=1
        "#]],
    );
}

#[test]
fn answers_and_heartbeats_do_not_wait() {
    check_in(
        used_up(),
        "
            ping a 7; quote stock.A 301 last=9
            sub a stock.B@100
            wait 16000
            progress a",
        expect![[r#"
            0 a: pong 7
            0 a: ack stock.B@100 images=1
            1000 a: SLOW
            15000 a: heartbeat log:145
            16000 a: quote stock.A #301 last=9 high=9 low=1 merged=155 | quote stock.B #2 last=1 IMAGE
            16000 a: complete
        "#]],
    );
}

#[test]
fn events_wait_in_order_with_the_state_before_them() {
    check_in(
        used_up(),
        "
            quote stock.B 301 last=9
            status stock.B 302 HALTED
            quote stock.B 303 last=3
            wait 20
            progress a",
        expect![[r#"
            20 a: quote stock.B #301 last=9 | status stock.B #302 HALTED EVENT | quote stock.A #300 last=1 high=1 low=1 merged=154 | quote stock.B #303 last=3
        "#]],
    );
}

#[test]
fn a_client_that_waits_for_a_second_is_told_that_it_is_slow_and_when_it_is_over() {
    check_in(
        used_up(),
        "
            wait 999
            wait 1
            wait 500
            progress a
            wait 100
            progress a
            wait 2000",
        expect![[r#"
            1000 a: SLOW
            1500 a: quote stock.A #300 last=1 high=1 low=1 merged=154
            3500 a: SLOW_CLEARED
        "#]],
    );
}

#[test]
fn without_a_report_it_is_disconnected() {
    check_in(
        used_up(),
        "
            wait 20000
            quote stock.B 301 last=9
            progress a 5
            progress a 999999
            progress a 0
            wait 9999
            wait 1",
        expect![[r#"
            1000 a: SLOW
            15000 a: heartbeat log:145
            30000 a: error SLOW_CONSUMER: the client reported no progress
            30000 a: close SLOW_CONSUMER (the client reported no progress)
        "#]],
    );
}

#[test]
fn a_client_that_is_not_held_back_has_to_report_too() {
    check(
        "
            open a credit=true
            wait 29999
            wait 1",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000 window=32768
            5000 a: heartbeat log:-
            10000 a: heartbeat log:-
            15000 a: heartbeat log:-
            20000 a: heartbeat log:-
            25000 a: heartbeat log:-
            30000 a: error SLOW_CONSUMER: the client reported no progress
            30000 a: close SLOW_CONSUMER (the client reported no progress)
        "#]],
    );
}

#[test]
fn reports_of_what_was_never_sent_or_long_since_reported_open_nothing() {
    let mut world = used_up();
    let (told, ignored) = (world.client("a").updates.len(), world.engine.stats().reports_ignored);
    script::run(&mut world, "progress a 999999\nprogress a 18446744073709551615\nprogress a 0\nprogress a 1\nprogress a 1");
    assert_eq!(world.client("a").updates.len(), told);
    assert_eq!(world.engine.stats().reports_ignored, ignored + 5);
    assert!(world.client("a").closed.is_none());
    script::run(&mut world, "wait 300\nprogress a");
    assert_eq!(world.client("a").updates.len(), told + 1);
    let stats = world.engine.stats();
    assert_eq!((stats.credit_waits, stats.credit_wait.as_millis()), (1, 300));
}

#[test]
fn the_window_shrinks_with_the_link_and_grows_again() {
    let mut world = World::new(config());
    world.clients.quiet = true;
    script::run(&mut world, "new stock.A\nopen a credit=true; sub a stock.A@0\nwait 20\nprogress a");
    let first = world.engine.stats().credit_window_bytes;
    let mut seq = 0;
    // 20 KB/s: of each 50 ms, 1,000 bytes are reported; the feed has far more.
    let mut storm = |world: &mut World, frames: u64, rounds: u32| {
        let mut reported = world.client("a").cseq;
        for _ in 0..rounds {
            for _ in 0..50 {
                seq += 1;
                script::run(world, &format!("quote stock.A {seq} last={seq}\nwait 1"));
            }
            reported = world.client("a").cseq.min(reported + frames);
            script::run(world, &format!("progress a {reported}"));
        }
        world.engine.stats().credit_window_bytes
    };
    let narrow = storm(&mut world, 20, 400);
    assert!(narrow <= first / 4, "it is {narrow} of {first}");
    let wide = storm(&mut world, 1_000, 400);
    assert!(wide > narrow, "it stays at {wide}");
}

#[test]
fn credit_is_given_to_those_who_ask_for_it_and_can_report() {
    check(
        "
            new stock.A
            open a credit=true
            open b
            sse c stock.A credit=true",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000 window=32768
            0 b: welcome FRESH heartbeat=5000
            0 c: welcome FRESH heartbeat=5000
            0 c: ack stock.A@0 images=0
            0 c: info stock.A | complete
            0 c: heartbeat log:-
        "#]],
    );
    let off = EngineConfig { credit_bytes_max: 0, ..config() };
    check_in(
        World::new(off),
        "open a credit=true",
        expect![[r#"
        0 a: welcome FRESH heartbeat=5000
    "#]],
    );
}

/// An event stream that the shell watches, with two instruments, that has used up the smallest window.
fn watched() -> World {
    let mut world = World::new(EngineConfig { credit_bytes_max: 4_096, ..config() });
    world.clients.quiet = true;
    script::run(
        &mut world,
        "
            new stock.A; new stock.B; quote stock.A 1 last=1; quote stock.B 2 last=1
            sse a heartbeat=5000 stock.A stock.B; watch a
            reached a",
    );
    for seq in 10..=300 {
        script::run(&mut world, &format!("quote stock.A {seq} last=1"));
    }
    let told = world.client("a").updates.last().map_or(0, |told| told.update.seq);
    assert!((15..100).contains(&told), "4 KiB are some dozen records of JSON: told up to {told}");
    assert_eq!((world.engine.stats().credit_connections, world.engine.stats().credit_window_bytes), (1, 4_096));
    world.clients.quiet = false;
    world
}

#[test]
fn what_the_socket_of_an_event_stream_has_not_got_across_is_bounded() {
    check_in(
        watched(),
        "
            quote stock.B 301 last=9
            quote stock.A 302 last=7
            wait 1500
            reached a",
        expect![[r#"
            1000 a: SLOW
            1500 a: quote stock.A #302 last=7 high=7 low=1 merged=261 | quote stock.B #301 last=9
        "#]],
    );
}

#[test]
fn an_event_stream_at_rest_is_not_looked_at_and_does_not_stall() {
    let mut world = watched();
    script::run(
        &mut world,
        "
            reached a
            wait 20
            reached a",
    );
    let frames = world.engine.stats().frames_sent;
    world.clients.quiet = true;
    world.wait(std::time::Duration::from_secs(600));
    assert_eq!(world.engine.stats().frames_sent, frames + 120, "heartbeats, and nothing else");
    assert_eq!(world.client("a").closed, None);
    world.clients.quiet = false;
    check_in(
        world,
        "quote stock.A 400 last=4",
        expect![[r#"
        0 a: quote stock.A #300 last=1 high=1 low=1 merged=260
        600020 a: quote stock.A #400 last=4
    "#]],
    );
}

#[test]
fn an_event_stream_for_which_nothing_waits_does_not_stall() {
    let mut world = World::new(EngineConfig { credit_bytes_max: 4_096, ..config() });
    world.clients.quiet = true;
    script::run(
        &mut world,
        "
            new stock.A; quote stock.A 1 last=1
            sse a heartbeat=30000 stock.A; watch a
            reached a
            quote stock.A 2 last=2
            wait 40000
            quote stock.A 3 last=3",
    );
    assert_eq!((world.client("a").closed, world.client("a").updates.last().map(|told| told.update.seq)), (None, Some(3)));
}

#[test]
fn an_event_stream_whose_socket_gets_nothing_across_is_ended() {
    check_in(
        watched(),
        "wait 31000",
        expect![[r#"
        1000 a: SLOW
        6000 a: heartbeat log:39
        11000 a: heartbeat log:39
        16000 a: heartbeat log:39
        21000 a: heartbeat log:39
        26000 a: heartbeat log:39
        30000 a: error SLOW_CONSUMER: the client reported no progress
        30000 a: close SLOW_CONSUMER (the client reported no progress)
    "#]],
    );
}

#[test]
fn who_is_not_watched_any_more_gets_everything() {
    check_in(
        watched(),
        "
            quote stock.B 301 last=9
            wait 20
            unwatch a",
        expect![[r#"
            20 a: quote stock.A #300 last=1 high=1 low=1 merged=260 | quote stock.B #301 last=9
    "#]],
    );
}

#[test]
fn who_reports_by_itself_is_held_back_also_when_nobody_watches() {
    check_in(
        used_up(),
        "
            unwatch a; quote stock.B 301 last=9
            wait 20",
        expect![[""]],
    );
}
