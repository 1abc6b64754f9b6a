//! Every metric, declared in one place.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tickwire_core::engine::EngineStats;
use tickwire_core::intake::Cause;
use tickwire_proto::v1::{FeedHealth, FeedState};

/// All counters of this process.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Messages read from the log, poison included.
    pub feed_messages: Counter,
    /// Updates accepted from them.
    pub feed_updates: Counter,
    /// Messages that mappings read, and from which none of them took anything.
    pub feed_unmapped: Counter,
    /// Messages or single updates refused, by cause.
    pub feed_poison: Family<CauseLabel, Counter>,
    /// Which health each feed has: 1 for that one, 0 for the others.
    pub feed_health: Family<HealthLabel, Gauge>,
    /// Changes of health, by feed and new health.
    pub feed_health_changes: Family<HealthLabel, Counter>,
    /// Holes in the numbers of publishers, by feed of the message after the hole.
    pub feed_publisher_holes: Family<FeedLabel, Counter>,
    /// Connections to the broker that failed or ended.
    pub broker_failures: Counter,
    /// Times that the log was found to be another one.
    pub log_resets: Counter,
    /// Times that the log no longer had what came after our place.
    pub log_truncations: Counter,
    /// Times that messages were lost before this node had them, where the log is a queue.
    pub queue_losses: Counter,
    /// Checkpoints written.
    pub checkpoints_written: Counter,
    /// Refused messages copied to the dead letter queue.
    pub dead_letters_written: Counter,
    /// Refused messages that were not copied: too many, or the broker would not take them.
    pub dead_letters_dropped: Counter,
}

/// Labels of [`Metrics::feed_publisher_holes`]: a feed's name, empty for symbols of no feed.
pub type FeedLabel = [(&'static str, String); 1];

/// Labels of [`Metrics::feed_health`]: a feed's name, and a health in lower case.
pub type HealthLabel = [(&'static str, String); 2];

/// Labels of [`Metrics::feed_poison`]: a cause's name.
pub type CauseLabel = [(&'static str, &'static str); 1];

impl Metrics {
    /// The counter of one cause of poison.
    pub fn poison(&self, cause: Cause) -> impl std::ops::Deref<Target = Counter> + '_ {
        self.feed_poison.get_or_create(&[("cause", cause.name())])
    }

    /// Notes the health of a feed, as its clients are told.
    pub fn note_feed(&self, state: &FeedState) {
        let label = |health: FeedHealth| [("feed", state.feed.clone()), ("health", health.as_str_name().to_lowercase())];
        for health in [FeedHealth::Live, FeedHealth::Delayed, FeedHealth::Recovering, FeedHealth::Stale, FeedHealth::Down] {
            let gauge = self.feed_health.get_or_create(&label(health));
            if gauge.set(i64::from(health == state.health())) == 0 && health == state.health() {
                self.feed_health_changes.get_or_create(&label(health)).inc();
            }
        }
    }

    /// The counter of holes in the numbers of one feed's publishers.
    pub fn publisher_holes(&self, feed: &str) -> impl std::ops::Deref<Target = Counter> + '_ {
        self.feed_publisher_holes.get_or_create(&[("feed", feed.to_owned())])
    }

    /// Everything in OpenMetrics text. `shards`: what each shard counted.
    pub fn text(&self, shards: &[EngineStats]) -> String {
        let mut text = String::new();
        for (name, kind, help, value) in ENGINE_METRICS {
            let suffix = if *kind == "counter" { "_total" } else { "" };
            text.push_str(&format!("# HELP tickwire_{name} {help}\n# TYPE tickwire_{name} {kind}\n"));
            for (n, stats) in shards.iter().enumerate() {
                text.push_str(&format!("tickwire_{name}{suffix}{{shard=\"{n}\"}} {}\n", value(stats)));
            }
        }
        // Writing to a String does not fail; the registry's text ends with the mark of the end.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry());
        text
    }

    fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("tickwire");
        registry.register("feed_messages", "Messages read from the log, poison included", self.feed_messages.clone());
        registry.register("feed_updates", "Updates accepted from them", self.feed_updates.clone());
        registry.register("feed_unmapped", "Messages from which no mapping took anything", self.feed_unmapped.clone());
        registry.register("feed_poison", "Messages or single updates refused", self.feed_poison.clone());
        registry.register("feed_health", "Which health each feed has: 1 for that one", self.feed_health.clone());
        registry.register("feed_health_changes", "Changes of health, by the new one", self.feed_health_changes.clone());
        registry.register("feed_publisher_holes", "Holes in the numbers of publishers", self.feed_publisher_holes.clone());
        registry.register("broker_failures", "Connections to the broker that failed or ended", self.broker_failures.clone());
        registry.register("log_resets", "Times that the log was found to be another one", self.log_resets.clone());
        registry.register("log_truncations", "Times that the log no longer had what came after our place", self.log_truncations.clone());
        registry.register("queue_losses", "Times that messages were lost before this node's queue had them", self.queue_losses.clone());
        registry.register("checkpoints_written", "Checkpoints written", self.checkpoints_written.clone());
        registry.register("dead_letters_written", "Refused messages copied to the dead letter queue", self.dead_letters_written.clone());
        registry.register("dead_letters_dropped", "Refused messages that were not copied", self.dead_letters_dropped.clone());
        registry
    }
}

/// Name, kind and meaning of what an engine counts, and where it stands.
type EngineMetric = (&'static str, &'static str, &'static str, fn(&EngineStats) -> u64);

const ENGINE_METRICS: &[EngineMetric] = &[
    ("connections", "gauge", "Connections now", |stats| stats.connections),
    ("lanes", "gauge", "Lanes with a subscriber now", |stats| stats.lanes),
    ("subscriptions", "gauge", "Subscriptions (connection and instrument) now", |stats| stats.subscriptions),
    ("slow_connections", "gauge", "Connections that cannot take data now", |stats| stats.slow),
    ("seq", "gauge", "Newest position applied", |stats| stats.seq),
    ("credit_connections", "gauge", "Connections that report progress, or are watched, now", |stats| stats.credit_connections),
    ("credit_window_bytes", "gauge", "Bytes that they may have under way, together", |stats| stats.credit_window_bytes),
    ("updates_applied", "counter", "Updates applied to the book", |stats| stats.updates_applied),
    ("records_sent", "counter", "Records written to clients", |stats| stats.records_sent),
    ("updates_conflated", "counter", "Updates merged into those records", |stats| stats.updates_conflated),
    ("frames_sent", "counter", "Frames written to clients", |stats| stats.frames_sent),
    ("frame_bytes", "counter", "Bytes of those frames", |stats| stats.frame_bytes),
    ("gaps", "counter", "Gaps told to clients", |stats| stats.gaps),
    ("credit_waits", "counter", "Times that data waited until a client had got on", |stats| stats.credit_waits),
    ("credit_wait_ms", "counter", "How long it waited, together", |stats| stats.credit_wait.as_millis() as u64),
    ("reports_ignored", "counter", "Reports of progress that said nothing new or nothing true", |stats| stats.reports_ignored),
    ("connections_closed", "counter", "Connections ended by this node's decision", |stats| stats.closed),
];
