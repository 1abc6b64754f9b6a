//! The committed corpora, and mutations of them, through every target. `FUZZ_MUTATIONS=100000` makes more, `FUZZ_SEED=7` others.

use std::panic::catch_unwind;

use tickwire_fuzz::mutate::Mutator;
use tickwire_fuzz::{TARGETS, corpus};

#[test]
fn every_target_survives_its_corpus_and_mutations_of_it() {
    let number = |name: &str, usual: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual);
    let (mutations, seed) = (number("FUZZ_MUTATIONS", MUTATIONS), number("FUZZ_SEED", 1));
    for target in TARGETS {
        let inputs = corpus::load(target.name).unwrap();
        assert!(!inputs.is_empty(), "{} starts from something", target.name);
        let mut mutator = Mutator::new(seed);
        let mutated = (0..mutations).map(|_| mutator.mutate(&inputs));
        for input in inputs.iter().cloned().chain(mutated) {
            let survived = catch_unwind(|| (target.run)(&input)).is_ok();
            assert!(survived, "{} does not survive {}", target.name, corpus::hex(&input));
        }
    }
}

#[test]
fn every_target_has_its_program() {
    let manifest = include_str!("../libfuzzer/Cargo.toml");
    for target in TARGETS {
        assert!(manifest.contains(&format!("name = \"{}\"", target.name)), "{} is missing in libfuzzer/Cargo.toml", target.name);
    }
}

/// Mutations for each target in a usual run.
const MUTATIONS: u64 = 1_000;
