//! Scales that change while something waits, is kept or is replayed: every value is read at the scales that it was written at.

use expect_test::{Expect, expect};

use super::script;
use super::world::{World, config};

/// Runs `script` for a client of each encoding: both are told the same.
fn check(script: &str, expected: Expect) {
    check_with(256, script, expected);
}

/// The same, where so many events may wait for a client.
fn check_with(events_waiting_max: usize, script: &str, expected: Expect) {
    let transcript = |script: &str| {
        let mut settings = config();
        settings.events_waiting_max = events_waiting_max;
        let mut world = World::new(settings);
        script::run(&mut world, script);
        world.transcript()
    };
    let protobuf = transcript(script);
    assert_eq!(transcript(&script.replace("open a", "open a json")), protobuf, "JSON says something else");
    expected.assert_eq(&protobuf);
}

#[test]
fn what_waits_is_told_at_the_scales_of_its_time() {
    check(
        "
            new stock.A; quote stock.A 1 bid=1000
            open a; sub a stock.A@0+trades
            block a; quote stock.A 2 bid=1001
            quote stock.A 3 bid=1002 last=1002; trade stock.A 4 price=1002
            new stock.A price_scale=3; quote stock.A 5 bid=10020 last=10020 image
            trade stock.A 6 price=10025; trade stock.A 7 price=10024 bust
            new stock.A price_scale=4; quote stock.A 8 bid=100200 last=100200 image
            status stock.A 9 HALTED
            unblock a",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@0 images=1
            0 a: info stock.A | quote stock.A #1 bid=1000 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 a: quote stock.A #2 bid=1001
            0 a: trade stock.A #4 1002x1 | quote stock.A #4 bid=1002 last=1002
            0 a: info stock.A at 3 places | trade stock.A #6 10025x1 | quote stock.A #6 bid=10020 last=10020 IMAGE | trade stock.A #7 10024x1 bust EVENT
            0 a: info stock.A at 4 places | quote stock.A #8 bid=100200 last=100200 IMAGE | status stock.A #9 HALTED EVENT
        "#]],
    );
}

#[test]
fn a_price_that_fits_at_no_other_scale_is_told_at_its_own() {
    check(
        "
            new stock.A; quote stock.A 1 bid=1000
            open a; sub a stock.A@0
            block a; quote stock.A 2 bid=1001
            trade stock.A 3 price=9223372036854775807 bust
            new stock.A price_scale=3; new stock.A price_scale=4; quote stock.A 4 bid=100100 image
            unblock a",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@0 images=1
            0 a: info stock.A | quote stock.A #1 bid=1000 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 a: quote stock.A #2 bid=1001
            0 a: trade stock.A #3 9223372036854775807x1 bust EVENT
            0 a: info stock.A at 3 places | info stock.A at 4 places | quote stock.A #4 bid=100100 IMAGE
        "#]],
    );
}

#[test]
fn after_a_loss_all_that_waits_follows_the_newest_info() {
    check_with(
        5,
        "
            new stock.A; quote stock.A 1 bid=1000
            open a; sub a stock.A@0
            block a; quote stock.A 2 bid=1001
            status stock.A 3 HALTED; status stock.A 4 OPEN; status stock.A 5 HALTED; status stock.A 6 OPEN; status stock.A 7 HALTED
            status stock.A 8 OPEN
            trade stock.A 9 price=1005 bust
            new stock.A price_scale=3; quote stock.A 10 bid=10020 image
            unblock a",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@0 images=1
            0 a: info stock.A | quote stock.A #1 bid=1000 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 a: quote stock.A #2 bid=1001
            0 a: info stock.A at 3 places | gap stock.A 2..9 | quote stock.A #8 bid=10010 IMAGE | status stock.A #8 OPEN IMAGE | trade stock.A #9 10050x1 bust EVENT | quote stock.A #10 bid=10020 IMAGE
        "#]],
    );
}

#[test]
fn after_a_loss_what_the_newest_scales_cannot_say_is_lost_as_well() {
    check_with(
        5,
        "
            new stock.A; quote stock.A 1 bid=1000
            open a; sub a stock.A@0
            block a; quote stock.A 2 bid=1001
            status stock.A 3 HALTED; status stock.A 4 OPEN; status stock.A 5 HALTED; status stock.A 6 OPEN; status stock.A 7 HALTED
            status stock.A 8 OPEN
            trade stock.A 9 price=1005 bust
            new stock.A price_scale=1; quote stock.A 10 bid=100 image
            unblock a",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@0 images=1
            0 a: info stock.A | quote stock.A #1 bid=1000 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 a: quote stock.A #2 bid=1001
            0 a: info stock.A at 1 places | gap stock.A 2..9
            0 a: gap stock.A 8..10 | quote stock.A #8 IMAGE | status stock.A #8 OPEN IMAGE | quote stock.A #10 bid=100 IMAGE | status stock.A #10 OPEN IMAGE
        "#]],
    );
}

