//! The tick path, step by step, for counting its instructions: `cargo xtask bench guard`.
//!
//! Without arguments it names its steps. With the name of one it sets the scene and takes the step [`ROUNDS`] times within [`measured`],
//! which is where callgrind collects, and prints that number. Nothing in it depends on time or chance.

#[path = "../../../server/core/tests/crowd/mod.rs"]
mod crowd;
mod steps;

use std::process::ExitCode;

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "this is what the program is for")]
fn main() -> ExitCode {
    let Some(wanted) = std::env::args().nth(1) else {
        steps::STEPS.iter().for_each(|(name, _)| println!("{name}"));
        return ExitCode::SUCCESS;
    };
    let Some((_, scene)) = steps::STEPS.iter().find(|(name, _)| *name == wanted) else {
        eprintln!("no step is called {wanted:?}");
        return ExitCode::FAILURE;
    };
    let mut step = scene();
    // The first rounds find how large the buffers have to be.
    (0..ROUNDS).for_each(|_| step());
    measured(&mut *step);
    println!("{ROUNDS}");
    ExitCode::SUCCESS
}

/// Callgrind collects while this runs, and only then: its name is in `xtask/src/guard.rs`.
#[inline(never)]
fn measured(step: &mut dyn FnMut()) {
    (0..ROUNDS).for_each(|_| step());
}

/// Times that a step is taken: enough that the loop itself does not count, few enough for 5,000 subscribers under valgrind.
const ROUNDS: u32 = 20;
