//! Load generator and measurements: starts a server, loads it over loopback, reads its CPU and memory from the kernel, prints.

mod floor;
mod ingest;
mod peers;
mod shaped;
mod smoke;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "tickwire-bench", version, about = "Loads a Tickwire server on this machine and prints what it costs")]
struct Cli {
    #[command(subcommand)]
    workload: Workload,
}

#[derive(Subcommand)]
enum Workload {
    /// Serve as the floor does: the same bytes in the same pattern, and nothing else.
    Floor(floor::Floor),
    /// From RabbitMQ into the book: what it costs, how fast it is, and how it recovers.
    Ingest(ingest::Ingest),
    /// Read a log as a bare lapin consumer does, for the figures of `ingest`.
    Consume(ingest::Consume),
    /// Tickwire beside the floor and beside other servers.
    Peers(peers::Peers),
    /// How old is what a client holds on a narrow link: directly and behind NGINX.
    Shaped(shaped::Shaped),
    /// CPU per delivered update with and without conflation, and memory per idle connection.
    Smoke {
        /// The `tickwire` program.
        #[arg(long, value_name = "PROGRAM")]
        server: PathBuf,
        /// Also write the figures as JSON to this file.
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
}

fn main() -> Result<()> {
    match Cli::parse().workload {
        Workload::Floor(floor) => floor.run(),
        Workload::Ingest(ingest) => ingest.run(),
        Workload::Consume(consume) => consume.run(),
        Workload::Peers(peers) => peers.run(),
        Workload::Shaped(shaped) => shaped.run(),
        Workload::Smoke { server, json } => smoke::run(&server, json.as_deref()),
    }
}

/// One line of progress.
#[expect(clippy::print_stderr, reason = "progress belongs on the terminal")]
fn progress(line: &str) {
    eprintln!("bench: {line}");
}

/// One line of the result.
#[expect(clippy::print_stdout, reason = "the figures are the output of this program")]
fn print(line: &str) {
    println!("{line}");
}
