//! The log as a stream: positions are the same on every node, and what was missed can be read again.

use std::convert::Infallible;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::ReadyChunks;
use futures_util::{FutureExt as _, StreamExt};
use lapin::types::ShortString;
use lapin::{Channel, Connection, Consumer};
use tickwire_core::checkpoint::Head;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::{BATCH_MESSAGES_MAX, PREFETCH, Reader, Told, nobody_listens};
use crate::ingest::amqp::acks::{self, Acks};
use crate::ingest::amqp::checkpoint::{Found, Listener, newest, newest_of_all};
use crate::ingest::amqp::failure::Failure;
use crate::ingest::amqp::link::{first_message, log_message, position, read_stream};
use crate::ingest::amqp::place::{Finding, Position, Start, epoch_number, next_epoch};
use crate::ingest::amqp::tail;
use crate::ingest::amqp::topology::CLOSE_OK;
use crate::ingest::source::{LogMessage, SourceEvent, body_hash};

impl Reader {
    /// Goes on in the log where it was, until the connection fails.
    pub(super) async fn follow_stream(&mut self, connection: &Connection) -> Result<Infallible, Failure> {
        if !matches!(self.start, Start::Unknown) {
            let checkpoints = Listener::start(connection, &self.names).await?;
            return self.consume(connection, checkpoints, None).await;
        }
        // Both are mostly waits for silence.
        let probe = tail::probe(connection, &self.names.log, self.credit.grant(PREFETCH));
        let (found, tail) = tokio::try_join!(newest(connection, &self.names), probe)?;
        let (checkpoint, checkpoints) = found;
        self.start = match checkpoint {
            Some(checkpoint) => Start::Checkpoint { from: Box::new(checkpoint), hole_after: None },
            None => Start::Beginning { epoch: next_epoch(0) },
        };
        self.consume(connection, checkpoints, Some(tail)).await
    }

