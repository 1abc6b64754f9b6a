//! Limits: every one has an answer.

use expect_test::expect;

use super::check;

#[test]
fn commands_beyond_the_budget_are_refused_with_a_time() {
    check(
        "
            open a
            ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1
            wait 200
            ping a 2; ping a 3; ping a 4",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: error RATE_LIMITED after 100: too many commands
            0 a: error RATE_LIMITED after 100: too many commands
            0 a: error RATE_LIMITED after 100: too many commands
            200 a: pong 2
            200 a: pong 3
            200 a: error RATE_LIMITED after 100: too many commands
        "#]],
    );
}

#[test]
fn going_on_after_refusals_ends_the_connection() {
    check(
        "
            open a
            ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1; ping a 1",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: pong 1
            0 a: error RATE_LIMITED after 100: too many commands
            0 a: error RATE_LIMITED after 100: too many commands
            0 a: error RATE_LIMITED after 100: too many commands
            0 a: error RATE_LIMITED after 100: too many commands
            0 a: error RATE_LIMITED after 100: too many commands
            0 a: error RATE_LIMITED after 100: too many commands
            0 a: error RATE_LIMITED after 100: too many commands
            0 a: error RATE_LIMITED after 100: too many commands
            0 a: error RATE_LIMITED after 100: too many commands
            0 a: error RATE_LIMITED after 100: too many commands
            0 a: error RATE_LIMITED after 100: too many commands
            0 a: error RATE_LIMITED after 100: too many commands
            0 a: error RATE_LIMITED after 100: too many commands
            0 a: error RATE_LIMITED after 100: too many commands
            0 a: error RATE_LIMITED after 100: too many commands
            0 a: error RATE_LIMITED after 100: too many commands
            0 a: error RATE_LIMITED after 100: too many commands
            0 a: error RATE_LIMITED after 100: too many commands
            0 a: error RATE_LIMITED after 100: too many commands
            0 a: error RATE_LIMITED after 100: too many commands
            0 a: error RATE_LIMITED after 100: too many commands
            0 a: error RATE_LIMITED after 100: too many commands
            0 a: error RATE_LIMITED after 100: too many commands
            0 a: error RATE_LIMITED after 100: too many commands
            0 a: error RATE_LIMITED after 100: too many commands
            0 a: error RATE_LIMITED after 100: too many commands
            0 a: error RATE_LIMITED after 100: too many commands
            0 a: error RATE_LIMITED after 100: too many commands
            0 a: error RATE_LIMITED after 100: too many commands
            0 a: error RATE_LIMITED after 100: too many commands
            0 a: error RATE_LIMITED after 100: too many commands
            0 a: error RATE_LIMITED after 100: too many commands
            0 a: error RATE_LIMITED after 100: too many commands
            0 a: error RATE_LIMITED after 100: too many commands
            0 a: error RATE_LIMITED after 100: too many commands
            0 a: error RATE_LIMITED after 100: too many commands
            0 a: error RATE_LIMITED after 100: too many commands
            0 a: error RATE_LIMITED after 100: too many commands
            0 a: error RATE_LIMITED after 100: too many commands
            0 a: error RATE_LIMITED after 100: too many commands
            0 a: error RATE_LIMITED: too many commands, also after being told
            0 a: close RATE_LIMITED (too many commands, also after being told)
        "#]],
    );
}

#[test]
fn reports_of_progress_have_a_budget_of_their_own() {
    check(
        "
            open a
            progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a; progress a
            ping a 1",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: pong 1
        "#]],
    );
}

#[test]
fn a_subscription_beyond_the_limit_is_refused_item_by_item() {
    check(
        "
            new a; new b; new c
            open x token=two; sub x a b c
            sub x b@50
            unsub x a
            sub x c",
        expect![[r#"
            0 x: welcome FRESH heartbeat=5000 max=2
            0 x: ack a@0 b@0 c!TOO_MANY_SUBSCRIPTIONS images=0
            0 x: info a | info b | complete
            0 x: heartbeat log:-
            0 x: ack b@50 images=0
            0 x: complete
            0 x: unsubscribed 1
            0 x: ack c@0 images=0
            0 x: info c | complete
        "#]],
    );
}

#[test]
fn a_pattern_counts_as_its_expansion() {
    check(
        "
            new s.a; new s.b; new s.c; new t
            open x token=two; sub x t s.*
            sub x s.a",
        expect![[r#"
            0 x: welcome FRESH heartbeat=5000 max=2
            0 x: ack t@0 s.*!TOO_MANY_SUBSCRIPTIONS images=0
            0 x: info t | complete
            0 x: heartbeat log:-
            0 x: ack s.a@0 images=0
            0 x: info s.a | complete
        "#]],
    );
}

#[test]
fn replacing_counts_from_the_start() {
    check(
        "
            new a; new b; new c; new d
            open x token=two; sub x a b
            sub x c d replace",
        expect![[r#"
            0 x: welcome FRESH heartbeat=5000 max=2
            0 x: ack a@0 b@0 images=0
            0 x: info a | info b | complete
            0 x: heartbeat log:-
            0 x: ack c@0 d@0 images=0
            0 x: info c | info d | complete
        "#]],
    );
}

#[test]
fn rates_are_rounded_up_and_clamped_by_the_token() {
    check(
        "
            new a
            open x token=slow conflate=0; sub x a@0
            sub x a@60
            sub x a@700
            sub x a@99999",
        expect![[r#"
            0 x: welcome FRESH heartbeat=5000 min=500
            0 x: ack a@500 images=0
            0 x: info a | complete
            0 x: heartbeat log:-
            0 x: ack a@500 images=0
            0 x: complete
            0 x: ack a@1000 images=0
            0 x: complete
            0 x: ack a@5000 images=0
            0 x: complete
        "#]],
    );
}

#[test]
fn an_instrument_that_does_not_fit_into_its_pattern_is_said_once() {
    check(
        "
            new s.a; new s.b
            open x token=two; sub x s.*
            new s.c; new s.d",
        expect![[r#"
            0 x: welcome FRESH heartbeat=5000 max=2
            0 x: ack s.*@0x2 images=0
            0 x: info s.a | info s.b | complete
            0 x: heartbeat log:-
            0 x: error TOO_MANY_SUBSCRIPTIONS: s.c did not fit into its pattern: the limit is 2 instruments
        "#]],
    );
}
