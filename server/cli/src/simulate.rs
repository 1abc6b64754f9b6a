//! `tickwire simulate`.

use std::process::ExitCode;

/// Flags of `tickwire simulate`.
#[derive(clap::Args)]
pub(crate) struct Simulate {}

impl Simulate {
    /// Runs the command.
    pub(crate) fn run(self) -> ExitCode {
        unimplemented!()
    }
}
