//! Logs and metrics.

pub mod metrics;

pub use metrics::Metrics;

use tracing_subscriber::EnvFilter;

use crate::config::LogConfig;

/// Starts logging to stderr. A second call changes nothing.
pub fn start_logs(config: &LogConfig) {
    // The AMQP library logs as errors what the reader asks about and expects, at every try; what matters is in our own lines. Who wants
    // it back says `lapin=…`, which comes later and wins.
    let filter = EnvFilter::try_new(format!("lapin=off,{}", config.filter)).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = if config.json { lines.json().try_init() } else { lines.with_ansi(false).try_init() };
    let _ = started;
}
