//! One-way transports (SSE): nothing is sent, the request says it all.

use expect_test::expect;
use tickwire_proto::session::SessionConfig;
use tickwire_proto::wire::Encoding;

use super::check_with;

fn one_way() -> SessionConfig {
    SessionConfig { two_way: false, encoding: Encoding::Json, ..SessionConfig::default() }
}

#[test]
fn the_request_carries_everything() {
    check_with(
        one_way(),
        "subscribe stock.AAPL,soccer.# 250ms trades; connect; open; welcome; ack; image stock.AAPL seq=1 bid=1.00; complete; beat e1:7; read 1",
        expect![[r#"
            0.000 Connecting
            0.000 open #0 ?symbols=soccer.%23,stock.AAPL&conflate_ms=250&heartbeat_ms=5000&trades=true
            0.000 Syncing (welcomed as n1-1)
            0.000 ready #1
            0.000 Live
            0.000 read stock.AAPL bid 1.00
        "#]],
    );
}

#[test]
fn a_change_of_what_is_wanted_asks_again_in_a_moment() {
    check_with(
        one_way(),
        "subscribe A; live; subscribe B; wait 10ms; subscribe C 100ms; wait 10ms; open; welcome; ack; complete",
        expect![[r#"
        0.000 live
        0.020 shut 3000
        0.020 Connecting
        0.020 open #0 ?symbols=A,B,C&conflate_ms=100&heartbeat_ms=5000
        0.020 Syncing (welcomed as n1-1)
        0.020 Live
    "#]],
    );
}

#[test]
fn a_change_that_is_taken_back_asks_nothing() {
    check_with(
        one_way(),
        "subscribe A; live; subscribe B; unsubscribe 2; wait 1s",
        expect![[r#"
        0.000 live
    "#]],
    );
}

#[test]
fn the_token_covers_only_what_is_complete() {
    check_with(
        one_way(),
        "subscribe A; live; beat e1:7; resume?; cut; wait 1s; open; welcome; subscribe B; resume?; wait 1s",
        expect![[r#"
        0.000 live
        0.000 resume token Some("e1:7")
        0.000 Backoff (connection lost)
        0.097 Connecting
        0.097 open #1 ?symbols=A&heartbeat_ms=5000 after e1:7
        1.000 Syncing (welcomed as n1-1)
        1.000 resume token None
        1.020 shut 3000
        1.020 Connecting
        1.020 open #1 ?symbols=A,B&heartbeat_ms=5000
    "#]],
    );
}

#[test]
fn nothing_wanted_is_nothing_to_ask() {
    check_with(
        one_way(),
        "connect; wait 60s; subscribe A; open; welcome; unsubscribe 1; wait 1s; subscribe A",
        expect![[r#"
        60.000 Connecting
        60.000 open #0 ?symbols=A&heartbeat_ms=5000
        60.000 Syncing (welcomed as n1-1)
        60.000 Live
        60.020 shut 3000
        60.020 Idle (nothing is wanted yet)
        61.000 Connecting
        61.000 open #0 ?symbols=A&heartbeat_ms=5000
    "#]],
    );
}

#[test]
fn a_new_token_needs_a_new_request() {
    let config = SessionConfig { token: Some("t1".into()), refresh: true, ..one_way() };
    check_with(
        config,
        "subscribe A; live; expiring 60000; token 1 t2; wait 1ms",
        expect![[r#"
        0.000 live
        0.000 need token #1
        0.000 shut 3000
        0.000 Connecting
        0.000 open #0 ?symbols=A&heartbeat_ms=5000 after e1:1
    "#]],
    );
}

#[test]
fn trades_that_are_wanted_later_are_asked_for_with_the_token() {
    // The server says what was lost since the token.
    check_with(
        one_way(),
        "subscribe A; live; beat e1:7; image A seq=5 last=1.00; read 1; subscribe A trades; wait 20ms; open; welcome resumed; ack; announce A;
         gap A 7 9; complete; event A seq=10 trade=1.05; read 2",
        expect![[r#"
            0.000 live
            0.000 ready #1
            0.000 read A last 1.00
            0.000 ready #2
            0.020 shut 3000
            0.020 Connecting
            0.020 open #0 ?symbols=A&heartbeat_ms=5000&trades=true after e1:7
            0.020 Syncing (welcomed as n1-1)
            0.020 ready #1
            0.020 Live
            0.020 read [events lost between 7 and 9] A
            0.020 read [trade 100 @ 1.05] A last 1.00
            0.020 read A last 1.00
        "#]],
    );
}

#[test]
fn what_was_refused_and_is_wanted_anew_is_asked_for_again() {
    check_with(
        one_way(),
        "subscribe A,B; connect; open; welcome; ack B=UNKNOWN_SYMBOL; complete; wait 1s; subscribe B; wait 20ms; open; welcome; ack; complete",
        expect![[r#"
            0.000 Connecting
            0.000 open #0 ?symbols=A,B&heartbeat_ms=5000
            0.000 Syncing (welcomed as n1-1)
            0.000 refused B of #1: UNKNOWN_SYMBOL
            0.000 Live
            1.020 shut 3000
            1.020 Connecting
            1.020 open #0 ?symbols=A,B&heartbeat_ms=5000
            1.020 Syncing (welcomed as n1-1)
            1.020 Live
        "#]],
    );
}
