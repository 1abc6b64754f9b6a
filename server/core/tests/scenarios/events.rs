//! Events: never conflated away, and in order with the state around them.

use expect_test::expect;

use super::check;

#[test]
fn a_halt_leaves_behind_the_last_quote() {
    check(
        "
            new stock.A; quote stock.A 1 bid=10
            open a; sub a stock.A@1000
            open b; sub b stock.A@5000
            quote stock.A 2 bid=11
            wait 10
            quote stock.A 3 bid=12
            status stock.A 4 HALTED
            quote stock.A 5 bid=13
            wait 1200",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@1000 images=1
            0 a: info stock.A | quote stock.A #1 bid=10 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 b: welcome FRESH heartbeat=5000
            0 b: ack stock.A@5000 images=1
            0 b: info stock.A | quote stock.A #1 bid=10 IMAGE
            0 b: complete
            0 b: heartbeat log:1
            0 a: quote stock.A #2 bid=11
            0 b: quote stock.A #2 bid=11
            10 a: quote stock.A #3 bid=12 | status stock.A #4 HALTED EVENT
            10 b: quote stock.A #3 bid=12 | status stock.A #4 HALTED EVENT
            1135 a: quote stock.A #5 bid=13
        "#]],
    );
}

#[test]
fn every_status_is_told_in_order() {
    check(
        "
            new stock.A
            open a; sub a stock.A@1000
            status stock.A 1 OPEN; status stock.A 2 HALTED; status stock.A 3 OPEN",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@1000 images=0
            0 a: info stock.A | complete
            0 a: heartbeat log:-
            0 a: status stock.A #1 OPEN EVENT | status stock.A #2 HALTED EVENT | status stock.A #3 OPEN EVENT
        "#]],
    );
}

#[test]
fn state_and_event_of_one_message_share_their_position() {
    check(
        "
            new stock.A
            open a; sub a stock.A@1000
            quote stock.A 1 bid=1
            quote stock.A 7 bid=2; status stock.A 7 HALTED; quote stock.A 7 bid=3
            wait 1200",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@1000 images=0
            0 a: info stock.A | complete
            0 a: heartbeat log:-
            0 a: quote stock.A #1 bid=1 IMAGE
            0 a: quote stock.A #7 bid=2 | status stock.A #7 HALTED EVENT
            1000 a: quote stock.A #7 bid=3
        "#]],
    );
}

#[test]
fn a_final_score_is_an_event_and_a_running_one_is_not() {
    check(
        "
            new m; score m 1 home=0 away=0 final=false
            open a; sub a m@1000
            score m 2 home=1
            score m 3 clock=90 final=false
            score m 4 home=2 final=true
            score m 5 final=false",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack m@1000 images=1
            0 a: info m | score m #1 home=0 away=0 final=false IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 a: score m #2 home=1
            0 a: score m #3 clock=90 final=false | score m #4 home=2 final=true EVENT
            0 a: score m #5 final=false EVENT
        "#]],
    );
}

#[test]
fn settling_and_closing_an_outcome_are_events() {
    check(
        "
            new m; odds m 1 1:back=200,active=true 2:back=300,active=true
            open a; sub a m@1000
            odds m 2 1:back=201,active=true
            odds m 3 2:back=301
            odds m 4 2:active=false
            odds m 5 2:active=false 1:back=210
            odds m 6 1:result=1 2:result=2
            odds m 7 clear=24
            wait 1100",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack m@1000 images=1
            0 a: info m | odds m #1 1:back=200active=true 2:back=300active=true IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 a: odds m #2 1:back=201active=true
            0 a: odds m #3 2:back=301 | odds m #4 2:active=false EVENT
            0 a: odds m #5 1:back=210active=true 2:back=301active=false | odds m #6 1:result=1 2:result=2 EVENT
            0 a: odds m #7 clear=24 EVENT
        "#]],
    );
}

#[test]
fn a_closed_bar_is_an_event_and_an_open_one_is_state() {
    check(
        "
            new stock.A; bar stock.A 1 close=1
            open a; sub a stock.A@1000
            bar stock.A 2 close=2
            bar stock.A 3 close=3
            bar stock.A 4 close=4 final
            bar stock.A 5 start=60 close=5
            wait 1100",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@1000 images=1
            0 a: info stock.A | bar stock.A #1 60s@0 close=1 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 a: bar stock.A #2 60s@0 close=2
            0 a: bar stock.A #3 60s@0 close=3 | bar stock.A #4 60s@0 close=4 final EVENT
            1000 a: bar stock.A #5 60s@60 close=5
        "#]],
    );
}

