//! Snapshots: up to thousands of images, cut into frames and paced by the socket.

use std::time::Duration;

use expect_test::expect;
use tickwire_core::Entry;
use tickwire_proto::time::Moment;
use tickwire_proto::v1::{self, update::Body};

use super::script;
use super::world::{World, config};

/// A world with `count` instruments `s.1`, `s.2` ..., each with a quote.
fn crowd(count: u32) -> World {
    let mut world = World::new(config());
    for id in 1..=count {
        let info = v1::InstrumentInfo { symbol: format!("s.{id}"), id, price_scale: 2, ..Default::default() };
        world.instruments.push(info.clone());
        world.batch.entries.push(Entry::Instrument(info));
        world.batch.entries.push(Entry::Update(quote(id, u64::from(id), 100)));
    }
    world.flush();
    world
}

fn quote(id: u32, seq: u64, last: i64) -> v1::Update {
    v1::Update { id, seq, body: Some(Body::Quote(v1::Quote { last: Some(last), ..Default::default() })), ..Default::default() }
}

/// What each frame was, without its records.
fn outline(world: &World) -> String {
    let lines = world.transcript();
    lines.lines().map(|line| format!("{}, quotes {}\n", line.split(" | ").next().unwrap_or(""), line.matches("| quote").count())).collect()
}

