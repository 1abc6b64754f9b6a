//! The feed side: reads the log, decodes it once, and hands every shard the same batches.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::shard::Shards;
use crate::telemetry::Metrics;

/// Checked settings of the feed side.
#[derive(Clone, Debug)]
pub struct FeedConfig {
    /// Where updates come from.
    pub source: FeedSourceConfig,
}

/// Where updates come from.
#[derive(Clone, Debug)]
pub enum FeedSourceConfig {
    /// The built-in market, in process. No broker.
    Simulated {
        /// Same seed, same day.
        seed: u64,
        /// For measurements: this many symbols at this many updates a second, instead of the lively market.
        steady: Option<(u32, u32)>,
    },
    /// RabbitMQ.
    Amqp {
        /// `amqp://user:password@host:port/vhost`.
        url: String,
    },
}

/// Whether this node serves the newest data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Not caught up; says why.
    NotReady(String),
    /// Caught up with the log.
    Ready,
}

/// Starts the feed task. It runs until `stop`, reconnects for ever, and tells every client what it knows about its feeds.
pub fn start(
    config: FeedConfig,
    node: String,
    shards: Shards,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) -> watch::Receiver<Readiness> {
    let _ = (config, node, shards, metrics, stop);
    unimplemented!()
}
