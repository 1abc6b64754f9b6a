//! `cargo xtask bench shaped`: builds what measures freshness on narrow links, and runs it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::setup;
use crate::test::cargo;

/// Flags of `cargo xtask bench shaped`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Shaped {
    /// Flags of `tickwire-bench shaped`, such as `--rounds 1 --only nginx --set limits.notsent_lowat_bytes=4096`; `--help` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "FLAGS")]
    flags: Vec<String>,
}

impl Shaped {
    /// Installs what it needs, builds, and measures.
    ///
    /// # Errors
    /// Something cannot be installed or built, or the measurement fails.
    pub(crate) fn run(&self, root: &Path) -> Result<()> {
        setup::ensure(&[setup::NGINX, setup::IPROUTE])?;
        crate::say("building the server and the measurement, optimised");
        cargo(root, &["build", "--release", "--workspace", "--bin", "tickwire", "--bin", "tickwire-bench"])?;
        let release = root.join("target/release");
        let mut command = Command::new(release.join("tickwire-bench"));
        command.arg("shaped").arg("--server").arg(release.join("tickwire")).args(&self.flags);
        let status = command.status().context("the measurement does not start")?;
        if !status.success() {
            bail!("the measurement failed: {status}");
        }
        Ok(())
    }
}
