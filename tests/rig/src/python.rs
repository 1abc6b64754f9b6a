//! A Python of our own, with the packages that the examples in Python need.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The interpreter of a virtual environment in `folder` with the packages of `examples/python` in it. Makes it if it is not there, which takes some seconds and a
/// package index; safe to be called by several processes at once.
///
/// # Errors
/// Python 3 with `venv` is not installed, or the package index cannot be reached.
pub fn python(folder: &Path) -> Result<PathBuf> {
    let interpreter = folder.join("bin/python");
    fs::create_dir_all(folder)?;
    let lock = fs::File::create(folder.join("lock"))?;
    lock.lock()?;
    if !folder.join("ready").exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(folder)).context("the Debian packages are `python3` and `python3-venv`")?;
        run(Command::new(&interpreter).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]).arg(PACKAGES))?;
        fs::write(folder.join("ready"), "")?;
    }
    Ok(interpreter)
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// What the examples ask for, pinned, so that every run tests the same packages.
const PACKAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/python/requirements.txt");
