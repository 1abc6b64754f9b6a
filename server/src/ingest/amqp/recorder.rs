//! Reads a log for a recorder: every message with everything that it has, from a place on, across outages.

use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::BasicAckOptions;
use lapin::types::AMQPValue;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::backoff::{Backoff, chance};
use super::brokers::Brokers;
use super::credit::{Credit, next_part};
use super::failure::Failure;
use super::link::{first_message, offset_of, position, read_stream};
use super::names::Names;
use super::place::{Finding, Position};
use super::tail;
use super::topology::CLOSE_OK;
use crate::ingest::clock::Clock;
use crate::ingest::source::body_hash;
use crate::recording::Recorded;

/// Where a recording begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordFrom {
    /// At the oldest message that the log has.
    First,
    /// At the next message.
    Next,
    /// At a time, seconds since 1970 UTC. The first messages may be older: the broker finds chunks, not messages.
    Time(u64),
    /// Behind the last message of a recording.
    After(Box<Recorded>),
}

/// What a recorder is told.
#[derive(Debug)]
pub enum LogNews {
    /// The log is read now, at the start and after each outage.
    Reading,
    /// Messages, in order.
    Messages(Vec<Recorded>),
    /// So many headers of the messages that follow are tables, lists or decimals, and are left out.
    LeftOut(usize),
    /// The broker is away; says why. It is tried again.
    Away(String),
    /// Messages between two positions are no longer in the log.
    Lost {
        /// The last position that was told.
        from: u64,
        /// The first after the loss.
        to: u64,
    },
    /// Everything that was in the log at the start has been told.
    End,
}

/// Why nothing more can be recorded.
#[derive(Debug, Error)]
pub enum LogError {
    /// The broker refuses us.
    #[error("the broker refuses: {0}")]
    Refused(String),
    /// The log is not the one that was recorded: it was deleted and made again, or has lost its end.
    #[error("the log is another one than before: what follows belongs into another recording")]
    Changed,
}

/// Reads the log below `names_prefix` at `brokers`, from `from` on, until nobody listens any more.
pub fn follow_log(brokers: Brokers, names_prefix: &str, from: RecordFrom) -> mpsc::Receiver<Result<LogNews, LogError>> {
    let (tell, told) = mpsc::channel(TOLD_MAX);
    let last = match &from {
        RecordFrom::After(last) => Some(Position { seq: last.seq, body_hash: body_hash(&last.body) }),
        _ => None,
    };
    let (names, credit) = (Names::new(names_prefix), Credit::default());
    let follower = Follower { brokers, names, from, last, tail: None, credit, tell, clock: Clock::start() };
    tokio::spawn(follower.run());
    told
}

struct Follower {
    brokers: Brokers,
    names: Names,
    from: RecordFrom,
    /// The last message that was told.
    last: Option<Position>,
    /// The end of the log at the start; `Some(None)`: it was empty.
    tail: Option<Option<u64>>,
    credit: Credit,
    tell: mpsc::Sender<Result<LogNews, LogError>>,
    clock: Clock,
}

