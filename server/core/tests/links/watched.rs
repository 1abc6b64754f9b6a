//! A client that cannot report, whose socket the server looks at.

use super::world::{Back, World};
use super::{CREDIT_BYTES_MAX, OVERLOAD, seconds, slow};

#[test]
fn a_client_that_cannot_report_holds_fresh_values_where_the_server_sees_its_socket() {
    for (seed, trip_ms, p50_max, p99_max) in [(1, 0, 200, 300), (2, 20, 200, 300), (3, 100, 250, 400), (4, 300, 500, 1_000)] {
        let mut world = World::with(seed, slow(trip_ms, 1 << 20), OVERLOAD, CREDIT_BYTES_MAX, Back::Watched);
        world.pass(seconds(3));
        let seen = world.pass(seconds(30));
        let what = format!("a trip of {trip_ms} ms: {seen:?}");
        assert!(seen.age_p50 <= p50_max && seen.age_p99 <= p99_max, "old at {what}");
        assert!(seen.used >= 97.0, "idle at {what}");
        assert!(seen.buffered_max <= 40 << 10, "hoarded at {what}");
        assert!(seen.reports_per_s == 0.0, "it reports at {what}");
        world.ends_well(seconds(5));
    }
}

#[test]
fn a_client_that_takes_nothing_is_looked_at_once_a_second_until_it_does() {
    let mut world = World::with(1, slow(20, 1 << 20), OVERLOAD, CREDIT_BYTES_MAX, Back::Watched);
    world.pass(seconds(10));
    let before = world.link.looks_taken;
    assert!(before > 400, "50 looks a second at a slow link, not {before} in 10 s");
    world.link.shape.bytes_per_ms = 0;
    // Less than the silence after which the client leaves.
    world.pass(seconds(8));
    let stuck = world.link.looks_taken - before;
    assert!(stuck <= 62, "50 looks in the first second, then one: not {stuck}");
    world.link.shape.bytes_per_ms = 50;
    world.pass(seconds(3));
    let seen = world.pass(seconds(5));
    assert!(seen.age_p99 <= 300 && seen.used >= 97.0, "{seen:?}");
    world.ends_well(seconds(5));
}
