//! Stories of feeds: each line is what happens at a millisecond, and what clients are told then.

use expect_test::{Expect, expect};
use tickwire_proto::Pattern;

use super::*;

#[test]
fn a_feed_that_goes_mute_is_stale_three_seconds_after_its_last_sign_of_life() {
    check(
        None,
        None,
        "0 recovering; 100 caught up; 200 alive 1000; 1200 alive 1000; 2200 alive 1000; 9000 alive 1000",
        expect![[r#"
            0 RECOVERING (catching up with the log)
            100 LIVE
            5200 STALE (nothing heard for 3s)
            9000 LIVE"#]],
    );
}

#[test]
fn a_quiet_feed_that_sends_signs_of_life_stays_live() {
    check(Some(3_000), None, "0 caught up; 2900 alive; 5800 alive; 8700 alive; 11000 end", expect!["0 LIVE"]);
}

#[test]
fn without_signs_of_life_silence_is_what_the_rule_says() {
    check(
        Some(3_000),
        None,
        "0 caught up; 10 heard; 2000 heard; 10000 heard",
        expect![[r#"
            0 LIVE
            5000 STALE (nothing heard for 3s)
            10000 LIVE"#]],
    );
}

#[test]
fn without_any_rule_silence_means_nothing() {
    check(None, None, "0 caught up; 10 heard; 90000000 end", expect!["0 LIVE"]);
}

#[test]
fn the_rule_holds_whatever_interval_a_feed_announces() {
    check(
        Some(2_000),
        None,
        "0 caught up; 10 alive 3600000; 5000 end",
        expect![[r#"
            0 LIVE
            2010 STALE (nothing heard for 2s)"#]],
    );
}

#[test]
fn one_old_record_does_not_delay_a_feed_and_one_new_does_not_heal_it() {
    check(
        None,
        Some(1_000),
        "0 caught up; 1 heard 5000; 2 heard 10; 3 heard 5000; 4 heard 5000; 5 heard 5000; 6 heard 900; 7 heard 900; 8 heard 900;
         9 heard 10; 10 heard 10; 11 heard 10; 2004 heard 10; 2005 heard 10; 2006 heard 900",
        expect![[r#"
            0 LIVE
            5 DELAYED (data is more than 1s old on arrival)
            2005 LIVE"#]],
    );
}

#[test]
fn what_is_heard_while_catching_up_is_neither_late_nor_a_sign_of_life() {
    check(
        Some(3_000),
        Some(1_000),
        "0 recovering; 10 heard 9000; 20 heard 9000; 30 heard 9000; 10000 caught up; 13000 end",
        expect![[r#"
            0 RECOVERING (catching up with the log)
            10000 LIVE
            13000 STALE (nothing heard for 3s)"#]],
    );
}

#[test]
fn a_log_that_is_lost_is_down_with_its_reason_until_it_is_caught_up_with() {
    check(
        Some(3_000),
        None,
        "0 caught up; 500 down no route\tto host; 600 down refused; 9000 recovering; 9100 caught up",
        expect![[r#"
            0 LIVE
            500 DOWN (no route to host)
            600 DOWN (refused)
            9000 RECOVERING (catching up with the log)
            9100 LIVE"#]],
    );
}

#[test]
fn every_way_from_one_health_to_another() {
    // LIVE and DELAYED become STALE by silence and come back as what they were; all become DOWN, and all begin anew with the log.
    check(
        Some(3_000),
        Some(1_000),
        "0 recovering; 10 down refused; 20 recovering; 30 caught up; 100 heard 5000; 101 heard 5000; 102 heard 5000; 4000 heard 5000;
         4001 down refused; 4002 recovering; 4003 caught up; 8000 down refused; 8001 caught up; 8002 heard 5000; 8003 heard 5000; 8004 heard 5000;
         8005 recovering; 8006 caught up; 8007 recovering; 8008 caught up; 20000 recovering; 20001 caught up; 20002 end",
        expect![[r#"
            0 RECOVERING (catching up with the log)
            10 DOWN (refused)
            20 RECOVERING (catching up with the log)
            30 LIVE
            102 DELAYED (data is more than 1s old on arrival)
            3102 STALE (nothing heard for 3s)
            4000 DELAYED (data is more than 1s old on arrival)
            4001 DOWN (refused)
            4002 RECOVERING (catching up with the log)
            4003 LIVE
            7003 STALE (nothing heard for 3s)
            8000 DOWN (refused)
            8001 LIVE
            8004 DELAYED (data is more than 1s old on arrival)
            8005 RECOVERING (catching up with the log)
            8006 LIVE
            8007 RECOVERING (catching up with the log)
            8008 LIVE
            11008 STALE (nothing heard for 3s)
            20000 RECOVERING (catching up with the log)
            20001 LIVE"#]],
    );
}

#[test]
fn each_feed_has_its_rules_and_its_health() {
    let rule = |feed: &str, silence_ms: Option<u64>, age_ms: Option<u64>| FeedRule {
        silence_max: silence_ms.map(Duration::from_millis),
        age_max: age_ms.map(Duration::from_millis),
        ..FeedRule::new(feed, Pattern::parse(&format!("{feed}.#")).unwrap())
    };
    let rules = alloc::vec![rule("fast", Some(1_000), Some(100)), rule("slow", Some(60_000), None), rule("news", None, None)];
    let mut monitor = Monitor::new(rules, Moment::ZERO, 0);
    monitor.caught_up(Moment::ZERO);
    let healths = |monitor: &mut Monitor, ms: u64| {
        monitor.poll(Moment::from_millis(ms), 0);
        monitor.states().iter().map(|state| state.health().as_str_name()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(healths(&mut monitor, 0), "LIVE LIVE LIVE");
    for ms in 1..=3 {
        for feed in ["fast", "slow", "news"] {
            monitor.heard(Moment::from_millis(ms), feed, ms, Some(Duration::from_millis(500)));
        }
    }
    assert_eq!(healths(&mut monitor, 3), "DELAYED LIVE LIVE");
    assert_eq!(healths(&mut monitor, 1_003), "STALE LIVE LIVE");
    monitor.alive(Moment::from_millis(1_100), "news", 4, Some(Duration::from_secs(10)));
    assert_eq!(healths(&mut monitor, 31_099), "STALE LIVE LIVE");
    assert_eq!(healths(&mut monitor, 31_100), "STALE LIVE STALE");
    assert_eq!(healths(&mut monitor, 60_003), "STALE STALE STALE");
    monitor.heard(Moment::from_millis(60_100), "slow", 5, None);
    assert_eq!(healths(&mut monitor, 60_100), "STALE LIVE STALE");
}

#[test]
fn without_trading_hours_the_time_of_day_only_stamps() {
    let mut monitor = Monitor::new(rules(Some(3_000), None), Moment::ZERO, 0);
    monitor.caught_up(Moment::ZERO);
    monitor.poll(Moment::ZERO, u64::MAX);
    assert_eq!(monitor.deadline(), Some(Moment::from_millis(3_000)));
    assert!(monitor.poll(Moment::from_millis(2_999), u64::MAX).is_empty());
    assert_eq!(monitor.poll(Moment::from_millis(3_000), 5)[0].since_us, 5);
}

#[test]
fn since_is_when_the_health_began_and_reasons_are_cut() {
    let mut monitor = Monitor::new(rules(None, None), Moment::ZERO, 7);
    assert_eq!(monitor.states()[0].since_us, 7);
    assert_eq!(monitor.poll(Moment::ZERO, 8)[0].reason, "not connected yet", "the start is told as well");
    monitor.caught_up(Moment::ZERO);
    monitor.poll(Moment::ZERO, 8);
    monitor.down(Moment::ZERO, &"é".repeat(500));
    assert_eq!(monitor.poll(Moment::ZERO, 9)[0].reason.len(), 256);
    monitor.down(Moment::ZERO, "refused");
    monitor.heard(Moment::ZERO, "stock", 42, None);
    monitor.heard(Moment::ZERO, "unknown", 43, None);
    assert_eq!(monitor.poll(Moment::ZERO, 10)[0].since_us, 9);
    assert_eq!(monitor.states()[0].last_seq, 42);
}

#[test]
fn outside_of_its_hours_a_feed_may_be_silent_and_late() {
    // Moment 0 is 1970-01-01T00:00:00Z, a Thursday, here: a market of two minutes.
    let hours = TradingHours::parse(&["Thu 00:01-00:03".into()], &[], jiff::tz::TimeZone::UTC).unwrap();
    let rule = FeedRule { hours: Some(hours), ..rules(Some(3_000), Some(1_000)).remove(0) };
    play(
        alloc::vec![rule],
        "0 recovering; 100 caught up; 10000 heard 9000; 10001 heard 9000; 10002 heard 9000; 62000 alive; 70000 heard 5; 179000 heard 5; 400000 end",
        expect![[r#"
            0 RECOVERING (catching up with the log)
            100 LIVE (closed until 1970-01-01T00:01:00Z)
            60000 LIVE
            65000 STALE (nothing heard for 3s)
            70000 LIVE
            73000 STALE (nothing heard for 3s)
            179000 LIVE
            180000 LIVE (closed until 1970-01-08T00:01:00Z)"#]],
    );
}

#[test]
fn a_log_that_is_lost_is_down_whatever_the_hours() {
    let hours = TradingHours::parse(&["Thu 00:01-00:03".into()], &[], jiff::tz::TimeZone::UTC).unwrap();
    let rule = FeedRule { hours: Some(hours), ..rules(None, None).remove(0) };
    play(
        alloc::vec![rule],
        "0 caught up; 10 down refused; 61000 end; 62000 caught up",
        expect![[r#"
            0 LIVE (closed until 1970-01-01T00:01:00Z)
            10 DOWN (refused)
            62000 LIVE"#]],
    );
}

/// Plays `story` (`<ms> <what>; …`) on one feed, waking up only when told to, and compares what was told.
#[track_caller]
fn check(silence_ms: Option<u64>, age_ms: Option<u64>, story: &str, told: Expect) {
    play(rules(silence_ms, age_ms), story, told);
}

#[track_caller]
fn play(rules: Vec<FeedRule>, story: &str, told: Expect) {
    let mut monitor = Monitor::new(rules, Moment::ZERO, 0);
    let mut lines = Vec::new();
    for line in story.split(';') {
        let mut words = line.split_whitespace();
        let at = Moment::from_millis(words.next().unwrap().parse().unwrap());
        while let Some(deadline) = monitor.deadline().filter(|deadline| *deadline < at) {
            tell(&mut monitor, deadline, &mut lines);
        }
        let verb = words.next().unwrap();
        let rest: Vec<&str> = words.collect();
        let span = || rest.first().map(|ms| Duration::from_millis(ms.parse().unwrap()));
        match verb {
            "recovering" => monitor.recovering(at),
            "caught" => monitor.caught_up(at),
            "down" => monitor.down(at, &rest.join("\t")),
            "heard" => monitor.heard(at, "stock", 1, span()),
            "alive" => monitor.alive(at, "stock", 1, span()),
            "end" => {}
            _ => panic!("no such verb: {verb}"),
        }
        tell(&mut monitor, at, &mut lines);
    }
    told.assert_eq(&lines.join("\n"));
}

fn tell(monitor: &mut Monitor, now: Moment, lines: &mut Vec<String>) {
    for state in monitor.poll(now, now.as_micros()) {
        let reason = if state.reason.is_empty() { String::new() } else { format!(" ({})", state.reason) };
        lines.push(format!("{} {}{reason}", now.as_micros() / 1_000, state.health().as_str_name()));
    }
}

fn rules(silence_ms: Option<u64>, age_ms: Option<u64>) -> Vec<FeedRule> {
    let [silence_max, age_max] = [silence_ms, age_ms].map(|ms| ms.map(Duration::from_millis));
    alloc::vec![FeedRule { silence_max, age_max, ..FeedRule::new("stock", Pattern::parse("stock.#").unwrap()) }]
}

proptest::proptest! {
    /// Whatever was heard before: three intervals after the last of it a feed is not LIVE, and it is LIVE for as long as it is heard.
    #[test]
    fn a_mute_feed_is_never_live_for_longer_than_its_limit(
        gaps in proptest::collection::vec((0_u64..2_900, proptest::prelude::any::<bool>()), 1..30), mute in 0_u64..6_000
    ) {
        let mut monitor = Monitor::new(rules(None, None), Moment::ZERO, 0);
        monitor.caught_up(Moment::ZERO);
        monitor.alive(Moment::ZERO, "stock", 1, Some(Duration::from_secs(1)));
        let mut at = 0;
        for (gap, is_alive) in gaps {
            at += gap;
            monitor.poll(Moment::from_millis(at), at);
            proptest::prop_assert_eq!(monitor.states()[0].health(), FeedHealth::Live);
            if is_alive {
                monitor.alive(Moment::from_millis(at), "stock", 1, None);
            } else {
                monitor.heard(Moment::from_millis(at), "stock", 1, None);
            }
        }
        proptest::prop_assert_eq!(monitor.deadline(), Some(Moment::from_millis(at + 3_000)));
        monitor.poll(Moment::from_millis(at + mute), at);
        proptest::prop_assert_eq!(monitor.states()[0].health() == FeedHealth::Stale, mute >= 3_000);
    }
}
