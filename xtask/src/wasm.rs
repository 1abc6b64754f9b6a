//! The WASM package: compiled, bound, packed for npm, and copied for the demo page.
//!
//! Works with rustup's wasm32 target, and on a machine that has only a distribution's compiler and its library sources.

mod pack;
mod toolchain;

use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use toolchain::Toolchain;

/// Builds the npm package into `sdk-wasm/pkg`, and what the demo page needs into `server/page/sdk`. Does nothing when no source changed.
pub(crate) fn build(root: &Path) -> Result<()> {
    let toolchain = Toolchain::find()?;
    let stamp_file = root.join("sdk-wasm/pkg/.stamp");
    let stamp = format!("{} {:016x}", toolchain.version, fingerprint(root)?);
    let complete = root.join("server/page/sdk/web.js").is_file() && root.join("sdk-wasm/pkg/package.json").is_file();
    if complete && fs::read_to_string(&stamp_file).is_ok_and(|old| old == stamp) {
        crate::say("wasm: up to date");
        return Ok(());
    }

    let started = Instant::now();
    crate::say(&format!("wasm: compiling tickwire-wasm with {}", toolchain.describe()));
    let module = compile(root, &toolchain)?;
    let bound = root.join("target-wasm/bound");
    bind(&module, &bound)?;
    optimize(root, &bound.join("tickwire_wasm_bg.wasm"))?;
    pack::pack(root, &bound)?;
    pack::report_sizes(root)?;
    fs::write(&stamp_file, stamp)?;
    crate::say(&format!("wasm: done in {:.0?}, see sdk-wasm/pkg", started.elapsed()));
    Ok(())
}

/// Runs cargo for wasm32, in a target directory of its own: another compiler would throw away what the host build has made.
fn compile(root: &Path, toolchain: &Toolchain) -> Result<PathBuf> {
    let target_dir = root.join("target-wasm");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root).args(["build", "--package", "tickwire-wasm", "--profile", "wasm", "--target", toolchain::TARGET]);
    cargo.arg("--target-dir").arg(&target_dir);
    toolchain.apply(&mut cargo);
    if !cargo.status().context("cargo does not start")?.success() {
        bail!("tickwire-wasm does not compile, see above");
    }
    Ok(target_dir.join(toolchain::TARGET).join("wasm/tickwire_wasm.wasm"))
}

/// Writes the JavaScript that loads the module and passes strings and bytes in and out.
fn bind(module: &Path, out: &Path) -> Result<()> {
    crate::say("wasm: binding");
    let _ = fs::remove_dir_all(out);
    wasm_bindgen_cli_support::Bindgen::new()
        .input_path(module)
        .out_name("tickwire_wasm")
        .typescript(false)
        .remove_name_section(true)
        .remove_producers_section(true)
        .web(true)?
        .generate(out)
        .context("wasm-bindgen refused the module")
}

/// Shrinks the module with binaryen, if it is there.
fn optimize(root: &Path, module: &Path) -> Result<()> {
    let Some(tool) = find_wasm_opt(root) else {
        crate::say("wasm: NOT optimised, wasm-opt is missing: run `npm ci --prefix sdk-wasm` for a module that is about a tenth smaller");
        return Ok(());
    };
    crate::say("wasm: optimising with wasm-opt");
    let output = module.with_extension("opt");
    let status = Command::new(&tool)
        .args(WASM_OPT_FLAGS)
        .arg(module)
        .arg("-o")
        .arg(&output)
        .status()
        .with_context(|| format!("{} does not start", tool.display()))?;
    if !status.success() {
        bail!("wasm-opt refused the module");
    }
    fs::rename(output, module)?;
    Ok(())
}

fn find_wasm_opt(root: &Path) -> Option<PathBuf> {
    let from_npm = root.join("sdk-wasm/node_modules/.bin/wasm-opt");
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::iter::once(from_npm).chain(std::env::split_paths(&path).map(|folder| folder.join("wasm-opt"))).find(|tool| tool.is_file())
}

/// A hash over every file that the package is made of.
fn fingerprint(root: &Path) -> Result<u64> {
    let mut files = Vec::new();
    for source in SOURCES {
        collect(&root.join(source), &mut files)?;
    }
    files.sort();
    let mut hasher = DefaultHasher::new();
    for file in files {
        hasher.write(file.to_string_lossy().as_bytes());
        hasher.write(&fs::read(&file)?);
    }
    hasher.write_u8(u8::from(find_wasm_opt(root).is_some()));
    Ok(hasher.finish())
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if path.is_file() {
        files.push(path.to_path_buf());
        return Ok(());
    }
    for entry in fs::read_dir(path).with_context(|| format!("{} is missing", path.display()))? {
        collect(&entry?.path(), files)?;
    }
    Ok(())
}

/// What the package is made of. Another file of the workspace changes nothing in it.
const SOURCES: [&str; 10] = [
    "Cargo.lock",
    "Cargo.toml",
    "proto/Cargo.toml",
    "proto/src",
    "sdk-wasm/Cargo.toml",
    "sdk-wasm/README.md",
    "sdk-wasm/js",
    "sdk-wasm/src",
    "xtask/src/wasm",
    "xtask/src/wasm.rs",
];

/// What current compilers use without being asked.
const WASM_OPT_FLAGS: [&str; 7] = [
    "-O3",
    "--enable-bulk-memory",
    "--enable-nontrapping-float-to-int",
    "--enable-sign-ext",
    "--enable-mutable-globals",
    "--enable-reference-types",
    "--enable-multivalue",
];
