//! Tickwire's server: feeds from RabbitMQ in, conflated prices out over WebSocket and SSE.
//!
//! Shells around the pure engine: [`ingest`] reads the log and makes batches, [`shard`] owns connections, each on a thread of its own.

pub mod auth;
pub mod config;
pub mod ingest;
pub mod shard;
pub mod telemetry;

use config::Config;
use tokio_util::sync::CancellationToken;

/// A running server.
#[derive(Debug)]
pub struct Server {
    address: std::net::SocketAddr,
}

impl Server {
    /// Binds the listener, starts shards and ingest, and serves in the background.
    ///
    /// # Errors
    /// The address cannot be bound, or a key cannot be read.
    pub async fn start(config: Config, stop: CancellationToken) -> anyhow::Result<Self> {
        let _ = (config, stop);
        unimplemented!()
    }

    /// Where it listens; the port is the real one when the configuration said 0.
    pub fn address(&self) -> std::net::SocketAddr {
        self.address
    }

    /// Waits until `stop` was cancelled and the drain has ended.
    pub async fn stopped(self) {
        unimplemented!()
    }
}
