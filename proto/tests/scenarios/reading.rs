//! What applications read: newest states, events in order, gaps instead of silence.

use expect_test::expect;
use tickwire_proto::session::SessionConfig;

use super::{check, check_with};

#[test]
fn reads_the_newest_state_only() {
    check(
        "subscribe AAPL; live; image AAPL seq=1 bid=1.00 last=1.00; read 1
         delta AAPL seq=2 last=3.00 high=5.00 low=2.00 merged=3; delta AAPL seq=3 last=1.50; delta AAPL seq=4 bid=1.10; read 1; read 1; stats",
        expect![[r#"
            0.000 live
            0.000 ready #1
            0.000 read AAPL bid 1.00 last 1.00
            0.000 ready #1
            0.000 read AAPL bid 1.10 last 1.50 (+5, 1.50 to 5.00)
            0.000 records 4 merged 3 conflated 2 repeated 0 ignored 0 lost 0
        "#]],
    );
}

#[test]
fn one_record_reads_as_it_came() {
    check(
        "subscribe AAPL; live; image AAPL seq=1 last=1.00; read 1; delta AAPL seq=2 last=2.00 high=3.00 low=2.00 merged=4; read 1",
        expect![[r#"
        0.000 live
        0.000 ready #1
        0.000 read AAPL last 1.00
        0.000 ready #1
        0.000 read AAPL last 2.00 (+4, 2.00 to 3.00)
    "#]],
    );
}

#[test]
fn what_is_dirty_longest_comes_first() {
    check(
        "subscribe stock.*; live; image stock.A seq=1 bid=1; image stock.B seq=2 bid=1; read 1 1; image stock.C seq=3 bid=1
         delta stock.A seq=4 bid=2; delta stock.B seq=5 bid=2; read 1",
        expect![[r#"
            0.000 live
            0.000 ready #1
            0.000 read stock.A bid 1.00
            0.000 read stock.B bid 2.00 (+1, - to -)
            0.000 read stock.C bid 1.00
            0.000 read stock.A bid 2.00
        "#]],
    );
}

#[test]
fn a_halt_comes_after_the_price_it_stopped_at() {
    check(
        "subscribe AAPL; live; image AAPL seq=1 bid=1.00; read 1; delta AAPL seq=2 bid=2.00; event AAPL seq=3 phase=HALTED
         delta AAPL seq=4 bid=3.00; read 1",
        expect![[r#"
            0.000 live
            0.000 ready #1
            0.000 read AAPL bid 1.00
            0.000 ready #1
            0.000 read AAPL bid 2.00
            0.000 read [HALTED] AAPL bid 2.00 HALTED
            0.000 read AAPL bid 3.00 HALTED
        "#]],
    );
}

#[test]
fn single_trades_go_to_those_who_ask() {
    check(
        "subscribe AAPL; subscribe AAPL trades; live; image AAPL seq=1 last=1.00; event AAPL seq=2 trade=1.01; event AAPL seq=3 trade=1.01 bust
         read 1; read 2",
        expect![[r#"
            0.000 live
            0.000 ready #1
            0.000 ready #2
            0.000 read AAPL last 1.00
            0.000 read [bust 100 @ 1.01] AAPL last 1.00
            0.000 read [trade 100 @ 1.01] AAPL last 1.00
            0.000 read AAPL last 1.00
            0.000 read [bust 100 @ 1.01] AAPL last 1.00
        "#]],
    );
}

#[test]
fn an_application_that_does_not_read_is_told_of_a_gap() {
    let config = SessionConfig { events_max: 2, ..SessionConfig::default() };
    check_with(
        config,
        "subscribe AAPL,MSFT trades; live; image AAPL seq=1 bid=1; image MSFT seq=1 bid=1; read 1
         event MSFT seq=2 trade=9; event AAPL seq=3 trade=1; event AAPL seq=4 trade=2; event AAPL seq=5 trade=3; event AAPL seq=6 trade=4
         read 1; stats",
        expect![[r#"
            0.000 live
            0.000 ready #1
            0.000 read AAPL bid 1.00
            0.000 read MSFT bid 1.00
            0.000 ready #1
            0.000 read [events lost between 1 and 3] MSFT
            0.000 read [events lost between 2 and 5] AAPL
            0.000 read [trade 100 @ 3.00] AAPL bid 1.00
            0.000 read [trade 100 @ 4.00] AAPL bid 1.00
            0.000 read AAPL bid 1.00
            0.000 records 7 merged 0 conflated 0 repeated 0 ignored 0 lost 3
        "#]],
    );
}

#[test]
fn a_gap_of_the_server_is_passed_on_in_its_place() {
    check(
        "subscribe AAPL; live; image AAPL seq=1 bid=1; read 1; event AAPL seq=2 phase=HALTED; gap AAPL 2 9; event AAPL seq=9 phase=OPEN; read 1",
        expect![[r#"
            0.000 live
            0.000 ready #1
            0.000 read AAPL bid 1.00
            0.000 ready #1
            0.000 read [HALTED] AAPL bid 1.00 HALTED
            0.000 read [events lost between 2 and 9] AAPL
            0.000 read [OPEN] AAPL bid 1.00 OPEN
        "#]],
    );
}

#[test]
fn events_replayed_after_a_resume_are_given_once() {
    check(
        "subscribe AAPL; live; image AAPL seq=1 phase=OPEN; event AAPL seq=5 phase=HALTED; event AAPL seq=5 phase=OPEN; beat e1:4; read 1
         cut; wait 1s; open; welcome; ack; image AAPL seq=9 phase=CLOSED
         event AAPL seq=5 phase=HALTED; event AAPL seq=5 phase=OPEN; event AAPL seq=7 phase=AUCTION; complete; read 1; stats",
        expect![[r#"
            0.000 live
            0.000 ready #1
            0.000 read AAPL OPEN
            0.000 read [HALTED] AAPL HALTED
            0.000 read [OPEN] AAPL OPEN
            0.000 Backoff (connection lost)
            0.097 Connecting
            0.097 open #1
            1.000 send hello resume=e1:4
            1.000 send subscribe AAPL
            1.000 Syncing (welcomed as n1-1)
            1.000 ready #1
            1.000 Live
            1.000 read AAPL CLOSED
            1.000 read [AUCTION] AAPL CLOSED
            1.000 records 7 merged 0 conflated 0 repeated 2 ignored 0 lost 0
        "#]],
    );
}

#[test]
fn older_records_are_dropped_and_equal_ones_applied() {
    check(
        "subscribe AAPL; live; image AAPL seq=5 bid=5.00; delta AAPL seq=4 bid=4.00; latest AAPL; delta AAPL seq=5 ask=6.00; latest AAPL; stats",
        expect![[r#"
            0.000 live
            0.000 ready #1
            0.000 latest: AAPL bid 5.00
            0.000 latest: AAPL bid 5.00 ask 6.00
            0.000 records 3 merged 0 conflated 1 repeated 1 ignored 0 lost 0
        "#]],
    );
}

#[test]
fn a_lagging_node_does_not_turn_prices_back() {
    check(
        "subscribe AAPL; live; image AAPL seq=9 bid=9.00; cut; wait 1s; open; welcome; ack; image AAPL seq=5 bid=5.00; complete
         delta AAPL seq=6 bid=6.00; latest AAPL; delta AAPL seq=9 bid=9.00; delta AAPL seq=10 bid=10.00; latest AAPL",
        expect![[r#"
            0.000 live
            0.000 ready #1
            0.000 Backoff (connection lost)
            0.097 Connecting
            0.097 open #1
            1.000 send hello resume=e1:1
            1.000 send subscribe AAPL
            1.000 Syncing (welcomed as n1-1)
            1.000 Live
            1.000 latest: AAPL bid 9.00
            1.000 latest: AAPL bid 10.00
        "#]],
    );
}

#[test]
fn what_a_lagging_node_says_goes_below_an_event_that_came_before_its_images() {
    check(
        "subscribe AAPL; live; image AAPL seq=2 bid=2.00 ask=3.00; hide; cut; wait 1s; open; welcome; ack; event AAPL seq=9 bid=9.00
         cut; wait 1s; open; welcome; ack; complete; delta AAPL seq=5 bid=5.00 ask=6.00; latest AAPL; delta AAPL seq=1 ask=1.00; latest AAPL",
        expect![[r#"
            0.000 live
            0.000 ready #1
            0.000 send configure paused=true
            0.000 Backoff (connection lost)
            0.097 Connecting
            0.097 open #1
            1.000 send hello resume=e1:1
            1.000 send subscribe AAPL
            1.000 send configure paused=true
            1.000 Syncing (welcomed as n1-1)
            1.000 Backoff (connection lost)
            1.008 Connecting
            1.008 open #2
            2.000 send hello resume=e1:1
            2.000 send subscribe AAPL
            2.000 send configure paused=true
            2.000 Syncing (welcomed as n1-1)
            2.000 Live
            2.000 latest: AAPL bid 9.00 ask 6.00
            2.000 latest: AAPL bid 9.00 ask 6.00
        "#]],
    );
}

#[test]
fn the_token_of_one_node_does_not_cover_what_a_lagging_one_has_said_since() {
    check(
        "subscribe AAPL; live; beat e1:9; cut; wait 1s; open; welcome; ack; subscribe MSFT; ack; image MSFT seq=5 bid=5.00; rate 1 1000; complete
         cut; wait 1s; open; welcome",
        expect![[r#"
            0.000 live
            0.000 Backoff (connection lost)
            0.097 Connecting
            0.097 open #1
            1.000 send hello resume=e1:9
            1.000 send subscribe AAPL
            1.000 Syncing (welcomed as n1-1)
            1.000 send subscribe MSFT
            1.000 ready #2
            1.000 send subscribe AAPL@1000
            1.000 Live
            1.000 Backoff (connection lost)
            1.008 Connecting
            1.008 open #2
            2.000 send hello resume=e1:9
            2.000 send subscribe AAPL@1000
            2.000 send subscribe MSFT
            2.000 Syncing (welcomed as n1-1)
        "#]],
    );
}

#[test]
fn a_gap_begins_behind_the_events_also_if_trades_are_ahead_of_them() {
    check(
        "subscribe AAPL trades; live; event AAPL seq=9 trade=1.00; read 1; cut; wait 1s; open; welcome resume=IMAGES; ack
         event AAPL seq=4 phase=HALTED; read 1; cut; wait 1s; open; welcome resume=IMAGES; ack; image AAPL seq=12 bid=1.00; read 1",
        expect![[r#"
            0.000 live
            0.000 ready #1
            0.000 read [trade 100 @ 1.00] AAPL
            0.000 Backoff (connection lost)
            0.097 Connecting
            0.097 open #1
            1.000 send hello resume=e1:1
            1.000 send subscribe AAPL+trades
            1.000 Syncing (welcomed as n1-1)
            1.000 ready #1
            1.000 read [HALTED] AAPL HALTED
            1.000 Backoff (connection lost)
            1.008 Connecting
            1.008 open #2
            2.000 send hello resume=e1:1
            2.000 send subscribe AAPL+trades
            2.000 Syncing (welcomed as n1-1)
            2.000 ready #1
            2.000 read [events lost between 3 and 13] AAPL
            2.000 read AAPL bid 1.00 HALTED
        "#]],
    );
}

#[test]
fn a_new_life_of_the_log_starts_again() {
    check(
        "subscribe AAPL; live; image AAPL seq=9 bid=9.00; image AAPL seq=2 bid=2.00; latest AAPL; delta AAPL seq=3 bid=3.00; latest AAPL
         cut; wait 1s; open; welcome epoch=e2 resume=IMAGES; ack; image AAPL seq=1 bid=1.00; complete; latest AAPL",
        expect![[r#"
            0.000 live
            0.000 ready #1
            0.000 latest: AAPL bid 2.00
            0.000 latest: AAPL bid 3.00
            0.000 Backoff (connection lost)
            0.097 Connecting
            0.097 open #1
            1.000 send hello resume=e1:1
            1.000 send subscribe AAPL
            1.000 error RESUME_EXPIRED
            1.000 Syncing (welcomed as n1-1)
            1.000 Live
            1.000 latest: AAPL bid 1.00
        "#]],
    );
}

#[test]
fn an_image_that_says_nothing_new_is_no_change() {
    check(
        "subscribe AAPL; live; image AAPL seq=9 bid=9.00; read 1; cut; wait 1s; open; welcome; ack; image AAPL seq=9 bid=9.00; complete; read 1
         image AAPL seq=9 bid=9.01",
        expect![[r#"
            0.000 live
            0.000 ready #1
            0.000 read AAPL bid 9.00
            0.000 Backoff (connection lost)
            0.097 Connecting
            0.097 open #1
            1.000 send hello resume=e1:1
            1.000 send subscribe AAPL
            1.000 Syncing (welcomed as n1-1)
            1.000 Live
            1.000 ready #1
        "#]],
    );
}

#[test]
fn a_late_subscription_starts_with_what_is_known() {
    check(
        "subscribe AAPL; live; image AAPL seq=1 bid=1.00; read 1; subscribe AAPL; read 2; unsubscribe 1; latest AAPL; unsubscribe 2; latest AAPL",
        expect![[r#"
        0.000 live
        0.000 ready #1
        0.000 read AAPL bid 1.00
        0.000 ready #2
        0.000 read AAPL bid 1.00
        0.000 latest: AAPL bid 1.00
        0.000 send unsubscribe AAPL
        0.000 latest: nothing
    "#]],
    );
}

#[test]
fn an_instrument_is_announced_once_and_wanted_later() {
    check(
        "live; announce AAPL; subscribe AAPL; ack; image AAPL seq=1 bid=1.00; complete; read 1",
        expect![[r#"
        0.000 live
        0.000 send subscribe AAPL
        0.000 ready #1
        0.000 read AAPL bid 1.00
    "#]],
    );
}

#[test]
fn new_scales_do_not_read_old_mantissas() {
    check(
        "subscribe AAPL; live; image AAPL seq=1 bid=1.25; announce AAPL scale=4; latest AAPL; image AAPL seq=2 bid=1.2525 scale=4; latest AAPL",
        expect![[r#"
        0.000 live
        0.000 ready #1
        0.000 latest: AAPL
        0.000 latest: AAPL bid 1.2525
    "#]],
    );
}

#[test]
fn patterns_take_in_what_appears_later() {
    check(
        "subscribe soccer.#; subscribe soccer.epl.*; live; image soccer.epl.A-B seq=1 bid=2; image soccer.liga.C-D seq=2 bid=3; read 1; read 2",
        expect![[r#"
        0.000 live
        0.000 ready #1
        0.000 ready #2
        0.000 read soccer.epl.A-B bid 2.00
        0.000 read soccer.liga.C-D bid 3.00
        0.000 read soccer.epl.A-B bid 2.00
    "#]],
    );
}

#[test]
fn what_is_not_resumed_may_have_lost_events() {
    check(
        "subscribe AAPL,MSFT; connect; open; welcome; ack; image AAPL seq=5 bid=5.00; image MSFT seq=6 bid=6.00; complete; read 1
         cut; wait 1s; open; welcome; ack; image AAPL seq=9 bid=9.00; image MSFT seq=6 bid=6.00; complete; read 1",
        expect![[r#"
            0.000 Connecting
            0.000 open #0
            0.000 send hello
            0.000 send subscribe AAPL MSFT
            0.000 Syncing (welcomed as n1-1)
            0.000 ready #1
            0.000 Live
            0.000 read AAPL bid 5.00
            0.000 read MSFT bid 6.00
            0.000 Backoff (connection lost)
            0.097 Connecting
            0.097 open #1
            1.000 send hello
            1.000 send subscribe AAPL MSFT
            1.000 Syncing (welcomed as n1-1)
            1.000 ready #1
            1.000 Live
            1.000 read [events lost between 4 and 10] AAPL
            1.000 read AAPL bid 9.00
        "#]],
    );
}

#[test]
fn whoever_knows_trades_alone_is_told_of_another_log_too() {
    check(
        "subscribe AAPL trades; live; event AAPL seq=5 trade=1.00; read 1; cut; wait 1s; open; welcome resume=IMAGES epoch=e2; ack; complete;
         event AAPL seq=2 trade=1.05; read 1",
        expect![[r#"
            0.000 live
            0.000 ready #1
            0.000 read [trade 100 @ 1.00] AAPL
            0.000 Backoff (connection lost)
            0.097 Connecting
            0.097 open #1
            1.000 send hello resume=e1:1
            1.000 send subscribe AAPL+trades
            1.000 error RESUME_EXPIRED
            1.000 Syncing (welcomed as n1-1)
            1.000 Live
            1.000 ready #1
            1.000 read [trade 100 @ 1.05] AAPL
        "#]],
    );
}

#[test]
fn a_log_that_is_reset_under_the_connection_starts_again() {
    check(
        "subscribe AAPL; live; image AAPL seq=9 bid=9.00; error RESUME_EXPIRED; image AAPL seq=2 bid=2.00; beat e2:2; read 1
         cut; wait 1s; open; welcome epoch=e2; ack; complete; delta AAPL seq=3 bid=3.00; read 1; stats",
        expect![[r#"
            0.000 live
            0.000 ready #1
            0.000 error RESUME_EXPIRED
            0.000 read AAPL bid 2.00 (+1, - to -)
            0.000 Backoff (connection lost)
            0.097 Connecting
            0.097 open #1
            1.000 send hello resume=e2:2
            1.000 send subscribe AAPL
            1.000 Syncing (welcomed as n1-1)
            1.000 Live
            1.000 ready #1
            1.000 read AAPL bid 3.00
            1.000 records 3 merged 0 conflated 1 repeated 0 ignored 0 lost 0
        "#]],
    );
}

#[test]
fn records_of_an_ended_subscription_are_not_given_to_its_successor() {
    check(
        "subscribe AAPL; live; image AAPL seq=1 bid=1.00; unsubscribe 1; subscribe AAPL; event AAPL seq=2 phase=HALTED; ack
         image AAPL seq=5 bid=5.00; complete; event AAPL seq=6 phase=OPEN; read 2; stats",
        expect![[r#"
            0.000 live
            0.000 ready #1
            0.000 send unsubscribe AAPL
            0.000 send subscribe AAPL
            0.000 ready #2
            0.000 read AAPL bid 5.00
            0.000 read [OPEN] AAPL bid 5.00 OPEN
            0.000 records 4 merged 0 conflated 0 repeated 0 ignored 1 lost 0
        "#]],
    );
}

#[test]
fn a_message_that_comes_again_leaves_the_state_it_left_before() {
    check(
        "subscribe AAPL; live; image AAPL seq=9 phase=OPEN; delta AAPL seq=10 phase=PRE_OPEN; event AAPL seq=10 phase=HALTED; read 1;
         cut; wait 1s; open; welcome resumed; ack; complete; delta AAPL seq=10 phase=PRE_OPEN; event AAPL seq=10 phase=HALTED; read 1",
        expect![[r#"
            0.000 live
            0.000 ready #1
            0.000 read AAPL PRE_OPEN (+1, - to -)
            0.000 read [HALTED] AAPL HALTED
            0.000 Backoff (connection lost)
            0.097 Connecting
            0.097 open #1
            1.000 send hello resume=e1:1
            1.000 send subscribe AAPL
            1.000 Syncing (welcomed as n1-1)
            1.000 Live
            1.000 ready #1
            1.000 read AAPL HALTED (+1, - to -)
        "#]],
    );
}

#[test]
fn a_state_that_events_push_out_is_read_as_the_newest() {
    let config = SessionConfig { events_max: 1, ..SessionConfig::default() };
    check_with(
        config,
        "subscribe AAPL,MSFT; live; image AAPL seq=1 bid=1.00; event AAPL seq=2 phase=HALTED; image MSFT seq=3 bid=3.00
         event MSFT seq=4 phase=HALTED; read 1",
        expect![[r#"
            0.000 live
            0.000 ready #1
            0.000 read [events lost between 1 and 3] AAPL
            0.000 read AAPL bid 1.00 HALTED (+1, - to -)
            0.000 read MSFT bid 3.00
            0.000 read [HALTED] MSFT bid 3.00 HALTED
        "#]],
    );
}

#[test]
fn a_node_that_lags_behind_the_last_one_takes_nothing_back() {
    check(
        "subscribe AAPL; connect; open; welcome; ack; image AAPL seq=9 bid=9.00; complete; read 1
         cut; wait 1s; open; welcome; ack; complete; image AAPL seq=7 bid=7.00; latest AAPL; delta AAPL seq=10 bid=10.00; latest AAPL",
        expect![[r#"
            0.000 Connecting
            0.000 open #0
            0.000 send hello
            0.000 send subscribe AAPL
            0.000 Syncing (welcomed as n1-1)
            0.000 ready #1
            0.000 Live
            0.000 read AAPL bid 9.00
            0.000 Backoff (connection lost)
            0.097 Connecting
            0.097 open #1
            1.000 send hello
            1.000 send subscribe AAPL
            1.000 Syncing (welcomed as n1-1)
            1.000 Live
            1.000 latest: AAPL bid 9.00
            1.000 ready #1
            1.000 latest: AAPL bid 10.00
        "#]],
    );
}

#[test]
fn an_event_without_its_image_does_not_keep_the_image_of_a_lagging_node_out() {
    check(
        "subscribe AAPL; connect; open; welcome; ack; event AAPL seq=9 bid=9.00; cut; wait 1s; open; welcome; ack
         image AAPL seq=7 bid=7.00 ask=7.10; complete; latest AAPL; event AAPL seq=9 bid=9.00; latest AAPL",
        expect![[r#"
            0.000 Connecting
            0.000 open #0
            0.000 send hello
            0.000 send subscribe AAPL
            0.000 Syncing (welcomed as n1-1)
            0.000 ready #1
            0.000 Backoff (connection lost)
            0.097 Connecting
            0.097 open #1
            1.000 send hello
            1.000 send subscribe AAPL
            1.000 Syncing (welcomed as n1-1)
            1.000 Live
            1.000 latest: AAPL bid 7.00 ask 7.10
            1.000 latest: AAPL bid 9.00 ask 7.10
        "#]],
    );
}

#[test]
fn what_a_new_log_does_not_know_is_not_kept_from_the_old_one() {
    check(
        "subscribe AAPL,MSFT; connect; open; welcome; ack; image AAPL seq=9 bid=9.00; image AAPL seq=9 phase=HALTED; image MSFT seq=8 bid=8.00; complete
         read 1; cut; wait 1s; open; welcome epoch=e2 resume=IMAGES; ack; image AAPL seq=1 bid=1.00; complete; latest AAPL; latest MSFT",
        expect![[r#"
            0.000 Connecting
            0.000 open #0
            0.000 send hello
            0.000 send subscribe AAPL MSFT
            0.000 Syncing (welcomed as n1-1)
            0.000 ready #1
            0.000 Live
            0.000 read AAPL bid 9.00 HALTED (+1, - to -)
            0.000 read MSFT bid 8.00
            0.000 Backoff (connection lost)
            0.097 Connecting
            0.097 open #1
            1.000 send hello
            1.000 send subscribe AAPL MSFT
            1.000 error RESUME_EXPIRED
            1.000 Syncing (welcomed as n1-1)
            1.000 ready #1
            1.000 Live
            1.000 latest: AAPL bid 1.00
            1.000 latest: MSFT
        "#]],
    );
}
