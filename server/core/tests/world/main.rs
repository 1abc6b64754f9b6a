//! Both ends in one simulated world, held against a truth of its own: the five promises, for every order of events.
//!
//! Everything comes from one seed. `SEED=7` replays a world and prints all that happened in it, `SEEDS=100000` plays as many,
//! `MINUTES=5` makes each that long. What is simulated and what is checked: `docs/testing.md`.

mod everybody;
mod market;
mod network;
mod node;
mod random;
mod reader;
mod request;
mod world;

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use world::World;

#[test]
fn every_promise_holds_in_every_world() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let span = Duration::from_secs(60 * number("MINUTES").unwrap_or(MINUTES));
    if let Some(seed) = number("SEED") {
        let played = play(seed, span, true);
        return assert!(played.is_ok(), "{}", played.err().unwrap_or_default());
    }
    let (first, seeds) = (number("FIRST").unwrap_or(0), number("SEEDS").unwrap_or(SEEDS));
    let (next, done) = (AtomicU64::new(first), AtomicBool::new(false));
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, |threads| threads.get()) {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds {
                        return;
                    }
                    if let Err(problem) = play(seed, span, false) {
                        let mut failures = failures.lock().expect("no thread panics here");
                        failures.push((seed, problem));
                        done.store(failures.len() >= FAILURES_MAX, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("no thread panics here");
    let mut text = String::new();
    for (seed, problem) in failures.iter().skip(1) {
        let _ = writeln!(text, "also SEED={seed}: {}", problem.lines().next().unwrap_or_default());
    }
    if let Some((seed, problem)) = failures.first() {
        panic!("{text}SEED={seed} MINUTES={} cargo test -p tickwire-core --test world\n{problem}", span.as_secs() / 60);
    }
}

/// Plays one world. Says what went wrong, and what came before.
fn play(seed: u64, span: Duration, is_verbose: bool) -> Result<(), String> {
    let mut world = World::new(seed, is_verbose);
    let verdict = catch_unwind(AssertUnwindSafe(|| world.play(span)));
    let problem = match verdict {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(problem)) => problem,
        Err(_) => "it panicked".into(),
    };
    Err(format!("{problem}\n  before that:\n{}", world.trace()))
}

/// Worlds per run of the tests, by default.
const SEEDS: u64 = 40;
/// Virtual minutes of each.
const MINUTES: u64 = 10;
/// Failures after which no further worlds are played.
const FAILURES_MAX: usize = 20;
