//! Events and single trades: each once, none lost without a word, whatever connections and subscriptions do.

use expect_test::expect;

use super::check;

#[test]
fn events_begin_with_the_first_image() {
    check(
        "subscribe AAPL; live; image AAPL seq=9 bid=9.00; cut; wait 1s; open; welcome; ack
         event AAPL seq=5 phase=HALTED; event AAPL seq=10 phase=OPEN; complete; read 1",
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
            1.000 read AAPL bid 9.00 HALTED (+1, - to -)
            1.000 read [OPEN] AAPL bid 9.00 OPEN
        "#]],
    );
}

#[test]
fn an_event_of_the_same_message_as_the_first_image_is_given() {
    // A late instrument: its first message sets a price and halts it.
    check(
        "subscribe stock.*; live; image stock.B seq=9 bid=9.00; event stock.B seq=9 phase=HALTED; read 1",
        expect![[r#"
            0.000 live
            0.000 ready #1
            0.000 read stock.B bid 9.00
            0.000 read [HALTED] stock.B bid 9.00 HALTED
        "#]],
    );
}

#[test]
fn a_feed_that_sends_an_image_with_an_event_loses_neither() {
    // The node lags behind what is known, so its own images say nothing new; events have begun all the same.
    check(
        "subscribe AAPL; live; image AAPL seq=20 bid=9.00; read 1; cut; wait 1s; open; welcome resume=IMAGES; ack; image AAPL seq=5 bid=1.00;
         complete; image AAPL seq=30 bid=3.00; event AAPL seq=30 phase=HALTED; read 1",
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
            1.000 read AAPL bid 3.00
            1.000 read [HALTED] AAPL bid 3.00 HALTED
        "#]],
    );
}

#[test]
fn a_replay_may_begin_with_the_event_of_the_first_image() {
    // The connection broke between the image and the event of one message.
    check(
        "subscribe AAPL; live; image AAPL seq=9 bid=9.00; cut; wait 1s; open; welcome; ack
         event AAPL seq=8 phase=OPEN; event AAPL seq=9 phase=HALTED; complete; read 1",
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
            1.000 read AAPL bid 9.00 OPEN (+1, - to -)
            1.000 read [HALTED] AAPL bid 9.00 HALTED
        "#]],
    );
}

#[test]
fn trades_that_a_pattern_adds_are_a_gap_where_its_images_were_missing() {
    // The token covers the symbol, which is held without trades; those of the pattern come with the second Subscribe.
    check(
        "subscribe stock.A; live; image stock.A seq=5 last=1.00; subscribe stock.* trades; ack; event stock.A seq=6 trade=1.01; read 2;
         cut; wait 1s; open; welcome resumed; ack; delta stock.A seq=8 last=1.03; complete 1; image stock.A seq=9 last=1.04; complete;
         event stock.A seq=10 trade=1.05; read 1; read 2",
        expect![[r#"
            0.000 live
            0.000 ready #1
            0.000 ready #2
            0.000 send subscribe stock.*+trades
            0.000 read [trade 100 @ 1.01] stock.A last 1.00
            0.000 read stock.A last 1.00
            0.000 Backoff (connection lost)
            0.097 Connecting
            0.097 open #1
            1.000 send hello resume=e1:1
            1.000 send subscribe stock.A
            1.000 send subscribe stock.*+trades
            1.000 Syncing (welcomed as n1-1)
            1.000 ready #2
            1.000 Live
            1.000 read stock.A last 1.04 (+2, 1.00 to 1.04)
            1.000 read [events lost between 6 and 10] stock.A
            1.000 read [trade 100 @ 1.05] stock.A last 1.04
            1.000 read stock.A last 1.04 (+1, 1.03 to 1.04)
        "#]],
    );
}

#[test]
fn trades_that_come_before_the_images_of_their_pattern_are_complete_say_how_far_the_gap_goes() {
    check(
        "subscribe stock.A; live; image stock.A seq=5 last=1.00; subscribe stock.* trades; ack; event stock.A seq=6 trade=1.01; read 2;
         cut; wait 1s; open; welcome resumed; ack; complete 1; event stock.A seq=10 trade=1.05; complete; read 2",
        expect![[r#"
            0.000 live
            0.000 ready #1
            0.000 ready #2
            0.000 send subscribe stock.*+trades
            0.000 read [trade 100 @ 1.01] stock.A last 1.00
            0.000 read stock.A last 1.00
            0.000 Backoff (connection lost)
            0.097 Connecting
            0.097 open #1
            1.000 send hello resume=e1:1
            1.000 send subscribe stock.A
            1.000 send subscribe stock.*+trades
            1.000 Syncing (welcomed as n1-1)
            1.000 ready #2
            1.000 Live
            1.000 read [events lost between 6 and 10] stock.A
            1.000 read [trade 100 @ 1.05] stock.A last 1.00
        "#]],
    );
}

#[test]
fn a_trade_that_shares_its_message_with_the_first_event_after_a_loss_is_in_the_gap() {
    // Events go on with the symbol, trades only with the pattern: the trade of message 8 is lost.
    check(
        "subscribe stock.A; live; image stock.A seq=5 last=1.00; subscribe stock.* trades; ack; event stock.A seq=6 trade=1.01; read 2;
         cut; wait 1s; open; welcome resume=IMAGES; ack; event stock.A seq=8 phase=HALTED; complete 1; image stock.A seq=9 last=1.04; complete;
         event stock.A seq=10 trade=1.05; read 2",
        expect![[r#"
            0.000 live
            0.000 ready #1
            0.000 ready #2
            0.000 send subscribe stock.*+trades
            0.000 read [trade 100 @ 1.01] stock.A last 1.00
            0.000 read stock.A last 1.00
            0.000 Backoff (connection lost)
            0.097 Connecting
            0.097 open #1
            1.000 send hello resume=e1:1
            1.000 send subscribe stock.A
            1.000 send subscribe stock.*+trades
            1.000 Syncing (welcomed as n1-1)
            1.000 ready #2
            1.000 Live
            1.000 read [events lost between 5 and 8] stock.A
            1.000 read [HALTED] stock.A last 1.00 HALTED
            1.000 read [events lost between 7 and 10] stock.A
            1.000 read [trade 100 @ 1.05] stock.A last 1.04 HALTED
            1.000 read stock.A last 1.04 HALTED
        "#]],
    );
}

#[test]
fn a_trade_may_be_lost_behind_the_event_of_its_message() {
    // The event leaves at once, the trade with its lane: the connection broke in between.
    check(
        "subscribe stock.A trades; live; image stock.A seq=5 last=1.00; event stock.A seq=6 phase=HALTED; read 1;
         cut; wait 1s; open; welcome resume=IMAGES; ack; image stock.A seq=6 phase=HALTED; complete; event stock.A seq=9 trade=1.01; read 1",
        expect![[r#"
            0.000 live
            0.000 ready #1
            0.000 read stock.A last 1.00
            0.000 read [HALTED] stock.A last 1.00 HALTED
            0.000 Backoff (connection lost)
            0.097 Connecting
            0.097 open #1
            1.000 send hello resume=e1:1
            1.000 send subscribe stock.A+trades
            1.000 Syncing (welcomed as n1-1)
            1.000 ready #1
            1.000 Live
            1.000 read [events lost between 5 and 7] stock.A
            1.000 read [trade 100 @ 1.01] stock.A last 1.00 HALTED
        "#]],
    );
}

#[test]
fn the_gap_of_a_connection_that_starts_anew_begins_with_that_trade() {
    check(
        "subscribe stock.A trades; live; image stock.A seq=5 last=1.00; event stock.A seq=6 phase=HALTED; read 1;
         cut; wait 1s; open; welcome resume=IMAGES; ack; image stock.A seq=8 phase=OPEN; complete; event stock.A seq=9 trade=1.01; read 1",
        expect![[r#"
            0.000 live
            0.000 ready #1
            0.000 read stock.A last 1.00
            0.000 read [HALTED] stock.A last 1.00 HALTED
            0.000 Backoff (connection lost)
            0.097 Connecting
            0.097 open #1
            1.000 send hello resume=e1:1
            1.000 send subscribe stock.A+trades
            1.000 Syncing (welcomed as n1-1)
            1.000 ready #1
            1.000 Live
            1.000 read [events lost between 5 and 9] stock.A
            1.000 read [trade 100 @ 1.01] stock.A last 1.00 OPEN
            1.000 read stock.A last 1.00 OPEN
        "#]],
    );
}

#[test]
fn trades_go_on_without_a_gap_where_nothing_happened_in_between() {
    check(
        "subscribe stock.A; live; image stock.A seq=5 last=1.00; subscribe stock.* trades; ack; event stock.A seq=6 trade=1.01; read 2;
         cut; wait 1s; open; welcome resumed; ack; complete 1; image stock.A seq=6 last=1.00; complete;
         event stock.A seq=10 trade=1.05; read 2",
        expect![[r#"
            0.000 live
            0.000 ready #1
            0.000 ready #2
            0.000 send subscribe stock.*+trades
            0.000 read [trade 100 @ 1.01] stock.A last 1.00
            0.000 read stock.A last 1.00
            0.000 Backoff (connection lost)
            0.097 Connecting
            0.097 open #1
            1.000 send hello resume=e1:1
            1.000 send subscribe stock.A
            1.000 send subscribe stock.*+trades
            1.000 Syncing (welcomed as n1-1)
            1.000 ready #2
            1.000 Live
            1.000 read [trade 100 @ 1.05] stock.A last 1.00
            1.000 read stock.A last 1.00
        "#]],
    );
}

#[test]
fn trades_are_asked_for_with_the_token_once_they_are_held() {
    // The server says itself what is missing since the token.
    check(
        "subscribe stock.A trades; live; image stock.A seq=5 last=1.00; event stock.A seq=6 trade=1.01; read 1;
         cut; wait 1s; open; welcome resumed; ack; announce stock.A; gap stock.A 6 9; delta stock.A seq=8 last=1.03; complete; event stock.A seq=10 trade=1.05; read 1",
        expect![[r#"
            0.000 live
            0.000 ready #1
            0.000 read [trade 100 @ 1.01] stock.A last 1.00
            0.000 read stock.A last 1.00
            0.000 Backoff (connection lost)
            0.097 Connecting
            0.097 open #1
            1.000 send hello resume=e1:1
            1.000 send subscribe stock.A+trades
            1.000 Syncing (welcomed as n1-1)
            1.000 ready #1
            1.000 Live
            1.000 read [events lost between 6 and 9] stock.A
            1.000 read [trade 100 @ 1.05] stock.A last 1.03
            1.000 read stock.A last 1.03
        "#]],
    );
}

#[test]
fn a_token_does_not_cover_trades_that_were_asked_for_later_of_a_node_that_may_be_behind_it() {
    // No token has come of the second connection: its node may tell trades below that of the first, and the next one goes on behind it.
    check(
        "subscribe stock.A; live; image stock.A seq=5 last=1.00; cut; wait 1s; open; welcome resumed; ack; announce stock.A; complete;
         subscribe stock.A trades; ack; image stock.A seq=4 last=1.00; complete; event stock.A seq=6 trade=1.01; read 2;
         cut; wait 1s; open; welcome resume=IMAGES; ack; image stock.A seq=8 last=1.02; complete; event stock.A seq=9 trade=1.05; read 2",
        expect![[r#"
            0.000 live
            0.000 ready #1
            0.000 Backoff (connection lost)
            0.097 Connecting
            0.097 open #1
            1.000 send hello resume=e1:1
            1.000 send subscribe stock.A
            1.000 Syncing (welcomed as n1-1)
            1.000 Live
            1.000 ready #2
            1.000 send subscribe stock.A+trades
            1.000 read [trade 100 @ 1.01] stock.A last 1.00
            1.000 read stock.A last 1.00
            1.000 Backoff (connection lost)
            1.008 Connecting
            1.008 open #2
            2.000 send hello
            2.000 send subscribe stock.A+trades
            2.000 Syncing (welcomed as n1-1)
            2.000 ready #2
            2.000 Live
            2.000 read [events lost between 5 and 9] stock.A
            2.000 read [trade 100 @ 1.05] stock.A last 1.02
            2.000 read stock.A last 1.02
        "#]],
    );
}

#[test]
fn trades_that_only_begin_after_a_reconnect_are_a_gap_to_whoever_waited_for_them() {
    // Asked for while there was no connection, and held before without them: the server is asked with the token.
    check(
        "subscribe stock.A; live; image stock.A seq=5 last=1.00; read 1; cut; subscribe stock.A trades; wait 1s; open; welcome resumed; ack;
         announce stock.A; gap stock.A 1 7; complete; event stock.A seq=8 trade=1.05; read 2",
        expect![[r#"
            0.000 live
            0.000 ready #1
            0.000 read stock.A last 1.00
            0.000 Backoff (connection lost)
            0.000 ready #2
            0.097 Connecting
            0.097 open #1
            1.000 send hello resume=e1:1
            1.000 send subscribe stock.A+trades
            1.000 Syncing (welcomed as n1-1)
            1.000 ready #1
            1.000 Live
            1.000 read [events lost between 1 and 7] stock.A
            1.000 read [trade 100 @ 1.05] stock.A last 1.00
            1.000 read stock.A last 1.00
        "#]],
    );
}

#[test]
fn a_node_that_lags_behind_repeats_no_trade_and_reports_none_as_lost() {
    check(
        "subscribe stock.A trades; live; image stock.A seq=5 last=1.00; event stock.A seq=9 trade=1.01; read 1;
         cut; wait 1s; open; welcome resume=IMAGES; ack; image stock.A seq=5 last=1.00; complete; event stock.A seq=9 trade=1.01; event stock.A seq=10 trade=1.05; read 1",
        expect![[r#"
            0.000 live
            0.000 ready #1
            0.000 read [trade 100 @ 1.01] stock.A last 1.00
            0.000 read stock.A last 1.00
            0.000 Backoff (connection lost)
            0.097 Connecting
            0.097 open #1
            1.000 send hello resume=e1:1
            1.000 send subscribe stock.A+trades
            1.000 Syncing (welcomed as n1-1)
            1.000 Live
            1.000 ready #1
            1.000 read [trade 100 @ 1.05] stock.A last 1.00
        "#]],
    );
}

#[test]
fn trades_of_a_subscription_that_has_ended_are_not_those_of_the_next() {
    // The first one ends, so the server is asked to leave trades out; the third one asks for them again before that is answered.
    check(
        "subscribe stock.* trades; subscribe stock.* 250ms; live; image stock.A seq=1 last=1.00; event stock.A seq=2 trade=1.01; read 1
         unsubscribe 1; subscribe stock.* trades; event stock.A seq=3 trade=1.02; ack; complete; event stock.A seq=5 trade=1.04; read 3",
        expect![[r#"
            0.000 live
            0.000 ready #1
            0.000 ready #2
            0.000 read [trade 100 @ 1.01] stock.A last 1.00
            0.000 read stock.A last 1.00
            0.000 send subscribe stock.*@250
            0.000 ready #3
            0.000 send subscribe stock.*@250+trades
            0.000 read [trade 100 @ 1.04] stock.A last 1.00
            0.000 read stock.A last 1.00
        "#]],
    );
}

#[test]
fn a_gap_that_is_told_again_after_a_second_cut_is_read_once() {
    // No token came in between, so the server counts from the same one again.
    check(
        "subscribe stock.A trades; live; image stock.A seq=5 last=1.00; read 1; cut; wait 1s; open; welcome resumed; ack; announce stock.A;
         gap stock.A 1 9; event stock.A seq=10 trade=1.01; read 1; cut; wait 1s; open; welcome resumed; ack; announce stock.A;
         gap stock.A 1 9; read 1; gap stock.A 1 13; event stock.A seq=14 trade=1.02; complete; read 1",
        expect![[r#"
            0.000 live
            0.000 ready #1
            0.000 read stock.A last 1.00
            0.000 Backoff (connection lost)
            0.097 Connecting
            0.097 open #1
            1.000 send hello resume=e1:1
            1.000 send subscribe stock.A+trades
            1.000 Syncing (welcomed as n1-1)
            1.000 ready #1
            1.000 read [events lost between 1 and 9] stock.A
            1.000 read [trade 100 @ 1.01] stock.A last 1.00
            1.000 Backoff (connection lost)
            1.008 Connecting
            1.008 open #2
            2.000 send hello resume=e1:1
            2.000 send subscribe stock.A+trades
            2.000 Syncing (welcomed as n1-1)
            2.000 ready #1
            2.000 Live
            2.000 read [events lost between 8 and 13] stock.A
            2.000 read [trade 100 @ 1.02] stock.A last 1.00
        "#]],
    );
}

#[test]
fn a_loss_is_counted_from_the_last_connection_of_which_anything_came() {
    // The second node lags behind the first, and the third connection, which goes on where the second ended, breaks before its gaps come.
    check(
        "subscribe stock.A; live; image stock.A seq=20 last=1.00; read 1; cut; subscribe stock.A trades; wait 1s; open; welcome resume=IMAGES; ack;
         image stock.A seq=4 last=1.00; complete; beat e1:4; event stock.A seq=6 trade=1.01; read 2; cut; wait 1s; open; welcome resumed; ack;
         cut; wait 1s; open; welcome resume=IMAGES; ack; image stock.A seq=30 last=1.02; complete; event stock.A seq=31 trade=1.05; read 2",
        expect![[r#"
            0.000 live
            0.000 ready #1
            0.000 read stock.A last 1.00
            0.000 Backoff (connection lost)
            0.000 ready #2
            0.097 Connecting
            0.097 open #1
            1.000 send hello resume=e1:1
            1.000 send subscribe stock.A+trades
            1.000 Syncing (welcomed as n1-1)
            1.000 Live
            1.000 read [trade 100 @ 1.01] stock.A last 1.00
            1.000 read stock.A last 1.00
            1.000 Backoff (connection lost)
            1.008 Connecting
            1.008 open #2
            2.000 send hello resume=e1:4
            2.000 send subscribe stock.A+trades
            2.000 Syncing (welcomed as n1-1)
            2.000 Backoff (connection lost)
            2.900 Connecting
            2.900 open #3
            3.000 send hello resume=e1:4
            3.000 send subscribe stock.A+trades
            3.000 Syncing (welcomed as n1-1)
            3.000 ready #1
            3.000 ready #2
            3.000 Live
            3.000 read [events lost between 5 and 31] stock.A
            3.000 read [trade 100 @ 1.05] stock.A last 1.02
            3.000 read stock.A last 1.02
        "#]],
    );
}
