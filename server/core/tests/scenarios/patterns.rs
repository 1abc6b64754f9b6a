//! Patterns: an expansion that grows.

use expect_test::expect;

use super::check;

#[test]
fn a_pattern_covers_what_it_names_now_and_later() {
    check(
        "
            new stock.A; quote stock.A 1 bid=1; new fx.E
            open a; sub a stock.*@100
            new stock.B; quote stock.B 2 bid=2; new fx.F; quote fx.F 3 bid=3
            quote stock.B 4 bid=5
            wait 200",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.*@100x1 images=1
            0 a: info stock.A | quote stock.A #1 bid=1 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 a: info stock.B | quote stock.B #2 bid=2 IMAGE
            100 a: quote stock.B #4 bid=5
        "#]],
    );
}

#[test]
fn a_hash_names_zero_words_too() {
    check(
        "
            new stock; new stock.A; new stockholm; quote stock 1 bid=1
            open a; sub a stock.#",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.#@0x2 images=1
            0 a: info stock | info stock.A | quote stock #1 bid=1 IMAGE
            0 a: complete
            0 a: heartbeat log:1
        "#]],
    );
}

#[test]
fn a_pattern_that_names_nothing_yet_is_granted() {
    check(
        "
            open a; sub a crypto.*
            new crypto.X; quote crypto.X 1 bid=1",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack crypto.*@0x0 images=0
            0 a: complete
            0 a: heartbeat log:-
            0 a: info crypto.X | quote crypto.X #1 bid=1 IMAGE
        "#]],
    );
}

#[test]
fn a_pattern_expands_within_the_token() {
    check(
        "
            new stock.A; new fx.E; quote stock.A 1 bid=1; quote fx.E 2 bid=2
            open a token=stock; sub a #
            new fx.F; quote fx.F 3 bid=3; new stock.B; quote stock.B 4 bid=4
            sub a fx.* fx.E stock.A nothing.X stock.X",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack #@0x1 images=1
            0 a: info stock.A | quote stock.A #1 bid=1 IMAGE
            0 a: complete
            0 a: heartbeat log:2
            0 a: info stock.B | quote stock.B #4 bid=4 IMAGE
            0 a: ack fx.*!NOT_ENTITLED fx.E!NOT_ENTITLED stock.A@0 nothing.X!NOT_ENTITLED stock.X!UNKNOWN_SYMBOL images=1 | quote stock.A #1 bid=1 IMAGE
            0 a: complete
        "#]],
    );
}

#[test]
fn a_symbol_of_its_own_beats_the_rate_of_its_patterns() {
    check(
        "
            new stock.A; new stock.B
            open a; sub a stock.*@50 stock.A@5000 stock.#@1000
            quote stock.A 1 bid=1; quote stock.B 2 bid=1
            wait 10
            quote stock.A 3 bid=2; quote stock.B 4 bid=2
            wait 100
            unsub a stock.A
            wait 100",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.*@50x2 stock.A@5000 stock.#@1000x2 images=0
            0 a: info stock.A | info stock.B | complete
            0 a: heartbeat log:-
            0 a: quote stock.A #1 bid=1 IMAGE | quote stock.B #2 bid=1 IMAGE
            50 a: quote stock.B #4 bid=2
            110 a: unsubscribed 0 | quote stock.A #3 bid=2
        "#]],
    );
}

#[test]
fn duplicates_fold_into_one_subscription() {
    check(
        "
            new stock.A; quote stock.A 1 bid=1
            open a; sub a stock.A@0 stock.A@0 stock.*@0
            quote stock.A 2 bid=2",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@0 stock.A@0 stock.*@0x1 images=1
            0 a: info stock.A | quote stock.A #1 bid=1 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 a: quote stock.A #2 bid=2
        "#]],
    );
}

#[test]
fn dropping_a_pattern_keeps_what_is_named() {
    check(
        "
            new stock.A; new stock.B; quote stock.A 1 bid=1; quote stock.B 2 bid=1
            open a; sub a stock.*@0 stock.A@0
            unsub a stock.*
            quote stock.A 3 bid=2; quote stock.B 4 bid=2
            unsub a all
            quote stock.A 5 bid=3",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.*@0x2 stock.A@0 images=2
            0 a: info stock.A | info stock.B | quote stock.A #1 bid=1 IMAGE | quote stock.B #2 bid=1 IMAGE
            0 a: complete
            0 a: heartbeat log:2
            0 a: unsubscribed 1
            0 a: quote stock.A #3 bid=2
            0 a: unsubscribed 1
        "#]],
    );
}

#[test]
fn replace_drops_what_is_not_named() {
    check(
        "
            new stock.A; new stock.B; quote stock.A 1 bid=1; quote stock.B 2 bid=1
            open a; sub a stock.A@0
            sub a stock.B@0 replace
            quote stock.A 3 bid=2; quote stock.B 4 bid=2",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@0 images=1
            0 a: info stock.A | quote stock.A #1 bid=1 IMAGE
            0 a: complete
            0 a: heartbeat log:2
            0 a: ack stock.B@0 images=1
            0 a: info stock.B | quote stock.B #2 bid=1 IMAGE
            0 a: complete
            0 a: quote stock.B #4 bid=2
        "#]],
    );
}
