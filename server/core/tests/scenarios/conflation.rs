//! Lanes: when a record leaves, and what was merged into it.

use expect_test::expect;

use super::check;

#[test]
fn the_first_change_leaves_at_once_and_later_ones_at_the_end_of_the_interval() {
    check(
        "
            new stock.A; quote stock.A 1 bid=10
            open a; sub a stock.A@100
            wait 1000
            quote stock.A 2 bid=11
            wait 30
            quote stock.A 3 bid=12
            wait 10
            quote stock.A 4 ask=20
            wait 500",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@100 images=1
            0 a: info stock.A | quote stock.A #1 bid=10 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            1000 a: quote stock.A #2 bid=11
            1100 a: quote stock.A #4 bid=12 ask=20 merged=1
        "#]],
    );
}

#[test]
fn class_0_leaves_with_every_flush() {
    check(
        "
            new stock.A
            open a; sub a stock.A@0
            quote stock.A 1 bid=10
            quote stock.A 2 bid=11; quote stock.A 3 bid=12
            quote stock.A 4 bid=13",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@0 images=0
            0 a: info stock.A | complete
            0 a: heartbeat log:-
            0 a: quote stock.A #1 bid=10 IMAGE
            0 a: quote stock.A #3 bid=12 merged=1
            0 a: quote stock.A #4 bid=13
        "#]],
    );
}

