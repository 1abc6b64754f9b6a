//! Reports of progress: soon while data flows, seldom when all is well.

use expect_test::expect;
use tickwire_proto::session::SessionConfig;
use tickwire_proto::wire::Encoding;

use super::check;
use super::world::World;

#[test]
fn only_servers_that_ask_are_told() {
    check(
        "connect; open; welcome; beat; fill 5000; wait 3s",
        expect![[r#"
            0.000 Connecting
            0.000 open #0
            0.000 send hello
            0.000 Live
            2.000 send ping
        "#]],
    );
}

#[test]
fn the_first_frame_is_reported_at_once_and_what_is_little_within_a_second() {
    check(
        "connect; open; welcome window=4096; beat; beat; wait 10ms; beat; wait 900ms; fill 500; wait 1900ms; beat; wait 1s",
        expect![[r#"
            0.000 Connecting
            0.000 open #0
            0.000 send hello
            0.000 Live
            0.000 send progress 1
            1.000 send progress 5
            2.000 send ping
            2.810 send progress 6
        "#]],
    );
}

#[test]
fn half_of_the_smallest_window_is_reported_after_20_ms() {
    check(
        "connect; open; welcome window=4096; wait 5ms; fill 1000; fill 1000; fill 1000; wait 100ms; fill 2500; fill 2500; wait 5s",
        expect![[r#"
            0.000 Connecting
            0.000 open #0
            0.000 send hello
            0.000 Live
            0.000 send progress 1
            0.020 send progress 4
            0.105 send progress 5
            0.125 send progress 6
            2.000 send ping
        "#]],
    );
}

#[test]
fn what_is_left_when_a_flow_ends_is_reported_without_delay() {
    check(
        "connect; open; welcome window=4096; wait 1s; fill 2500; wait 30ms; fill 100; wait 40ms; fill 100; wait 3s",
        expect![[r#"
            0.000 Connecting
            0.000 open #0
            0.000 send hello
            0.000 Live
            0.000 send progress 1
            1.000 send progress 2
            1.120 send progress 4
            2.000 send ping
        "#]],
    );
}

#[test]
fn a_bulk_is_reported_every_50_ms_or_as_soon_as_it_pauses() {
    check(
        "
            connect; open; welcome window=32768; wait 100ms; fill 20000
            wait 4ms; fill 20000; wait 4ms; fill 20000; wait 4ms; fill 20000; wait 4ms; fill 20000; wait 4ms; fill 20000; wait 4ms; fill 20000
            wait 4ms; fill 20000; wait 4ms; fill 20000; wait 4ms; fill 20000; wait 4ms; fill 20000; wait 4ms; fill 20000; wait 4ms; fill 20000
            wait 4ms; fill 20000; wait 4ms; fill 20000; wait 1s",
        expect![[r#"
            0.000 Connecting
            0.000 open #0
            0.000 send hello
            0.000 Live
            0.000 send progress 1
            0.100 send progress 2
            0.150 send progress 14
            0.170 send progress 16
        "#]],
    );
}

/// Reports while `frame` bytes come every `every` milliseconds, for each second and for each MB.
fn reports(frame: usize, every: u32) -> (u64, u64) {
    let mut world = World::new(SessionConfig { encoding: Encoding::Protobuf, ..SessionConfig::default() });
    let frames = 20_000 / every;
    for step in ["connect", "open", "welcome window=32768"] {
        world.step(step);
    }
    for _ in 0..frames {
        world.step(&format!("fill {frame}"));
        world.step(&format!("wait {every}ms"));
    }
    let bytes = world.session.stats().bytes;
    let reports = world.play("").lines().filter(|line| line.contains("send progress")).count() as u64;
    (reports / 20, reports * 1_000_000 / bytes)
}

#[test]
fn reports_cost_little_at_every_pace() {
    // Little data, as a healthy client has: frames of 100 bytes, ten of them a second.
    assert_eq!(reports(100, 100).0, 1);
    for (frame, every, per_s, per_mb) in [
        // 400 kbit/s in small and in larger frames,
        (60, 2, 26, 480),
        (460, 10, 25, 480),
        (960, 20, 25, 480),
        // 10 Mbit/s,
        (1_250, 1, 50, 40),
        // 100 Mbit/s.
        (12_500, 1, 21, 2),
    ] {
        let (s, mb) = reports(frame, every);
        assert!(s <= per_s && mb <= per_mb, "frames of {frame} bytes every {every} ms: {s} reports a second, {mb} for each MB");
    }
}
