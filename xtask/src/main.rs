//! Build tasks of Tickwire: `cargo xtask --help`.

mod codegen;
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
