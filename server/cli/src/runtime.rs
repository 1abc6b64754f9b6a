//! What commands that talk to a broker have in common.

use anyhow::{Context, Result};

/// Runs `command` to its end.
///
/// # Errors
/// Those of the command; no thread can be started.
pub(crate) fn block_on<T>(command: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().context("cannot start")?.block_on(command)
}
