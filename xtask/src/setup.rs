//! What the tests and the demo need beyond cargo, installed from Debian's packages when it is missing, and said before it is done.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// A program or file that a task needs, and the Debian packages that bring it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Need {
    /// What it is for, in a few words.
    pub(crate) purpose: &'static str,
    /// There when one of these is: a program on the path, or an absolute path.
    pub(crate) any_of: &'static [&'static str],
    /// Debian packages.
    pub(crate) packages: &'static [&'static str],
}

/// A private RabbitMQ node.
pub(crate) const RABBITMQ: Need = Need {
    purpose: "a private RabbitMQ node for the broker tests and `demo --rabbitmq`",
    any_of: &["/usr/lib/rabbitmq/bin/rabbitmq-server", "rabbitmq-server"],
    packages: &["rabbitmq-server"],
};

/// A browser.
pub(crate) const CHROMIUM: Need = Need { purpose: "the browser tests", any_of: &["chromium"], packages: &["chromium"] };

/// JavaScript outside the browser.
pub(crate) const NODE: Need = Need { purpose: "the npm package's tests and the browser driver", any_of: &["node"], packages: &["nodejs"] };

/// npm.
pub(crate) const NPM: Need = Need { purpose: "npm packages of the browser tests", any_of: &["npm"], packages: &["npm"] };

/// Python with virtual environments.
pub(crate) const PYTHON: Need =
    Need { purpose: "the Python examples and publishers", any_of: &["python3"], packages: &["python3", "python3-venv"] };

/// The command-line HTTP client of the SSE example.
pub(crate) const CURL: Need = Need { purpose: "the SSE one-liner", any_of: &["curl"], packages: &["curl"] };

/// A proxy.
pub(crate) const NGINX: Need =
    Need { purpose: "a proxy in front of the server, on narrow links", any_of: &["nginx", "/usr/sbin/nginx"], packages: &["nginx-light"] };

/// Network namespaces, and links that carry only so much.
pub(crate) const IPROUTE: Need =
    Need { purpose: "narrow links between network namespaces", any_of: &["tc", "/usr/sbin/tc", "/sbin/tc"], packages: &["iproute2"] };

/// Counts instructions.
pub(crate) const VALGRIND: Need =
    Need { purpose: "counting the instructions of the tick path", any_of: &["valgrind"], packages: &["valgrind"] };

/// Installs what is missing of `needs`, after saying so.
///
/// # Errors
/// Not Debian, not root, or a package does not install; the text says what to install by hand.
pub(crate) fn ensure(needs: &[Need]) -> Result<()> {
    let missing: Vec<&Need> = needs.iter().filter(|need| !need.is_met()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().flat_map(|need| need.packages).copied().collect();
    for need in &missing {
        crate::say(&format!("missing: {} (Debian: {})", need.purpose, need.packages.join(" ")));
    }
    let by_hand = format!("install {} by hand and run this again", packages.join(" "));
    if !on_path("apt-get") {
        bail!("this machine has no apt-get: {by_hand}");
    }
    let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    let prefix: &[&str] = if root { &[] } else { &["sudo", "-n"] };
    crate::say(&format!("installing with apt-get: {}", packages.join(" ")));
    // Package lists may be older than the archive; a second try after refreshing them is the usual cure.
    if apt(prefix, &["install"], &packages).is_err() {
        apt(prefix, &["update"], &[]).with_context(|| by_hand.clone())?;
        apt(prefix, &["install"], &packages).with_context(|| by_hand.clone())?;
    }
    match needs.iter().find(|need| !need.is_met()) {
        Some(need) => bail!("{} is still missing after installing {}: {by_hand}", need.any_of.join(" or "), need.packages.join(" ")),
        None => Ok(()),
    }
}

/// Installs a cargo command from crates.io if it is missing, after saying so.
///
/// # Errors
/// It does not build; the text says what to run by hand.
pub(crate) fn ensure_cargo(program: &str) -> Result<()> {
    if on_path(program) {
        return Ok(());
    }
    crate::say(&format!("installing from crates.io: {program}"));
    let status = Command::new("cargo").args(["install", "--locked", program]).status().context("cargo does not start")?;
    if !status.success() {
        bail!("{program} does not install: try `cargo install --locked {program}` by hand");
    }
    Ok(())
}

impl Need {
    /// Whether it is there already.
    pub(crate) fn is_met(&self) -> bool {
        self.any_of.iter().any(|name| if name.starts_with('/') { Path::new(name).exists() } else { on_path(name) })
    }
}

/// Whether a program of this name is on the path.
pub(crate) fn on_path(program: &str) -> bool {
    let Some(path) = std::env::var_os("PATH") else { return false };
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn apt(prefix: &[&str], verb: &[&str], packages: &[&str]) -> Result<()> {
    let words: Vec<&str> =
        [prefix, &["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-y", "--no-install-recommends"], verb, packages].concat();
    let (program, rest) = words.split_first().context("the command has words")?;
    let status = Command::new(program).args(rest).status().with_context(|| format!("{program} does not start"))?;
    if !status.success() {
        bail!("`{}` failed: {status}", words.join(" "));
    }
    Ok(())
}
