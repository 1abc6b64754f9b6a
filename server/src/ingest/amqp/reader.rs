//! Reads the log for ever: connects, goes on where it was, acknowledges, and connects again.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::StreamExt;
use lapin::options::BasicAckOptions;
use lapin::{Acker, Connection};
use tickwire_proto::v1;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};
use tracing::{info, warn};

use super::AmqpConfig;
use super::Topology;
use super::backoff::{Backoff, chance};
use super::checkpoint::{Listener, newest};
use super::failure::Failure;
use super::link::{connect, first_message, log_message, position, read_stream};
use super::names::Names;
use super::place::{Finding, Position, Start, epoch_number};
use super::{tail, topology};
use crate::ingest::source::{LogMessage, SourceEvent, body_hash};
use crate::telemetry::Metrics;

/// What the reader tells its source.
#[derive(Debug)]
pub(crate) enum Told {
    /// For the feed task.
    Event(SourceEvent),
    /// A checkpoint of the current epoch is on the stream.
    Checkpoint {
        /// Its position.
        seq: u64,
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
    start: Start,
    epoch: u64,
    /// Whether this connection got through the handshake.
    is_connected: bool,
    /// Whether the broker's topology has been compared with ours, which is worth one warning.
    compared: bool,
    outage: Outage,
}

impl Reader {
    /// A reader that has seen nothing. It tells through `told` and waits while that is full.
    pub(crate) fn new(config: AmqpConfig, node: String, told: mpsc::Sender<Told>, metrics: Arc<Metrics>) -> Self {
        let names = Names::new(&config.prefix);
        Self {
            config,
            names,
            node,
            told,
            metrics,
            start: Start::Unknown,
            epoch: 0,
            is_connected: false,
            compared: false,
            outage: Outage::default(),
        }
    }

    /// Reads for ever; ends when nobody listens any more.
    pub(crate) async fn run(mut self) {
        // A broker that starts opens its port up to a second before its streams: the waits for the one must not lengthen those for the
        // other.
        let (mut connecting, mut starting) = (Backoff::default(), Backoff::default());
        while !self.told.is_closed() {
            let began = Instant::now();
            self.is_connected = false;
            let failure = match self.session().await {
                Ok(never) => match never {},
                Err(failure) => failure,
            };
            let wait = match &failure {
                Failure::StartOver => continue,
                Failure::Away(_) if self.is_connected => {
                    connecting = Backoff::default();
                    starting.after(began.elapsed(), chance())
                }
                Failure::Away(_) => {
                    starting = Backoff::default();
                    connecting.after(began.elapsed(), chance())
                }
                Failure::Refused(_) => REFUSED_WAIT,
            };
            self.metrics.broker_failures.inc();
            self.outage.log(&self.config, &failure);
            let reason = if matches!(failure, Failure::Refused(_)) { "RabbitMQ refuses the feed" } else { "RabbitMQ cannot be reached" };
            let _ = self.told.send(Told::Event(SourceEvent::Down(reason.to_owned()))).await;
            sleep(wait).await;
        }
    }

    /// One connection, from handshake to failure.
    async fn session(&mut self) -> Result<Infallible, Failure> {
        let connection = connect(&self.config.url, &format!("tickwire {}: feed", self.node)).await?;
        self.is_connected = true;
        if self.config.topology == Topology::Declared {
            topology::ensure(&connection, &self.names, &self.config, !self.compared).await?;
            self.compared = true;
        }
        if matches!(self.start, Start::Unknown) {
            self.start = match newest(&connection, &self.names).await? {
                Some(checkpoint) => Start::Checkpoint { from: Box::new(checkpoint), hole_after: None },
                None => Start::Beginning { epoch: next_epoch(0) },
            };
        }
        self.consume(&connection).await
    }

