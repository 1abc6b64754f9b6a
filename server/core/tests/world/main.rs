//! Both ends in one simulated world, held against a truth of its own: the five promises, for every order of events.
//!
//! Everything comes from one seed. `SEED=7` replays a world and prints all that happened in it, `SEEDS=100000` plays as many,
//! `FIRST=5000` begins elsewhere, `MINUTES=5` makes each that long, `PACED=1` or `PACED=0` paces all connections or
//! none. What is simulated and what is checked: `docs/testing.md`.

mod client;
mod everybody;
mod fields;
mod market;
mod network;
mod node;
mod random;
mod reader;
mod request;
mod run;
mod trace;
mod truth;
mod world;

use std::fmt::Write as _;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use trace::Trace;
use world::World;

#[test]
fn every_promise_holds_in_every_world() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let minutes = number("MINUTES").unwrap_or(MINUTES);
    let terms = Terms { span: Duration::from_secs(60 * minutes), paced: number("PACED").map(|paced| paced > 0) };
    if let Some(seed) = number("SEED") {
        let played = play(seed, terms, usize::MAX);
        return assert!(played.is_ok(), "{}", played.err().unwrap_or_default());
    }
    let (first, seeds) = (number("FIRST").unwrap_or(0), number("SEEDS").unwrap_or(SEEDS));
    let mut failures = play_all(first, seeds, terms);
    failures.sort_unstable();
    let mut text = String::new();
    for (seed, problem) in failures.iter().skip(1) {
        let _ = writeln!(text, "also SEED={seed}: {problem}");
    }
    if let Some((seed, _)) = failures.first() {
        // Played again, this time with a trace.
        let problem = play(*seed, terms, TRACE_LINES).err().unwrap_or_else(|| "it went well this time".into());
        let paced = terms.paced.map_or(String::new(), |paced| format!(" PACED={}", u8::from(paced)));
        panic!("{text}SEED={seed} MINUTES={minutes}{paced} cargo test -p tickwire-core --test world\n{problem}");
    }
}

/// What all worlds of a run have in common.
#[derive(Clone, Copy)]
struct Terms {
    span: Duration,
    /// `None`: by the seed.
    paced: Option<bool>,
}

/// Plays worlds on all cores. Returns those that failed, and why.
fn play_all(first: u64, seeds: u64, terms: Terms) -> Vec<(u64, String)> {
    let (next, done, failures) = (AtomicU64::new(0), AtomicBool::new(false), Mutex::new(Vec::new()));
    let (begun, told) = (Instant::now(), Mutex::new(Instant::now()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, |threads| threads.get()) {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= seeds {
                        return;
                    }
                    let seed = first + number;
                    if let Err(problem) = play(seed, terms, 0) {
                        let problem = problem.lines().next().unwrap_or_default().to_string();
                        // At once, since a night is long.
                        let _ = writeln!(std::io::stderr(), "SEED={seed}: {problem}");
                        failures.lock().expect("no thread panics here").push((seed, problem));
                    }
                    let failed = failures.lock().expect("no thread panics here").len();
                    done.store(failed >= FAILURES_MAX, Ordering::Relaxed);
                    let mut told = told.lock().expect("no thread panics here");
                    if told.elapsed() >= PROGRESS_EVERY {
                        *told = Instant::now();
                        let elapsed = begun.elapsed().as_secs();
                        let _ = writeln!(std::io::stderr(), "{number} of {seeds} worlds in {elapsed} s, {failed} failed");
                    }
                }
            });
        }
    });
    failures.into_inner().expect("no thread panics here")
}

/// Plays one world. Says what went wrong, and the last `lines` of what came before.
fn play(seed: u64, terms: Terms, lines: usize) -> Result<(), String> {
    let mut world = World::new(seed, terms.paced, Trace::new(lines));
    let verdict = catch_unwind(AssertUnwindSafe(|| world.play(terms.span)));
    let problem = match verdict {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(problem)) => problem,
        Err(_) => "it panicked".into(),
    };
    Err(format!("{problem}\n  before that:\n{}", world.trace()))
}

/// Worlds per run of the tests, by default.
const SEEDS: u64 = 1_000;
/// Virtual minutes of each.
const MINUTES: u64 = 60;
/// Failures after which no further worlds are played.
const FAILURES_MAX: usize = 20;
/// What came before a failure, as far as it is told.
const TRACE_LINES: usize = 80;
/// Pause between two lines that tell how far a long run has come.
const PROGRESS_EVERY: Duration = Duration::from_secs(30);
