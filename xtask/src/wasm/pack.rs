//! The npm package as a folder, and its size.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use base64::Engine as _;

/// Puts the package together in `sdk-wasm/pkg`, and copies what a page loads to `server/page/sdk`.
pub(super) fn pack(root: &Path, bound: &Path) -> Result<()> {
    let package = root.join("sdk-wasm/pkg");
    let page = root.join("server/page/sdk");
    empty(&package)?;
    empty(&page)?;

    let module = fs::read(bound.join(MODULE))?;
    for file in [LOADER, MODULE] {
        fs::copy(bound.join(file), package.join(file)).with_context(|| format!("wasm-bindgen wrote no {file}"))?;
    }
    for entry in fs::read_dir(root.join("sdk-wasm/js"))? {
        let entry = entry?;
        fs::copy(entry.path(), package.join(entry.file_name()))?;
    }
    for (file, name) in [("sdk-wasm/README.md", "README.md"), ("LICENSE-MIT", "LICENSE-MIT"), ("LICENSE-APACHE", "LICENSE-APACHE")] {
        if root.join(file).is_file() {
            fs::copy(root.join(file), package.join(name))?;
        }
    }
    let text = base64::engine::general_purpose::STANDARD.encode(&module);
    fs::write(package.join("module.inline.js"), format!("export default \"{text}\";\n"))?;
    fs::write(package.join("package.json"), package_json())?;

    for file in PAGE_FILES {
        fs::copy(package.join(file), page.join(file)).with_context(|| format!("the package has no {file}"))?;
    }
    Ok(())
}

/// Prints what a page loads, and says so when it is above [`GZIP_BYTES_GOAL`].
pub(super) fn report_sizes(root: &Path) -> Result<()> {
    let mut total = 0;
    for file in PAGE_FILES {
        let bytes = fs::read(root.join("server/page/sdk").join(file))?;
        let packed = gzip_bytes(&bytes)?;
        total += packed;
        crate::say(&format!("wasm: {file:24} {:8} bytes, {packed:7} gzip", bytes.len()));
    }
    crate::say(&format!("wasm: {:24} {:8}        {total:7} gzip of {GZIP_BYTES_GOAL}", "in all", ""));
    if total > GZIP_BYTES_GOAL {
        crate::say("wasm: ABOVE its goal");
    }
    Ok(())
}

fn empty(folder: &Path) -> Result<()> {
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

fn gzip_bytes(bytes: &[u8]) -> Result<usize> {
    let mut gzip =
        Command::new("gzip").args(["-9", "-c"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("gzip is missing")?;
    let mut input = gzip.stdin.take().context("gzip has no input")?;
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&bytes));
    let output = gzip.wait_with_output()?;
    writer.join().map_err(|_| anyhow::anyhow!("gzip stopped reading"))??;
    Ok(output.stdout.len())
}

fn package_json() -> String {
    let version = env!("CARGO_PKG_VERSION");
    PACKAGE_JSON.replace("VERSION", version)
}

const LOADER: &str = "tickwire_wasm.js";
const MODULE: &str = "tickwire_wasm_bg.wasm";

/// What a browser loads.
const PAGE_FILES: [&str; 7] = ["web.js", "client.js", "subscription.js", "change.js", "transport.js", LOADER, MODULE];

/// Bytes that a page should load for the SDK, after gzip.
const GZIP_BYTES_GOAL: usize = 45 * 1_024;

const PACKAGE_JSON: &str = r#"{
  "name": "@tickwire/client",
  "version": "VERSION",
  "description": "Live prices and scores from a Tickwire server, for browsers, workers and Node",
  "license": "MIT OR Apache-2.0",
  "type": "module",
  "sideEffects": ["./web.js", "./node.js", "./inline.js"],
  "engines": { "node": ">=20" },
  "types": "./index.d.ts",
  "exports": {
    ".": { "types": "./index.d.ts", "node": "./node.js", "default": "./web.js" },
    "./inline": { "types": "./index.d.ts", "default": "./inline.js" },
    "./tickwire_wasm_bg.wasm": "./tickwire_wasm_bg.wasm"
  },
  "peerDependencies": { "ws": "^8" },
  "peerDependenciesMeta": { "ws": { "optional": true } }
}
"#;