#[test]
fn a_large_snapshot_comes_in_several_frames() {
    let mut world = crowd(1_200);
    script::run(&mut world, "open a; sub a s.*@0");
    let client = world.client("a");
    assert_eq!(client.images.len(), 1_200);
    expect![[r#"
        0 a: welcome FRESH heartbeat=5000, quotes 0
        0 a: ack s.*@0x1200 images=1200, quotes 0
        0 a: info s.1, quotes 512
        0 a: info s.513, quotes 512
        0 a: info s.1025, quotes 176
        0 a: complete, quotes 0
        0 a: heartbeat log:1200, quotes 0
    "#]]
    .assert_eq(&outline(&world));
}

#[test]
fn a_blocked_socket_paces_it_and_what_changes_meanwhile_is_sent_new() {
    let mut world = crowd(1_200);
    script::run(&mut world, "open a; block a; sub a s.*@0");
    assert!(world.client("a").images.len() < 1_200);
    world.batch.entries.push(Entry::Update(quote(1_200, 5_000, 777)));
    world.flush();
    world.unblock("a");
    world.flush();
    let client = world.client("a");
    assert_eq!(client.images[&1_200].quote.and_then(|quote| quote.last), Some(777));
    assert_eq!(client.updates.len(), 1_200, "the last one was sent once, as an image of the newest state");
    assert_eq!(client.images, world.book());
}

#[test]
fn more_than_a_frame_of_changes_at_once_is_spread_over_flushes() {
    let mut world = crowd(1_200);
    script::run(&mut world, "open a; sub a s.*@0");
    for id in 1..=1_200 {
        world.batch.entries.push(Entry::Update(quote(id, 5_000, 5)));
    }
    world.flush();
    assert_eq!(world.client("a").images, world.book());
    assert_eq!(world.client("a").updates.len(), 2_400);
}

#[test]
fn events_that_do_not_fit_are_a_gap_and_an_image() {
    let mut settings = config();
    settings.events_waiting_max = 3;
    super::check_in(
        World::new(settings),
        "
            new stock.A; new stock.B; quote stock.A 1 bid=1; quote stock.B 2 bid=1
            open a; sub a stock.*@0
            block a; quote stock.A 3 bid=2
            status stock.A 4 HALTED; status stock.B 5 HALTED; status stock.A 6 OPEN
            status stock.A 7 HALTED; quote stock.B 8 bid=9
            unblock a",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.*@0x2 images=2
            0 a: info stock.A | info stock.B | quote stock.A #1 bid=1 IMAGE | quote stock.B #2 bid=1 IMAGE
            0 a: complete
            0 a: heartbeat log:2
            0 a: quote stock.A #3 bid=2
            0 a: info stock.A | gap stock.A 3..8
            0 a: info stock.B | gap stock.B 4..6 | quote stock.A #7 bid=2 IMAGE | status stock.A #7 HALTED IMAGE | quote stock.B #8 bid=9 IMAGE | status stock.B #8 HALTED IMAGE
        "#]],
    );
}

#[test]
fn trades_go_before_events_when_there_is_no_room() {
    let mut settings = config();
    settings.events_waiting_max = 3;
    super::check_in(
        World::new(settings),
        "
            new stock.A
            open a; sub a stock.A@0+trades
            block a; trade stock.A 3
            trade stock.A 4; status stock.A 5 HALTED
            trade stock.A 6
            status stock.A 7 OPEN
            unblock a",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@0 images=0
            0 a: info stock.A | complete
            0 a: heartbeat log:-
            0 a: trade stock.A #3 0x1
            0 a: gap stock.A 3..7 | status stock.A #5 HALTED EVENT | status stock.A #7 OPEN EVENT
        "#]],
    );
}

#[test]
fn three_overflows_within_a_minute_end_the_connection() {
    let mut settings = config();
    settings.events_waiting_max = 1;
    super::check_in(
        World::new(settings),
        "
            new stock.A
            open a; sub a stock.A@0
            block a; quote stock.A 1 bid=1
            status stock.A 2 OPEN; status stock.A 3 HALTED
            status stock.A 4 OPEN; status stock.A 5 HALTED
            status stock.A 6 OPEN; status stock.A 7 HALTED",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack stock.A@0 images=0
            0 a: info stock.A | complete
            0 a: heartbeat log:-
            0 a: quote stock.A #1 bid=1 IMAGE
            0 a: error SLOW_CONSUMER: events did not fit three times within a minute
            0 a: close SLOW_CONSUMER (events did not fit three times within a minute)
        "#]],
    );
}

#[test]
fn events_that_left_the_ring_are_a_gap_on_resume() {
    let mut settings = config();
    settings.events_kept = 2;
    super::check_in(
        World::new(settings),
        "
            new stock.A; new stock.B; quote stock.B 1 bid=1; status stock.A 2 OPEN; status stock.A 3 HALTED; status stock.A 4 OPEN; status stock.A 5 HALTED
            open a resume=log:1; sub a stock.A@0 stock.B@0
            open b resume=log:3; sub b stock.A@0 stock.B@0",
        expect![[r#"
            0 a: welcome RESUMED heartbeat=5000
            0 a: ack stock.A@0 stock.B@0 images=1
            0 a: info stock.A | gap stock.A 1..4 | status stock.A #4 OPEN EVENT | status stock.A #5 HALTED EVENT
            0 a: info stock.B | status stock.A #5 HALTED IMAGE
            0 a: complete
            0 a: heartbeat log:5
            0 b: welcome RESUMED heartbeat=5000
            0 b: ack stock.A@0 stock.B@0 images=1
            0 b: info stock.A | status stock.A #4 OPEN EVENT | status stock.A #5 HALTED EVENT
            0 b: info stock.B | status stock.A #5 HALTED IMAGE
            0 b: complete
            0 b: heartbeat log:5
        "#]],
    );
}

#[test]
fn trades_beyond_the_ring_of_a_lane_are_a_gap() {
    let mut world = World::new(config());
    script::run(&mut world, "new stock.A\nopen a; sub a stock.A@1000+trades");
    script::run(&mut world, "trade stock.A 1");
    for seq in 2..=300 {
        script::run(&mut world, &format!("trade stock.A {seq}"));
    }
    world.wait(Duration::from_secs(2));
    let client = world.client("a");
    assert_eq!(client.gaps, [v1::Gap { id: 1, from: 1, to: 45 }]);
    let seqs: Vec<_> = client.updates.iter().map(|told| told.update.seq).collect();
    assert_eq!(seqs, [1].into_iter().chain(45..=300).collect::<Vec<_>>());
}

#[test]
fn too_many_items_are_refused_as_a_whole() {
    let mut settings = config();
    settings.items_max = 2;
    super::check_in(
        World::new(settings),
        "open a; sub a x y z",
        expect![[r#"
        0 a: welcome FRESH heartbeat=5000
        0 a: error TOO_MANY_SUBSCRIPTIONS: more than 2 items in one Subscribe
    "#]],
    );
}

#[test]
fn subscribes_that_cannot_be_held_are_refused() {
    let mut world = World::unsynced(config());
    script::run(&mut world, "open a");
    for _ in 0..17 {
        script::run(&mut world, "sub a x");
    }
    expect![[r#"
        0 a: welcome FRESH heartbeat=5000
        0 a: error RATE_LIMITED after 1000: the node is still reading the log
    "#]]
    .assert_eq(&world.transcript());
}

#[test]
fn an_event_that_not_all_of_a_burst_fits_before_is_still_in_order() {
    let mut world = World::new(config());
    script::run(&mut world, "new stock.A\nopen a; sub a stock.A@0");
    for seq in 1..=2_000 {
        let status = v1::Status { phase: 1 + (seq % 3) as i32, ..Default::default() };
        world.batch.entries.push(Entry::Update(v1::Update { id: 1, seq, body: Some(Body::Status(status)), ..Default::default() }));
    }
    world.flush();
    let seqs: Vec<_> = world.client("a").updates.iter().map(|told| told.update.seq).collect();
    assert_eq!(seqs, (1..=2_000).collect::<Vec<_>>());
    assert!(world.client("a").gaps.is_empty());
}

#[test]
fn a_quiet_engine_sleeps_until_the_next_heartbeat_and_a_lane_wakes_it_when_it_has_something() {
    let mut world = World::new(config());
    assert_eq!(world.engine.deadline(), None, "nobody is there");
    script::run(&mut world, "new s.1; quote s.1 1 last=1\nopen a heartbeat=10000; sub a s.1@1000");
    assert_eq!(world.engine.deadline(), Some(Moment::from_millis(5_000)), "Hello was due then");
    world.wait(Duration::from_millis(6_000));
    assert_eq!(world.engine.deadline(), Some(Moment::from_millis(10_000)), "the heartbeat");
    script::run(&mut world, "quote s.1 2 last=2");
    assert_eq!(world.engine.deadline(), Some(Moment::from_millis(10_000)), "the change has left: nothing is pending");
    script::run(&mut world, "quote s.1 3 last=3");
    assert_eq!(world.engine.deadline(), Some(Moment::from_millis(7_000)), "the end of the interval");
    world.wait(Duration::from_millis(1_000));
    script::run(&mut world, "detach a");
    world.wait(Duration::from_millis(60_000));
    assert_eq!(world.engine.deadline(), None, "nobody is there any more");
}

#[test]
fn a_long_frame_is_cut_by_bytes_too() {
    let mut world = World::new(config());
    for id in 1..=20 {
        let symbol = format!("m.{id}");
        script::run(&mut world, &format!("new {symbol}"));
        let outcomes: Vec<_> = (1..=500).map(|outcome| format!("{outcome}:back=1000000{outcome},active=true")).collect();
        script::run(&mut world, &format!("odds {symbol} {id} {}", outcomes.join(" ")));
    }
    script::run(&mut world, "open a; sub a m.*@0");
    assert_eq!(world.client("a").images, world.book());
    let longest = world.transcript().lines().map(|line| line.matches("| odds").count()).max();
    assert!(longest.is_some_and(|records| (2..20).contains(&records)), "{longest:?} records in one frame");
}
