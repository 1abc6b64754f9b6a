//! The page lives in the binary: a file that appears or goes has to make a new one.

fn main() {
    println!("cargo::rerun-if-changed=page");
}
