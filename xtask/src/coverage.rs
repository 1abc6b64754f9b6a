//! `cargo xtask coverage`: which lines of the pure crates their tests run.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::setup::{self, Need};

/// How the report is shown.
#[derive(Args, Clone, Debug)]
pub(crate) struct Coverage {
    /// Also write a report to browse, line by line, to `target/llvm-cov/html`.
    #[arg(long)]
    html: bool,
    /// Only report; do not fail below the goal.
    #[arg(long)]
    no_goal: bool,
}

impl Coverage {
    /// Runs the tests of `tickwire-proto` and `tickwire-core` with counters, and prints the report by file.
    ///
    /// # Errors
    /// A tool is missing and cannot be installed, a test fails, or a crate is below [`LINES_MIN`].
    pub(crate) fn run(&self, root: &Path) -> Result<()> {
        setup::ensure_cargo("cargo-llvm-cov")?;
        let tools = Tools::find()?;
        tools.llvm_cov(root, &["clean", "--workspace"])?;
        let packages = ["-p", "tickwire-proto", "-p", "tickwire-core"];
        tools.llvm_cov(root, &[&["--no-report"], &packages[..]].concat())?;
        let minimum = LINES_MIN.to_string();
        let mut below = Vec::new();
        for (name, others) in [("tickwire-proto", NOT_PROTO), ("tickwire-core", NOT_CORE)] {
            crate::say(&format!("{name}:"));
            let goal: &[&str] = if self.no_goal { &[] } else { &["--fail-under-lines", &minimum] };
            if tools.llvm_cov(root, &[&["report", "--ignore-filename-regex", others], goal].concat()).is_err() {
                below.push(name);
            }
        }
        if self.html {
            tools.llvm_cov(root, &["report", "--html", "--ignore-filename-regex", NEITHER])?;
        }
        if below.is_empty() { Ok(()) } else { bail!("{} below {LINES_MIN} % of lines", below.join(" and ")) }
    }
}

/// Where the programs are that read the counters: rustup's, or else Debian's of the same LLVM.
struct Tools {
    paths: Option<[String; 2]>,
}

impl Tools {
    fn find() -> Result<Self> {
        let rustc = Command::new("rustc").arg("-vV").output().context("rustc does not start")?;
        let text = String::from_utf8_lossy(&rustc.stdout).into_owned();
        let major = text.lines().find_map(|line| line.strip_prefix("LLVM version: ")?.split('.').next()).context("rustc names its LLVM")?;
        let components = Command::new("rustup").args(["component", "list", "--installed"]).output();
        if components.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("llvm-tools")) {
            return Ok(Self { paths: None });
        }
        let Some(need) = DEBIAN.iter().find(|need| need.any_of[0].ends_with(major)) else {
            bail!("the compiler's LLVM is {major}; `rustup component add llvm-tools` brings programs that read its counters");
        };
        setup::ensure(std::slice::from_ref(need))?;
        Ok(Self { paths: Some(["llvm-cov", "llvm-profdata"].map(|program| format!("/usr/bin/{program}-{major}"))) })
    }

    fn llvm_cov(&self, root: &Path, words: &[&str]) -> Result<()> {
        let mut command = Command::new("cargo");
        command.arg("llvm-cov").args(words).current_dir(root);
        if let Some([cov, profdata]) = &self.paths {
            command.env("LLVM_COV", cov).env("LLVM_PROFDATA", profdata);
        }
        let status = command.status().context("cargo-llvm-cov does not start")?;
        if !status.success() {
            bail!("`cargo llvm-cov {}` failed: {status}", words.join(" "));
        }
        Ok(())
    }
}

/// The counters' format goes with the compiler's LLVM, so that each needs its own.
const DEBIAN: [Need; 1] = [Need { purpose: "reading the counters of LLVM 22", any_of: &["llvm-profdata-22"], packages: &["llvm-22"] }];

/// Percent of lines that tests run.
const LINES_MIN: u32 = 95;
/// Files that are not of the crate: other crates, tests, and generated code.
const NOT_PROTO: &str = "(^|/)(server|tests|sdk-rust|registry|rustc|generated)/|/tests\\.rs$";
const NOT_CORE: &str = "(^|/)(proto|server/src|server/simulator|tests|sdk-rust|registry|rustc|generated)/|/tests\\.rs$";
const NEITHER: &str = "(^|/)(server/src|server/simulator|tests|sdk-rust|registry|rustc|generated)/|/tests\\.rs$";
