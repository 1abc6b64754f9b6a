//! Bearer tokens: given, renewed in place, renewed after expiry.

use expect_test::expect;
use tickwire_proto::session::SessionConfig;

use super::check_with;

fn renewing() -> SessionConfig {
    SessionConfig { token: Some("t1".into()), refresh: true, ..SessionConfig::default() }
}

#[test]
fn an_expiring_token_is_renewed_in_place() {
    check_with(
        renewing(),
        "connect; open; welcome; expiring 60000; expiring 50000; token 1 t2; cut; wait 1s; open",
        expect![[r#"
        0.000 Connecting
        0.000 open #0
        0.000 send hello token=t1
        0.000 Live
        0.000 need token #1
        0.000 send authenticate t2
        0.000 Backoff (connection lost)
        0.097 Connecting
        0.097 open #1
        1.000 send hello token=t2
    "#]],
    );
}

#[test]
fn late_answers_are_dropped() {
    check_with(
        renewing(),
        "connect; open; welcome heartbeat=30000; expiring 60000; wait 31s; token 1 late; beat; wait 10s; token 2 t2; token 2 t3",
        expect![[r#"
            0.000 Connecting
            0.000 open #0
            0.000 send hello token=t1
            0.000 Live
            0.000 need token #1
            2.000 send ping
            32.000 send ping
            40.000 need token #2
            41.000 send authenticate t2
        "#]],
    );
}

#[test]
fn a_callback_that_fails_is_asked_again() {
    check_with(
        renewing(),
        "connect; open; welcome heartbeat=30000; expiring 60000; token 1; wait 11s; token 2 t2",
        expect![[r#"
        0.000 Connecting
        0.000 open #0
        0.000 send hello token=t1
        0.000 Live
        0.000 need token #1
        2.000 send ping
        10.000 need token #2
        11.000 send authenticate t2
    "#]],
    );
}

#[test]
fn a_known_expiry_is_met_at_four_fifths() {
    // {"exp":1800001000}: 1,000 s after the server's clock began.
    let token = "x.eyJleHAiOjE4MDAwMDEwMDB9.y";
    let config = SessionConfig { token: Some(token.into()), refresh: true, ..SessionConfig::default() };
    let beats = "wait 30s; beat;".repeat(26);
    let story = format!("connect; open; welcome heartbeat=30000; {beats} wait 21s; token 1 t2");
    let told = super::world::World::new(config).play(&story);
    let told: Vec<&str> = told.lines().filter(|line| !line.ends_with("send ping")).collect();
    expect![[r#"
        0.000 Connecting
        0.000 open #0
        0.000 send hello token=x.eyJleHAiOjE4MDAwMDEwMDB9.y
        0.000 Live
        800.000 need token #1
        801.000 send authenticate t2"#]]
    .assert_eq(&told.join("\n"));
}

#[test]
fn an_expired_token_is_replaced_before_the_next_try() {
    check_with(
        renewing(),
        "connect; open; cut 4103; token 1 t2; wait 1s; open",
        expect![[r#"
        0.000 Connecting
        0.000 open #0
        0.000 send hello token=t1
        0.000 need token #1
        0.000 Backoff AUTH_EXPIRED (AUTH_EXPIRED)
        0.097 Connecting
        0.097 open #1
        1.000 send hello token=t2
    "#]],
    );
}

#[test]
fn a_replaced_token_that_comes_late_connects_at_once() {
    check_with(
        renewing(),
        "connect; http 401; wait 1s; token 1 t2",
        expect![[r#"
        0.000 Connecting
        0.000 open #0
        0.000 need token #1
        0.000 Backoff AUTH_EXPIRED (the server refused the token (HTTP 401))
        1.000 Connecting
        1.000 open #1
    "#]],
    );
}

#[test]
fn no_new_token_means_backoff_and_another_try() {
    check_with(
        renewing(),
        "connect; open; cut 4103; token 1; wait 1s",
        expect![[r#"
        0.000 Connecting
        0.000 open #0
        0.000 send hello token=t1
        0.000 need token #1
        0.000 Backoff AUTH_EXPIRED (AUTH_EXPIRED)
        0.008 Connecting
        0.008 open #2
    "#]],
    );
}

#[test]
fn without_a_callback_expiry_is_the_end() {
    let config = SessionConfig { token: Some("t1".into()), ..SessionConfig::default() };
    check_with(
        config,
        "connect; open; cut 4103; wait 60s",
        expect![[r#"
        0.000 Connecting
        0.000 open #0
        0.000 send hello token=t1
        0.000 Closed AUTH_EXPIRED (AUTH_EXPIRED)
    "#]],
    );
}

#[test]
fn a_missing_token_is_asked_for_before_the_first_connection() {
    let config = SessionConfig { refresh: true, ..SessionConfig::default() };
    check_with(
        config,
        "connect; token 1 t1; open",
        expect![[r#"
        0.000 need token #1
        0.000 Connecting (waiting for a token)
        0.000 open #0
        0.000 send hello token=t1
    "#]],
    );
}

#[test]
fn a_refused_renewal_is_tried_again() {
    check_with(
        renewing(),
        "connect; open; welcome heartbeat=30000; expiring 60000; token 1 bad; error AUTH_INVALID; wait 11s; token 2 t3",
        expect![[r#"
        0.000 Connecting
        0.000 open #0
        0.000 send hello token=t1
        0.000 Live
        0.000 need token #1
        0.000 send authenticate bad
        0.000 error AUTH_INVALID
        2.000 send ping
        10.000 need token #2
        11.000 send authenticate t3
    "#]],
    );
}
