//! Reads the log for ever: connects, goes on where it was, acknowledges, and connects again.

mod queue;
mod stream;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use lapin::Connection;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use super::backoff::{Backoff, chance};
use super::credit::{Credit, next_part};
use super::failure::Failure;
use super::names::Names;
use super::outage::Outage;
use super::place::Start;
use super::topology;
use super::{AmqpConfig, LogKind, Mode, Topology};
use crate::ingest::source::{LogMessage, SourceEvent};
use crate::telemetry::Metrics;

/// What the reader tells its source.
#[derive(Debug)]
pub(crate) enum Told {
    /// For the feed task.
    Event(SourceEvent),
    /// What the log is, from now on.
    Log(LogKind),
    /// A checkpoint of the current epoch is on the stream.
    Checkpoint {
        /// Its position.
        seq: u64,
        /// When it was written, by the clock of its node.
        ts_written_us: u64,
    },
}

/// One consuming connection after the other.
#[derive(Debug)]
pub(crate) struct Reader {
    config: AmqpConfig,
    names: Names,
    node: String,
    told: mpsc::Sender<Told>,
    metrics: Arc<Metrics>,
    log: LogKind,
    /// Where to go on in a stream.
    start: Start,
    /// The last position that was given to a message of a queue. `None`: none of this process has been.
    numbered: Option<u64>,
    epoch: u64,
    /// How many messages of a stream may be under way.
    credit: Credit,
    /// Whether this connection got through the handshake.
    is_connected: bool,
    /// Whether the broker's topology has been compared with ours, which is worth one warning.
    compared: bool,
    outage: Outage,
}

impl Reader {
    /// A reader that has seen nothing. It tells through `told` and waits while that is full.
    pub(crate) fn new(config: AmqpConfig, node: String, told: mpsc::Sender<Told>, metrics: Arc<Metrics>) -> Self {
        let (names, outage) = (Names::new(&config.prefix), Outage::default());
        let log = if config.mode == Mode::Queue { LogKind::Queue } else { LogKind::Stream };
        Self {
            config,
            names,
            node,
            told,
            metrics,
            log,
            start: Start::Unknown,
            numbered: None,
            epoch: 0,
            credit: Credit::default(),
            is_connected: false,
            compared: false,
            outage,
        }
    }

    /// Reads for ever; ends when nobody listens any more.
    pub(crate) async fn run(mut self) {
        // A broker that starts opens its port up to a second before its streams: the waits for the one must not lengthen those for the
        // other.
        let (mut connecting, mut starting) = (Backoff::default(), Backoff::of_a_start());
        while !self.told.is_closed() {
            let began = Instant::now();
            self.is_connected = false;
            let failure = match self.session().await {
                Ok(never) => match never {},
                Err(Failure::StartOver) => continue,
                Err(Failure::NoStreams(cause)) if self.config.mode == Mode::Auto => {
                    warn!(cause, "the broker has no streams: this node reads a queue of its own, which is weaker (docs/configuration.md)");
                    self.log = LogKind::Queue;
                    continue;
                }
                Err(failure) => failure,
            };
            let wait = match &failure {
                Failure::Refused { .. } | Failure::NoStreams(_) => REFUSED_WAIT,
                _ if self.is_connected => {
                    connecting = Backoff::default();
                    starting.after(began.elapsed(), chance())
                }
                _ => {
                    starting = Backoff::of_a_start();
                    connecting.after(began.elapsed(), chance())
                }
            };
            let failure = if self.is_connected { failure.at(self.config.brokers.current()) } else { failure };
            self.config.brokers.pass_on();
            self.metrics.broker_failures.inc();
            debug!(cause = %failure, after = ?began.elapsed(), ?wait, "cannot read the log");
            self.outage.log(&failure);
            let _ = self.told.send(Told::Event(SourceEvent::Down(failure.reason()))).await;
            sleep(wait).await;
        }
    }

    /// One connection, from handshake to failure.
    async fn session(&mut self) -> Result<Infallible, Failure> {
        let connection = self.config.brokers.connect(&format!("tickwire {}: feed", self.node)).await?;
        self.is_connected = true;
        tokio::select! {
            biased;
            end = self.follow(&connection) => end,
            // An answer that was under way when a connection broke may never come: lapin does not fail all who wait.
            () = broken(&connection) => Err(Failure::Away("the connection broke".to_owned())),
        }
    }

    /// Reads over a connection. Dropping this between two steps loses nothing: a place is noted when what is before it was told.
    async fn follow(&mut self, connection: &Connection) -> Result<Infallible, Failure> {
        if self.config.topology == Topology::Declared {
            let made_log = topology::ensure(connection, &self.names, &self.config, self.log, !self.compared).await?;
            self.compared = true;
            if made_log && self.log == LogKind::Stream && self.start.expected().is_some() {
                // Somebody has deleted it, and nothing that we know is in the one that we have just made.
                return Err(self.reset(connection).await);
            }
        }
        self.told.send(Told::Log(self.log)).await.map_err(|_| nobody_listens())?;
        match self.log {
            LogKind::Stream => self.follow_stream(connection).await,
            LogKind::Queue => self.follow_queue(connection).await,
        }
    }

    /// Tells messages, in parts that are bounded in bytes: many may wait for a feed task that is slow or stopped.
    async fn tell_messages(&self, mut messages: Vec<LogMessage>) -> Result<(), Failure> {
        while let Some(part) = next_part(&mut messages, |message| message.body.len()) {
            self.tell(SourceEvent::Messages(part)).await?;
        }
        Ok(())
    }

    async fn tell(&self, event: SourceEvent) -> Result<(), Failure> {
        self.told.send(Told::Event(event)).await.map_err(|_| nobody_listens())
    }
}

/// Waits until a connection is no longer one, and then for those who still wait for an answer of it to learn why.
async fn broken(connection: &Connection) {
    while connection.status().connected() {
        sleep(LOOK_EVERY).await;
    }
    sleep(LOOK_EVERY).await;
}

fn nobody_listens() -> Failure {
    Failure::Away("the feed task has ended".to_owned())
}

/// Deliveries without acknowledgement, if they are small. Bounds what a stopped feed task lets pile up here; 100 would cost a fifth of the throughput.
/// More would not help who reads a past: the broker reads as much before it sends the first, and copies what it has with each chunk that it adds.
const PREFETCH: u16 = 1_000;
/// Messages handed on at once, so that others get their turn.
const BATCH_MESSAGES_MAX: usize = 500;
/// Between two looks at whether the connection still is one. Nearly always something fails at once.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Between two tries at a broker that refuses us.
const REFUSED_WAIT: Duration = Duration::from_secs(5);
