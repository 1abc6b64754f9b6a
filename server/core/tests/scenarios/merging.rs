//! What several inputs of an interval come to, by kind of body.

use expect_test::expect;

use super::check;

#[test]
fn totals_are_the_newest_and_bid_and_ask_belong_together() {
    check(
        "
            new stock.A; quote stock.A 1 bid=10 ask=11 volume=5
            open a; sub a stock.A@100
            quote stock.A 2 bid=11 ask=12 volume=7
            quote stock.A 3 volume=9; quote stock.A 4 bid=20 ask=21; quote stock.A 5 volume=12
            wait 100",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@100 images=1
            0 a: info stock.A | quote stock.A #1 bid=10 ask=11 volume=5 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 a: quote stock.A #2 bid=11 ask=12 volume=7
            100 a: quote stock.A #5 bid=20 ask=21 volume=12 merged=2
        "#]],
    );
}

#[test]
fn scores_merge_by_field_and_bars_by_length() {
    check(
        "
            new m; score m 1 home=0 away=0 period=1 clock=0; bar m 1 close=1; bar m 1 length=300 close=1
            open a; sub a m@1000
            score m 2 clock=15
            score m 3 home=1; score m 4 clock=30; score m 5 period=2 clock=45; bar m 6 close=2; bar m 7 length=300 close=3; bar m 8 close=4
            wait 1000",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack m@1000 images=3
            0 a: info m | score m #1 home=0 away=0 period=1 clock=0 IMAGE | bar m #1 60s@0 close=1 IMAGE | bar m #1 300s@0 close=1 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 a: score m #2 clock=15
            1000 a: score m #8 home=1 period=2 clock=45 merged=2 | bar m #8 60s@0 close=4 merged=1 | bar m #8 300s@0 close=3
        "#]],
    );
}

#[test]
fn an_image_in_the_middle_of_an_interval_replaces_what_came_before_it() {
    // Set, then not in the image: unknown. Set again behind it: known.
    check(
        "
            new stock.A; quote stock.A 1 bid=10 ask=11 last=10
            open a; sub a stock.A@100
            quote stock.A 2 bid=11
            quote stock.A 3 ask=12 volume=5; quote stock.A 4 last=13 image; quote stock.A 5 bid=14
            wait 100",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@100 images=1
            0 a: info stock.A | quote stock.A #1 bid=10 ask=11 last=10 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 a: quote stock.A #2 bid=11
            100 a: quote stock.A #5 bid=14 last=13 high=13 low=13 merged=2 IMAGE
        "#]],
    );
}

#[test]
fn a_clear_and_a_set_of_one_field_in_any_order_are_told_by_the_last() {
    check(
        "
            new stock.A; quote stock.A 1 bid=10 ask=11
            open a; sub a stock.A@100
            quote stock.A 2 bid=11
            quote stock.A 3 bid=12; quote stock.A 4 clear=1; quote stock.A 5 clear=3; quote stock.A 6 ask=13; quote stock.A 7 clear=5
            wait 100
            quote stock.A 8 bid=15
            wait 100",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@100 images=1
            0 a: info stock.A | quote stock.A #1 bid=10 ask=11 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 a: quote stock.A #2 bid=11
            100 a: quote stock.A #7 ask=13 clear=1 clear=5 merged=4
            200 a: quote stock.A #8 bid=15
        "#]],
    );
}
