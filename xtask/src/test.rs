//! `cargo xtask test`: everything, in the order in which a mistake shows soonest.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::{guard, setup, wasm};

/// Installs what is missing, then runs every step; ends at the first that fails.
///
/// # Errors
/// A need cannot be installed, or a step fails.
pub(crate) fn run(root: &Path, quick: bool) -> Result<()> {
    let steps: Vec<Step> = STEPS.iter().copied().filter(|step| if quick { step.quick } else { step.whole }).collect();
    if !quick {
        setup::ensure(&[
            setup::RABBITMQ,
            setup::CHROMIUM,
            setup::NODE,
            setup::NPM,
            setup::PYTHON,
            setup::CURL,
            setup::NGINX,
            setup::IPROUTE,
            setup::VALGRIND,
        ])?;
    }
    let all = Instant::now();
    for (index, step) in steps.iter().enumerate() {
        let place = format!("[{}/{}] {}", index + 1, steps.len(), step.name);
        crate::say(&format!("{place} …"));
        let start = Instant::now();
        (step.run)(root).with_context(|| format!("{place} failed"))?;
        crate::say(&format!("{place}: passed in {} s", start.elapsed().as_secs()));
    }
    crate::say(&format!("all {} steps passed in {} s", steps.len(), all.elapsed().as_secs()));
    Ok(())
}

/// One step of the test command.
#[derive(Clone, Copy)]
struct Step {
    name: &'static str,
    /// Whether the whole command runs it.
    whole: bool,
    /// Whether `--quick` runs it.
    quick: bool,
    run: fn(&Path) -> Result<()>,
}

/// The whole command.
const STEPS: [Step; 9] = [
    Step { name: "formatting", whole: true, quick: true, run: |root| cargo(root, &["fmt", "--all", "--check"]) },
    Step { name: "browser SDK", whole: true, quick: false, run: wasm::build },
    Step {
        name: "lints",
        whole: true,
        quick: true,
        run: |root| cargo(root, &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    },
    Step {
        name: "lints with planted faults",
        whole: true,
        quick: false,
        run: |root| cargo(root, &["clippy", "-p", "tickwire-core", "--features", FAULTS, "--all-targets", "--", "-D", "warnings"]),
    },
    // One selection of packages for all commands: cargo then builds each dependency once, with one set of features.
    Step { name: "tests", whole: true, quick: false, run: |root| cargo(root, &["test", "--workspace"]) },
    Step {
        name: "tests without sockets",
        whole: false,
        quick: true,
        run: |root| cargo(root, &["test", "--workspace", "--exclude", "tickwire-tests"]),
    },
    Step {
        name: "planted faults",
        whole: true,
        quick: false,
        run: |root| cargo(root, &["test", "-p", "tickwire-core", "--features", FAULTS, "--test", "planted", "--", "--exact", FAULTS_TEST]),
    },
    Step { name: "instructions of the tick path", whole: true, quick: false, run: guard::check },
    Step { name: "documentation", whole: true, quick: false, run: |root| cargo(root, &["doc", "--workspace", "--no-deps", "--quiet"]) },
];

/// The feature that makes mistakes on purpose, and the test that looks whether they are seen.
const FAULTS: &str = "planted-faults";
const FAULTS_TEST: &str = "every_planted_fault_is_caught";

/// Runs cargo in the workspace, with its output on this terminal.
///
/// # Errors
/// Cargo does not start, or fails.
pub(crate) fn cargo(root: &Path, words: &[&str]) -> Result<()> {
    let status = Command::new(env!("CARGO"))
        .args(words)
        .current_dir(root)
        // A broken link in the documentation is a mistake like any other.
        .env("RUSTDOCFLAGS", "-D warnings")
        .status()
        .context("cargo does not start")?;
    if !status.success() {
        bail!("`cargo {}` failed: {status}", words.join(" "));
    }
    Ok(())
}
