//! A server of our own to load: a program that says on which address it listens.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

/// A running server; ends when it drops, and with this program, however that ends.
#[derive(Debug)]
pub struct Server {
    child: Guarded,
    /// Where it listens.
    pub address: SocketAddr,
    /// Where it listens, as it says.
    pub url: String,
}

impl Server {
    /// Starts `program args`, and waits until it says `http://ADDR:PORT` (or `https`) on its standard output, at most half a minute.
    ///
    /// # Errors
    /// It does not start, or ends before it listens.
    pub fn start(program: &Path, args: &[String]) -> Result<Self> {
        let mut command = Command::new(program);
        // What configures the one who measures does not configure the server that is measured.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TICKWIRE_")) {
            command.env_remove(name);
        }
        let mut child = command
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("{} does not start", program.display()))?;
        let stdout = child.stdout.take().context("stdout is piped")?;
        let child = Guarded::new(child)?;
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            // Read to the end: a server must not wait for us to take its words.
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = tell.send(line);
            }
        });
        let listening = || -> Result<(SocketAddr, String)> {
            let line = told.recv_timeout(START_MAX).map_err(|_| anyhow!("it does not say where it listens"))?;
            let url = line.find("http").map(|at| line[at..].trim()).context("it says something else than where it listens")?;
            let (_, address) = url.split_once("://").context("it says no address")?;
            Ok((address.parse()?, url.to_owned()))
        };
        match listening() {
            Ok((address, url)) => Ok(Self { child, address, url }),
            Err(error) => bail!("the server did not start ({error:#}); to see why, run: {} {}", program.display(), args.join(" ")),
        }
    }

    /// The arguments of a `tickwire demo` with a steady market of `symbols` instruments at `updates_per_s` in all.
    pub fn demo(symbols: u32, updates_per_s: u32, connections: u32, set: &[String]) -> Vec<String> {
        let mut args: Vec<String> = ["demo", "--listen", "127.0.0.1:0", "--steady"].map(str::to_owned).into();
        args.push(format!("{symbols}x{updates_per_s}"));
        // Room for all of the crowd, and for one that leaves while the next comes.
        for (key, value) in [("connections_per_ip_max", 0), ("connections_max", u64::from(connections) * 2 + 100)] {
            args.extend(["--set".to_owned(), format!("limits.{key}={value}")]);
        }
        args.extend(set.iter().flat_map(|pair| ["--set".to_owned(), pair.clone()]));
        args
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.child.id()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.child.try_wait(), Ok(None))
    }
}

/// A child, and a shell that waits on a pipe which only this program holds open: when the pipe closes, it ends the child.
#[derive(Debug)]
struct Guarded {
    child: Child,
    guard: Child,
}

impl Guarded {
    fn new(mut child: Child) -> Result<Self> {
        let guard = Command::new("sh")
            .args(["-c", "read _; kill -9 $1", "guard", &child.id().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match guard {
            Ok(guard) => Ok(Self { child, guard }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error).context("sh does not start")
            }
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // The guard first, so that it cannot meet another process of the same number. Both may have ended by themselves.
        for process in [&mut self.guard, &mut self.child] {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Time to listen. After it, the server is taken for one that does not start.
const START_MAX: Duration = Duration::from_secs(30);
