//! Paced connections: who was told prices since the last beat is told first changes at the next.

use expect_test::{Expect, expect};
use tickwire_core::engine::EngineConfig;

use super::check_in;
use super::world::{World, config};

fn check(script: &str, expected: Expect) {
    check_in(World::new(EngineConfig { paced: true, ..config() }), script, expected);
}

#[test]
fn who_was_silent_is_told_at_once_and_who_was_not_at_the_next_beat() {
    check(
        "
            new s.A; quote s.A 1 bid=1; new s.B; quote s.B 1 bid=1; new s.C; quote s.C 1 bid=1
            open a; sub a s.A@100 s.B@100 s.C@100; open b; sub b s.B@100
            wait 1030
            quote s.A 2 bid=2
            wait 10
            quote s.B 3 bid=3
            wait 10
            quote s.C 4 bid=4
            wait 200
            quote s.C 5 bid=5",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack s.A@100 s.B@100 s.C@100 images=3
            0 a: info s.A | info s.B | info s.C | quote s.A #1 bid=1 IMAGE | quote s.B #1 bid=1 IMAGE | quote s.C #1 bid=1 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 b: welcome FRESH heartbeat=5000
            0 b: ack s.B@100 images=1
            0 b: info s.B | quote s.B #1 bid=1 IMAGE
            0 b: complete
            0 b: heartbeat log:1
            1030 a: quote s.A #2 bid=2
            1040 b: quote s.B #3 bid=3
            1100 a: quote s.B #3 bid=3 | quote s.C #4 bid=4
            1250 a: quote s.C #5 bid=5
        "#]],
    );
}

#[test]
fn busy_lanes_speak_on_the_beat_and_take_along_what_is_held() {
    check(
        "
            new s.A; quote s.A 1 bid=1; new s.B; quote s.B 1 bid=1
            open a; sub a s.A@100 s.B@100; open b; sub b s.B@100
            wait 1030
            quote s.A 2 bid=2
            quote s.A 3 bid=3
            wait 20
            quote s.B 4 bid=4
            quote s.B 5 bid=5
            wait 60
            quote s.A 6 bid=6
            wait 200",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack s.A@100 s.B@100 images=2
            0 a: info s.A | info s.B | quote s.A #1 bid=1 IMAGE | quote s.B #1 bid=1 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 b: welcome FRESH heartbeat=5000
            0 b: ack s.B@100 images=1
            0 b: info s.B | quote s.B #1 bid=1 IMAGE
            0 b: complete
            0 b: heartbeat log:1
            1030 a: quote s.A #2 bid=2
            1050 b: quote s.B #4 bid=4
            1100 a: quote s.B #4 bid=4 | quote s.A #3 bid=3 | quote s.B #5 bid=5
            1100 b: quote s.B #5 bid=5
            1200 a: quote s.A #6 bid=6
        "#]],
    );
}

#[test]
fn what_may_not_wait_takes_along_what_is_held() {
    check(
        "
            new s.A; quote s.A 1 bid=1; new s.B; quote s.B 1 bid=1; new s.C
            open a; sub a s.A@100 s.B@0 s.C@1000; open b; sub b s.A@100
            wait 1030
            quote s.A 2 bid=2
            wait 200
            quote s.B 3 bid=3
            quote s.A 4 bid=4
            quote s.B 5 bid=5
            wait 200
            quote s.A 6 bid=6
            wait 110
            quote s.B 7 bid=7
            quote s.A 8 bid=8
            status s.C 9 HALTED
            wait 300
            quote s.B 10 bid=10
            quote s.A 11 bid=11
            ping a 7
            wait 300
            quote s.B 12 bid=12
            quote s.A 13 bid=13
            feed f LIVE",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack s.A@100 s.B@0 s.C@1000 images=2
            0 a: info s.A | info s.B | info s.C | quote s.A #1 bid=1 IMAGE | quote s.B #1 bid=1 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 b: welcome FRESH heartbeat=5000
            0 b: ack s.A@100 images=1
            0 b: info s.A | quote s.A #1 bid=1 IMAGE
            0 b: complete
            0 b: heartbeat log:1
            1030 a: quote s.A #2 bid=2
            1030 b: quote s.A #2 bid=2
            1230 a: quote s.B #3 bid=3
            1230 b: quote s.A #4 bid=4
            1230 a: quote s.A #4 bid=4 | quote s.B #5 bid=5
            1430 a: quote s.A #6 bid=6
            1430 b: quote s.A #6 bid=6
            1540 a: quote s.B #7 bid=7
            1540 b: quote s.A #8 bid=8
            1540 a: quote s.A #8 bid=8 | status s.C #9 HALTED EVENT
            1840 a: quote s.B #10 bid=10
            1840 b: quote s.A #11 bid=11
            1840 a: quote s.A #11 bid=11
            1840 a: pong 7
            2140 a: quote s.B #12 bid=12
            2140 b: quote s.A #13 bid=13
            2140 a: quote s.A #13 bid=13
            2140 a: feed f LIVE at 13
            2140 b: feed f LIVE at 13
        "#]],
    );
}

