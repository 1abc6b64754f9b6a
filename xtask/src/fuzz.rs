//! `cargo xtask fuzz`: coverage-guided where a nightly compiler is installed, else seeded mutations on the stable one.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::setup;
use crate::test::cargo;

/// What to fuzz, and for how long.
#[derive(Args, Clone, Debug)]
pub(crate) struct Fuzz {
    /// One target; all of them, one after the other, if none is named.
    target: Option<String>,
    /// Seconds for each target.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Keep what was found in the committed corpora, minimised.
    #[arg(long)]
    keep: bool,
}

impl Fuzz {
    /// Runs the targets; a find is a failure, and libFuzzer says where its input is.
    ///
    /// # Errors
    /// A build, an installation or a target fails.
    pub(crate) fn run(&self, root: &Path) -> Result<()> {
        let targets = targets(root)?;
        if let Some(unknown) = self.target.iter().find(|name| !targets.contains(name)) {
            bail!("no target {unknown}; there are {}", targets.join(", "));
        }
        let chosen: Vec<&String> = targets.iter().filter(|name| self.target.as_ref().is_none_or(|target| target == *name)).collect();
        if !has_nightly() {
            crate::say(
                "no nightly compiler (`rustup toolchain install nightly` brings it): mutating the corpora on the stable one instead",
            );
            return replay(root, u64::from(self.seconds) * MUTATIONS_PER_SECOND);
        }
        setup::ensure_cargo("cargo-fuzz")?;
        let lock = root.join(FOLDER).join("Cargo.lock");
        if !lock.exists() {
            // The same dependencies as the workspace's.
            std::fs::copy(root.join("Cargo.lock"), lock)?;
        }
        chosen.into_iter().try_for_each(|target| self.one(root, target))
    }

    fn one(&self, root: &Path, target: &str) -> Result<()> {
        let folder = root.join("target/fuzz-corpus").join(target);
        let shown = folder.to_str().context("the workspace has a path in UTF-8")?;
        tool(root, &["unpack", target, shown])?;
        crate::say(&format!("{target}: {} s", self.seconds));
        let seconds = format!("-max_total_time={}", self.seconds);
        nightly(
            root,
            &["fuzz", "run", "--fuzz-dir", FOLDER, target, shown, "--", &seconds, "-max_len=4096", "-timeout=10", "-print_final_stats=1"],
        )?;
        if self.keep {
            nightly(root, &["fuzz", "cmin", "--fuzz-dir", FOLDER, target, shown])?;
            tool(root, &["pack", target, shown])?;
        }
        Ok(())
    }
}

/// The names of all targets.
fn targets(root: &Path) -> Result<Vec<String>> {
    let output = Command::new(env!("CARGO")).args(["run", "-q", "-p", "tickwire-fuzz", "--", "list"]).current_dir(root).output()?;
    if !output.status.success() {
        bail!("the targets do not build: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

fn tool(root: &Path, words: &[&str]) -> Result<()> {
    cargo(root, &[&["run", "-q", "-p", "tickwire-fuzz", "--"], words].concat())
}

fn replay(root: &Path, mutations: u64) -> Result<()> {
    let status = Command::new(env!("CARGO"))
        .args(["test", "-p", "tickwire-fuzz", "--test", "replay"])
        .env("FUZZ_MUTATIONS", mutations.to_string())
        .current_dir(root)
        .status()?;
    if !status.success() {
        bail!("a target does not survive");
    }
    Ok(())
}

fn has_nightly() -> bool {
    let list = Command::new("rustup").args(["toolchain", "list"]).output();
    list.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).lines().any(|line| line.starts_with("nightly")))
}

fn nightly(root: &Path, words: &[&str]) -> Result<()> {
    // The proxy of rustup, which knows `+nightly`; the cargo that runs this task does not.
    let status = Command::new("cargo")
        .arg("+nightly")
        .args(words)
        .env_remove("CARGO")
        .current_dir(root)
        .status()
        .context("rustup's cargo does not start")?;
    if !status.success() {
        bail!("`cargo +nightly {}` failed: {status}", words.join(" "));
    }
    Ok(())
}

/// The crate that cargo-fuzz builds.
const FOLDER: &str = "tests/fuzz/libfuzzer";
/// Mutations of each corpus on the stable compiler, for each second that was asked for. About what a debug build does.
const MUTATIONS_PER_SECOND: u64 = 2_000;
