//! Single trades: to those who ask, from when they ask, each once and in order, whatever else they change.

use expect_test::expect;

use super::check;

#[test]
fn who_asks_for_trades_while_live_gets_those_that_come_then() {
    // The lane keeps trade 3 for `b`; it was before `a` asked.
    check(
        "
            new stock.A; quote stock.A 1 last=1
            open b; sub b stock.A@1000+trades
            open a; sub a stock.A@1000
            trade stock.A 2 price=2
            trade stock.A 3 price=3
            sub a stock.A@1000+trades
            trade stock.A 4 price=4
            wait 1000",
        expect![[r#"
            0 b: welcome FRESH heartbeat=5000
            0 b: ack stock.A@1000 images=1
            0 b: info stock.A | quote stock.A #1 last=1 IMAGE
            0 b: complete
            0 b: heartbeat log:1
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@1000 images=1
            0 a: info stock.A | quote stock.A #1 last=1 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 b: trade stock.A #2 2x1
            0 a: ack stock.A@1000 images=1 | quote stock.A #3 last=1 IMAGE
            0 a: complete
            1000 b: trade stock.A #3 3x1 | trade stock.A #4 4x1
            1000 a: trade stock.A #4 4x1
        "#]],
    );
}

#[test]
fn a_change_of_rate_takes_the_trades_along() {
    check(
        "
            new stock.A; quote stock.A 1 last=1
            open a; sub a stock.A@1000+trades
            trade stock.A 2 price=2
            trade stock.A 3 price=3; quote stock.A 4 last=4; trade stock.A 5 price=5
            sub a stock.A@0+trades
            trade stock.A 6 price=6
            sub a stock.A@500
            trade stock.A 7 price=7; quote stock.A 8 last=8
            wait 1000",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@1000 images=1
            0 a: info stock.A | quote stock.A #1 last=1 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 a: trade stock.A #2 2x1
            0 a: trade stock.A #3 3x1 | trade stock.A #5 5x1
            0 a: ack stock.A@0 images=1 | quote stock.A #5 last=4 IMAGE
            0 a: complete
            0 a: trade stock.A #6 6x1
            0 a: ack stock.A@500 images=1 | quote stock.A #6 last=4 IMAGE
            0 a: complete
            0 a: quote stock.A #8 last=8
        "#]],
    );
}

#[test]
fn a_pattern_brings_trades_to_a_symbol_without_them_and_takes_them_away() {
    check(
        "
            new stock.A; quote stock.A 1 last=1
            open a; sub a stock.A@0
            trade stock.A 2 price=2
            sub a stock.*@0+trades
            trade stock.A 3 price=3
            unsub a stock.*
            trade stock.A 4 price=4; quote stock.A 5 last=5",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@0 images=1
            0 a: info stock.A | quote stock.A #1 last=1 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 a: ack stock.*@0x1 images=1 | quote stock.A #2 last=1 IMAGE
            0 a: complete
            0 a: trade stock.A #3 3x1
            0 a: unsubscribed 0
            0 a: quote stock.A #5 last=5
        "#]],
    );
}

#[test]
fn trades_wait_for_a_full_socket_in_order_with_events() {
    check(
        "
            new stock.A; quote stock.A 1 last=1
            open a; sub a stock.A@0+trades; block a
            trade stock.A 2 price=2
            trade stock.A 3 price=3; quote stock.A 4 last=4
            status stock.A 5 HALTED; trade stock.A 6 price=6
            unblock a",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@0 images=1
            0 a: info stock.A | quote stock.A #1 last=1 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 a: trade stock.A #2 2x1 | trade stock.A #3 3x1 | quote stock.A #4 last=4 | status stock.A #5 HALTED EVENT | trade stock.A #6 6x1
        "#]],
    );
}

#[test]
fn trades_asked_for_with_a_token_are_a_gap_since_the_token() {
    // Held without trades before; the client cannot know, so it is told.
    check(
        "
            new stock.A; quote stock.A 1 last=1; trade stock.A 2 price=2; trade stock.A 3 price=3
            sse a stock.A+trades conflate=0 resume=log:1
            sse b stock.A conflate=0 resume=log:1
            sse c stock.A+trades conflate=0 resume=log:3
            trade stock.A 4 price=4",
        expect![[r#"
            0 a: welcome RESUMED heartbeat=5000
            0 a: ack stock.A@0 images=1
            0 a: info stock.A | gap stock.A 1..4 | quote stock.A #3 last=1 IMAGE
            0 a: complete
            0 a: heartbeat log:3
            0 b: welcome RESUMED heartbeat=5000
            0 b: ack stock.A@0 images=1
            0 b: info stock.A | quote stock.A #3 last=1 IMAGE
            0 b: complete
            0 b: heartbeat log:3
            0 c: welcome RESUMED heartbeat=5000
            0 c: ack stock.A@0 images=0
            0 c: info stock.A | complete
            0 c: heartbeat log:3
            0 a: trade stock.A #4 4x1
            0 c: trade stock.A #4 4x1
        "#]],
    );
}

#[test]
fn trades_asked_for_with_a_token_begin_behind_it_also_where_the_node_is_not_there_yet() {
    // The token is of a node that was ahead of this one. Told 4 and 5, `a` would lose 6 without a word if it came back with the same token.
    check(
        "
            new stock.A; quote stock.A 1 last=1; trade stock.A 2 price=2
            open a resume=log:6; sub a stock.*@1000+trades
            open b; sub b stock.A@1000+trades
            trade stock.A 4 price=4
            trade stock.A 5 price=5; new stock.B; quote stock.B 5 last=5; trade stock.B 5 price=5
            trade stock.A 6 price=6
            wait 1000
            trade stock.A 7 price=7; trade stock.B 7 price=7
            wait 1000",
        expect![[r#"
            0 a: welcome RESUMED heartbeat=5000
            0 a: ack stock.*@1000x1 images=0
            0 a: info stock.A | complete
            0 a: heartbeat log:2
            0 b: welcome FRESH heartbeat=5000
            0 b: ack stock.A@1000 images=1
            0 b: info stock.A | quote stock.A #2 last=1 IMAGE
            0 b: complete
            0 b: heartbeat log:2
            0 b: trade stock.A #4 4x1
            0 a: info stock.B | quote stock.B #5 last=5 IMAGE
            1000 b: trade stock.A #5 5x1 | trade stock.A #6 6x1
            1000 a: trade stock.B #7 7x1
            2000 a: trade stock.A #7 7x1
            2000 b: trade stock.A #7 7x1
        "#]],
    );
}

#[test]
fn trades_below_a_token_are_kept_from_it_whatever_its_socket_and_its_rate() {
    check(
        "
            new stock.A; quote stock.A 1 last=1
            open a resume=log:5; sub a stock.A@1000+trades; block a
            trade stock.A 2 price=2; trade stock.A 3 price=3
            unblock a
            sub a stock.A@500+trades
            trade stock.A 4 price=4; trade stock.A 5 price=5; trade stock.A 6 price=6
            sub a stock.A@250+trades
            trade stock.A 7 price=7; status stock.A 8 HALTED",
        expect![[r#"
            0 a: welcome RESUMED heartbeat=5000
            0 a: ack stock.A@1000 images=0
            0 a: info stock.A | complete
            0 a: heartbeat log:1
            0 a: ack stock.A@500 images=1 | quote stock.A #3 last=1 IMAGE
            0 a: complete
            0 a: trade stock.A #6 6x1
            0 a: ack stock.A@250 images=1 | quote stock.A #6 last=1 IMAGE
            0 a: complete
            0 a: trade stock.A #7 7x1 | status stock.A #8 HALTED EVENT
        "#]],
    );
}

#[test]
fn trades_that_a_later_subscribe_brings_do_not_begin_behind_the_token() {
    // The token covers the symbol without trades: those of the pattern begin with its images.
    check(
        "
            new stock.A; quote stock.A 1 last=1
            open a resume=log:5; sub a stock.A@0; sub a stock.*@0+trades
            trade stock.A 4 price=4",
        expect![[r#"
            0 a: welcome RESUMED heartbeat=5000
            0 a: ack stock.A@0 images=0
            0 a: ack stock.*@0x1 images=1
            0 a: info stock.A | quote stock.A #1 last=1 IMAGE
            0 a: complete
            0 a: complete
            0 a: heartbeat log:1
            0 a: trade stock.A #4 4x1
        "#]],
    );
}

#[test]
fn a_token_says_nothing_of_the_trades_of_another_log() {
    check(
        "
            new stock.A; quote stock.A 1 last=1
            open a resume=log:9; sub a stock.A@0+trades
            trade stock.A 2 price=2
            reset next; quote stock.A 1 last=5; synced
            trade stock.A 3 price=3",
        expect![[r#"
            0 a: welcome RESUMED heartbeat=5000
            0 a: ack stock.A@0 images=0
            0 a: info stock.A | complete
            0 a: heartbeat log:1
            0 a: error RESUME_EXPIRED epoch=next: the log was reset; images follow
            0 a: info stock.A | quote stock.A #1 last=5 IMAGE
            0 a: trade stock.A #3 3x1
        "#]],
    );
}
