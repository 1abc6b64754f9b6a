//! Subscribers that cannot take data: marks only, newest first served oldest-dirty first, events in a bounded queue.

use expect_test::expect;

use super::check;

#[test]
fn a_blocked_client_gets_one_record_per_instrument_longest_dirty_first() {
    check(
        "
            new stock.A; new stock.B; quote stock.A 1 last=1; quote stock.B 2 last=1
            open a; sub a stock.*@0
            block a; quote stock.A 3 last=2
            quote stock.B 4 last=9
            quote stock.A 5 last=7
            quote stock.B 6 last=3
            quote stock.A 7 last=4
            unblock a",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.*@0x2 images=2
            0 a: info stock.A | info stock.B | quote stock.A #1 last=1 IMAGE | quote stock.B #2 last=1 IMAGE
            0 a: complete
            0 a: heartbeat log:2
            0 a: quote stock.A #3 last=2
            0 a: quote stock.B #6 last=3 high=9 low=3 merged=1 | quote stock.A #7 last=4 high=7 low=4 merged=1
        "#]],
    );
}

#[test]
fn bid_and_ask_of_one_input_stay_together_also_when_the_book_is_ahead_of_the_lane() {
    check(
        "
            new stock.A; quote stock.A 1 bid=1 ask=2
            open a heartbeat=30000; sub a stock.A@500
            block a; quote stock.A 2 bid=2
            quote stock.A 3 bid=3
            wait 500
            quote stock.A 4 bid=4 ask=5
            unblock a",
        expect![[r#"
            0 a: welcome FRESH heartbeat=30000
            0 a: ack stock.A@500 images=1
            0 a: info stock.A | quote stock.A #1 bid=1 ask=2 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 a: quote stock.A #2 bid=2
            500 a: quote stock.A #4 bid=4 ask=5
        "#]],
    );
}

#[test]
fn events_of_a_blocked_client_keep_the_state_before_them() {
    check(
        "
            new stock.A; quote stock.A 1 last=1
            open a; sub a stock.A@0
            block a; quote stock.A 2 last=2
            quote stock.A 3 last=3
            status stock.A 4 HALTED
            quote stock.A 5 last=5
            quote stock.A 6 last=6
            unblock a",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@0 images=1
            0 a: info stock.A | quote stock.A #1 last=1 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 a: quote stock.A #2 last=2
            0 a: quote stock.A #3 last=3 | status stock.A #4 HALTED EVENT | quote stock.A #6 last=6 high=6 low=5 merged=1
        "#]],
    );
}

#[test]
fn a_client_that_is_behind_for_a_second_is_told_so_and_when_it_is_over() {
    check(
        "
            new stock.A; quote stock.A 1 last=1
            open a heartbeat=30000; sub a stock.A@0
            block a; quote stock.A 2 last=2
            wait 500
            quote stock.A 3 last=3
            wait 600
            unblock a
            wait 1900
            wait 200",
        expect![[r#"
            0 a: welcome FRESH heartbeat=30000
            0 a: ack stock.A@0 images=1
            0 a: info stock.A | quote stock.A #1 last=1 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 a: quote stock.A #2 last=2
            1100 a: SLOW | quote stock.A #3 last=3
            3100 a: SLOW_CLEARED
        "#]],
    );
}

#[test]
fn a_short_block_is_not_worth_a_word() {
    check(
        "
            new stock.A; quote stock.A 1 last=1
            open a heartbeat=30000; sub a stock.A@0
            block a; quote stock.A 2 last=2
            wait 900
            unblock a
            wait 3000",
        expect![[r#"
            0 a: welcome FRESH heartbeat=30000
            0 a: ack stock.A@0 images=1
            0 a: info stock.A | quote stock.A #1 last=1 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 a: quote stock.A #2 last=2
        "#]],
    );
}

#[test]
fn without_progress_it_is_disconnected() {
    check(
        "
            new stock.A
            open a; sub a stock.A@0
            block a; quote stock.A 1 last=2
            wait 29999
            wait 1",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@0 images=0
            0 a: info stock.A | complete
            0 a: heartbeat log:-
            0 a: quote stock.A #1 last=2 IMAGE
            30000 a: error SLOW_CONSUMER: the client did not take data
            30000 a: close SLOW_CONSUMER (the client did not take data)
        "#]],
    );
}

#[test]
fn a_report_of_progress_counts() {
    check(
        "
            new stock.A
            open a; sub a stock.A@0
            block a; quote stock.A 1 last=2
            wait 20000
            progress a
            wait 29000
            wait 1000",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@0 images=0
            0 a: info stock.A | complete
            0 a: heartbeat log:-
            0 a: quote stock.A #1 last=2 IMAGE
            50000 a: error SLOW_CONSUMER: the client did not take data
            50000 a: close SLOW_CONSUMER (the client did not take data)
        "#]],
    );
}

#[test]
fn answers_wait_for_a_blocked_client_and_come_first() {
    check(
        "
            new stock.A; quote stock.A 1 last=1
            open a; sub a stock.A@0
            block a; quote stock.A 2 last=2
            quote stock.A 3 last=3; ping a 5; ping a 6
            unblock a",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@0 images=1
            0 a: info stock.A | quote stock.A #1 last=1 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 a: quote stock.A #2 last=2
            0 a: pong 5
            0 a: pong 6 | quote stock.A #3 last=3
        "#]],
    );
}

#[test]
fn a_paused_client_gets_heartbeats_feeds_and_events_but_no_state() {
    check(
        "
            new stock.A; quote stock.A 1 last=1
            open a heartbeat=1000; sub a stock.A@0
            pause a
            quote stock.A 2 last=2
            quote stock.A 3 last=3
            status stock.A 4 HALTED
            feed f STALE
            quote stock.A 5 last=4
            wait 1000
            go a",
        expect![[r#"
            0 a: welcome FRESH heartbeat=1000
            0 a: ack stock.A@0 images=1
            0 a: info stock.A | quote stock.A #1 last=1 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 a: ok conflate=0
            0 a: status stock.A #4 HALTED EVENT
            0 a: feed f STALE at 4
            1000 a: heartbeat log:1 | feed f STALE at 5
            1000 a: ok conflate=0 | quote stock.A #5 last=4 high=4 low=2 merged=2
        "#]],
    );
}

#[test]
fn subscribing_while_blocked_gives_the_image_when_there_is_room() {
    check(
        "
            new stock.A; new stock.B; quote stock.A 1 last=1; quote stock.B 2 last=1
            open a; sub a stock.A@0
            block a; quote stock.A 3 last=2
            sub a stock.B@0
            quote stock.B 4 last=3; status stock.B 5 HALTED; quote stock.B 6 last=4
            unblock a",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@0 images=1
            0 a: info stock.A | quote stock.A #1 last=1 IMAGE
            0 a: complete
            0 a: heartbeat log:2
            0 a: quote stock.A #3 last=2
            0 a: ack stock.B@0 images=1
            0 a: info stock.B | quote stock.B #4 last=3 IMAGE | status stock.B #5 HALTED EVENT | quote stock.B #6 last=4
            0 a: complete
        "#]],
    );
}

#[test]
fn an_instrument_that_is_unsubscribed_while_blocked_is_forgotten() {
    check(
        "
            new stock.A; quote stock.A 1 last=1
            open a; sub a stock.A@0
            block a; quote stock.A 2 last=2
            quote stock.A 3 last=3; status stock.A 4 HALTED
            unsub a stock.A
            unblock a",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@0 images=1
            0 a: info stock.A | quote stock.A #1 last=1 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 a: quote stock.A #2 last=2
            0 a: unsubscribed 1
        "#]],
    );
}

#[test]
fn feeds_and_infos_wait_in_order() {
    check(
        "
            new stock.A; quote stock.A 1 bid=1
            open a; sub a stock.A@0
            block a; quote stock.A 2 bid=2
            feed f STALE; quote stock.A 3 bid=3; new stock.A price_scale=3; quote stock.A 4 bid=40 image; feed f LIVE
            unblock a",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@0 images=1
            0 a: info stock.A | quote stock.A #1 bid=1 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 a: quote stock.A #2 bid=2
            0 a: feed f STALE at 2 | quote stock.A #3 bid=3
            0 a: info stock.A at 3 places | feed f LIVE at 4 | quote stock.A #4 bid=40 IMAGE
        "#]],
    );
}

#[test]
fn detaching_leaves_the_others_alone() {
    check(
        "
            new stock.A; quote stock.A 1 bid=1
            open a; sub a stock.A@0
            open b; sub b stock.A@0
            open c; sub c stock.A@0
            quote stock.A 2 bid=2; detach a
            quote stock.A 3 bid=3
            detach c
            quote stock.A 4 bid=4",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@0 images=1
            0 a: info stock.A | quote stock.A #1 bid=1 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 b: welcome FRESH heartbeat=5000
            0 b: ack stock.A@0 images=1
            0 b: info stock.A | quote stock.A #1 bid=1 IMAGE
            0 b: complete
            0 b: heartbeat log:1
            0 c: welcome FRESH heartbeat=5000
            0 c: ack stock.A@0 images=1
            0 c: info stock.A | quote stock.A #1 bid=1 IMAGE
            0 c: complete
            0 c: heartbeat log:1
            0 c: quote stock.A #2 bid=2
            0 b: quote stock.A #2 bid=2
            0 c: quote stock.A #3 bid=3
            0 b: quote stock.A #3 bid=3
            0 b: quote stock.A #4 bid=4
        "#]],
    );
}

#[test]
fn an_extreme_is_told_even_if_the_newest_value_overtakes_it() {
    check(
        "
            new stock.A; quote stock.A 1 last=50
            open a; sub a stock.A@50
            wait 100
            block a; quote stock.A 2 last=51
            wait 50
            quote stock.A 3 last=90
            quote stock.A 4 last=52
            unblock a
            wait 100",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@50 images=1
            0 a: info stock.A | quote stock.A #1 last=50 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            100 a: quote stock.A #2 last=51
            150 a: quote stock.A #4 last=52 high=90 low=52
            200 a: quote stock.A #4 last=52
        "#]],
    );
}
