//! Resume: what changed since a token, the events since, or that some are missing.

use expect_test::expect;

use super::world::{self, World};
use super::{check, check_in};

#[test]
fn only_what_changed_since_the_token_gets_an_image() {
    check(
        "
            new stock.A; new stock.B; quote stock.A 1 bid=1; quote stock.B 2 bid=1; quote stock.A 3 bid=2
            open a resume=log:2; sub a stock.A@0 stock.B@0
            sub a stock.B@0
            quote stock.B 4 bid=5",
        expect![[r#"
            0 a: welcome RESUMED heartbeat=5000
            0 a: ack stock.A@0 stock.B@0 images=1
            0 a: info stock.A | info stock.B | quote stock.A #3 bid=2 IMAGE
            0 a: complete
            0 a: heartbeat log:3
            0 a: ack stock.B@0 images=1 | quote stock.B #2 bid=1 IMAGE
            0 a: complete
            0 a: quote stock.B #4 bid=5
        "#]],
    );
}

#[test]
fn events_since_the_token_come_before_the_image() {
    check(
        "
            new stock.A; quote stock.A 1 bid=1; status stock.A 2 HALTED; status stock.A 3 OPEN; quote stock.A 4 bid=2
            open a resume=log:2; sub a stock.A@0",
        expect![[r#"
            0 a: welcome RESUMED heartbeat=5000
            0 a: ack stock.A@0 images=2
            0 a: info stock.A | status stock.A #3 OPEN EVENT | quote stock.A #4 bid=2 IMAGE | status stock.A #4 OPEN IMAGE
            0 a: complete
            0 a: heartbeat log:4
        "#]],
    );
}

#[test]
fn a_foreign_token_means_images() {
    check(
        "
            new stock.A; quote stock.A 1 bid=1
            open a resume=old:9; sub a stock.A@0
            open b resume=nonsense; sub b stock.A@0",
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
        "#]],
    );
}

#[test]
fn trades_since_the_token_are_a_gap() {
    check(
        "
            new stock.A; trade stock.A 1 price=5; trade stock.A 2 price=6; quote stock.A 3 last=6
            open a resume=log:1; sub a stock.A@0+trades
            open b resume=log:2; sub b stock.A@0+trades",
        expect![[r#"
            0 a: welcome RESUMED heartbeat=5000
            0 a: ack stock.A@0 images=1
            0 a: info stock.A | gap stock.A 1..3 | quote stock.A #3 last=6 IMAGE
            0 a: complete
            0 a: heartbeat log:3
            0 b: welcome RESUMED heartbeat=5000
            0 b: ack stock.A@0 images=1
            0 b: info stock.A | quote stock.A #3 last=6 IMAGE
            0 b: complete
            0 b: heartbeat log:3
        "#]],
    );
}

#[test]
fn the_token_stays_below_what_a_lane_has_not_told() {
    check(
        "
            new stock.A; new stock.B; quote stock.A 1 bid=1; quote stock.B 2 bid=1
            open a heartbeat=500; sub a stock.A@5000 stock.B@0
            quote stock.A 3 bid=2
            quote stock.A 4 bid=3
            quote stock.B 5 bid=2
            wait 600
            wait 5000
            wait 500",
        expect![[r#"
            0 a: welcome FRESH heartbeat=500
            0 a: ack stock.A@5000 stock.B@0 images=2
            0 a: info stock.A | info stock.B | quote stock.A #1 bid=1 IMAGE | quote stock.B #2 bid=1 IMAGE
            0 a: complete
            0 a: heartbeat log:2
            0 a: quote stock.A #3 bid=2
            0 a: quote stock.B #5 bid=2
            500 a: heartbeat log:3
            1000 a: heartbeat log:3
            1500 a: heartbeat log:3
            2000 a: heartbeat log:3
            2500 a: heartbeat log:3
            3000 a: heartbeat log:3
            3500 a: heartbeat log:3
            4000 a: heartbeat log:3
            4500 a: heartbeat log:3
            5000 a: quote stock.A #4 bid=3
            5500 a: heartbeat log:5
            6000 a: heartbeat log:5
        "#]],
    );
}

#[test]
fn a_reset_gives_everyone_new_images_once_the_book_is_complete() {
    check(
        "
            new stock.A; new stock.B; quote stock.A 11 bid=1; bar stock.B 12 close=4; status stock.B 13 OPEN
            open a heartbeat=500; sub a stock.*@0
            reset next; feed f RECOVERING
            quote stock.A 1 bid=5; new stock.C; quote stock.C 2 bid=6
            wait 500
            open b resume=log:13; sub b stock.A@0; ping b 1
            synced; feed f LIVE
            quote stock.A 3 bid=7
            wait 500",
        expect![[r#"
            0 a: welcome FRESH heartbeat=500
            0 a: ack stock.*@0x2 images=3
            0 a: info stock.A | info stock.B | quote stock.A #11 bid=1 IMAGE | bar stock.B #13 60s@0 close=4 IMAGE | status stock.B #13 OPEN IMAGE
            0 a: complete
            0 a: heartbeat log:13
            0 a: feed f RECOVERING
            500 a: heartbeat - | feed f RECOVERING at 2
            500 b: welcome IMAGES heartbeat=5000 | feed f RECOVERING at 2
            500 b: pong 1
            500 a: error RESUME_EXPIRED epoch=next: the log was reset; images follow | feed f LIVE at 2
            500 a: info stock.C | info stock.A | info stock.B | quote stock.C #2 bid=6 IMAGE | quote stock.A #1 bid=5 IMAGE | bar stock.B #2 0s@0 close=0 IMAGE | status stock.B #2 TRADING_PHASE_UNSPECIFIED IMAGE
            500 b: ack stock.A@0 images=1 | feed f LIVE at 2
            500 b: info stock.A | quote stock.A #1 bid=5 IMAGE
            500 b: complete
            500 b: heartbeat next:2 | feed f LIVE at 2
            500 a: quote stock.A #3 bid=7
            500 b: quote stock.A #3 bid=7
            1000 a: heartbeat next:3 | feed f LIVE at 3
        "#]],
    );
}

#[test]
fn reading_the_same_log_again_keeps_the_tokens_alive() {
    check(
        "
            new stock.A; quote stock.A 11 bid=1
            open a; sub a stock.A@0
            reset log
            quote stock.A 11 bid=1 image; quote stock.A 12 bid=2
            synced
            open b resume=log:11; sub b stock.A@0",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@0 images=1
            0 a: info stock.A | quote stock.A #11 bid=1 IMAGE
            0 a: complete
            0 a: heartbeat log:11
            0 a: info stock.A | quote stock.A #12 bid=2 IMAGE
            0 b: welcome RESUMED heartbeat=5000
            0 b: ack stock.A@0 images=1
            0 b: info stock.A | quote stock.A #12 bid=2 IMAGE
            0 b: complete
            0 b: heartbeat log:12
        "#]],
    );
}

#[test]
fn reading_the_same_log_again_under_connections_loses_no_event() {
    check(
        "
            new stock.A; new stock.B; quote stock.A 11 bid=1; status stock.A 12 HALTED; quote stock.B 13 bid=1; status stock.B 14 OPEN
            open a; sub a stock.*@0
            reset log
            quote stock.A 12 bid=1 image; status stock.A 12 HALTED image; events stock.A event=12; position 13
            status stock.B 14 OPEN; status stock.A 15 OPEN; quote stock.A 16 bid=2; status stock.B 17 CLOSED
            synced",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.*@0x2 images=4
            0 a: info stock.A | info stock.B | quote stock.A #12 bid=1 IMAGE | status stock.A #12 HALTED IMAGE | quote stock.B #14 bid=1 IMAGE | status stock.B #14 OPEN IMAGE
            0 a: complete
            0 a: heartbeat log:14
            0 a: info stock.A | status stock.A #15 OPEN EVENT
            0 a: info stock.B | status stock.B #17 CLOSED EVENT | quote stock.A #16 bid=2 IMAGE | status stock.A #16 OPEN IMAGE | quote stock.B #17 IMAGE | status stock.B #17 CLOSED IMAGE
        "#]],
    );
}

#[test]
fn reading_the_same_log_again_tells_what_a_checkpoint_does_not_say() {
    check(
        "
            new stock.A; new stock.B; quote stock.A 11 bid=1; quote stock.B 11 bid=1
            open a; sub a stock.A@0 stock.B@5000+trades; quote stock.B 12 bid=2
            trade stock.B 13 price=5
            reset log
            quote stock.A 16 bid=1 image; status stock.A 16 HALTED image; events stock.A event=15
            quote stock.B 16 bid=3 image; events stock.B trade=14
            position 20
            status stock.A 21 OPEN
            synced",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@0 stock.B@5000 images=2
            0 a: info stock.A | info stock.B | quote stock.A #11 bid=1 IMAGE | quote stock.B #12 bid=2 IMAGE
            0 a: complete
            0 a: heartbeat log:12
            0 a: trade stock.B #13 5x1
            0 a: info stock.A | gap stock.A 13..17
            0 a: info stock.B | gap stock.B 13..15 | status stock.A #21 OPEN EVENT | quote stock.A #21 bid=1 IMAGE | status stock.A #21 OPEN IMAGE | quote stock.B #16 bid=3 IMAGE
        "#]],
    );
}

#[test]
fn an_image_of_a_checkpoint_may_stand_for_an_event() {
    check(
        "
            reset log
            new stock.A; new stock.B; quote stock.A 5 bid=1 image; quote stock.B 9 bid=1 image; status stock.B 9 HALTED image; status stock.A 10 HALTED; synced
            open a resume=log:7; sub a stock.*@0
            open b resume=log:9; sub b stock.*@0",
        expect![[r#"
            0 a: welcome RESUMED heartbeat=5000
            0 a: ack stock.*@0x2 images=4
            0 a: info stock.A | gap stock.A 7..10
            0 a: info stock.B | gap stock.B 7..10 | status stock.A #10 HALTED EVENT | quote stock.A #10 bid=1 IMAGE | status stock.A #10 HALTED IMAGE | quote stock.B #9 bid=1 IMAGE | status stock.B #9 HALTED IMAGE
            0 a: complete
            0 a: heartbeat log:10
            0 b: welcome RESUMED heartbeat=5000
            0 b: ack stock.*@0x2 images=2
            0 b: info stock.A | status stock.A #10 HALTED EVENT
            0 b: info stock.B | quote stock.A #10 bid=1 IMAGE | status stock.A #10 HALTED IMAGE
            0 b: complete
            0 b: heartbeat log:10
        "#]],
    );
}

#[test]
fn a_token_is_judged_when_the_log_has_a_name() {
    check_in(
        World::unsynced(world::config()),
        "
            open a resume=log:2; sub a stock.A@0; ping a 1
            sse b stock.A conflate=0 resume=log:2
            open c resume=old:2; configure c conflate=100; sub c stock.A
            open d; sub d stock.A@0
            wait 1000
            reset log
            new stock.A; quote stock.A 2 bid=1; status stock.A 3 HALTED
            synced
            quote stock.A 4 bid=2",
        expect![[r#"
            0 d: welcome FRESH heartbeat=5000
            1000 a: welcome RESUMED heartbeat=5000
            1000 a: pong 1
            1000 b: welcome RESUMED heartbeat=5000
            1000 c: welcome IMAGES heartbeat=5000
            1000 c: ok conflate=100
            1000 a: ack stock.A@0 images=2
            1000 a: info stock.A | status stock.A #3 HALTED EVENT | quote stock.A #3 bid=1 IMAGE | status stock.A #3 HALTED IMAGE
            1000 a: complete
            1000 a: heartbeat log:3
            1000 b: ack stock.A@0 images=2
            1000 b: info stock.A | status stock.A #3 HALTED EVENT | quote stock.A #3 bid=1 IMAGE | status stock.A #3 HALTED IMAGE
            1000 b: complete
            1000 b: heartbeat log:3
            1000 c: ack stock.A@100 images=2
            1000 c: info stock.A | quote stock.A #3 bid=1 IMAGE | status stock.A #3 HALTED IMAGE
            1000 c: complete
            1000 c: heartbeat log:3
            1000 d: ack stock.A@0 images=2
            1000 d: info stock.A | quote stock.A #3 bid=1 IMAGE | status stock.A #3 HALTED IMAGE
            1000 d: complete
            1000 d: heartbeat log:3
            1000 a: quote stock.A #4 bid=2
            1000 b: quote stock.A #4 bid=2
            1000 d: quote stock.A #4 bid=2
            1000 c: quote stock.A #4 bid=2
        "#]],
    );
}

#[test]
fn welcome_is_not_held_back_for_ever() {
    check_in(
        World::unsynced(world::config()),
        "
            open a heartbeat=500 resume=log:2; sub a stock.A@0
            wait 5600
            reset log; new stock.A; quote stock.A 2 bid=1; synced",
        expect![[r#"
            5000 a: welcome IMAGES heartbeat=500
            5500 a: heartbeat -
            5600 a: ack stock.A@0 images=1
            5600 a: info stock.A | quote stock.A #2 bid=1 IMAGE
            5600 a: complete
            5600 a: heartbeat log:2
        "#]],
    );
}

#[test]
fn welcome_is_not_held_back_for_more_commands_than_are_kept() {
    check_in(
        World::unsynced(world::config()),
        "
            open a resume=log:2; ping a 1; ping a 2; ping a 3; ping a 4; ping a 5; ping a 6; ping a 7; ping a 8; ping a 9; ping a 10; ping a 11; ping a 12; ping a 13; ping a 14; ping a 15
            ping a 16; hello a",
        expect![[r#"
            0 a: welcome IMAGES heartbeat=5000
            0 a: pong 1
            0 a: pong 2
            0 a: pong 3
            0 a: pong 4
            0 a: pong 5
            0 a: pong 6
            0 a: pong 7
            0 a: pong 8
            0 a: pong 9
            0 a: pong 10
            0 a: pong 11
            0 a: pong 12
            0 a: pong 13
            0 a: pong 14
            0 a: pong 15
            0 a: pong 16
            0 a: error BAD_MESSAGE: Hello came twice
            0 a: close BAD_MESSAGE (Hello came twice)
        "#]],
    );
}

#[test]
fn a_token_of_a_log_that_is_replaced_while_it_is_read_is_taken_back() {
    check_in(
        World::unsynced(world::config()),
        "
            reset log; new stock.A; quote stock.A 9 bid=1
            open a resume=log:8; sub a stock.A@0
            reset next; quote stock.A 3 bid=2; synced",
        expect![[r#"
            0 a: welcome RESUMED heartbeat=5000
            0 a: error RESUME_EXPIRED epoch=next: the log was reset; images follow
            0 a: ack stock.A@0 images=1
            0 a: info stock.A | quote stock.A #3 bid=2 IMAGE
            0 a: complete
            0 a: heartbeat next:3
        "#]],
    );
}

#[test]
fn a_checkpoint_says_which_events_its_images_stand_for() {
    check(
        "
            reset log
            new stock.A; quote stock.A 8 bid=1 image; status stock.A 8 HALTED image; events stock.A event=6 trade=7
            new stock.B; quote stock.B 9 bid=1 image; events stock.B
            position 9; synced
            open a resume=log:5; sub a stock.*@0+trades
            open b resume=log:6; sub b stock.*@0+trades
            open c resume=log:7; sub c stock.*@0+trades",
        expect![[r#"
            0 a: welcome RESUMED heartbeat=5000
            0 a: ack stock.*@0x2 images=3
            0 a: info stock.A | gap stock.A 5..8
            0 a: info stock.B | quote stock.A #8 bid=1 IMAGE | status stock.A #8 HALTED IMAGE | quote stock.B #9 bid=1 IMAGE
            0 a: complete
            0 a: heartbeat log:9
            0 b: welcome RESUMED heartbeat=5000
            0 b: ack stock.*@0x2 images=3
            0 b: info stock.A | gap stock.A 6..8
            0 b: info stock.B | quote stock.A #8 bid=1 IMAGE | status stock.A #8 HALTED IMAGE | quote stock.B #9 bid=1 IMAGE
            0 b: complete
            0 b: heartbeat log:9
            0 c: welcome RESUMED heartbeat=5000
            0 c: ack stock.*@0x2 images=3
            0 c: info stock.A | info stock.B | quote stock.A #8 bid=1 IMAGE | status stock.A #8 HALTED IMAGE | quote stock.B #9 bid=1 IMAGE
            0 c: complete
            0 c: heartbeat log:9
        "#]],
    );
}

#[test]
fn the_engine_writes_such_a_checkpoint() {
    let mut world = World::new(world::config());
    super::script::run(
        &mut world,
        "new stock.A; new stock.B; quote stock.A 3 bid=1; status stock.A 4 HALTED; trade stock.A 5 price=1; quote stock.A 6 bid=2",
    );
    let kept: Vec<_> = world.engine.checkpoint().into_iter().map(|kept| kept.events).collect();
    let positions = |event_seq, trade_seq| Some(tickwire_proto::v1::EventPositions { event_seq, trade_seq });
    assert_eq!(kept, [positions(Some(4), Some(5)), positions(None, None)]);
}

#[test]
fn whoever_was_welcomed_to_a_log_is_told_that_another_one_goes_on() {
    check(
        "
            new stock.A; quote stock.A 9 bid=1
            reset log
            open a; sub a stock.A@0
            reset next; quote stock.A 3 bid=2; synced",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: error RESUME_EXPIRED epoch=next: the log was reset; images follow
            0 a: ack stock.A@0 images=1
            0 a: info stock.A | quote stock.A #3 bid=2 IMAGE
            0 a: complete
            0 a: heartbeat next:3
        "#]],
    );
}

#[test]
fn events_of_an_ended_log_do_not_follow_the_word_of_the_new_one() {
    check(
        "
            new stock.A; quote stock.A 9 bid=1
            reset log; new stock.A; quote stock.A 9 bid=1; synced
            open a; sub a stock.A@0
            block a; quote stock.A 10 bid=2
            wait 1
            status stock.A 11 HALTED
            reset next; quote stock.A 3 bid=3; synced
            unblock a",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@0 images=1
            0 a: info stock.A | quote stock.A #9 bid=1 IMAGE
            0 a: complete
            0 a: heartbeat log:9
            0 a: quote stock.A #10 bid=2
            1 a: error RESUME_EXPIRED epoch=next: the log was reset; images follow
            1 a: info stock.A | quote stock.A #3 bid=3 IMAGE | status stock.A #3 TRADING_PHASE_UNSPECIFIED IMAGE
        "#]],
    );
}
