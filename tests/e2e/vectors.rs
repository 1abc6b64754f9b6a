//! The golden vectors of the wire, read by another language.

use std::process::Command;

use anyhow::{Context, Result, ensure};

#[test]
fn javascript_reads_the_vectors_by_the_schema_and_the_documentation() -> Result<()> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../proto/vectors/check.mjs");
    let output = Command::new("node").arg(script).output().context("the Debian package is `nodejs`")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    ensure!(String::from_utf8_lossy(&output.stdout).contains("vectors agree"), "the script compared nothing");
    Ok(())
}
