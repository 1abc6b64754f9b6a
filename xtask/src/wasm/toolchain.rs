//! Which compiler can build for wasm32 on this machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::setup::{self, Need};

/// A compiler with what it needs to build for [`TARGET`].
#[derive(Debug)]
pub(super) struct Toolchain {
    rustc: PathBuf,
    /// As the compiler says it, such as `rustc 1.95.0 (59807616e 2026-04-14)`.
    pub(super) version: String,
    library: Library,
}

/// Where the target's standard library comes from.
#[derive(Debug)]
enum Library {
    /// It is installed, as `rustup target add` does.
    Installed,
    /// It is compiled from the sources beside the compiler, and linked with this program.
    Sources { linker: PathBuf },
}

impl Toolchain {
    /// The first compiler that can: the one cargo uses, or one that a distribution installed. If there is none, installs what is missing.
    ///
    /// # Errors
    /// Nothing can be installed here; says what to install by hand.
    pub(super) fn find() -> Result<Self> {
        if let Some(toolchain) = Self::installed() {
            return Ok(toolchain);
        }
        if setup::on_path("rustup") {
            crate::say(&format!("missing: the compiler's target {TARGET}; running `rustup target add {TARGET}`"));
            let added = Command::new("rustup").args(["target", "add", TARGET]).status().is_ok_and(|status| status.success());
            if let Some(toolchain) = Self::installed().filter(|_| added) {
                return Ok(toolchain);
            }
        }
        setup::ensure(&[DISTRIBUTION_COMPILER, DISTRIBUTION_SOURCES, DISTRIBUTION_LINKER])?;
        Self::installed().with_context(|| format!("no compiler here can build for {TARGET}: run `rustup target add {TARGET}`"))
    }

    fn installed() -> Option<Self> {
        let candidates = || std::iter::once(PathBuf::from("rustc")).chain(DISTRIBUTION_RUSTC.map(PathBuf::from));
        let complete = candidates().find_map(|rustc| Self::inspect(rustc, false));
        complete.or_else(|| candidates().find_map(|rustc| Self::inspect(rustc, true)))
    }

    fn inspect(rustc: PathBuf, from_sources: bool) -> Option<Self> {
        let sysroot = PathBuf::from(ask(&rustc, &["--print", "sysroot"])?);
        let library = if from_sources {
            let sources = sysroot.join("lib/rustlib/src/rust/library/Cargo.toml").is_file();
            Library::Sources { linker: find_linker(&sysroot).filter(|_| sources)? }
        } else {
            let folder = sysroot.join("lib/rustlib").join(TARGET).join("lib");
            folder.is_dir().then_some(Library::Installed)?
        };
        Some(Self { version: ask(&rustc, &["--version"])?, rustc, library })
    }

    /// For a line of progress.
    pub(super) fn describe(&self) -> String {
        match &self.library {
            Library::Installed => self.version.clone(),
            Library::Sources { linker } => {
                format!("{} at {}, its library from sources, linked by {}", self.version, self.rustc.display(), linker.display())
            }
        }
    }

    /// Makes `cargo` use it.
    pub(super) fn apply(&self, cargo: &mut Command) {
        if self.rustc.is_absolute() {
            cargo.env("RUSTC", &self.rustc);
        }
        if let Library::Sources { linker } = &self.library {
            // Building the library is a flag that stable cargo hides; the sources belong to this very compiler, so it is safe.
            cargo.env("RUSTC_BOOTSTRAP", "1").arg("-Zbuild-std=std,panic_abort");
            cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
        }
    }
}

/// A linker for wasm: the compiler's own, or LLVM's as distributions name it.
fn find_linker(sysroot: &Path) -> Option<PathBuf> {
    let own = sysroot.join("lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let names = std::iter::once("wasm-ld".to_owned()).chain(LLD_VERSIONS.rev().map(|version| format!("wasm-ld-{version}")));
    let from_path = names.flat_map(|name| folders.iter().map(move |folder| folder.join(&name)).collect::<Vec<_>>());
    from_path.chain([own]).find(|linker| linker.is_file())
}

fn ask(program: &Path, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The only target of the package.
pub(super) const TARGET: &str = "wasm32-unknown-unknown";
/// Where distributions put their compiler.
const DISTRIBUTION_RUSTC: [&str; 2] = ["/usr/bin/rustc", "/usr/local/bin/rustc"];
const DISTRIBUTION_COMPILER: Need =
    Need { purpose: "a compiler for the browser SDK", any_of: &["/usr/bin/rustc"], packages: &["rustc-web"] };
const DISTRIBUTION_SOURCES: Need =
    Need { purpose: "its standard library", any_of: &["/usr/lib/rustlib/src/rust/library/Cargo.toml"], packages: &["rust-web-src"] };
const DISTRIBUTION_LINKER: Need =
    Need { purpose: "a linker for the browser SDK", any_of: &["wasm-ld", "wasm-ld-19"], packages: &["lld-19"] };
/// LLVM versions whose linker reads what these compilers write.
const LLD_VERSIONS: std::ops::RangeInclusive<u32> = 17..=24;