    /// Reads the log, and hears of checkpoints. `tail` is where the log ends, if that is known: inside, there may be none.
    async fn consume(
        &mut self,
        connection: &Connection,
        mut checkpoints: Listener,
        mut tail: Option<Option<u64>>,
    ) -> Result<Infallible, Failure> {
        let log = self.names.log.clone();
        let mut reading = Reading::open(connection, &log, self.start.expected(), self.credit.grant(PREFETCH)).await?;
        let mut next: Option<BoxFuture<'_, _>> = None;
        self.outage.over();
        info!(broker = %self.config.brokers.current(), after = reading.expected.map(|expected| expected.seq), "reads the log");
        self.tell(SourceEvent::Connected).await?;
        if let Start::Beginning { epoch } = self.start {
            self.epoch = epoch;
            self.tell(SourceEvent::Reset { epoch: epoch.to_string() }).await?;
        }

        if let Some(tail) = tail.flatten() {
            self.tell(SourceEvent::Behind { tail }).await?;
        }

        let probe = tail::probe(connection, &log, self.credit.grant(PREFETCH));
        tokio::pin!(probe);
        let mut caught_up = false;
        let mut ack_due = acks::due();
        let mut verdict_due = Instant::now() + VERDICT_WITHIN;
        loop {
            tokio::select! {
                found = reading.deliveries.next() => {
                    let found = found.ok_or_else(|| Failure::Away("the log ended".to_owned()))?;
                    if let Some(Ok(newest)) = found.last() {
                        reading.acks.add(found.len(), &newest.acker);
                    }
                    let mut messages = Vec::with_capacity(found.len());
                    for delivery in found {
                        let delivery = delivery?;
                        self.credit.count(delivery.data.len());
                        messages.push(log_message(delivery)?);
                    }
                    self.verify(connection, &mut reading.expected, &mut messages).await?;
                    self.give(connection, messages).await?;
                    reading.acks.send(acks::count_due(reading.prefetch)).await?;
                }
                end = &mut probe, if tail.is_none() => {
                    let end = end?;
                    tail = Some(end);
                    if let Some(tail) = end {
                        self.tell(SourceEvent::Behind { tail }).await?;
                    }
                }
                opened = async { next.as_mut().expect("there is one").await }, if next.is_some() => {
                    next = None;
                    let before = std::mem::replace(&mut reading, opened?);
                    before.channel.close(CLOSE_OK, "another credit".into()).await?;
                    // What was told since it was asked for comes once more.
                    reading.expected = self.start.expected();
                    verdict_due = Instant::now() + VERDICT_WITHIN;
                }
                whole = checkpoints.next() => self.heard(whole?).await?,
                _ = ack_due.tick() => reading.acks.send(1).await?,
                () = sleep_until(verdict_due), if reading.expected.is_some() => {
                    self.look_for_reset(connection, reading.expected).await?;
                    verdict_due = Instant::now() + VERDICT_WITHIN;
                }
            }
            if !caught_up && reading.expected.is_none() && tail.is_some_and(|tail| self.has_reached(tail)) {
                caught_up = true;
                self.tell(SourceEvent::CaughtUp).await?;
            }
            if next.is_none() && reading.expected.is_none() && self.credit.is_outdated(reading.prefetch, PREFETCH) {
                // The credit of a consumer cannot be changed, and another one may wait for a second: the broker looks for its place from the
                // beginning of a file.
                next = Some(Reading::open(connection, &log, self.start.expected(), self.credit.grant(PREFETCH)).boxed());
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
                    let earlier = messages.iter().take_while(|message| message.seq < wanted.seq).count();
                    messages.drain(..earlier);
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
        // Room for all first: what is told and the place that it leads to change together.
        let room = self.told.reserve_many(3).await.map_err(|_| nobody_listens())?;
        if let Start::Checkpoint { from, hole_after } = std::mem::replace(&mut self.start, Start::After(at)) {
            self.epoch = epoch_number(&from.epoch);
            info!(epoch = self.epoch, seq = from.seq, instruments = from.instruments.len(), "starts from a checkpoint");
            let heard = heard_of(&Head::of(&from));
            let gap = hole_after.map(|before| Told::Event(SourceEvent::Gap { from: before, to: at.seq + 1 }));
            // What was heard before is forgotten with the book before.
            for (told, room) in [Some(Told::Event(SourceEvent::Restore(from))), Some(heard), gap].into_iter().flatten().zip(room) {
                room.send(told);
            }
        }
        Ok(())
    }

    /// The message after which we wanted to go on is no longer kept. A newer checkpoint fills the hole for state; for events it is a gap.
    async fn fill_hole(&mut self, connection: &Connection, wanted: Position, found: Position) -> Result<(), Failure> {
        warn!(from = wanted.seq, to = found.seq, "the log no longer has what came in between");
        self.metrics.log_truncations.inc();
        if matches!(self.start, Start::After(_)) {
            let checkpoint = newest_of_all(connection, &self.names).await?;
            if let Some(newer) = checkpoint.filter(|newest| epoch_number(&newest.epoch) >= self.epoch && newest.seq > wanted.seq) {
                self.start = Start::Checkpoint { from: Box::new(newer), hole_after: Some(wanted.seq) };
                return Err(Failure::StartOver);
            }
        }
        self.begin(wanted).await?;
        self.tell(SourceEvent::Gap { from: wanted.seq, to: found.seq }).await?;
        self.start = Start::After(Position { seq: found.seq - 1, ..wanted });
        Ok(())
    }

    /// Nothing has come at the place where we wanted to go on. Either the log ends before it, so that it is another log, or the broker
    /// is slow.
    async fn look_for_reset(&mut self, connection: &Connection, expected: Option<Position>) -> Result<(), Failure> {
        let tail = tail::probe(connection, &self.names.log, self.credit.grant(PREFETCH)).await?;
        match expected {
            Some(expected) if tail.is_none_or(|tail| tail < expected.seq) => Err(self.reset(connection).await),
            _ => Ok(()),
        }
    }

    /// The log is another one. Goes on with what another node has found out about it, or from its beginning in a new epoch.
    pub(super) async fn reset(&mut self, connection: &Connection) -> Failure {
        let before = match &self.start {
            Start::Checkpoint { from, .. } => epoch_number(&from.epoch).max(self.epoch),
            _ => self.epoch,
        };
        warn!(epoch = before, "the log is another one: it was deleted and made again, or has lost its end");
        self.metrics.log_resets.inc();
        self.start = match newest_of_all(connection, &self.names).await {
            Ok(Some(newer)) if epoch_number(&newer.epoch) > before => Start::Checkpoint { from: Box::new(newer), hole_after: None },
            Ok(_) => Start::Beginning { epoch: next_epoch(before) },
            Err(failure) => return failure,
        };
        Failure::StartOver
    }

    /// A checkpoint was written, by us or by another node. All follow the highest epoch.
    async fn heard(&mut self, found: Found) -> Result<(), Failure> {
        let epoch = epoch_number(&found.head().epoch);
        let verified = matches!(self.start, Start::After(_) | Start::Beginning { .. });
        if verified && epoch > self.epoch {
            let checkpoint = match found.open() {
                Ok(checkpoint) => checkpoint,
                Err(cause) => {
                    warn!(epoch, %cause, "passes over a checkpoint of another epoch");
                    return Ok(());
                }
            };
            warn!(epoch, before = self.epoch, "follows another node into a new epoch of the log");
            self.start = Start::Checkpoint { from: Box::new(checkpoint), hole_after: None };
            return Err(Failure::StartOver);
        }
        if epoch == self.epoch {
            self.told.send(heard_of(found.head())).await.map_err(|_| nobody_listens())?;
        }
        Ok(())
    }

    /// Hands messages on. A broker that shortens the log under a slow reader goes on with what it has kept, without a word: that is a hole
    /// like any other.
    async fn give(&mut self, connection: &Connection, mut messages: Vec<LogMessage>) -> Result<(), Failure> {
        while let Some((at, before)) = self.first_leap(&messages) {
            let behind = messages.split_off(at);
            self.hand_on(messages).await?;
            if let Some(first) = behind.first() {
                self.fill_hole(connection, before, Position { seq: first.seq, body_hash: body_hash(&first.body) }).await?;
            }
            messages = behind;
        }
        self.hand_on(messages).await
    }

    /// Which message comes after a leap that no new file of the log explains, and what came before it.
    fn first_leap(&self, messages: &[LogMessage]) -> Option<(usize, Position)> {
        let Start::After(last) = self.start else { return None };
        let mut before = last.seq;
        for (at, message) in messages.iter().enumerate() {
            if message.seq > before + 1 + SKIPPED_MAX {
                let known = at.checked_sub(1).and_then(|at| messages.get(at));
                return Some((at, known.map_or(last, |known| Position { seq: known.seq, body_hash: body_hash(&known.body) })));
            }
            before = message.seq;
        }
        None
    }

    async fn hand_on(&mut self, messages: Vec<LogMessage>) -> Result<(), Failure> {
        let Some(last) = messages.last() else { return Ok(()) };
        let at = Position { seq: last.seq, body_hash: body_hash(&last.body) };
        self.tell_messages(messages).await?;
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
}

/// What is told of a checkpoint that was heard.
fn heard_of(checkpoint: &Head) -> Told {
    Told::Checkpoint { seq: checkpoint.seq, ts_written_us: checkpoint.ts_written_us }
}

/// The log, read from one place on.
struct Reading {
    channel: Channel,
    deliveries: ReadyChunks<Consumer>,
    /// The message that has to come first, until it has.
    expected: Option<Position>,
    acks: Acks,
    prefetch: u16,
}

impl Reading {
    /// Asks for the message that is expected, or for the first of all.
    async fn open(connection: &Connection, log: &ShortString, expected: Option<Position>, prefetch: u16) -> Result<Self, Failure> {
        let offset = expected.map_or_else(first_message, |expected| position(expected.seq));
        let (channel, consumer) = read_stream(connection, log, offset, prefetch).await?;
        Ok(Self { channel, deliveries: consumer.ready_chunks(BATCH_MESSAGES_MAX), expected, acks: Acks::default(), prefetch })
    }
}

/// Positions that may be missing between two messages: the broker uses up one when it begins a new file. More are messages that it no longer
/// has. A file, of 1 MB at least, that held fewer is a loss that only the numbers of publishers show.
const SKIPPED_MAX: u64 = 8;
/// Time for the last known message to be delivered again. Then the log's end is looked at, which takes up to a second: another log is
/// known as such within five, and a server that has to start before within six.
const VERDICT_WITHIN: Duration = Duration::from_millis(3_500);
