//! `tickwire config`.

use std::process::ExitCode;

/// Flags of `tickwire config`.
#[derive(clap::Args)]
pub(crate) struct Settings {}

impl Settings {
    /// Runs the command.
    pub(crate) fn run(self) -> ExitCode {
        unimplemented!()
    }
}
