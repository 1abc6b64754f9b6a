//! The server under load: a `tickwire demo` with a steady market, on a free port.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// A running server; ends when it drops.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts `program demo` with `symbols` instruments at `updates_per_s` in all, and waits until it listens.
    ///
    /// # Errors
    /// It does not start, or ends before it listens.
    pub(crate) fn start(program: &Path, symbols: u32, updates_per_s: u32) -> Result<Self> {
        let mut child = Command::new(program)
            .args(["demo", "--listen", "127.0.0.1:0", "--steady", &format!("{symbols}x{updates_per_s}")])
            // Room for all connections; `demo` has no limit per address.
            .args(["--set", "limits.connections_per_ip_max=20000", "--set", "limits.connections_max=20000"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("{} does not start", program.display()))?;
        let stdout = child.stdout.take().context("stdout is piped")?;
        let mut lines = BufReader::new(stdout).lines();
        let line = lines.next().context("the server ended before it listened; run it by hand to see why")??;
        let address = line.rsplit_once("http://").context("the server says where it listens")?.1.trim().parse()?;
        Ok(Self { child, address })
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
