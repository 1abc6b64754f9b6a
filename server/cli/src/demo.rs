//! `tickwire demo`.

use std::process::ExitCode;

/// Flags of `tickwire demo`.
#[derive(clap::Args)]
pub(crate) struct Demo {}

impl Demo {
    /// Runs the command.
    pub(crate) fn run(self) -> ExitCode {
        unimplemented!()
    }
}
