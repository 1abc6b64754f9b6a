//! RabbitMQ as a source: the log is a stream, read over AMQP 0.9.1.
//!
//! Two tasks with a connection each: the [`Reader`] reads the log and hears of checkpoints, the [`Writer`] publishes checkpoints and
//! refused messages. [`Amqp`] is what the feed task sees of them.

mod acks;
mod backoff;
mod broker_tls;
mod broker_url;
mod brokers;
mod checkpoint;
mod credit;
mod dead;
mod failure;
mod keeper;
mod link;
mod names;
mod outage;
mod outlet;
mod place;
mod queue;
mod reader;
mod recorder;
mod tail;
mod topology;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use tickwire_core::bucket::Bucket;
use tickwire_core::checkpoint::Part;
use tickwire_core::intake::Poison;
use tokio::sync::mpsc;

use self::backoff::chance;
pub use self::broker_tls::BrokerTls;
pub(crate) use self::broker_tls::BrokerTlsError;
pub use self::broker_url::{BrokerUrl, BrokerUrlError};
pub use self::brokers::Brokers;
use self::checkpoint::dated;
pub use self::dead::{DeadError, DeadLetters, LETTERS_MAX, Letter};
use self::keeper::Keeper;
use self::reader::{Reader, Told};
pub use self::recorder::{LogError, LogNews, RecordFrom, follow_log};
use self::writer::{DeadLetter, Order, Writer};
use super::clock::Clock;
use super::source::{FeedSource, LogMessage, SourceEvent};
use crate::telemetry::Metrics;

/// Checked settings of the RabbitMQ source.
#[derive(Clone, Debug)]
pub struct AmqpConfig {
    /// Where the brokers are.
    pub brokers: Brokers,
    /// Stands before every name that Tickwire uses at the broker: `prod.` makes `prod.tickwire.feed`.
    pub prefix: String,
    /// Who makes exchanges and queues.
    pub topology: Topology,
    /// What the log is.
    pub mode: Mode,
    /// Messages that wait for this node where the log is a queue. Beyond, the broker drops the oldest.
    pub queue_length: u32,
    /// How large the log may grow, if we make it. Ten checkpoint intervals have to fit.
    pub log_bytes_max: u64,
    /// How old the log may grow, if we make it. Zero: as its size allows.
    pub log_age_max: Duration,
    /// Size of the log's files, if we make it: it is shortened by whole files.
    pub segment_bytes: u64,
}

impl AmqpConfig {
    /// The settled names, declared by the server.
    pub fn new(brokers: Brokers) -> Self {
        let (log_bytes_max, log_age_max, segment_bytes) = (LOG_BYTES_MAX, LOG_AGE_MAX, SEGMENT_BYTES);
        let (mode, topology, queue_length) = (Mode::Auto, Topology::Declared, QUEUE_LENGTH);
        Self { brokers, prefix: String::new(), topology, mode, queue_length, log_bytes_max, log_age_max, segment_bytes }
    }
}

/// What the log is to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// A stream, and a queue where the broker has no streams.
    #[default]
    Auto,
    /// A stream, or nothing.
    Stream,
    /// A queue for each node.
    Queue,
}

/// What the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogKind {
    /// One stream for all nodes.
    Stream,
    /// A queue of this node's own.
    Queue,
}

/// Who makes exchanges and queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Topology {
    /// The server declares what is missing, and warns about what is different.
    #[default]
    Declared,
    /// The operator: the server declares nothing.
    Managed,
}

/// RabbitMQ, as the feed task sees it. Dropping it ends reader and writer.
#[derive(Debug)]
pub(crate) struct Amqp {
    told: mpsc::Receiver<Told>,
    orders: mpsc::Sender<Order>,
    keeper: Keeper,
    log: LogKind,
    dead_letters: Bucket,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl Amqp {
    /// Starts reader and writer.
    pub(crate) fn start(config: AmqpConfig, node: String, clock: Clock, metrics: Arc<Metrics>) -> Self {
        let (tell, told) = mpsc::channel(TOLD_MAX);
        let (orders, ordered) = mpsc::channel(ORDERS_MAX);
        tokio::spawn(Reader::new(config.clone(), node.clone(), tell, metrics.clone()).run());
        tokio::spawn(Writer::new(config, node, ordered, metrics.clone()).run());
        Self {
            told,
            orders,
            keeper: Keeper::new(clock.now(), chance()),
            log: LogKind::Stream,
            dead_letters: Bucket::default(),
            clock,
            metrics,
        }
    }
}

impl FeedSource for Amqp {
    async fn next(&mut self) -> SourceEvent {
        loop {
            match self.told.recv().await {
                Some(Told::Event(event)) => {
                    if matches!(event, SourceEvent::Reset { .. } | SourceEvent::Restore(_) | SourceEvent::Interrupted { .. }) {
                        self.keeper.forget(self.clock.now());
                    }
                    return event;
                }
                Some(Told::Log(log)) => self.log = log,
                Some(Told::Checkpoint { seq, ts_written_us }) => {
                    let age = Duration::from_micros(self.clock.unix_us().saturating_sub(ts_written_us));
                    self.keeper.heard(self.clock.now(), age, seq, chance());
                }
                // The reader only ends with us.
                None => std::future::pending().await,
            }
        }
    }

    fn refuse(&mut self, message: &LogMessage, poison: &[Poison]) {
        let Some(first) = poison.first() else { return };
        let (log, message, detail) = (self.log, message.clone(), first.detail.clone());
        let letter = DeadLetter { log, message, reason: first.cause.name(), detail };
        let allowed = self.dead_letters.take(self.clock.now(), DEAD_LETTERS_PER_S, DEAD_LETTERS_PER_S).is_ok();
        if !allowed || self.orders.try_send(Order::Dead(letter)).is_err() {
            self.metrics.dead_letters_dropped.inc();
        }
    }

    fn wants_checkpoint(&mut self, seq: u64) -> bool {
        self.keeper.is_due(self.clock.now(), seq)
    }

    fn keep(&mut self, checkpoint: Vec<Part>) {
        let order = match self.log {
            LogKind::Stream => Order::Checkpoint(checkpoint),
            LogKind::Queue => {
                // A queue cannot be listened to without taking what is in it: each node goes by its own checkpoints.
                if let Some(part) = checkpoint.first() {
                    self.keeper.heard(self.clock.now(), Duration::ZERO, part.head.seq, chance());
                }
                Order::CheckpointToQueue(dated(checkpoint))
            }
        };
        // A full writer has not written the last one: the next try is soon.
        let _ = self.orders.try_send(order);
    }
}

/// Messages that wait for a node by default, where the log is a queue.
const QUEUE_LENGTH: u32 = 100_000;
/// How large the log may grow by default.
const LOG_BYTES_MAX: u64 = 2_000_000_000;
/// How old the log may grow by default.
const LOG_AGE_MAX: Duration = Duration::from_secs(3_600);
/// Size of the log's files by default. Whoever begins to read at a position waits until the broker has looked for it from the beginning of a
/// file: up to a second or two in one of 50 MB that was filled slowly.
const SEGMENT_BYTES: u64 = 10_000_000;
/// Batches between reader and feed task. While it is full the reader waits, and the broker stops at the prefetch.
const TOLD_MAX: usize = 16;
/// Checkpoints and dead letters that wait for the broker. More dead letters are counted and dropped.
const ORDERS_MAX: usize = 256;
/// Refused messages copied in a second, and at once. More are counted and dropped, so that a mad feed does not double the broker's load.
const DEAD_LETTERS_PER_S: u32 = 100;

#[cfg(test)]
mod tests;
