//! `tickwire watch`.

use std::process::ExitCode;

/// Flags of `tickwire watch`.
#[derive(clap::Args)]
pub(crate) struct Watch {}

impl Watch {
    /// Runs the command.
    pub(crate) fn run(self) -> ExitCode {
        unimplemented!()
    }
}