/// Why a connection ended for good.
enum Ended {
    NobodyListens,
    Changed,
    Failed(Failure),
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<lapin::Error> for Ended {
    fn from(error: lapin::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl Follower {
    async fn run(mut self) {
        let mut backoff = Backoff::default();
        loop {
            let began = Instant::now();
            let wait = match self.session().await {
                Ended::NobodyListens => return,
                Ended::Changed => {
                    let _ = self.tell.send(Err(LogError::Changed)).await;
                    return;
                }
                Ended::Failed(Failure::Refused { text, .. }) => {
                    let _ = self.tell.send(Err(LogError::Refused(text))).await;
                    return;
                }
                Ended::Failed(failure) => {
                    if self.tell.send(Ok(LogNews::Away(failure.to_string()))).await.is_err() {
                        return;
                    }
                    self.brokers.pass_on();
                    backoff.after(began.elapsed(), chance())
                }
            };
            sleep(wait).await;
        }
    }

    async fn session(&mut self) -> Ended {
        match self.read().await {
            Ok(never) => match never {},
            Err(ended) => ended,
        }
    }

    async fn read(&mut self) -> Result<std::convert::Infallible, Ended> {
        let connection = self.brokers.connect("tickwire record").await?;
        let tail = tail::probe(&connection, &self.names.log, self.credit.grant(PREFETCH)).await?;
        let mut expected = self.last;
        // Where nothing was told yet, the end at the start stands for the last message: beyond the end of another log the broker would wait in
        // silence, and what is published meanwhile would be missing.
        let known = expected.map(|last| last.seq).or(self.tail.flatten());
        if known.is_some_and(|known| tail.is_none_or(|tail| tail < known)) {
            return Err(Ended::Changed);
        }
        // Also after an outage before the first message: what came meanwhile is what was to be recorded.
        let end = *self.tail.get_or_insert(tail);
        let offset = match (&self.from, self.last) {
            (_, Some(last)) => position(last.seq),
            (RecordFrom::Next, None) => end.map_or_else(first_message, |end| position(end + 1)),
            (RecordFrom::Time(seconds), None) => AMQPValue::Timestamp(*seconds),
            _ => first_message(),
        };
        let mut granted = self.credit.grant(PREFETCH);
        let (mut channel, consumer) = read_stream(&connection, &self.names.log, offset, granted).await?;
        let mut deliveries = consumer.ready_chunks(MESSAGES_MAX);
        self.tell(LogNews::Reading).await?;
        let (mut told_end, mut is_known) = (false, false);
        loop {
            // Whoever begins behind the end has nothing of what was there.
            let begins_behind = self.from == RecordFrom::Next && self.last.is_none();
            if !told_end && (begins_behind || end.is_none_or(|end| self.last.is_some_and(|last| last.seq >= end))) {
                told_end = true;
                self.tell(LogNews::End).await?;
            }
            let found = tokio::select! {
                found = deliveries.next() => found,
                () = self.tell.closed() => return Err(Ended::NobodyListens),
                // The known message does not come: the broker clamps and waits in silence.
                () = sleep(VERDICT_WITHIN), if expected.is_some() && !is_known => return Err(Ended::Changed),
            };
            let found = found.ok_or_else(|| Failure::Away("the log ended".to_owned()))?;
            let (mut messages, mut newest, mut left_out) = (Vec::with_capacity(found.len()), None, 0);
            for delivery in found {
                let delivery = delivery?;
                let seq = offset_of(&delivery).ok_or_else(Failure::no_stream)?;
                newest = Some(delivery.acker.clone());
                self.credit.count(delivery.data.len());
                let (message, headers) = Recorded::of(delivery, seq, self.clock.unix_us());
                left_out += headers;
                messages.push(message);
            }
            if let Some(wanted) = expected {
                messages.retain(|message| message.seq >= wanted.seq);
                match messages.first().map(|first| wanted.compare(at(first))) {
                    None => {}
                    Some(Finding::Earlier | Finding::Same) => {
                        messages.remove(0);
                        expected = None;
                    }
                    Some(Finding::Changed) => return Err(Ended::Changed),
                    Some(Finding::Truncated) => {
                        self.tell(LogNews::Lost { from: wanted.seq, to: messages[0].seq }).await?;
                        expected = None;
                    }
                }
            }
            if left_out > 0 {
                self.tell(LogNews::LeftOut(left_out)).await?;
            }
            while let Some(part) = next_part(&mut messages, |message| message.body.len()) {
                self.last = part.last().map(at);
                self.tell(LogNews::Messages(part)).await?;
            }
            if let Some(acker) = newest {
                acker.ack(BasicAckOptions { multiple: true }).await?;
            }
            if let Some(last) = self.last
                && expected.is_none()
                && self.credit.is_outdated(granted, PREFETCH)
            {
                // The credit of a consumer cannot be changed.
                granted = self.credit.grant(PREFETCH);
                let (next, consumer) = read_stream(&connection, &self.names.log, position(last.seq), granted).await?;
                std::mem::replace(&mut channel, next).close(CLOSE_OK, "another credit".into()).await?;
                (deliveries, expected, is_known) = (consumer.ready_chunks(MESSAGES_MAX), Some(last), true);
            }
        }
    }

    async fn tell(&self, news: LogNews) -> Result<(), Ended> {
        self.tell.send(Ok(news)).await.map_err(|_| Ended::NobodyListens)
    }
}

fn at(message: &Recorded) -> Position {
    Position { seq: message.seq, body_hash: body_hash(&message.body) }
}

/// Batches that wait for the recorder. Then reading waits.
const TOLD_MAX: usize = 16;
/// Messages in a batch.
const MESSAGES_MAX: usize = 500;
/// Messages under way from the broker, if they are small.
const PREFETCH: u16 = 1_000;
/// Time for the last known message to be delivered again.
const VERDICT_WITHIN: Duration = Duration::from_secs(5);
