//! The session: hello, grants, heartbeats, bad input, one-way clients, leaving.

use expect_test::expect;

use super::check;

#[test]
fn hello_is_answered_and_feeds_come_along() {
    check(
        "
            feed f LIVE
            attach a; hello a token=all heartbeat=100
            attach b json token=slow; hello b heartbeat=99999",
        expect![[r#"
            0 a: welcome FRESH heartbeat=500 | feed f LIVE
            0 b: welcome FRESH heartbeat=30000 min=500 | feed f LIVE
        "#]],
    );
}

#[test]
fn without_hello_the_connection_ends() {
    check(
        "
            attach a
            wait 4999
            wait 1",
        expect![[r#"
            5000 a: error HELLO_TIMEOUT: no Hello came in time
            5000 a: close HELLO_TIMEOUT (no Hello came in time)
        "#]],
    );
}

#[test]
fn a_frame_that_cannot_be_read_ends_the_connection() {
    check(
        "
            open a json
            raw a nonsense
            open b json
            raw b {}",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: error BAD_MESSAGE: not a JSON frame: expected ident at line 1 column 2
            0 a: close BAD_MESSAGE (not a JSON frame: expected ident at line 1 column 2)
            0 b: welcome FRESH heartbeat=5000
            0 b: error BAD_MESSAGE: frame has no known command
            0 b: close BAD_MESSAGE (frame has no known command)
        "#]],
    );
}

#[test]
fn hello_comes_first_and_once() {
    check(
        "
            attach a; ping a 1
            open b; hello b token=all",
        expect![[r#"
            0 a: error BAD_MESSAGE: the first frame has to be Hello
            0 a: close BAD_MESSAGE (the first frame has to be Hello)
            0 b: welcome FRESH heartbeat=5000
            0 b: error BAD_MESSAGE: Hello came twice
            0 b: close BAD_MESSAGE (Hello came twice)
        "#]],
    );
}

#[test]
fn another_protocol_is_not_supported() {
    check(
        "
            attach a; hello a token=all protocol=2",
        expect![[r#"
            0 a: error UNSUPPORTED: protocol 2 is not supported, 1 is
            0 a: close UNSUPPORTED (protocol 2 is not supported, 1 is)
        "#]],
    );
}

#[test]
fn tokens_are_checked() {
    check(
        "
            attach a; hello a
            attach b; hello b token=forged
            attach c; hello c token=old",
        expect![[r#"
            0 a: error AUTH_REQUIRED: a token is needed
            0 a: close AUTH_REQUIRED (a token is needed)
            0 b: error AUTH_INVALID: the token is not acceptable
            0 b: close AUTH_INVALID (the token is not acceptable)
            0 c: error AUTH_EXPIRED: the token has expired
            0 c: close AUTH_EXPIRED (the token has expired)
        "#]],
    );
}

#[test]
fn a_token_is_announced_to_end_and_ends() {
    check(
        "
            open a token=short
            wait 7999
            wait 1
            wait 2000",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            5000 a: heartbeat log:-
            8000 a: token expires in 2000
            10000 a: error AUTH_EXPIRED: the token has expired
            10000 a: close AUTH_EXPIRED (the token has expired)
        "#]],
    );
}

#[test]
fn a_token_is_renewed_in_place() {
    check(
        "
            new stock.A; new fx.E
            open a token=short; sub a stock.A@0 fx.E@0
            wait 9000
            auth a forged; auth a other; auth a long
            wait 2000",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@0 fx.E@0 images=0
            0 a: info stock.A | info fx.E | complete
            0 a: heartbeat log:-
            5000 a: heartbeat log:-
            8000 a: token expires in 2000
            9000 a: error AUTH_INVALID: the token is not acceptable
            9000 a: error AUTH_INVALID: the token is not acceptable
            9000 a: ok conflate=0
        "#]],
    );
}

#[test]
fn a_narrower_token_takes_away_what_it_does_not_cover() {
    check(
        "
            new stock.A; new fx.E; quote stock.A 1 bid=1; quote fx.E 2 bid=1
            open a; sub a #@0
            auth a stock
            quote stock.A 3 bid=2; quote fx.E 4 bid=2; new fx.F; new stock.B",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack #@0x2 images=2
            0 a: info stock.A | info fx.E | quote stock.A #1 bid=1 IMAGE | quote fx.E #2 bid=1 IMAGE
            0 a: complete
            0 a: heartbeat log:2
            0 a: error NOT_ENTITLED: fx.E is no longer covered by the token
            0 a: ok conflate=0
            0 a: info stock.B | quote stock.A #3 bid=2
        "#]],
    );
}

#[test]
fn a_slower_token_slows_down() {
    check(
        "
            new stock.A; quote stock.A 1 bid=1
            open a; sub a stock.A@0
            auth a slow
            quote stock.A 3 bid=2
            quote stock.A 4 bid=3
            wait 600",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@0 images=1
            0 a: info stock.A | quote stock.A #1 bid=1 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 a: ok conflate=500
            0 a: quote stock.A #3 bid=2
            500 a: quote stock.A #4 bid=3
        "#]],
    );
}

#[test]
fn silence_is_broken_by_heartbeats() {
    check(
        "
            new stock.A; quote stock.A 1 bid=1; feed f LIVE
            open a heartbeat=1000; sub a stock.A@0
            wait 900
            quote stock.A 2 bid=2
            wait 999
            wait 1
            wait 1000",
        expect![[r#"
            0 a: welcome FRESH heartbeat=1000 | feed f LIVE at 1
            0 a: ack stock.A@0 images=1
            0 a: info stock.A | quote stock.A #1 bid=1 IMAGE
            0 a: complete
            0 a: heartbeat log:1 | feed f LIVE at 1
            900 a: quote stock.A #2 bid=2
            1900 a: heartbeat log:2 | feed f LIVE at 2
            2900 a: heartbeat log:2 | feed f LIVE at 2
        "#]],
    );
}

#[test]
fn feeds_say_how_far_the_node_has_come() {
    check(
        "
            new stock.A; quote stock.A 3 bid=1; feed f LIVE
            open a heartbeat=1000
            wait 1000
            quote stock.A 5 bid=2; position 9
            feed f STALE
            wait 1000",
        expect![[r#"
            0 a: welcome FRESH heartbeat=1000 | feed f LIVE at 3
            1000 a: heartbeat log:3 | feed f LIVE at 3
            1000 a: feed f STALE at 9
            2000 a: heartbeat log:9 | feed f STALE at 9
        "#]],
    );
}

#[test]
fn under_load_a_heartbeat_comes_every_15_seconds() {
    check(
        "
            new stock.A
            open a heartbeat=10000; sub a stock.A@0
            quote stock.A 1 bid=1
            wait 5000
            quote stock.A 2 bid=2
            wait 5000
            quote stock.A 3 bid=3
            wait 5000
            quote stock.A 4 bid=4
            wait 5000
            quote stock.A 5 bid=5
            wait 5000
            quote stock.A 6 bid=6
            wait 5000
            quote stock.A 7 bid=7
            wait 5000",
        expect![[r#"
            0 a: welcome FRESH heartbeat=10000
            0 a: ack stock.A@0 images=0
            0 a: info stock.A | complete
            0 a: heartbeat log:-
            0 a: quote stock.A #1 bid=1 IMAGE
            5000 a: quote stock.A #2 bid=2
            10000 a: quote stock.A #3 bid=3
            15000 a: heartbeat log:3
            15000 a: quote stock.A #4 bid=4
            20000 a: quote stock.A #5 bid=5
            25000 a: quote stock.A #6 bid=6
            30000 a: heartbeat log:6
            30000 a: quote stock.A #7 bid=7
        "#]],
    );
}

#[test]
fn before_the_book_is_complete_subscribes_are_held() {
    check(
        "
            reset log
            open a heartbeat=1000; sub a stock.A@0
            wait 1000
            new stock.A; quote stock.A 1 bid=1
            synced",
        expect![[r#"
            0 a: welcome FRESH heartbeat=1000
            1000 a: heartbeat -
            1000 a: ack stock.A@0 images=1
            1000 a: info stock.A | quote stock.A #1 bid=1 IMAGE
            1000 a: complete
            1000 a: heartbeat log:1
        "#]],
    );
}

#[test]
fn items_are_judged_one_by_one() {
    check(
        "
            new stock.A; quote stock.A 1 bid=1
            open a; sub a stock.A@0 stock.B a..b a.b* bad!name",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@0 stock.B!UNKNOWN_SYMBOL a..b!BAD_SYMBOL a.b*!BAD_SYMBOL bad!name!BAD_SYMBOL images=1
            0 a: info stock.A | quote stock.A #1 bid=1 IMAGE
            0 a: complete
            0 a: heartbeat log:1
        "#]],
    );
}

#[test]
fn a_one_way_client_says_everything_with_its_request() {
    check(
        "
            new stock.A; quote stock.A 1 bid=1000
            sse a stock.A@100 stock.X heartbeat=1000
            quote stock.A 2 bid=1001
            wait 1000
            sse b stock.A resume=log:2",
        expect![[r#"
            0 a: welcome FRESH heartbeat=1000
            0 a: ack stock.A@100 stock.X!UNKNOWN_SYMBOL images=1
            0 a: info stock.A | quote stock.A #1 bid=1000 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 a: quote stock.A #2 bid=1001
            1000 a: heartbeat log:2
            1000 b: welcome RESUMED heartbeat=5000
            1000 b: ack stock.A@0 images=0
            1000 b: info stock.A | complete
            1000 b: heartbeat log:2
        "#]],
    );
}

#[test]
fn goodbye_is_said_to_everyone_and_to_those_who_still_come() {
    check(
        "
            new stock.A
            open a; sub a stock.A@0
            attach b
            block a; quote stock.A 1 bid=1
            drain
            open c",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@0 images=0
            0 a: info stock.A | complete
            0 a: heartbeat log:-
            0 a: quote stock.A #1 bid=1 IMAGE
            0 a: goodbye 1000 + 20000
            0 a: close SHUTTING_DOWN (the node is going away)
            0 b: goodbye 1000 + 20000
            0 b: close SHUTTING_DOWN (the node is going away)
            0 c: goodbye 1000 + 20000
            0 c: close SHUTTING_DOWN (the node is going away)
        "#]],
    );
}

#[test]
fn the_shell_can_end_a_connection() {
    check(
        "
            new stock.A
            open a; sub a stock.A@0
            reject a
            quote stock.A 1 bid=1",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@0 images=0
            0 a: info stock.A | complete
            0 a: heartbeat log:-
            0 a: error MESSAGE_TOO_LARGE: message is too large
            0 a: close MESSAGE_TOO_LARGE (message is too large)
        "#]],
    );
}

#[test]
fn the_time_of_day_moves_no_deadline() {
    // The same story, on a clock that is right and on one that jumps by hours in both directions.
    let story = |jumps: &[u64]| {
        let mut world = super::World::new(super::world::config());
        for (n, line) in [
            "new stock.A; quote stock.A 1 bid=1; attach late; open a heartbeat=500; sub a stock.A@1000",
            "quote stock.A 2 bid=2",
            "quote stock.A 3 bid=3",
            "wait 700",
            "quote stock.A 4 bid=4; block a",
            "quote stock.A 5 bid=5; status stock.A 6 HALTED",
            "wait 1500",
            "unblock a",
            "wait 6000",
            "block a; quote stock.A 7 bid=5",
            "quote stock.A 8 bid=5",
            "wait 40000",
        ]
        .iter()
        .enumerate()
        {
            super::script::run(&mut world, line);
            let unix_us = jumps[n % jumps.len()];
            world.engine.set_wall_clock(world.now, unix_us);
        }
        world.transcript()
    };
    let right = story(&[1_000_000_000]);
    assert_eq!(right, story(&[0, 40_000_000_000, 1, u64::MAX / 2, 3_600_000_000]));
    assert!(right.contains("SLOW_CONSUMER") && right.contains("HELLO_TIMEOUT") && right.contains("SLOW\n"), "{right}");
}
