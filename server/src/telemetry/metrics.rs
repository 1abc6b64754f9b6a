//! Every metric, declared in one place.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use tickwire_core::intake::Cause;

/// All counters of this process.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Messages read from the log, poison included.
    pub feed_messages: Counter,
    /// Updates accepted from them.
    pub feed_updates: Counter,
    /// Messages or single updates refused, by cause.
    pub feed_poison: Family<CauseLabel, Counter>,
    /// Connections to the broker that failed or ended.
    pub broker_failures: Counter,
    /// Times that the log was found to be another one.
    pub log_resets: Counter,
    /// Times that the log no longer had what came after our place.
    pub log_truncations: Counter,
    /// Checkpoints written.
    pub checkpoints_written: Counter,
    /// Refused messages copied to the dead letter queue.
    pub dead_letters_written: Counter,
    /// Refused messages that were not copied: too many, or the broker would not take them.
    pub dead_letters_dropped: Counter,
}

/// Labels of [`Metrics::feed_poison`]: a cause's name.
pub type CauseLabel = [(&'static str, &'static str); 1];

impl Metrics {
    /// The counter of one cause of poison.
    pub fn poison(&self, cause: Cause) -> impl std::ops::Deref<Target = Counter> + '_ {
        self.feed_poison.get_or_create(&[("cause", cause.name())])
    }
}
