//! `tickwire serve`.

use std::process::ExitCode;

/// Flags of `tickwire serve`.
#[derive(clap::Args)]
pub(crate) struct Serve {}

impl Serve {
    /// Runs the command.
    pub(crate) fn run(self) -> ExitCode {
        unimplemented!()
    }
}
