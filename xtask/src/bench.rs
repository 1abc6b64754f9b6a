//! `cargo xtask bench`: builds optimised, measures, prints.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Subcommand;

use crate::test::cargo;
use crate::{guard, peers, setup, shaped};

/// What can be measured.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Bench {
    /// Server CPU per delivered update with and without conflation, and memory per idle connection. About two minutes.
    Smoke {
        /// Also write the figures as JSON to this file.
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// Tickwire beside its floor and beside other servers, which are installed where they are missing: the table of ratios. About ten minutes.
    Peers(Peers),
    /// From RabbitMQ into the book: what a message costs, how fast batches are, and how soon everything is right again after a fault.
    Ingest(Ingest),
    /// Measure how old is what a client holds on a link of 400 kbit/s with four times as much data, in network namespaces: directly and behind
    /// NGINX. Needs root. Seven minutes.
    Shaped(shaped::Shaped),
    /// Count the instructions of the tick path, and compare them with `tests/guard/baseline.txt`. Half a minute.
    Guard {
        /// Write what was counted as the new baseline; commit it with the change that explains it.
        #[arg(long)]
        update: bool,
    },
}

impl Bench {
    /// Builds what it measures, and measures.
    ///
    /// # Errors
    /// A build or the workload fails, or a count has left its bound.
    pub(crate) fn run(&self, root: &Path) -> Result<()> {
        match self {
            Self::Smoke { json } => smoke(root, json.as_deref()),
            Self::Peers(peers) => peers.run(root),
            Self::Ingest(ingest) => ingest.run(root),
            Self::Shaped(shaped) => shaped.run(root),
            Self::Guard { update: false } => guard::check(root),
            Self::Guard { update: true } => guard::update(root),
        }
    }
}

/// Flags of the comparison.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Peers {
    /// Only these, separated by commas: workloads (a, b, c) and parts of servers' names (floor, tickwire, nats, node ws, uwebsockets, mosquitto,
    /// nchan, sockudo).
    #[arg(long, value_name = "NAME,…")]
    only: Option<String>,
    /// Seconds of each measurement [default: 3].
    #[arg(long)]
    seconds: Option<u64>,
    /// Rounds; the median is printed [default: 3].
    #[arg(long)]
    rounds: Option<u8>,
    /// Multiplies the updates a second of all workloads: below 1 for a machine that cannot take them [default: 1].
    #[arg(long)]
    scale: Option<f64>,
    /// Also write the figures as JSON to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Peers {
    fn run(&self, root: &Path) -> Result<()> {
        let tools = root.join("target/peers");
        peers::install(&tools, self.only.as_deref())?;
        let mut words: Vec<OsString> = vec!["--tools".into(), tools.into()];
        let flags = [
            ("--only", self.only.clone().map(OsString::from)),
            ("--seconds", self.seconds.map(|seconds| seconds.to_string().into())),
            ("--rounds", self.rounds.map(|rounds| rounds.to_string().into())),
            ("--scale", self.scale.map(|scale| scale.to_string().into())),
            ("--json", self.json.clone().map(OsString::from)),
        ];
        for (flag, value) in flags {
            words.extend(value.into_iter().flat_map(|value| [flag.into(), value]));
        }
        measure(root, "peers", &words)
    }
}

/// Flags of `cargo xtask bench ingest`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Ingest {
    /// Flags of `tickwire-bench ingest`, such as `--rounds 1 --only single --json FILE`; `--help` lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "FLAGS")]
    flags: Vec<OsString>,
}

impl Ingest {
    fn run(&self, root: &Path) -> Result<()> {
        setup::ensure(&[setup::RABBITMQ])?;
        measure(root, "ingest", &self.flags)
    }
}

fn smoke(root: &Path, json: Option<&Path>) -> Result<()> {
    let words: Vec<OsString> = json.into_iter().flat_map(|json| ["--json".into(), json.into()]).collect();
    measure(root, "smoke", &words)
}

/// Builds the server and what measures it, optimised, and runs one of its commands.
fn measure(root: &Path, what: &str, words: &[OsString]) -> Result<()> {
    crate::say("building the server and the load generator, optimised");
    cargo(root, &["build", "--release", "--workspace", "--bin", "tickwire", "--bin", "tickwire-bench"])?;
    let release = root.join("target/release");
    let mut command = Command::new(release.join("tickwire-bench"));
    command.arg(what).arg("--server").arg(release.join("tickwire")).args(words);
    let status = command.status().context("the load generator does not start")?;
    if !status.success() {
        bail!("the load generator failed: {status}");
    }
    Ok(())
}
