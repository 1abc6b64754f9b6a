//! What a server should not say, and what the session makes of it.

use expect_test::expect;

use super::check;

#[test]
fn garbage_ends_the_connection_and_not_the_session() {
    check(
        "live; garbage; beat; wait 1s; open; welcome",
        expect![[r#"
        0.000 live
        0.000 shut 3000
        0.000 Backoff (a frame cannot be read)
        0.097 Connecting
        0.097 open #1
        1.000 send hello
        1.000 Live
    "#]],
    );
}

#[test]
fn unknown_ids_are_ignored_and_counted() {
    check(
        "subscribe AAPL; live; image OTHER seq=1 bid=1; image AAPL seq=2 bid=2; gap ELSE 1 2; read 1; stats",
        expect![[r#"
        0.000 live
        0.000 ready #1
        0.000 read AAPL bid 2.00
        0.000 records 2 merged 0 conflated 0 repeated 0 ignored 2 lost 0
    "#]],
    );
}

#[test]
fn frames_out_of_place_are_ignored() {
    check(
        "beat; connect; beat; wait 1ms; open; welcome; welcome; cut; beat; open; cut",
        expect![[r#"
        0.000 Connecting
        0.000 open #0
        0.001 send hello
        0.001 Live
        0.001 Backoff (connection lost)
    "#]],
    );
}

#[test]
fn a_notice_is_passed_on() {
    check(
        "live; notice 1; notice 2",
        expect![[r#"
        0.000 live
        0.000 notice SLOW
        0.000 notice SLOW_CLEARED
    "#]],
    );
}

#[test]
fn a_goodbye_without_a_time_is_no_invitation_to_knock_at_once() {
    check(
        "connect; open; goodbye; wait 1s; open; goodbye; wait 1s",
        expect![[r#"
        0.000 Connecting
        0.000 open #0
        0.000 send hello
        0.000 shut 3000
        0.000 Backoff SHUTTING_DOWN (goodbye)
        0.004 Connecting
        0.004 open #1
        1.000 send hello
        1.000 shut 3000
        1.000 Backoff SHUTTING_DOWN (goodbye)
        1.291 Connecting
        1.291 open #2
    "#]],
    );
}
