//! `cargo xtask bench`: builds optimised, measures, prints.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Subcommand;

use crate::guard;
use crate::test::cargo;

/// What can be measured.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Bench {
    /// Server CPU per delivered update with and without conflation, and memory per idle connection. About two minutes.
    Smoke {
        /// Also write the figures as JSON to this file.
        #[arg(long, value_name = "FILE")]
        json: Option<std::path::PathBuf>,
    },
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
            Self::Guard { update: false } => guard::check(root),
            Self::Guard { update: true } => guard::update(root),
        }
    }
}

fn smoke(root: &Path, json: Option<&Path>) -> Result<()> {
    crate::say("building the server and the load generator, optimised");
    cargo(root, &["build", "--release", "--workspace", "--bin", "tickwire", "--bin", "tickwire-bench"])?;
    let release = root.join("target/release");
    let mut command = Command::new(release.join("tickwire-bench"));
    command.arg("smoke").arg("--server").arg(release.join("tickwire"));
    if let Some(json) = json {
        command.arg("--json").arg(json);
    }
    let status = command.status().context("the load generator does not start")?;
    if !status.success() {
        bail!("the load generator failed: {status}");
    }
    Ok(())
}