#[test]
fn a_token_never_covers_what_is_held() {
    check(
        "
            new s.A; quote s.A 1 bid=1; new s.B; quote s.B 1 bid=1
            open a heartbeat=500; sub a s.A@5000 s.B@5000; open b; sub b s.B@5000
            wait 5100
            quote s.A 2 bid=2
            quote s.B 3 bid=3
            wait 600",
        expect![[r#"
            0 a: welcome FRESH heartbeat=500
            0 a: ack s.A@5000 s.B@5000 images=2
            0 a: info s.A | info s.B | quote s.A #1 bid=1 IMAGE | quote s.B #1 bid=1 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 b: welcome FRESH heartbeat=5000
            0 b: ack s.B@5000 images=1
            0 b: info s.B | quote s.B #1 bid=1 IMAGE
            0 b: complete
            0 b: heartbeat log:1
            500 a: heartbeat log:1
            1000 a: heartbeat log:1
            1500 a: heartbeat log:1
            2000 a: heartbeat log:1
            2500 a: heartbeat log:1
            3000 a: heartbeat log:1
            3500 a: heartbeat log:1
            4000 a: heartbeat log:1
            4500 a: heartbeat log:1
            5000 a: heartbeat log:1
            5000 b: heartbeat log:1
            5100 a: quote s.A #2 bid=2
            5100 b: quote s.B #3 bid=3
            5500 a: quote s.B #3 bid=3
        "#]],
    );
}

#[test]
fn what_is_held_leaves_before_an_answer() {
    check(
        "
            new s.A; quote s.A 1 bid=1; new s.B; quote s.B 1 bid=1
            open a; sub a s.A@100 s.B@100; open b; sub b s.B@100
            wait 1030
            quote s.A 2 bid=2
            quote s.B 3 bid=3
            unsub a s.B
            wait 200
            quote s.A 4 bid=4
            quote s.A 5 bid=5
            new s.A price_scale=3; quote s.A 6 bid=50 image
            wait 200",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack s.A@100 s.B@100 images=2
            0 a: info s.A | info s.B | quote s.A #1 bid=1 IMAGE | quote s.B #1 bid=1 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 b: welcome FRESH heartbeat=5000
            0 b: ack s.B@100 images=1
            0 b: info s.B | quote s.B #1 bid=1 IMAGE
            0 b: complete
            0 b: heartbeat log:1
            1030 a: quote s.A #2 bid=2
            1030 b: quote s.B #3 bid=3
            1030 a: quote s.B #3 bid=3
            1030 a: unsubscribed 1
            1230 a: quote s.A #4 bid=4
            1230 a: quote s.A #5 bid=5
            1230 a: info s.A at 3 places
            1300 a: quote s.A #6 bid=50 IMAGE
        "#]],
    );
}

#[test]
fn a_connection_that_ends_leaves_nothing_behind() {
    check(
        "
            new s.A; quote s.A 1 bid=1; new s.B; quote s.B 1 bid=1
            open a; sub a s.A@100 s.B@100; open b; sub b s.A@100 s.B@100; open d; sub d s.B@100
            wait 1030
            quote s.A 2 bid=2
            quote s.B 3 bid=3
            detach a
            open c; sub c s.B@100
            wait 300
            quote s.A 4 bid=4
            quote s.B 5 bid=5
            drain",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack s.A@100 s.B@100 images=2
            0 a: info s.A | info s.B | quote s.A #1 bid=1 IMAGE | quote s.B #1 bid=1 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 b: welcome FRESH heartbeat=5000
            0 b: ack s.A@100 s.B@100 images=2
            0 b: info s.A | info s.B | quote s.A #1 bid=1 IMAGE | quote s.B #1 bid=1 IMAGE
            0 b: complete
            0 b: heartbeat log:1
            0 d: welcome FRESH heartbeat=5000
            0 d: ack s.B@100 images=1
            0 d: info s.B | quote s.B #1 bid=1 IMAGE
            0 d: complete
            0 d: heartbeat log:1
            1030 a: quote s.A #2 bid=2
            1030 b: quote s.A #2 bid=2
            1030 d: quote s.B #3 bid=3
            1030 c: welcome FRESH heartbeat=5000
            1030 c: ack s.B@100 images=1
            1030 c: info s.B | quote s.B #3 bid=3 IMAGE
            1030 c: complete
            1030 c: heartbeat log:3
            1100 b: quote s.B #3 bid=3
            1330 b: quote s.A #4 bid=4
            1330 d: quote s.B #5 bid=5
            1330 c: quote s.B #5 bid=5
            1330 c: goodbye 1000 + 20000
            1330 c: close SHUTTING_DOWN (the node is going away)
            1330 b: quote s.B #5 bid=5
            1330 b: goodbye 1000 + 20000
            1330 b: close SHUTTING_DOWN (the node is going away)
            1330 d: goodbye 1000 + 20000
            1330 d: close SHUTTING_DOWN (the node is going away)
        "#]],
    );
}

#[test]
fn a_lane_whose_subscribers_were_all_told_merges_until_the_beat() {
    check(
        "
            new s.A; quote s.A 1 bid=1; new s.B; quote s.B 1 bid=1
            open a; sub a s.A@100 s.B@100; open b; sub b s.A@100
            wait 1030
            quote s.A 2 bid=2
            wait 10
            quote s.B 3 bid=3
            quote s.B 4 bid=4
            wait 200",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack s.A@100 s.B@100 images=2
            0 a: info s.A | info s.B | quote s.A #1 bid=1 IMAGE | quote s.B #1 bid=1 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 b: welcome FRESH heartbeat=5000
            0 b: ack s.A@100 images=1
            0 b: info s.A | quote s.A #1 bid=1 IMAGE
            0 b: complete
            0 b: heartbeat log:1
            1030 a: quote s.A #2 bid=2
            1030 b: quote s.A #2 bid=2
            1100 a: quote s.B #4 bid=4 merged=1
        "#]],
    );
}

#[test]
fn a_lane_speaks_once_a_beat_and_sooner_after_a_first_change_only() {
    check(
        "
            new s.A; quote s.A 1 bid=1
            open a; sub a s.A@100
            wait 1090
            quote s.A 2 bid=2
            wait 20
            quote s.A 3 bid=3
            wait 20
            quote s.A 4 bid=4
            wait 80
            quote s.A 5 bid=5
            wait 200",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack s.A@100 images=1
            0 a: info s.A | quote s.A #1 bid=1 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            1090 a: quote s.A #2 bid=2
            1110 a: quote s.A #3 bid=3
            1200 a: quote s.A #4 bid=4
            1300 a: quote s.A #5 bid=5
        "#]],
    );
}

#[test]
fn a_connection_is_written_to_once_a_beat_however_many_instruments_it_has() {
    let mut world = World::new(EngineConfig { paced: true, ..config() });
    world.clients.quiet = true;
    let names: Vec<String> = (0..20).map(|n| format!("new s.{n}; quote s.{n} 1 bid=1")).collect();
    super::script::run(&mut world, &names.join("; "));
    super::script::run(&mut world, "open a; sub a s.*@100");
    let before = world.client("a").cseq;
    // Each of twenty instruments changes every 400 ms: always a first change.
    for turn in 0..500 {
        super::script::run(&mut world, &format!("wait 20\nquote s.{} {} bid={turn}", turn % 20, turn + 2));
    }
    let frames = world.client("a").cseq - before;
    assert!((100..=105).contains(&frames), "{frames} frames in ten seconds");
}
