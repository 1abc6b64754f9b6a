//! Build tasks of Tickwire: `cargo xtask --help`.

mod bench;
mod codegen;
mod coverage;
mod demo;
mod fuzz;
mod guard;
mod peers;
mod setup;
mod shaped;
mod test;
mod wasm;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Builds, tests and shows Tickwire")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build everything, start it, and print the address of the page.
    Demo(demo::Demo),
    /// Run every check and test, installing what they need (Debian, PyPI, npm and crates.io packages; it says which).
    Test {
        /// Only formatting, lints, and tests without browser, broker and sockets.
        #[arg(long)]
        quick: bool,
    },
    /// Measure, and print the figures.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Look for inputs that break a promise, with cargo-fuzz.
    Fuzz(fuzz::Fuzz),
    /// Show which lines of the pure crates the tests run.
    Coverage(coverage::Coverage),
    /// Generate Rust code from the schema (`--check`: only say whether it has drifted).
    Codegen {
        /// Change nothing; fail when a committed file has drifted.
        #[arg(long)]
        check: bool,
    },
    /// Build the WASM package into `sdk-wasm/pkg` and, for the demo page, `server/page/sdk`.
    Wasm,
}

fn main() -> Result<()> {
    let root = root();
    match Cli::parse().task {
        Task::Demo(demo) => demo.run(&root),
        Task::Test { quick } => test::run(&root, quick),
        Task::Bench(bench) => bench.run(&root),
        Task::Fuzz(fuzz) => fuzz.run(&root),
        Task::Coverage(coverage) => coverage.run(&root),
        Task::Codegen { check: true } => codegen::check(&root),
        Task::Codegen { check: false } => codegen::run(&root),
        Task::Wasm => wasm::build(&root),
    }
}

/// The top folder of the workspace.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("xtask lives one folder below the workspace")
}

/// One line of progress.
#[expect(clippy::print_stderr, reason = "progress belongs on the terminal")]
pub(crate) fn say(line: &str) {
    eprintln!("xtask: {line}");
}

#[cfg(test)]
mod tests;