    async fn consume(&mut self, connection: &Connection) -> Result<Infallible, Failure> {
        let mut checkpoints = Listener::start(connection, &self.names).await?;
        let mut expected = self.start.expected();
        let offset = expected.map_or_else(first_message, |expected| position(expected.seq));
        let (_, consumer) = read_stream(connection, &self.names.log, offset, PREFETCH).await?;
        let mut deliveries = consumer.ready_chunks(BATCH_MESSAGES_MAX);
        self.outage.over();
        info!(broker = %self.config.url, after = expected.map(|expected| expected.seq), "reads the log");
        self.tell(SourceEvent::Connected).await?;
        if let Start::Beginning { epoch } = self.start {
            self.epoch = epoch;
            self.tell(SourceEvent::Reset { epoch: epoch.to_string() }).await?;
        }

        let log = self.names.log.clone();
        let probe = tail::probe(connection, &log);
        tokio::pin!(probe);
        let (mut tail, mut caught_up) = (None, false);
        let mut acks = Acks::default();
        let mut ack_due = interval(ACK_INTERVAL);
        ack_due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut verdict_due = Instant::now() + VERDICT_WITHIN;
        loop {
            tokio::select! {
                found = deliveries.next() => {
                    let found = found.ok_or_else(|| Failure::Away("the log ended".to_owned()))?;
                    let mut messages = Vec::with_capacity(found.len());
                    for delivery in found {
                        let delivery = delivery?;
                        acks.add(&delivery.acker);
                        messages.push(log_message(delivery)?);
                    }
                    self.verify(connection, &mut expected, &mut messages).await?;
                    self.give(messages).await?;
                    acks.send(ACK_MESSAGES).await?;
                }
                end = &mut probe, if tail.is_none() => tail = Some(end?),
                whole = checkpoints.next() => self.heard(whole?).await?,
                _ = ack_due.tick() => acks.send(1).await?,
                () = sleep_until(verdict_due), if expected.is_some() => {
                    self.look_for_reset(connection, expected).await?;
                    verdict_due = Instant::now() + VERDICT_WITHIN;
                }
            }
            if !caught_up && expected.is_none() && tail.is_some_and(|tail| self.has_reached(tail)) {
                caught_up = true;
                self.tell(SourceEvent::CaughtUp).await?;
            }
        }
    }

    /// Compares the first messages with what was expected there, until that is settled. Drops what was told before.
    async fn verify(
        &mut self,
        connection: &Connection,
        expected: &mut Option<Position>,
        messages: &mut Vec<LogMessage>,
    ) -> Result<(), Failure> {
        while let (Some(wanted), Some(first)) = (*expected, messages.first()) {
            let found = Position { seq: first.seq, body_hash: body_hash(&first.body) };
            match wanted.compare(found) {
                Finding::Earlier => {
                    messages.remove(0);
                }
                Finding::Same => {
                    messages.remove(0);
                    *expected = None;
                    self.begin(wanted).await?;
                }
                Finding::Truncated => {
                    self.fill_hole(connection, wanted, found).await?;
                    *expected = None;
                }
                Finding::Changed => return Err(self.reset(connection).await),
            }
        }
        Ok(())
    }

    /// The log is the one that we know: tell the checkpoint that stands for its past, if we start from one.
    async fn begin(&mut self, at: Position) -> Result<(), Failure> {
        if let Start::Checkpoint { from, hole_after } = std::mem::replace(&mut self.start, Start::After(at)) {
            self.epoch = epoch_number(&from.epoch);
            info!(epoch = self.epoch, seq = from.seq, instruments = from.instruments.len(), "starts from a checkpoint");
            self.tell(SourceEvent::Restore(from)).await?;
            if let Some(before) = hole_after {
                self.tell(SourceEvent::Gap { from: before, to: at.seq + 1 }).await?;
            }
        }
        Ok(())
    }

    /// The message after which we wanted to go on is no longer kept. A newer checkpoint fills the hole for state; for events it is a gap.
    async fn fill_hole(&mut self, connection: &Connection, wanted: Position, found: Position) -> Result<(), Failure> {
        warn!(from = wanted.seq, to = found.seq, "the log no longer has what came in between");
        self.metrics.log_truncations.inc();
        if matches!(self.start, Start::After(_)) {
            let checkpoint = newest(connection, &self.names).await?;
            if let Some(newer) = checkpoint.filter(|newest| epoch_number(&newest.epoch) >= self.epoch && newest.seq > wanted.seq) {
                self.start = Start::Checkpoint { from: Box::new(newer), hole_after: Some(wanted.seq) };
                return Err(Failure::StartOver);
            }
        }
        self.begin(wanted).await?;
        self.tell(SourceEvent::Gap { from: wanted.seq, to: found.seq }).await
    }

    /// Nothing has come at the place where we wanted to go on. Either the log ends before it, so that it is another log, or the broker
    /// is slow.
    async fn look_for_reset(&mut self, connection: &Connection, expected: Option<Position>) -> Result<(), Failure> {
        let tail = tail::probe(connection, &self.names.log).await?;
        match expected {
            Some(expected) if tail.is_none_or(|tail| tail < expected.seq) => Err(self.reset(connection).await),
            _ => Ok(()),
        }
    }

