//! What must not drift: generated code, the arrows between crates, and what the repository says of itself.

use std::collections::BTreeSet;
use std::process::Command;

use super::{codegen, root};

#[test]
fn generated_code_is_what_the_schema_gives() {
    codegen::check(&root()).expect("no drift");
}

/// The arrows of ARCHITECTURE.md: who may use whom. Tests of any crate may use the rig, and are bound by the arrows otherwise.
const ARROWS: [(&str, &[&str]); 15] = [
    ("tickwire-proto", &[]),
    ("tickwire-core", &["tickwire-proto"]),
    ("tickwire-simulator", &["tickwire-proto"]),
    ("tickwire-server", &["tickwire-proto", "tickwire-core", "tickwire-simulator"]),
    ("tickwire", &["tickwire-proto"]),
    ("tickwire-wasm", &["tickwire-proto"]),
    // The command joins what may not know each other: `serve` is the server, `watch` and `simulate` are the Rust SDK.
    ("tickwire-cli", &["tickwire-proto", "tickwire-server", "tickwire-simulator", "tickwire", "tickwire-load"]),
    // A client that is none: it shares the schema with the SDKs, and the steady market with the server that it measures.
    ("tickwire-load", &["tickwire-proto", "tickwire-simulator"]),
    ("tickwire-rig", &[]),
    ("tickwire-tests", &["tickwire-proto", "tickwire-simulator", "tickwire", "tickwire-rig"]),
    // The floor writes the same bytes in its own way, of the same market.
    // What a client holds is asked of the Rust SDK.
    ("tickwire-bench", &["tickwire-proto", "tickwire-simulator", "tickwire-load", "tickwire", "tickwire-rig"]),
    ("tickwire-fuzz", &["tickwire-proto", "tickwire-core", "tickwire-server"]),
    ("tickwire-guard", &["tickwire-proto", "tickwire-core"]),
    ("tickwire-examples", &["tickwire"]),
    ("xtask", &["tickwire-rig"]),
];

#[test]
fn crates_use_only_whom_they_may() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("packages");
    let members: BTreeSet<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let listed: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    assert_eq!(members, listed, "a crate came or went: say in ARROWS whom it may use");
    for package in packages {
        let name = package["name"].as_str().expect("name");
        let allowed = ARROWS.iter().find(|(other, _)| *other == name).map_or(&[][..], |(_, allowed)| *allowed);
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let used = dependency["name"].as_str().expect("name");
            let rig_of_tests = used == "tickwire-rig" && dependency["kind"] == "dev";
            assert!(!members.contains(used) || allowed.contains(&used) || rig_of_tests, "{name} must not use {used}");
        }
    }
}

#[test]
fn no_crate_plants_faults() {
    for package in metadata()["packages"].as_array().expect("packages") {
        let name = package["name"].as_str().expect("name");
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            assert!(
                !dependency["features"].to_string().contains("planted-faults"),
                "{name} enables planted faults of {}",
                dependency["name"]
            );
        }
        for (feature, enables) in package["features"].as_object().expect("features") {
            let hands_on = name == "tickwire-core" && feature == "planted-faults";
            assert!(hands_on || !enables.to_string().contains("planted-faults"), "{feature} of {name} enables planted faults");
        }
    }
}

/// What cargo knows of the workspace.
fn metadata() -> serde_json::Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo metadata runs");
    serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON")
}

#[test]
fn pure_crates_have_no_std() {
    for lib in ["proto/src/lib.rs", "server/core/src/lib.rs", "server/simulator/src/lib.rs"] {
        let text = std::fs::read_to_string(root().join(lib)).expect("the crate is there");
        assert!(text.contains("#![no_std]"), "{lib} must be no_std");
        assert!(!text.contains("extern crate std"), "{lib} must not bring std back");
    }
}
