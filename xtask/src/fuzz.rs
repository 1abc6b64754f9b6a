//! `cargo xtask fuzz`: coverage-guided by libFuzzer, on the compiler that everything else is built with.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::setup::{self, Need};
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
    /// With the address sanitizer, at about half the speed. Our own code has no `unsafe`; its dependencies have.
    #[arg(long)]
    asan: bool,
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
        setup::ensure(&[CXX])?;
        setup::ensure_cargo("cargo-fuzz")?;
        // The same dependencies as the workspace's; cargo adds libFuzzer to them.
        std::fs::copy(root.join("Cargo.lock"), root.join(FOLDER).join("Cargo.lock"))?;
        chosen.into_iter().try_for_each(|target| self.one(root, target))
    }

    fn one(&self, root: &Path, target: &str) -> Result<()> {
        let folder = root.join("target/fuzz-corpus").join(target);
        let shown = folder.to_str().context("the workspace has a path in UTF-8")?;
        tool(root, &["unpack", target, shown])?;
        crate::say(&format!("{target}: {} s", self.seconds));
        let seconds = format!("-max_total_time={}", self.seconds);
        let found = format!("-artifact_prefix={}/", Self::findings(root)?.display());
        self.cargo_fuzz(root, "run", target, &[shown, "--", &seconds, &found, "-max_len=4096", "-timeout=10", "-print_final_stats=1"])?;
        if self.keep {
            self.cargo_fuzz(root, "cmin", target, &[shown])?;
            tool(root, &["pack", target, shown])?;
        }
        Ok(())
    }

    fn cargo_fuzz(&self, root: &Path, verb: &str, target: &str, rest: &[&str]) -> Result<()> {
        let features: &[&str] = if matches!(target, "config" | "recording") { &["--features", "config"] } else { &[] };
        let sanitizer = if self.asan { "address" } else { "none" };
        let folders = ["--fuzz-dir", FOLDER, "--target-dir", "target/fuzz", "--sanitizer", sanitizer];
        let words = [&["fuzz", verb], &folders[..], features, &[target], rest].concat();
        let mut command = Command::new(env!("CARGO"));
        if self.asan {
            // The sanitizer is behind an unstable flag, which a stable compiler takes when told so.
            command.env("RUSTC_BOOTSTRAP", "1");
        }
        let status = command.args(&words).current_dir(root).status().context("cargo does not start")?;
        if !status.success() {
            bail!("`cargo {}` failed: {status}; `cargo run -p tickwire-fuzz -- run {target} INPUT` replays an input", words.join(" "));
        }
        Ok(())
    }

    /// The folder of inputs that broke a promise.
    fn findings(root: &Path) -> Result<PathBuf> {
        let folder = root.join("target/fuzz-findings");
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
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

/// The crate that cargo-fuzz builds.
const FOLDER: &str = "tests/fuzz/libfuzzer";
/// libFuzzer is C++.
const CXX: Need = Need { purpose: "building libFuzzer", any_of: &["c++"], packages: &["g++"] };
