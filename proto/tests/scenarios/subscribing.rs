//! The wanted set, and how the server learns of it.

use expect_test::expect;
use tickwire_proto::session::SessionConfig;

use super::{check, check_with};

#[test]
fn several_calls_become_one_command() {
    check(
        "live; subscribe AAPL,MSFT; subscribe stock.# trades; ack; complete",
        expect![[r#"
        0.000 live
        0.000 send subscribe AAPL MSFT
        0.000 send subscribe stock.#+trades
    "#]],
    );
}

#[test]
fn the_fastest_rate_wins_and_falls_back() {
    check(
        "live; subscribe AAPL 1000ms; subscribe AAPL 250ms; rate 1 100; unsubscribe 1; unsubscribe 2",
        expect![[r#"
        0.000 live
        0.000 send subscribe AAPL@1000
        0.000 send subscribe AAPL@250
        0.000 send subscribe AAPL@100
        0.000 send subscribe AAPL@250
        0.000 send unsubscribe AAPL
    "#]],
    );
}

#[test]
fn the_default_rate_goes_without_saying() {
    let config = SessionConfig { conflate_ms: Some(100), ..SessionConfig::default() };
    check_with(
        config,
        "live; subscribe A; subscribe B 100ms; subscribe C 500ms; subscribe D 0ms; rate 4 100",
        expect![[r#"
        0.000 live
        0.000 send subscribe A
        0.000 send subscribe B
        0.000 send subscribe C@500
        0.000 send subscribe D@0
        0.000 send subscribe D
    "#]],
    );
}

#[test]
fn refused_symbols_stay_wanted_and_are_asked_again() {
    check(
        "subscribe AAPL,NOPE; connect; open; welcome; ack NOPE=UNKNOWN_SYMBOL; complete; beat e1:7; cut; wait 1s; open",
        expect![[r#"
        0.000 Connecting
        0.000 open #0
        0.000 send hello
        0.000 send subscribe AAPL NOPE
        0.000 Syncing (welcomed as n1-1)
        0.000 refused NOPE of #1: UNKNOWN_SYMBOL
        0.000 Live
        0.000 Backoff (connection lost)
        0.097 Connecting
        0.097 open #1
        1.000 send hello resume=e1:7
        1.000 send subscribe AAPL
        1.000 send subscribe NOPE
    "#]],
    );
}

#[test]
fn every_subscription_hears_of_its_refusal() {
    check(
        "live; subscribe NOPE; ack NOPE=NOT_ENTITLED; subscribe NOPE; ack NOPE=NOT_ENTITLED; unsubscribe 1; unsubscribe 2",
        expect![[r#"
        0.000 live
        0.000 send subscribe NOPE
        0.000 refused NOPE of #1: NOT_ENTITLED
        0.000 send subscribe NOPE
        0.000 refused NOPE of #1: NOT_ENTITLED
        0.000 refused NOPE of #2: NOT_ENTITLED
    "#]],
    );
}

#[test]
fn what_is_no_symbol_is_refused_at_once() {
    check(
        "subscribe AAPL,a..b,st*ck; connect; open",
        expect![[r#"
        0.000 refused a..b of #1: BAD_SYMBOL
        0.000 refused st*ck of #1: BAD_SYMBOL
        0.000 Connecting
        0.000 open #0
        0.000 send hello
        0.000 send subscribe AAPL
    "#]],
    );
}

#[test]
fn unsubscribes_only_when_nobody_wants_it() {
    check(
        "subscribe AAPL; subscribe AAPL,MSFT; live; unsubscribe 1; unsubscribe 2; unsubscribe 2; unsubscribe 9",
        expect![[r#"
        0.000 live
        0.000 send unsubscribe AAPL MSFT
    "#]],
    );
}

#[test]
fn a_rate_limited_request_is_sent_again_in_time() {
    check(
        "live; subscribe AAPL; error RATE_LIMITED request=last after=3000; wait 2s; wait 2s",
        expect![[r#"
        0.000 live
        0.000 send subscribe AAPL
        0.000 error RATE_LIMITED
        2.000 send ping
        3.000 send subscribe AAPL
    "#]],
    );
}

#[test]
fn a_refused_request_refuses_its_symbols() {
    check(
        "live; subscribe AAPL; error UNSUPPORTED request=last; wait 5s",
        expect![[r#"
        0.000 live
        0.000 send subscribe AAPL
        0.000 refused AAPL of #1: UNSUPPORTED
        0.000 error UNSUPPORTED
        2.000 send ping
    "#]],
    );
}

#[test]
fn a_burst_of_commands_keeps_to_the_allowance() {
    let burst: String = (0..33).map(|n| format!("subscribe S{n};")).collect();
    let told = super::world::World::new(SessionConfig::default()).play(&format!("live; {burst} wait 1s"));
    let sent: Vec<&str> = told.lines().filter(|line| line.contains("send subscribe")).collect();
    assert_eq!(sent.len(), 31);
    expect![[r#"
        0.000 send subscribe S28
        0.000 send subscribe S29
        0.133 send subscribe S30 S31 S32"#]]
    .assert_eq(&sent[28..].join("\n"));
}

#[test]
fn a_large_set_is_cut_into_messages() {
    let symbols: Vec<String> = (0..2_500).map(|n| format!("stock.SYMBOL-{n:04}")).collect();
    let told = super::world::World::new(SessionConfig::default()).play(&format!("subscribe {}; connect; open", symbols.join(",")));
    let sizes: Vec<usize> =
        told.lines().filter(|line| line.contains("send subscribe")).map(|line| line.split_whitespace().count() - 3).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 2_500);
    assert!(sizes.iter().all(|size| *size <= 1_000), "{sizes:?}");
}

#[test]
fn a_token_covers_no_more_than_fits_into_the_first_message() {
    let symbols: Vec<String> = (0..1_200).map(|n| format!("stock.SYMBOL-{n:04}")).collect();
    let reconnect = "cut; wait 1s; open; welcome; ack";
    // The second connection breaks when only its first request is answered, with a token that is newer.
    let story = format!("subscribe {}; live; {reconnect}; complete 1; beat e1:5; {reconnect}", symbols.join(","));
    let told = super::world::World::new(SessionConfig::default()).play(&story);
    let sizes: Vec<usize> =
        told.lines().filter(|line| line.contains("send subscribe")).map(|line| line.split_whitespace().count() - 3).collect();
    let (first, rest) = (sizes[0], 1_200 - sizes[0]);
    assert!(rest > 0);
    assert_eq!(sizes, [first, rest, first, rest]);
    assert!(told.contains("send hello resume=e1:1") && told.contains("send hello resume=e1:5"));
}