#[test]
fn corrections_and_busts_go_to_everyone_but_trades_only_to_those_who_ask() {
    check(
        "
            new stock.A
            open a; sub a stock.A@0
            open b; sub b stock.A@0+trades
            trade stock.A 1 price=10
            trade stock.A 2 price=11 correction
            trade stock.A 3 price=12 bust
            quote stock.A 4 last=9 corrects",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@0 images=0
            0 a: info stock.A | complete
            0 a: heartbeat log:-
            0 b: welcome FRESH heartbeat=5000
            0 b: ack stock.A@0 images=0
            0 b: info stock.A | complete
            0 b: heartbeat log:-
            0 b: trade stock.A #1 10x1
            0 a: trade stock.A #2 11x1 correction EVENT
            0 b: trade stock.A #2 11x1 correction EVENT
            0 a: trade stock.A #3 12x1 bust EVENT
            0 b: trade stock.A #3 12x1 bust EVENT
            0 a: quote stock.A #4 last=9 CORRECTION EVENT
            0 b: quote stock.A #4 last=9 CORRECTION EVENT
        "#]],
    );
}

#[test]
fn trades_leave_with_their_lane_before_the_state() {
    check(
        "
            new stock.A
            open a; sub a stock.A@100+trades
            trade stock.A 1 price=10; quote stock.A 1 last=10
            trade stock.A 2 price=11; quote stock.A 2 last=11; trade stock.A 3 price=12; quote stock.A 3 last=12
            wait 100",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@100 images=0
            0 a: info stock.A | complete
            0 a: heartbeat log:-
            0 a: trade stock.A #1 10x1 | quote stock.A #1 last=10 IMAGE
            100 a: trade stock.A #2 11x1 | trade stock.A #3 12x1 | quote stock.A #3 last=12 high=12 low=11 merged=1
        "#]],
    );
}

#[test]
fn an_event_takes_pending_trades_along_first() {
    check(
        "
            new stock.A
            open a; sub a stock.A@1000+trades
            trade stock.A 1 price=10
            trade stock.A 2 price=11
            status stock.A 3 HALTED",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@1000 images=0
            0 a: info stock.A | complete
            0 a: heartbeat log:-
            0 a: trade stock.A #1 10x1
            0 a: trade stock.A #2 11x1 | status stock.A #3 HALTED EVENT
        "#]],
    );
}

#[test]
fn a_flag_of_the_feed_makes_an_event() {
    check(
        "
            new stock.A
            open a; sub a stock.A@1000
            quote stock.A 1 bid=1 event; quote stock.A 2 bid=2 event",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@1000 images=0
            0 a: info stock.A | complete
            0 a: heartbeat log:-
            0 a: quote stock.A #1 bid=1 EVENT | quote stock.A #2 bid=2 EVENT
        "#]],
    );
}

#[test]
fn feeds_are_told_at_once() {
    check(
        "
            open a
            feed f LIVE
            feed f STALE; feed g LIVE",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: feed f LIVE
            0 a: feed f STALE | feed g LIVE
        "#]],
    );
}

#[test]
fn new_scales_come_after_the_last_record_at_the_old_ones() {
    check(
        "
            new stock.A price_scale=2; quote stock.A 1 bid=1000
            open a json; sub a stock.A@1000
            quote stock.A 2 bid=1001
            quote stock.A 3 bid=1002; new stock.A price_scale=3; quote stock.A 4 bid=10020 image
            wait 1100",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@1000 images=1
            0 a: info stock.A | quote stock.A #1 bid=1000 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 a: quote stock.A #2 bid=1001
            0 a: quote stock.A #3 bid=1002
            0 a: info stock.A at 3 places
            1000 a: quote stock.A #4 bid=10020 IMAGE
        "#]],
    );
}

#[test]
fn a_loss_in_the_log_is_told_for_every_instrument() {
    check(
        "
            new stock.A; new stock.B; quote stock.A 1 bid=1
            open a; sub a stock.*@0
            lost 5 9
            quote stock.A 10 bid=2",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.*@0x2 images=1
            0 a: info stock.A | info stock.B | quote stock.A #1 bid=1 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 a: gap stock.A 5..9
            0 a: gap stock.B 5..9
            0 a: quote stock.A #10 bid=2
        "#]],
    );
}

#[test]
fn the_heartbeat_follows_the_news_of_its_moment() {
    check(
        "
            new stock.A; quote stock.A 1 bid=1
            open a heartbeat=500; sub a stock.A@1000
            quote stock.A 2 bid=2
            quote stock.A 3 bid=3
            wait 600
            wait 600",
        expect![[r#"
            0 a: welcome FRESH heartbeat=500
            0 a: ack stock.A@1000 images=1
            0 a: info stock.A | quote stock.A #1 bid=1 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 a: quote stock.A #2 bid=2
            500 a: heartbeat log:2
            1000 a: quote stock.A #3 bid=3
        "#]],
    );
}
