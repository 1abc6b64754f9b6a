//! What comes after a token: in which order, from any node, whatever the token is.

use expect_test::expect;
use tickwire_core::engine::EngineConfig;

use super::world::{World, config};
use super::{check, check_in};

#[test]
fn a_live_event_comes_behind_the_image_and_the_image_behind_the_replayed_ones() {
    // Before the images have left, the market goes on.
    check(
        "
            new stock.A; quote stock.A 1 bid=1; status stock.A 2 HALTED; status stock.A 3 OPEN; quote stock.A 4 bid=2
            open a resume=log:1; sub a stock.A@0; quote stock.A 5 bid=3; status stock.A 6 CLOSED; quote stock.A 7 bid=4",
        expect![[r#"
            0 a: welcome RESUMED heartbeat=5000
            0 a: ack stock.A@0 images=2
            0 a: info stock.A | status stock.A #2 HALTED EVENT | status stock.A #3 OPEN EVENT | quote stock.A #5 bid=3 IMAGE | status stock.A #5 OPEN IMAGE | status stock.A #6 CLOSED EVENT | quote stock.A #7 bid=4
            0 a: complete
            0 a: heartbeat log:7
        "#]],
    );
}

#[test]
fn the_order_of_a_resume_holds_through_a_full_socket() {
    check(
        "
            new stock.A; new stock.B; quote stock.A 1 bid=1; status stock.A 2 HALTED; quote stock.A 3 bid=2
            open a resume=log:1; block a
            sub a stock.A@0 stock.B@0
            quote stock.A 4 bid=3; status stock.A 5 OPEN; quote stock.A 6 bid=4
            unblock a",
        expect![[r#"
            0 a: welcome RESUMED heartbeat=5000
            0 a: ack stock.A@0 stock.B@0 images=2
            0 a: info stock.A | status stock.A #2 HALTED EVENT | quote stock.A #4 bid=3 IMAGE | status stock.A #4 HALTED IMAGE | status stock.A #5 OPEN EVENT
            0 a: info stock.B | quote stock.A #6 bid=4
            0 a: complete
            0 a: heartbeat log:6
        "#]],
    );
}

#[test]
fn an_instrument_that_appeared_meanwhile_is_told_from_its_first_event() {
    check(
        "
            new stock.A; quote stock.A 1 bid=1
            new stock.B; quote stock.B 5 bid=9; status stock.B 6 HALTED; quote stock.B 7 bid=8
            open a resume=log:1; sub a stock.*@0",
        expect![[r#"
            0 a: welcome RESUMED heartbeat=5000
            0 a: ack stock.*@0x2 images=2
            0 a: info stock.B | status stock.B #6 HALTED EVENT
            0 a: info stock.A | quote stock.B #7 bid=8 IMAGE | status stock.B #7 HALTED IMAGE
            0 a: complete
            0 a: heartbeat log:7
        "#]],
    );
}

#[test]
fn a_token_ahead_of_the_log_is_taken_and_nothing_older_is_lost() {
    // Of a node that is further: states and events are told, and the client drops what it has. Single trades begin behind the token.
    check(
        "
            new stock.A; quote stock.A 1 bid=1; status stock.A 2 HALTED
            open a resume=log:9; sub a stock.A@0+trades
            quote stock.A 3 bid=2 image; status stock.A 4 OPEN; trade stock.A 5 price=2; trade stock.A 10 price=3
            wait 5000",
        expect![[r#"
            0 a: welcome RESUMED heartbeat=5000
            0 a: ack stock.A@0 images=0
            0 a: info stock.A | complete
            0 a: heartbeat log:2
            0 a: quote stock.A #3 bid=2 IMAGE | status stock.A #4 OPEN EVENT | trade stock.A #10 3x1
            5000 a: heartbeat log:10
        "#]],
    );
}

#[test]
fn any_node_takes_the_token_of_another() {
    // This one has read the same log from a checkpoint; the other gave the token.
    check(
        "
            reset log
            new stock.A; quote stock.A 4 bid=1 image; status stock.A 4 OPEN image; events stock.A event=2
            position 4; status stock.A 5 HALTED; quote stock.A 6 bid=2; synced
            open a resume=log:4; sub a stock.A@0",
        expect![[r#"
            0 a: welcome RESUMED heartbeat=5000
            0 a: ack stock.A@0 images=2
            0 a: info stock.A | status stock.A #5 HALTED EVENT | quote stock.A #6 bid=2 IMAGE | status stock.A #6 HALTED IMAGE
            0 a: complete
            0 a: heartbeat log:6
        "#]],
    );
}

#[test]
fn tokens_that_are_none_mean_images_too() {
    check(
        "
            new stock.A; quote stock.A 1 bid=1
            open a resume=log:; sub a stock.A@0
            open b resume=log:+1; sub b stock.A@0
            open c resume=LOG:1; sub c stock.A@0
            open d resume=log:-; sub d stock.A@0",
        expect![[r#"
            0 a: welcome IMAGES heartbeat=5000
            0 a: ack stock.A@0 images=1
            0 a: info stock.A | quote stock.A #1 bid=1 IMAGE
            0 a: complete
            0 a: heartbeat log:1
            0 b: welcome IMAGES heartbeat=5000
            0 b: ack stock.A@0 images=1
            0 b: info stock.A | quote stock.A #1 bid=1 IMAGE
            0 b: complete
            0 b: heartbeat log:1
            0 c: welcome IMAGES heartbeat=5000
            0 c: ack stock.A@0 images=1
            0 c: info stock.A | quote stock.A #1 bid=1 IMAGE
            0 c: complete
            0 c: heartbeat log:1
            0 d: welcome RESUMED heartbeat=5000
            0 d: ack stock.A@0 images=1
            0 d: info stock.A | quote stock.A #1 bid=1 IMAGE
            0 d: complete
            0 d: heartbeat log:1
        "#]],
    );
}

#[test]
fn of_a_position_all_events_are_kept_or_none() {
    // Clients tell the events of a position by their order: the second must not come as if it were the first.
    check_in(
        World::new(EngineConfig { events_kept: 2, ..config() }),
        "
            new s.A; status s.A 1 OPEN; status s.A 2 HALTED; status s.A 2 OPEN; status s.A 3 CLOSED
            open a resume=log:1; sub a s.A@0
            status s.A 4 OPEN; status s.A 4 HALTED; status s.A 4 CLOSED
            open b resume=log:3; sub b s.A@0",
        expect![[r#"
            0 a: welcome RESUMED heartbeat=5000
            0 a: ack s.A@0 images=1
            0 a: info s.A | gap s.A 1..3 | status s.A #3 CLOSED EVENT | status s.A #3 CLOSED IMAGE
            0 a: complete
            0 a: heartbeat log:3
            0 a: status s.A #4 OPEN EVENT | status s.A #4 HALTED EVENT | status s.A #4 CLOSED EVENT
            0 b: welcome RESUMED heartbeat=5000
            0 b: ack s.A@0 images=1
            0 b: info s.A | gap s.A 3..5 | status s.A #4 CLOSED IMAGE
            0 b: complete
            0 b: heartbeat log:4
        "#]],
    );
}
