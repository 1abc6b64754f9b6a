//! The feed task: one owner of intake, feed health and readiness, between a source and the shards.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tickwire_core::checkpoint::{Builder, Head};
use tickwire_core::health::Monitor;
use tickwire_core::intake::{Cause, Hole, Intake, IntakeConfig, Message, Poison, Receipt};
use tickwire_core::{Batch, Entry, InstrumentId};
use tickwire_proto::Moment;
use tickwire_proto::v1::{self, CheckpointInstrument};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::Readiness;
use super::catch_up::{CatchUp, Progress};
use super::clock::Clock;
use super::inflate::inflate;
use super::source::{FeedSource, LogMessage, SourceEvent, body_hash};
use crate::shard::Shards;
use crate::telemetry::Metrics;

/// Turns what a source tells into batches.
#[derive(Debug)]
pub(crate) struct Feeder {
    intake: Intake,
    /// Bytes of an inflated body.
    body_bytes_max: usize,
    monitor: Monitor,
    shards: Shards,
    metrics: Arc<Metrics>,
    clock: Clock,
    readiness: watch::Sender<Readiness>,
    /// What the shards have not been given yet. Left empty by every turn of the loop.
    batch: Batch,
    /// Whether the shards know that the book is complete, in this life of the log.
    synced: bool,
    /// Identity of this life.
    epoch: String,
    /// The last message taken, and the hash of its body. `None` before the first.
    position: Option<(u64, u64)>,
    /// While there is a past to take.
    catch_up: Option<CatchUp>,
    complaints: Complaints,
}

impl Feeder {
    /// A feeder that knows nothing yet.
    pub(crate) fn new(
        config: IntakeConfig,
        shards: Shards,
        metrics: Arc<Metrics>,
        clock: Clock,
        readiness: watch::Sender<Readiness>,
    ) -> Self {
        let monitor = Monitor::new(config.rules.clone(), clock.now(), clock.unix_us());
        let (body_bytes_max, intake) = (config.body_bytes_max, Intake::new(config));
        let (epoch, batch, complaints) = (String::new(), Batch::default(), Complaints::default());
        Self {
            intake,
            body_bytes_max,
            monitor,
            shards,
            metrics,
            clock,
            readiness,
            batch,
            synced: false,
            epoch,
            position: None,
            catch_up: None,
            complaints,
        }
    }

