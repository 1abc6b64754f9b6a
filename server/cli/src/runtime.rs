//! What commands that talk to a broker have in common.

use anyhow::{Context, Result};
use tickwire_server::ingest::{BrokerTls, BrokerUrl, Brokers};

/// Runs `command` to its end.
///
/// # Errors
/// Those of the command; no thread can be started.
pub(crate) fn block_on<T>(command: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().context("cannot start")?.block_on(command)
}

/// The brokers of `--amqp`: several nodes of a cluster with commas.
///
/// # Errors
/// One of them is no address.
pub(crate) fn brokers(amqp: &str) -> Result<Brokers> {
    let urls: Result<_, _> = amqp.split(',').map(|url| BrokerUrl::parse(url.trim())).collect();
    Brokers::new(urls.context("--amqp")?, BrokerTls::default()).context("--amqp")
}
