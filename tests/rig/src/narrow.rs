//! A narrow link: two network namespaces with a cable between them that carries only so much towards the client.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Two network namespaces and the cable between them. They go when it drops; those of a process that was killed go when the next
/// one is made.
#[derive(Debug)]
pub struct NarrowLink {
    /// Of both namespaces, without their ends.
    name: String,
    bits_per_s: u32,
}

/// A side of a [`NarrowLink`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Where servers and their proxies run. What they send is held to the rate.
    Server,
    /// Where clients run. What they send is not.
    Client,
}

impl NarrowLink {
    /// A link that carries `bits_per_s` towards the client (Linux's token bucket, `tc-tbf`; headers count) and holds 400 ms of it in its queue, as
    /// common routers do. `congestion` names how its sockets find their pace, such as `cubic`; `None`: as this machine has it.
    ///
    /// # Errors
    /// No right to make namespaces (root or `CAP_NET_ADMIN` and `CAP_SYS_ADMIN`), or no `ip` and `tc`; says which.
    pub fn new(bits_per_s: u32, congestion: Option<&str>) -> Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        sweep();
        let name = format!("{PREFIX}{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let link = Self { name, bits_per_s };
        let (server, client) = (link.namespace(End::Server), link.namespace(End::Client));
        run(&["ip", "netns", "add", &server]).context("network namespaces need root, or CAP_NET_ADMIN and CAP_SYS_ADMIN, and iproute2")?;
        run(&["ip", "netns", "add", &client])?;
        run(&["ip", "link", "add", DEVICE, "netns", &server, "type", "veth", "peer", "name", DEVICE, "netns", &client])?;
        for end in [End::Server, End::Client] {
            let namespace = link.namespace(end);
            run(&["ip", "-n", &namespace, "address", "add", &format!("{}/24", end.address()), "dev", DEVICE])?;
            run(&["ip", "-n", &namespace, "link", "set", "lo", "up"])?;
            run(&["ip", "-n", &namespace, "link", "set", DEVICE, "up"])?;
            if let Some(congestion) = congestion {
                // By route: a namespace may not choose as a whole what this machine does not allow everybody.
                let route = ["route", "replace", NETWORK, "dev", DEVICE, "congctl", congestion];
                run(&[&["ip", "-n", &namespace], &route[..]].concat())?;
            }
        }
        let rate = format!("{bits_per_s}bit");
        let shape = ["root", "tbf", "rate", &rate, "burst", "1600", "latency", "400ms"];
        run(&[&["ip", "netns", "exec", &server, "tc", "qdisc", "add", "dev", DEVICE], &shape[..]].concat())?;
        Ok(link)
    }

    /// Bytes a second that it carries towards the client, headers of all layers included.
    pub fn bytes_per_s(&self) -> u32 {
        self.bits_per_s / 8
    }

    /// Bytes that have left towards the client, headers included.
    ///
    /// # Errors
    /// The namespace has gone.
    pub fn carried(&self) -> Result<u64> {
        let devices = self.run(End::Client, || fs::read_to_string("/proc/thread-self/net/dev"))??;
        let line = devices.lines().find_map(|line| line.trim().strip_prefix(DEVICE)?.strip_prefix(':')).context("the device has gone")?;
        line.split_whitespace().next().and_then(|bytes| bytes.parse().ok()).context("the device does not count")
    }

    /// The words that run `program` at `end`, to which its arguments are added. It gets the process id of what runs them.
    pub fn words(&self, end: End, program: &Path) -> Vec<String> {
        ["ip", "netns", "exec", &self.namespace(end), &program.to_string_lossy()].map(str::to_owned).into()
    }

    /// Runs `inside` at `end`, on a thread of its own: sockets that it opens are there.
    ///
    /// # Errors
    /// The namespace has gone.
    ///
    /// # Panics
    /// If `inside` does.
    pub fn run<T: Send>(&self, end: End, inside: impl FnOnce() -> T + Send) -> Result<T> {
        let namespace = File::open(format!("/run/netns/{}", self.namespace(end)))?;
        let enter = || -> Result<T> {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            Ok(inside())
        };
        thread::scope(|scope| scope.spawn(enter).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    fn namespace(&self, end: End) -> String {
        format!("{}-{}", self.name, end.name())
    }
}

impl Drop for NarrowLink {
    fn drop(&mut self) {
        for end in [End::Server, End::Client] {
            // One that was never made cannot be removed.
            let _ = run(&["ip", "netns", "delete", &self.namespace(end)]);
        }
    }
}

impl End {
    /// Its address on the link.
    pub const fn address(self) -> Ipv4Addr {
        match self {
            Self::Server => Ipv4Addr::new(10, 78, 0, 1),
            Self::Client => Ipv4Addr::new(10, 78, 0, 2),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }
}

/// Removes what processes have left that were killed.
fn sweep() {
    let Ok(namespaces) = fs::read_dir("/run/netns") else { return };
    for name in namespaces.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
        let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()).filter(|pid| pid.parse::<u32>().is_ok());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            // Whoever is still in there has lost the one that started it.
            let inside = Command::new("ip").args(["netns", "pids", &name]).output().map(|output| output.stdout).unwrap_or_default();
            for pid in String::from_utf8_lossy(&inside).split_whitespace() {
                let _ = run(&["kill", "-TERM", pid]);
            }
            let _ = run(&["ip", "netns", "delete", &name]);
        }
    }
}

fn run(words: &[&str]) -> Result<()> {
    let (program, rest) = words.split_first().ok_or_else(|| anyhow!("no command"))?;
    let output = Command::new(program).args(rest).output().with_context(|| format!("{program} does not start"))?;
    if !output.status.success() {
        bail!("`{}` failed: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// What the names of all namespaces begin with; the process that made them follows.
const PREFIX: &str = "tickwire-";
/// Both ends' addresses.
const NETWORK: &str = "10.78.0.0/24";
/// Name of the cable at both ends.
const DEVICE: &str = "cable";