    /// Feeds the shards from `source` until `stop`.
    pub(crate) async fn run<S: FeedSource>(mut self, mut source: S, stop: CancellationToken) {
        loop {
            // Without a deadline there is nothing to watch for; look again after a while all the same.
            let due = self.monitor.deadline().unwrap_or(self.clock.now() + HEALTH_IDLE);
            let due = self.catch_up.as_ref().map_or(due, |catch_up| due.min(catch_up.due()));
            let event = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                event = source.next() => Some(event),
                () = tokio::time::sleep_until(self.clock.instant(due)) => None,
            };
            match event {
                Some(SourceEvent::Interrupted { epoch }) => self.begin_again(epoch).await,
                Some(SourceEvent::Messages(messages)) => self.take_messages(&messages, &mut source).await,
                Some(event) => self.take(event),
                None => {}
            }
            self.say_how_far();
            for state in self.monitor.poll(self.clock.now(), self.clock.unix_us()) {
                self.metrics.note_feed(&state);
                self.batch.entries.push(Entry::Feed(state));
            }
            if !self.batch.entries.is_empty() {
                self.shards.apply(std::mem::take(&mut self.batch)).await;
            }
            if let Some((seq, hash)) = self.position.filter(|(seq, _)| self.synced && source.wants_checkpoint(*seq)) {
                self.checkpoint(seq, hash, &mut source).await;
            }
        }
    }

    fn take(&mut self, event: SourceEvent) {
        match event {
            SourceEvent::Down(reason) => {
                self.catch_up = None;
                self.monitor.down(self.clock.now(), &reason);
                self.readiness.send_replace(Readiness::NotReady(reason));
            }
            SourceEvent::Connected => {
                self.monitor.recovering(self.clock.now());
                self.catch_up = Some(CatchUp::new(self.clock.now()));
                self.readiness.send_replace(Readiness::CatchingUp(Progress::default()));
            }
            SourceEvent::Behind { tail } => {
                if let Some(catch_up) = &mut self.catch_up {
                    catch_up.aim(tail);
                }
            }
            SourceEvent::Reset { epoch } => {
                info!(epoch, "the log begins anew");
                self.intake.reset(&epoch, &mut self.batch);
                self.intake.hold_back();
                (self.synced, self.epoch, self.position) = (false, epoch, None);
            }
            SourceEvent::Restore(checkpoint) => {
                self.intake.restore(&checkpoint, &mut self.batch);
                self.intake.hold_back();
                (self.synced, self.epoch) = (false, checkpoint.epoch);
                self.position = Some((checkpoint.seq, checkpoint.body_hash));
            }
            SourceEvent::Gap { from, to } => self.batch.entries.push(Entry::Gap { from, to }),
            // Have to wait for shards, in `run`.
            SourceEvent::Interrupted { .. } | SourceEvent::Messages(_) => {}
            SourceEvent::CaughtUp => self.caught_up(),
        }
    }

    /// Gives the shards what comes to more than a batch at once.
    async fn take_messages(&mut self, messages: &[LogMessage], source: &mut impl FeedSource) {
        for message in messages {
            self.take_message(message, source);
            if self.batch.entries.len() >= BATCH_ENTRIES_MAX {
                self.shards.apply(std::mem::take(&mut self.batch)).await;
            }
        }
        if let Some(catch_up) = &mut self.catch_up {
            catch_up.count(messages.len());
        }
        self.position = messages.last().map(|last| (last.seq, body_hash(&last.body))).or(self.position);
    }

    fn take_message(&mut self, message: &LogMessage, source: &mut impl FeedSource) {
        let receipt = match inflate(message.content_encoding.as_deref(), &message.body, self.body_bytes_max) {
            Ok(body) => self.intake.take(
                Message { seq: message.seq, routing_key: &message.routing_key, content_type: message.content_type.as_deref(), body: &body },
                &mut self.batch,
            ),
            Err(poison) => self.intake.pass(message.seq, poison, &mut self.batch),
        };
        self.metrics.feed_messages.inc();
        self.metrics.feed_updates.inc_by(u64::from(receipt.accepted));
        self.metrics.feed_unmapped.inc_by(u64::from(receipt.unmapped));
        self.listen(message.seq, &receipt);
        if let Some(hole) = &receipt.hole {
            self.metrics.publisher_holes(receipt.feed.as_deref().unwrap_or_default()).inc();
            self.complaints.complain_of_hole(self.clock.now(), message, hole);
        }
        for poison in &receipt.poison {
            self.metrics.poison(poison.cause).inc();
        }
        // An old version is no fault: a publisher that resends after an outage repeats what is known.
        let faults: Vec<Poison> = receipt.poison.into_iter().filter(|poison| poison.cause != Cause::OldVersion).collect();
        for fault in &faults {
            self.complaints.complain(self.clock.now(), message, fault);
        }
        if !faults.is_empty() {
            source.refuse(message, &faults);
        }
    }

    /// Tells the monitor what a message says about its feed.
    fn listen(&mut self, seq: u64, receipt: &Receipt) {
        let Some(feed) = receipt.feed.as_deref() else { return };
        let now = self.clock.now();
        if receipt.accepted > 0 {
            let age = (receipt.ts_us > 0).then(|| Duration::from_micros(self.clock.unix_us().saturating_sub(receipt.ts_us)));
            self.monitor.heard(now, feed, seq, age);
        }
        if let Some(alive) = &receipt.alive {
            let interval = (alive.interval_ms > 0).then(|| Duration::from_millis(u64::from(alive.interval_ms)));
            self.monitor.alive(now, feed, seq, interval);
        }
    }

    /// The book as it is becomes the beginning of another life.
    async fn begin_again(&mut self, epoch: String) {
        info!(epoch, "messages were lost: the book stays as it was, in a new life of the log");
        let seq = self.position.map_or(0, |(seq, _)| seq);
        let instruments = self.announced(self.shards.images().await.instruments).collect();
        let ts_written_us = self.clock.unix_us();
        let book = v1::Checkpoint { epoch, seq, ts_written_us, parts: 1, instruments, ..Default::default() };
        self.intake.restore(&book, &mut self.batch);
        (self.synced, self.epoch, self.position) = (false, book.epoch, Some((seq, 0)));
    }

    /// Adds what only the intake knows.
    fn announced(&self, instruments: Vec<CheckpointInstrument>) -> impl Iterator<Item = CheckpointInstrument> {
        instruments.into_iter().map(|kept| {
            let announced = kept.info.as_ref().is_some_and(|info| self.intake.is_announced(InstrumentId(info.id)));
            CheckpointInstrument { announced, ..kept }
        })
    }

    /// Gives the source the book as it is. Nothing is applied meanwhile, so the book is the one at `seq`.
    async fn checkpoint(&mut self, seq: u64, body_hash: u64, source: &mut impl FeedSource) {
        let ts_written_us = self.clock.unix_us();
        let mut builder = Builder::new(Head { epoch: self.epoch.clone(), seq, body_hash, ts_written_us, ..Default::default() });
        let mut next = Some(InstrumentId(0));
        while let Some(after) = next {
            let page = self.shards.images_behind(after).await;
            if page.seq != seq {
                debug!(seq, book = page.seq, "no checkpoint: the book is at another position");
                return;
            }
            self.announced(page.instruments).for_each(|instrument| builder.push(&instrument));
            next = page.next;
        }
        source.keep(builder.finish());
    }

    fn say_how_far(&mut self) {
        let (now, seq) = (self.clock.now(), self.position.map(|(seq, _)| seq));
        if let Some(progress) = self.catch_up.as_mut().and_then(|catch_up| catch_up.look(now, seq)) {
            info!(seq = progress.seq, tail = progress.tail, messages_per_s = progress.messages_per_s, "catching up with the log");
            self.readiness.send_replace(Readiness::CatchingUp(progress));
        }
    }

    fn caught_up(&mut self) {
        self.catch_up = None;
        self.monitor.caught_up(self.clock.now());
        self.intake.tell_held(&mut self.batch);
        if !std::mem::replace(&mut self.synced, true) {
            self.batch.entries.push(Entry::Synced);
        }
        self.readiness.send_replace(Readiness::Ready);
        info!("caught up with the log");
    }
}