#[test]
fn replayed_events_are_told_at_the_scales_of_now() {
    check(
        "
            new stock.A; quote stock.A 1 bid=1000; trade stock.A 2 price=1001 bust; bar stock.A 3 close=1001 final
            new stock.A price_scale=3 quantity_scale=1; quote stock.A 4 bid=10000 image; trade stock.A 5 price=10010 quantity=10 bust
            open a resume=log:1; sub a stock.A@0",
        expect![[r#"
            0 a: welcome RESUMED heartbeat=5000
            0 a: ack stock.A@0 images=3
            0 a: info stock.A at 3 places | trade stock.A #2 10010x10 bust EVENT | bar stock.A #3 60s@0 close=10010 final EVENT | trade stock.A #5 10010x10 bust EVENT | quote stock.A #5 bid=10000 IMAGE | bar stock.A #5 0s@0 close=0 IMAGE | bar stock.A #5 60s@0 close=1001 final IMAGE
            0 a: complete
            0 a: heartbeat log:5
        "#]],
    );
}

#[test]
fn replayed_events_that_the_scales_of_now_cannot_say_are_a_gap() {
    check(
        "
            new stock.A; quote stock.A 1 bid=1000; trade stock.A 2 price=1005 bust; status stock.A 3 HALTED
            trade stock.A 4 price=1010 bust
            new stock.A price_scale=1; quote stock.A 5 bid=100 image
            open a resume=log:1; sub a stock.A@0",
        expect![[r#"
            0 a: welcome RESUMED heartbeat=5000
            0 a: ack stock.A@0 images=2
            0 a: info stock.A at 1 places | gap stock.A 1..3 | status stock.A #3 HALTED EVENT | trade stock.A #4 101x1 bust EVENT | quote stock.A #5 bid=100 IMAGE | status stock.A #5 HALTED IMAGE
            0 a: complete
            0 a: heartbeat log:5
        "#]],
    );
}

#[test]
fn trades_that_a_lane_keeps_leave_before_the_new_scales() {
    check(
        "
            new stock.A; quote stock.A 1 bid=1000
            open a; sub a stock.A@5000+trades
            quote stock.A 2 bid=1001
            wait 10
            trade stock.A 3 price=1002; new stock.A price_scale=3; quote stock.A 4 bid=10010 image; trade stock.A 5 price=10025
            wait 6000",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@5000 images=1
            0 a: info stock.A | quote stock.A #1 bid=1000 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 a: quote stock.A #2 bid=1001
            10 a: trade stock.A #3 1002x1
            10 a: info stock.A at 3 places
            5010 a: heartbeat log:3
            5635 a: trade stock.A #5 10025x1 | quote stock.A #5 bid=10010 IMAGE
        "#]],
    );
}

#[test]
fn a_paused_client_is_owed_extremes_at_the_scales_of_now() {
    check(
        "
            new stock.A; quote stock.A 1 last=1000
            open a; sub a stock.A@0
            pause a; quote stock.A 2 last=1005; quote stock.A 3 last=990
            new stock.A price_scale=3; quote stock.A 4 last=9900 image
            quote stock.A 5 last=9950
            go a",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@0 images=1
            0 a: info stock.A | quote stock.A #1 last=1000 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 a: ok conflate=0
            0 a: info stock.A at 3 places
            0 a: ok conflate=0 | quote stock.A #5 last=9950 high=10050 low=9900 merged=3 IMAGE
        "#]],
    );
}

#[test]
fn what_waits_while_the_log_is_read_again_follows_the_scales_that_it_ends_with() {
    check(
        "
            new stock.A; quote stock.A 1 bid=1000
            open a; sub a stock.A@0
            block a; quote stock.A 2 bid=1001
            quote stock.A 3 bid=1002; trade stock.A 4 price=1002 bust
            new stock.A price_scale=3; quote stock.A 5 bid=10020 image; trade stock.A 6 price=10021 bust
            reset log; new stock.A price_scale=4; quote stock.A 6 bid=100200 image; synced
            unblock a",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@0 images=1
            0 a: info stock.A | quote stock.A #1 bid=1000 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 a: quote stock.A #2 bid=1001
            0 a: info stock.A at 4 places | quote stock.A #3 bid=100200 | trade stock.A #4 100200x1 bust EVENT | quote stock.A #5 bid=100200 IMAGE | trade stock.A #6 100210x1 bust EVENT | quote stock.A #6 bid=100200 IMAGE
        "#]],
    );
}

#[test]
fn a_new_name_changes_nothing_else() {
    check(
        "
            new stock.A; quote stock.A 1 bid=1000
            open a; sub a stock.A@0
            block a; quote stock.A 2 bid=1001
            trade stock.A 3 price=1001 bust; new stock.A; trade stock.A 4 price=1002 bust
            unblock a",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@0 images=1
            0 a: info stock.A | quote stock.A #1 bid=1000 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 a: quote stock.A #2 bid=1001
            0 a: trade stock.A #3 1001x1 bust EVENT | trade stock.A #4 1002x1 bust EVENT
        "#]],
    );
}