    /// The log is another one. Goes on with what another node has found out about it, or from its beginning in a new epoch.
    async fn reset(&mut self, connection: &Connection) -> Failure {
        let before = match &self.start {
            Start::Checkpoint { from, .. } => epoch_number(&from.epoch).max(self.epoch),
            _ => self.epoch,
        };
        warn!(epoch = before, "the log is another one: it was deleted and made again, or has lost its end");
        self.metrics.log_resets.inc();
        self.start = match newest(connection, &self.names).await {
            Ok(Some(newer)) if epoch_number(&newer.epoch) > before => Start::Checkpoint { from: Box::new(newer), hole_after: None },
            Ok(_) => Start::Beginning { epoch: next_epoch(before) },
            Err(failure) => return failure,
        };
        Failure::StartOver
    }

    /// A checkpoint was written, by us or by another node. All follow the highest epoch.
    async fn heard(&mut self, checkpoint: v1::Checkpoint) -> Result<(), Failure> {
        let epoch = epoch_number(&checkpoint.epoch);
        let verified = matches!(self.start, Start::After(_) | Start::Beginning { .. });
        if verified && epoch > self.epoch {
            warn!(epoch, before = self.epoch, "follows another node into a new epoch of the log");
            self.start = Start::Checkpoint { from: Box::new(checkpoint), hole_after: None };
            return Err(Failure::StartOver);
        }
        if epoch == self.epoch {
            self.told.send(Told::Checkpoint { seq: checkpoint.seq }).await.map_err(|_| nobody_listens())?;
        }
        Ok(())
    }

    async fn give(&mut self, messages: Vec<LogMessage>) -> Result<(), Failure> {
        let Some(last) = messages.last() else { return Ok(()) };
        let at = Position { seq: last.seq, body_hash: body_hash(&last.body) };
        self.tell(SourceEvent::Messages(messages)).await?;
        self.start = Start::After(at);
        Ok(())
    }

    fn has_reached(&self, tail: Option<u64>) -> bool {
        match (&self.start, tail) {
            (_, None) => true,
            (Start::After(position), Some(tail)) => position.seq >= tail,
            (_, Some(_)) => false,
        }
    }

    async fn tell(&self, event: SourceEvent) -> Result<(), Failure> {
        self.told.send(Told::Event(event)).await.map_err(|_| nobody_listens())
    }
}

/// What has been received and not been acknowledged.
#[derive(Debug, Default)]
struct Acks {
    count: usize,
    newest: Option<Acker>,
}

impl Acks {
    fn add(&mut self, acker: &Acker) {
        self.count += 1;
        self.newest = Some(acker.clone());
    }

    /// Acknowledges everything if it is at least `count` messages. Never negatively: on a stream that ends the connection.
    async fn send(&mut self, count: usize) -> Result<(), Failure> {
        if self.count >= count {
            if let Some(acker) = self.newest.take() {
                acker.ack(BasicAckOptions { multiple: true }).await?;
            }
            self.count = 0;
        }
        Ok(())
    }
}

/// Says once that the broker is away, and again from time to time.
#[derive(Debug, Default)]
struct Outage {
    since: Option<Instant>,
    said: Option<Instant>,
}

impl Outage {
    fn log(&mut self, config: &AmqpConfig, failure: &Failure) {
        let since = *self.since.get_or_insert_with(Instant::now);
        if self.said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
            self.said = Some(Instant::now());
            let broker = &config.url;
            match failure {
                Failure::Refused(cause) => warn!(%broker, cause, "the broker refuses the feed: its configuration or ours has to change"),
                failure => warn!(%broker, cause = %failure, for_s = since.elapsed().as_secs(), "the broker is away; keeps trying"),
            }
        }
    }

    fn over(&mut self) {
        *self = Self::default();
    }
}

fn nobody_listens() -> Failure {
    Failure::Away("the feed task has ended".to_owned())
}

/// The name of a new life of the log: the time of day in milliseconds, and above the life before.
fn next_epoch(before: u64) -> u64 {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    now_ms.max(before + 1)
}

/// Deliveries without acknowledgement. Bounds what a stopped feed task lets pile up here; 100 would cost a fifth of the throughput.
const PREFETCH: u16 = 1_000;
/// Messages handed on at once, so that others get their turn.
const BATCH_MESSAGES_MAX: usize = 500;
/// Messages after which an acknowledgement leaves ...
const ACK_MESSAGES: usize = 500;
/// ... or this time: the broker closes the channel of deliveries that wait for half an hour, so a quiet market may hold none.
const ACK_INTERVAL: Duration = Duration::from_millis(250);
/// Time for the last known message to be delivered again. Then the log's end is looked at.
const VERDICT_WITHIN: Duration = Duration::from_secs(5);
/// Between two tries at a broker that refuses us.
const REFUSED_WAIT: Duration = Duration::from_secs(5);
/// Between two log lines about the same outage.
const SAY_EVERY: Duration = Duration::from_secs(10);