/// Says what was refused, and what was lost before the log: one line per subject and interval.
#[derive(Debug, Default)]
struct Complaints {
    /// When a subject was last complained about, and how often it occurred since. One entry per subject at most.
    heard: HashMap<Subject, (Moment, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Subject {
    Refused(Cause),
    Hole,
}

impl Complaints {
    fn complain(&mut self, now: Moment, message: &LogMessage, poison: &Poison) {
        let Some(more) = self.turn(now, Subject::Refused(poison.cause)) else { return };
        let (cause, detail) = (poison.cause.name(), poison.detail.as_str());
        warn!(cause, detail, routing_key = ?message.routing_key, seq = message.seq, more_before = more, "refused a feed message");
    }

    fn complain_of_hole(&mut self, now: Moment, message: &LogMessage, hole: &Hole) {
        let Some(more) = self.turn(now, Subject::Hole) else { return };
        let Hole { publisher, after, before, count } = hole;
        let missing = before - after - 1;
        let (key, seq) = (&message.routing_key, message.seq);
        warn!(?publisher, missing, after, before, count, routing_key = ?key, seq, more_before = more, "a publisher's messages are missing");
    }

    /// How many complaints about a subject were held back before this one; `None`: this one is held back as well.
    fn turn(&mut self, now: Moment, subject: Subject) -> Option<u64> {
        if let Some((since, more)) = self.heard.get_mut(&subject)
            && now.since(*since) < COMPLAINT_INTERVAL
        {
            *more += 1;
            return None;
        }
        Some(self.heard.insert(subject, (now, 0)).map_or(0, |(_, more)| more))
    }
}

/// Entries of a batch, of about 450 bytes each, after which it is given to the shards, and the rest of the messages to the next: a batch of all would
/// be larger than the caches.
const BATCH_ENTRIES_MAX: usize = 1_024;
/// Between two looks at the health of feeds that have no deadline.
const HEALTH_IDLE: Duration = Duration::from_secs(1);
/// Between two log lines about the same subject. What comes between is counted in the next line.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
