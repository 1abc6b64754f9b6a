//! Every target's program: it is named after its target.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let target = tickwire_fuzz::target(env!("CARGO_BIN_NAME")).expect("the program is named after a target");
    (target.run)(bytes);
});
