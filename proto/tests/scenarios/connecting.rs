//! The states of the connection, and the way from each to the next.

use expect_test::expect;

use super::check;

#[test]
fn says_hello_first_and_pipelines_what_is_wanted() {
    check(
        "subscribe AAPL,MSFT; connect; open; welcome; ack; image AAPL seq=7 bid=187.42; complete; beat e1:7 stock=LIVE",
        expect![[r#"
        0.000 Connecting
        0.000 open #0
        0.000 send hello
        0.000 send subscribe AAPL MSFT
        0.000 Syncing (welcomed as n1-1)
        0.000 ready #1
        0.000 Live
        0.000 feed stock LIVE
    "#]],
    );
}

#[test]
fn lives_with_nothing_wanted() {
    check(
        "connect; open; welcome",
        expect![[r#"
        0.000 Connecting
        0.000 open #0
        0.000 send hello
        0.000 Live
    "#]],
    );
}

#[test]
fn resumes_after_a_cut_and_shows_no_old_price_as_new() {
    check(
        "subscribe AAPL; live; image AAPL seq=7 bid=187.42; read 1; beat e1:7; cut; latest AAPL; wait 1s; open; welcome; ack; complete; read 1
         delta AAPL seq=8 bid=187.43; read 1",
        expect![[r#"
            0.000 live
            0.000 ready #1
            0.000 read AAPL bid 187.42
            0.000 Backoff (connection lost)
            0.000 latest: AAPL bid 187.42
            0.097 Connecting
            0.097 open #1
            1.000 send hello resume=e1:7
            1.000 send subscribe AAPL
            1.000 Syncing (welcomed as n1-1)
            1.000 Live
            1.000 ready #1
            1.000 read AAPL bid 187.43
        "#]],
    );
}

#[test]
fn asks_for_what_is_new_apart_from_what_it_holds() {
    check(
        "subscribe AAPL; live; beat e1:7; cut; subscribe MSFT; wait 1s; open",
        expect![[r#"
        0.000 live
        0.000 Backoff (connection lost)
        0.097 Connecting
        0.097 open #1
        1.000 send hello resume=e1:7
        1.000 send subscribe AAPL
        1.000 send subscribe MSFT
    "#]],
    );
}

#[test]
fn asks_afresh_without_a_token() {
    check(
        "subscribe AAPL; connect; open; welcome; ack; complete; cut; wait 1s; open",
        expect![[r#"
        0.000 Connecting
        0.000 open #0
        0.000 send hello
        0.000 send subscribe AAPL
        0.000 Syncing (welcomed as n1-1)
        0.000 Live
        0.000 Backoff (connection lost)
        0.097 Connecting
        0.097 open #1
        1.000 send hello
        1.000 send subscribe AAPL
    "#]],
    );
}

#[test]
fn keeps_the_old_token_until_what_it_holds_is_complete_again() {
    check(
        "subscribe AAPL; live; cut; wait 1s; open; welcome; beat e1:50; cut; wait 1s; open",
        expect![[r#"
        0.000 live
        0.000 Backoff (connection lost)
        0.097 Connecting
        0.097 open #1
        1.000 send hello resume=e1:1
        1.000 send subscribe AAPL
        1.000 Syncing (welcomed as n1-1)
        1.000 Backoff (connection lost)
        1.008 Connecting
        1.008 open #2
        2.000 send hello resume=e1:1
        2.000 send subscribe AAPL
    "#]],
    );
}

#[test]
fn a_feed_that_is_not_live_degrades() {
    check(
        "live; feed stock=STALE; feed stock=STALE; beat e1:9 stock=LIVE; feed crypto=DOWN; beat e1:9 stock=LIVE",
        expect![[r#"
        0.000 live
        0.000 feed stock STALE
        0.000 Degraded (feed stock is STALE)
        0.000 feed stock LIVE
        0.000 Live
        0.000 feed crypto DOWN
        0.000 Degraded (feed crypto is DOWN)
        0.000 Live
    "#]],
    );
}

#[test]
fn silence_is_a_stall_and_asks_for_another_connection() {
    check(
        "live; wait 10499ms; wait 1ms; wait 1s",
        expect![[r#"
        0.000 live
        2.000 send ping
        10.500 Stalled (the server is silent)
        10.500 shut 3000
        10.500 Backoff (the server is silent)
        10.597 Connecting
        10.597 open #1
    "#]],
    );
}

#[test]
fn a_heartbeat_holds_the_stall_off() {
    check(
        "connect; open; welcome heartbeat=1000; wait 2s; beat; wait 2400ms; beat; wait 2499ms; wait 1ms",
        expect![[r#"
        0.000 Connecting
        0.000 open #0
        0.000 send hello
        0.000 Live
        2.000 send ping
        6.900 Stalled (the server is silent)
        6.900 shut 3000
        6.900 Backoff (the server is silent)
    "#]],
    );
}

#[test]
fn a_transport_that_does_not_open_is_given_up() {
    check(
        "connect; wait 11s",
        expect![[r#"
        0.000 Connecting
        0.000 open #0
        10.000 shut 3000
        10.000 Backoff (the transport did not open in time)
        10.097 Connecting
        10.097 open #1
    "#]],
    );
}

#[test]
fn a_server_that_does_not_welcome_is_given_up() {
    check(
        "connect; open; wait 11s",
        expect![[r#"
        0.000 Connecting
        0.000 open #0
        0.000 send hello
        10.000 shut 3000
        10.000 Backoff (no welcome in time)
        10.097 Connecting
        10.097 open #1
    "#]],
    );
}

#[test]
fn backoff_grows_while_nothing_works() {
    check(
        "connect; cut; wait 1s; cut; wait 1s; cut; wait 1s; cut; wait 5s",
        expect![[r#"
        0.000 Connecting
        0.000 open #0
        0.000 Backoff (connection lost)
        0.097 Connecting
        0.097 open #1
        1.000 Backoff (connection lost)
        1.008 Connecting
        1.008 open #2
        2.000 Backoff (connection lost)
        2.900 Connecting
        2.900 open #3
        3.000 Backoff (connection lost)
        4.165 Connecting
        4.165 open #4
    "#]],
    );
}

#[test]
fn backoff_is_forgotten_only_after_half_a_minute_of_live() {
    check(
        "connect; cut; wait 1s; open; welcome; wait 5s; cut; wait 1s; open; welcome; wait 10s; beat; wait 10s; beat; wait 10s; beat; cut
         wait 1s",
        expect![[r#"
            0.000 Connecting
            0.000 open #0
            0.000 Backoff (connection lost)
            0.097 Connecting
            0.097 open #1
            1.000 send hello
            1.000 Live
            3.000 send ping
            6.000 Backoff (connection lost)
            6.008 Connecting
            6.008 open #2
            7.000 send hello
            7.000 Live
            9.000 send ping
            37.000 Backoff (connection lost)
            37.225 Connecting
            37.225 open #1
        "#]],
    );
}

#[test]
fn a_goodbye_names_the_time_of_return() {
    check(
        "live; goodbye after=2000 spread=1000; cut 4502; wait 5s",
        expect![[r#"
        0.000 live
        0.000 Backoff SHUTTING_DOWN (the server said goodbye)
        2.389 Connecting
        2.389 open #0
    "#]],
    );
}

#[test]
fn a_goodbye_is_kept_even_if_the_server_does_not_close() {
    check(
        "live; goodbye after=2000; image AAPL seq=9 bid=1; wait 5s",
        expect![[r#"
        0.000 live
        2.000 shut 3000
        2.000 Backoff SHUTTING_DOWN (the server said goodbye)
        2.000 Connecting
        2.000 open #0
    "#]],
    );
}

#[test]
fn a_busy_server_names_the_time_of_return() {
    check(
        "connect; http 503 after=4000; wait 6s",
        expect![[r#"
        0.000 Connecting
        0.000 open #0
        0.000 Backoff (the server is not available (HTTP 503))
        4.097 Connecting
        4.097 open #1
    "#]],
    );
}

#[test]
fn too_many_connections_come_back_slowly() {
    check(
        "connect; open; cut 4303; wait 10s",
        expect![[r#"
        0.000 Connecting
        0.000 open #0
        0.000 send hello
        0.000 Backoff TOO_MANY_CONNECTIONS (TOO_MANY_CONNECTIONS)
        5.097 Connecting
        5.097 open #1
    "#]],
    );
}

#[test]
fn waking_tries_at_once() {
    check(
        "connect; cut; wait 1s; cut; wait 1s; cut; wake",
        expect![[r#"
        0.000 Connecting
        0.000 open #0
        0.000 Backoff (connection lost)
        0.097 Connecting
        0.097 open #1
        1.000 Backoff (connection lost)
        1.008 Connecting
        1.008 open #2
        2.000 Backoff (connection lost)
        2.000 Connecting
        2.000 open #3
    "#]],
    );
}

#[test]
fn waking_proves_an_open_connection() {
    check(
        "live; wake; wait 1s; pong; wait 5s; beat; wake; wait 5s",
        expect![[r#"
        0.000 live
        0.000 send ping
        6.000 send ping
        11.000 Stalled (the server is silent)
        11.000 shut 3000
        11.000 Backoff (the server is silent)
    "#]],
    );
}

#[test]
fn fatal_close_codes_end_the_session() {
    check(
        "connect; open; cut 4102; wait 60s; connect",
        expect![[r#"
        0.000 Connecting
        0.000 open #0
        0.000 send hello
        0.000 Closed AUTH_INVALID (AUTH_INVALID)
    "#]],
    );
}

#[test]
fn a_fatal_error_frame_before_the_close_ends_the_session() {
    check(
        "connect; open; error AUTH_INVALID; cut",
        expect![[r#"
        0.000 Connecting
        0.000 open #0
        0.000 send hello
        0.000 error AUTH_INVALID
        0.000 Closed AUTH_INVALID (no)
    "#]],
    );
}

#[test]
fn an_error_that_was_not_the_last_word_is_not_fatal() {
    check(
        "live; error BAD_MESSAGE; beat; cut",
        expect![[r#"
        0.000 live
        0.000 error BAD_MESSAGE
        0.000 Backoff (connection lost)
    "#]],
    );
}

#[test]
fn the_user_closes_in_every_state() {
    check(
        "close",
        expect![[r#"
        0.000 Closed (closed by the user)
    "#]],
    );
    check(
        "connect; close",
        expect![[r#"
        0.000 Connecting
        0.000 open #0
        0.000 shut 1000
        0.000 Closed (closed by the user)
    "#]],
    );
    check(
        "live; close; wait 60s; beat",
        expect![[r#"
        0.000 live
        0.000 shut 1000
        0.000 Closed (closed by the user)
    "#]],
    );
    check(
        "connect; cut; close; wait 60s",
        expect![[r#"
        0.000 Connecting
        0.000 open #0
        0.000 Backoff (connection lost)
        0.000 Closed (closed by the user)
    "#]],
    );
}

#[test]
fn a_hole_between_frames_asks_for_another_connection() {
    check(
        "subscribe AAPL; live; lose 1; beat e1:9; wait 1s; open",
        expect![[r#"
        0.000 live
        0.000 shut 3000
        0.000 Backoff (frame 6 came after 4)
        0.097 Connecting
        0.097 open #1
        1.000 send hello resume=e1:1
        1.000 send subscribe AAPL
    "#]],
    );
}

#[test]
fn hides_and_shows_the_page() {
    check(
        "subscribe AAPL; live; hide; hide; show; hide; cut; wait 1s; open",
        expect![[r#"
        0.000 live
        0.000 send configure paused=true
        0.000 send configure paused=false
        0.000 send configure paused=true
        0.000 Backoff (connection lost)
        0.097 Connecting
        0.097 open #1
        1.000 send hello resume=e1:1
        1.000 send subscribe AAPL
        1.000 send configure paused=true
    "#]],
    );
}

#[test]
fn measures_the_clock_and_the_age_of_data() {
    check(
        "subscribe AAPL; connect; open; wait 100ms; welcome; ack; image AAPL seq=1 bid=1; age AAPL; wait 1900ms; wait 20ms; pong; age AAPL",
        expect![[r#"
            0.000 Connecting
            0.000 open #0
            0.000 send hello
            0.000 send subscribe AAPL
            0.100 Syncing (welcomed as n1-1)
            0.100 ready #1
            0.100 age Some(50ms)
            2.020 age Some(1.97s)
        "#]],
    );
}

#[test]
fn each_node_has_a_clock_of_its_own() {
    check(
        "subscribe AAPL; connect; open; welcome; ack; image AAPL seq=1 bid=1; age AAPL
         cut; wait 1s; open; wait 100ms; welcome node=n2 ahead=7s; age AAPL",
        expect![[r#"
            0.000 Connecting
            0.000 open #0
            0.000 send hello
            0.000 send subscribe AAPL
            0.000 Syncing (welcomed as n1-1)
            0.000 ready #1
            0.000 age Some(0ns)
            0.000 Backoff (connection lost)
            0.097 Connecting
            0.097 open #1
            1.000 send hello
            1.000 send subscribe AAPL
            1.100 Syncing (welcomed as n1-1)
            1.100 age Some(8.15s)
        "#]],
    );
}

#[test]
fn a_snapshot_is_as_old_as_its_newest_kind() {
    check(
        "subscribe AAPL; connect; open; wait 100ms; welcome; ack; image AAPL seq=5 bid=1; image AAPL seq=5 phase=OPEN old=90ms; age AAPL",
        expect![[r#"
            0.000 Connecting
            0.000 open #0
            0.000 send hello
            0.000 send subscribe AAPL
            0.100 Syncing (welcomed as n1-1)
            0.100 ready #1
            0.100 age Some(50ms)
        "#]],
    );
}

#[test]
fn an_error_about_data_does_not_make_a_cut_fatal() {
    check(
        "live; error NOT_ENTITLED; cut; wait 1s",
        expect![[r#"
        0.000 live
        0.000 error NOT_ENTITLED
        0.000 Backoff (connection lost)
        0.097 Connecting
        0.097 open #1
    "#]],
    );
}

#[test]
fn the_time_of_day_of_a_server_moves_no_deadline() {
    let story = |ahead: &str| {
        let steps = format!(
            "subscribe AAPL; connect; open; welcome ahead={ahead}; ack; image AAPL seq=1 bid=1; complete; beat e1:1; wait 20s; pong; wait 20s;
             wait 2s; open; welcome node=n2 ahead={ahead}; ack; complete; wait 60s"
        );
        super::World::new(super::SessionConfig::default()).play(&steps)
    };
    let right = story("0s");
    assert_eq!(right, story("100000s"));
    assert!(right.contains("Stalled"), "{right}");
}
