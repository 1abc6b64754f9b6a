//! Both ends in one simulated world: real engines, real client sessions, a network that delays, stalls and cuts, and a market whose truth
//! the test keeps for itself. Everything comes from one seed.
//!
//! Beside the `world` test, this one has nodes that lag behind each other and clients that move between them.
//!
//! `cargo test -p tickwire-core --test nodes`; `SEED=17` replays one world, `SEEDS=5000` plays as many.

#[path = "../world/everybody.rs"]
mod everybody;
mod market;
mod network;
#[path = "../world/random.rs"]
mod random;
mod reader;
#[path = "../world/request.rs"]
mod request;
mod world;

use world::World;

#[test]
fn every_client_ends_up_with_the_truth() {
    if let Ok(seed) = std::env::var("SEED") {
        return World::play(seed.parse().expect("SEED is a number"));
    }
    let seeds = std::env::var("SEEDS").map_or(SEEDS, |seeds| seeds.parse().expect("SEEDS is a number"));
    for seed in 0..seeds {
        let world = std::panic::catch_unwind(|| World::play(seed));
        assert!(world.is_ok(), "world {seed} went wrong: replay it with SEED={seed}");
    }
}

/// Worlds of one run.
const SEEDS: u64 = 60;
