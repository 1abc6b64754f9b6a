//! The npm package in Node and the demo page in Chromium, against the real server. The tests themselves are the `*.test.mjs` files here.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context as _, Result, anyhow, bail};
use tickwire_rig::Tickwire;

#[test]
fn the_npm_package_reads_the_golden_vectors() -> Result<()> {
    run("vectors.test.mjs")
}

#[test]
fn the_npm_package_gets_what_was_sent_on_each_transport() -> Result<()> {
    run("node.test.mjs")
}

#[test]
fn the_page_shows_what_was_sent_and_comes_back_by_itself() -> Result<()> {
    run("page.test.mjs")
}

#[test]
fn the_npm_package_shows_its_token() -> Result<()> {
    run("token.test.mjs")
}

/// Runs one file of JavaScript tests; its report is this test's.
fn run(file: &str) -> Result<()> {
    prepare()?;
    let mut node = Command::new("node");
    node.current_dir(here()).args(["--test", "--test-reporter=spec", file]).env("TICKWIRE", Tickwire::program()?);
    finish(node, "install nodejs (Debian: nodejs)")
}

/// Builds the SDK and fetches the npm packages of these tests, once for all of them.
fn prepare() -> Result<()> {
    static PREPARED: OnceLock<Result<(), String>> = OnceLock::new();
    let prepared = PREPARED.get_or_init(|| {
        let build = || -> Result<()> {
            let mut xtask = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            xtask.current_dir(here()).args(["run", "--quiet", "--package", "xtask", "--", "wasm"]);
            finish(xtask, "see above")?;
            if !are_packages_fresh() {
                let mut npm = Command::new("npm");
                npm.current_dir(here()).args(["ci", "--no-audit", "--no-fund"]);
                finish(npm, "install npm (Debian: npm)")?;
            }
            Ok(())
        };
        build().map_err(|error| format!("{error:#}"))
    });
    prepared.clone().map_err(|error| anyhow!(error))
}

/// npm writes a copy of the lock file into what it installs.
fn are_packages_fresh() -> bool {
    let modified = |file: &str| here().join(file).metadata().and_then(|metadata| metadata.modified()).ok();
    match (modified("node_modules/.package-lock.json"), modified("package-lock.json")) {
        (Some(installed), Some(wanted)) => installed >= wanted,
        _ => false,
    }
}

fn finish(mut command: Command, advice: &str) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("{name} does not start: {advice}"))?;
    if !status.success() {
        bail!("{name} {:?} failed: {status}", command.get_args().collect::<Vec<_>>());
    }
    Ok(())
}

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("browser")
}
