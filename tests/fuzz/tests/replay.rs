//! The committed corpora, and mutations of them, through every target. `FUZZ_MUTATIONS=100000` makes more, `FUZZ_SEED=7` others.

use std::panic::catch_unwind;

use tickwire_fuzz::mutate::Mutator;
use tickwire_fuzz::{TARGETS, Target, corpus};

#[test]
fn every_target_survives_its_corpus_and_mutations_of_it() {
    let number = |name: &str, usual: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual);
    let (mutations, seed) = (number("FUZZ_MUTATIONS", MUTATIONS), number("FUZZ_SEED", 1));
    for target in TARGETS {
        let inputs = corpus::load(target.name).unwrap();
        assert!(!inputs.is_empty(), "{} starts from something", target.name);
        let fatal = first_fatal(*target, &inputs, mutations, seed);
        assert_eq!(fatal.map(|input| corpus::hex(&input)), None, "{} does not survive", target.name);
    }
}

/// The runner itself can fail: a promise that some inputs break is found broken, by an input that breaks it.
#[test]
fn a_broken_promise_is_found() {
    let target = Target { name: "broken", run: |bytes| assert!(!bytes.contains(&b'!'), "a promise") };
    let kept = [b"?".to_vec(), b"a!".to_vec()];
    assert_eq!(first_fatal(target, &kept, 0, 1), Some(b"a!".to_vec()), "an input that was kept");
    let input = first_fatal(target, &kept[..1], 100_000, 1).expect("mutations of a harmless input find one");
    assert!(input.contains(&b'!'));
    let harmless = Target { run: |_| {}, ..target };
    assert_eq!(first_fatal(harmless, &kept, 1_000, 1), None);
}

#[test]
fn every_target_has_its_program() {
    let manifest = include_str!("../libfuzzer/Cargo.toml");
    for target in TARGETS {
        assert!(manifest.contains(&format!("name = \"{}\"", target.name)), "{} is missing in libfuzzer/Cargo.toml", target.name);
    }
}

/// The first of `inputs`, or of mutations of them, that breaks a promise.
fn first_fatal(target: Target, inputs: &[Vec<u8>], mutations: u64, seed: u64) -> Option<Vec<u8>> {
    let mut mutator = Mutator::new(seed);
    let mutated = (0..mutations).map(|_| mutator.mutate(inputs));
    inputs.iter().cloned().chain(mutated).find(|input| catch_unwind(|| (target.run)(input)).is_err())
}

/// Mutations for each target in a usual run.
const MUTATIONS: u64 = 1_000;
