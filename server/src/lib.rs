//! Tickwire's server: feeds from RabbitMQ in, conflated prices out over WebSocket and SSE.
//!
//! Shells around the pure engine: [`ingest`] reads the log and makes batches, [`shard`] owns connections, each on a thread of its own, and
//! one door lets sessions to the shards and every other request to HTTP.

mod accept;
pub mod auth;
pub mod config;
mod files;
mod grpc;
mod http;
pub mod ingest;
pub mod recording;
mod server;
pub mod shard;
pub mod telemetry;
mod thread;
mod tls;
mod websocket;

pub use server::Server;
pub use tls::TlsFiles;