#[test]
fn a_silent_lane_asks_for_nothing() {
    check(
        "
            new stock.A; quote stock.A 1 bid=10
            open a heartbeat=30000; sub a stock.A@100
            quote stock.A 2 bid=11
            wait 14000",
        expect![[r#"
            0 a: welcome FRESH heartbeat=30000
            0 a: ack stock.A@100 images=1
            0 a: info stock.A | quote stock.A #1 bid=10 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 a: quote stock.A #2 bid=11
        "#]],
    );
}

#[test]
fn extremes_and_counts_are_exact_whatever_was_merged() {
    check(
        "
            new stock.A; quote stock.A 1 last=50
            open a; sub a stock.A@100
            quote stock.A 2 last=51
            quote stock.A 3 last=58 volume=100; quote stock.A 4 last=42 volume=200; quote stock.A 5 last=50 volume=300; quote stock.A 6 bid=49
            wait 100
            quote stock.A 7 last=50
            wait 100",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@100 images=1
            0 a: info stock.A | quote stock.A #1 last=50 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 a: quote stock.A #2 last=51
            100 a: quote stock.A #6 bid=49 last=50 volume=300 high=58 low=42 merged=3
            200 a: quote stock.A #7 last=50
        "#]],
    );
}

#[test]
fn each_rate_has_a_lane_of_its_own() {
    check(
        "
            new stock.A; quote stock.A 1 bid=10
            open a; sub a stock.A@0
            open b; sub b stock.A@100
            open c json; sub c stock.A@1000
            quote stock.A 2 bid=11
            wait 20
            quote stock.A 3 bid=12
            wait 20
            quote stock.A 4 bid=13
            wait 1200",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@0 images=1
            0 a: info stock.A | quote stock.A #1 bid=10 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 b: welcome FRESH heartbeat=5000
            0 b: ack stock.A@100 images=1
            0 b: info stock.A | quote stock.A #1 bid=10 IMAGE
            0 b: complete
            0 b: heartbeat log:1
            0 c: welcome FRESH heartbeat=5000
            0 c: ack stock.A@1000 images=1
            0 c: info stock.A | quote stock.A #1 bid=10 IMAGE
            0 c: complete
            0 c: heartbeat log:1
            0 a: quote stock.A #2 bid=11
            0 b: quote stock.A #2 bid=11
            0 c: quote stock.A #2 bid=11
            20 a: quote stock.A #3 bid=12
            40 a: quote stock.A #4 bid=13
            100 b: quote stock.A #4 bid=13 merged=1
            1000 c: quote stock.A #4 bid=13 merged=1
        "#]],
    );
}

#[test]
fn bid_and_ask_of_one_input_stay_together() {
    check(
        "
            new stock.A
            open a; sub a stock.A@100
            quote stock.A 1 bid=10 ask=12
            wait 10
            quote stock.A 2 bid=11 ask=13
            quote stock.A 3 last=12
            wait 200",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@100 images=0
            0 a: info stock.A | complete
            0 a: heartbeat log:-
            0 a: quote stock.A #1 bid=10 ask=12 IMAGE
            100 a: quote stock.A #3 bid=11 ask=13 last=12 high=12 low=12 merged=1
        "#]],
    );
}

#[test]
fn a_cleared_field_is_named_even_if_it_was_set_in_between() {
    check(
        "
            new stock.A; quote stock.A 1 bid=10 ask=12
            open a; sub a stock.A@100
            quote stock.A 2 last=1
            quote stock.A 3 ask=13
            quote stock.A 4 clear=3 bid=11
            wait 200",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@100 images=1
            0 a: info stock.A | quote stock.A #1 bid=10 ask=12 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 a: quote stock.A #2 last=1
            100 a: quote stock.A #4 bid=11 clear=3 merged=1
        "#]],
    );
}

#[test]
fn a_field_that_was_cleared_and_set_again_is_just_set() {
    check(
        "
            new stock.A; quote stock.A 1 bid=10 ask=12
            open a; sub a stock.A@100
            quote stock.A 2 last=1
            quote stock.A 3 clear=3
            quote stock.A 4 ask=15
            wait 200",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@100 images=1
            0 a: info stock.A | quote stock.A #1 bid=10 ask=12 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 a: quote stock.A #2 last=1
            100 a: quote stock.A #4 ask=15 merged=1
        "#]],
    );
}

#[test]
fn an_image_from_the_feed_leaves_as_an_image() {
    check(
        "
            new stock.A; quote stock.A 1 bid=10 ask=12
            open a; sub a stock.A@100
            quote stock.A 2 last=1
            quote stock.A 3 bid=9 image
            quote stock.A 4 last=2
            wait 200",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@100 images=1
            0 a: info stock.A | quote stock.A #1 bid=10 ask=12 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 a: quote stock.A #2 last=1
            100 a: quote stock.A #4 bid=9 last=2 high=2 low=2 merged=1 IMAGE
        "#]],
    );
}

#[test]
fn kinds_of_bodies_leave_as_records_of_their_own() {
    check(
        "
            new soccer.X; score soccer.X 1 home=0 away=0 clock=10; quote soccer.X 2 last=5
            open a; sub a soccer.X@100
            score soccer.X 3 clock=11
            score soccer.X 4 clock=12; quote soccer.X 5 last=6; score soccer.X 6 clock=13; bar soccer.X 7 close=4; bar soccer.X 8 length=300 close=4
            wait 200",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack soccer.X@100 images=2
            0 a: info soccer.X | quote soccer.X #2 last=5 IMAGE | score soccer.X #2 home=0 away=0 clock=10 IMAGE
            0 a: complete
            0 a: heartbeat log:2
            0 a: score soccer.X #3 clock=11
            100 a: quote soccer.X #8 last=6 | score soccer.X #8 clock=13 merged=1 | bar soccer.X #8 60s@0 close=4 IMAGE | bar soccer.X #8 300s@0 close=4 IMAGE
        "#]],
    );
}

#[test]
fn outcomes_merge_by_id() {
    check(
        "
            new m; odds m 1 1:back=200 2:back=300
            open a; sub a m@100
            odds m 2 1:back=201
            odds m 3 2:back=301; odds m 4 2:back=302
            wait 200",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack m@100 images=1
            0 a: info m | odds m #1 1:back=200 2:back=300 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 a: odds m #2 1:back=201
            100 a: odds m #4 2:back=302 merged=1
        "#]],
    );
}

#[test]
fn an_update_older_than_the_book_changes_nothing() {
    check(
        "
            new stock.A
            open a; sub a stock.A@0
            quote stock.A 5 bid=10
            quote stock.A 4 bid=9
            quote stock.A 5 bid=10",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@0 images=0
            0 a: info stock.A | complete
            0 a: heartbeat log:-
            0 a: quote stock.A #5 bid=10 IMAGE
            0 a: quote stock.A #5 bid=10
        "#]],
    );
}

#[test]
fn a_busy_lane_falls_into_step_with_the_others() {
    check(
        "
            new stock.A; new stock.B
            open a; sub a stock.A@1000 stock.B@1000
            quote stock.A 1 bid=1
            wait 900
            quote stock.B 2 bid=1; quote stock.A 3 bid=2
            wait 200
            quote stock.A 4 bid=3; quote stock.B 5 bid=2
            wait 950
            quote stock.A 6 bid=4; quote stock.B 7 bid=3
            wait 1000
            quote stock.A 8 bid=5; quote stock.B 9 bid=4
            wait 1000",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@1000 stock.B@1000 images=0
            0 a: info stock.A | info stock.B | complete
            0 a: heartbeat log:-
            0 a: quote stock.A #1 bid=1 IMAGE
            900 a: quote stock.B #2 bid=1 IMAGE
            1000 a: quote stock.A #3 bid=2
            2000 a: quote stock.A #4 bid=3 | quote stock.B #5 bid=2
            3000 a: quote stock.A #6 bid=4 | quote stock.B #7 bid=3
            4000 a: quote stock.A #8 bid=5 | quote stock.B #9 bid=4
        "#]],
    );
}

#[test]
fn the_rate_changes_while_live_and_nothing_is_lost() {
    check(
        "
            new stock.A; quote stock.A 1 bid=10
            open a; sub a stock.A@1000
            quote stock.A 2 bid=11
            quote stock.A 3 bid=12
            sub a stock.A@50
            quote stock.A 4 bid=13
            wait 100",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@1000 images=1
            0 a: info stock.A | quote stock.A #1 bid=10 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 a: quote stock.A #2 bid=11
            0 a: ack stock.A@50 images=1 | quote stock.A #3 bid=12 IMAGE
            0 a: complete
            0 a: quote stock.A #4 bid=13
        "#]],
    );
}

#[test]
fn configure_changes_what_named_no_rate() {
    check(
        "
            new stock.A; new stock.B
            open a conflate=1000; sub a stock.A stock.B@2000
            configure a conflate=60
            quote stock.A 1 bid=1; quote stock.B 2 bid=1
            quote stock.A 3 bid=2; quote stock.B 4 bid=2
            wait 150
            wait 2000",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@1000 stock.B@2000 images=0
            0 a: info stock.A | info stock.B | complete
            0 a: heartbeat log:-
            0 a: ok conflate=100
            0 a: quote stock.A #1 bid=1 IMAGE | quote stock.B #2 bid=1 IMAGE
            100 a: quote stock.A #3 bid=2
            2000 a: quote stock.B #4 bid=2
        "#]],
    );
}
