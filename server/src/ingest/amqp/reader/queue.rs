//! The log as a queue: positions are this node's own, and what was missed stays missed.

use std::convert::Infallible;
use std::time::Duration;

use lapin::Connection;
use lapin::message::Delivery;
use tickwire_proto::v1;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::{BATCH_MESSAGES_MAX, PREFETCH, Reader, Told, nobody_listens};
use crate::ingest::amqp::acks::{self, Acks};
use crate::ingest::amqp::checkpoint::newest_in_queue;
use crate::ingest::amqp::failure::Failure;
use crate::ingest::amqp::link::message_at;
use crate::ingest::amqp::place::next_epoch;
use crate::ingest::amqp::queue;
use crate::ingest::source::SourceEvent;

impl Reader {
    /// Reads a queue of this node's own, until the connection or the queue ends.
    pub(super) async fn follow_queue(&mut self, connection: &Connection) -> Result<Infallible, Failure> {
        // The queue comes before the checkpoint: what is published meanwhile waits in it.
        let (length, prefetch) = (self.config.queue_length, self.credit.grant(PREFETCH));
        let (mut queue, mut losses) = queue::open(connection, &self.names, length, prefetch, BATCH_MESSAGES_MAX).await?;
        let checkpoint = if self.numbered.is_none() { newest_in_queue(connection, &self.names).await? } else { None };
        self.outage.over();
        info!(broker = %self.config.brokers.current(), "reads a queue of its own");
        self.tell(SourceEvent::Connected).await?;
        let is_gap = self.begin_numbering(checkpoint).await?;
        self.tell(SourceEvent::CaughtUp).await?;
        if is_gap {
            // Behind the new life: what is lost of an ended one is not told any more.
            self.lose().await?;
        }

        let mut acks = Acks::default();
        let mut ack_due = acks::due();
        let (mut loss, mut loss_due) = (None, Instant::now());
        loop {
            tokio::select! {
                found = queue.next() => {
                    self.number(found?, &mut acks).await?;
                    acks.send(acks::count_due(queue.prefetch())).await?;
                    if self.credit.is_outdated(queue.prefetch(), PREFETCH) {
                        let rest = queue.change(self.credit.grant(PREFETCH)).await?;
                        self.number(rest, &mut acks).await?;
                    }
                }
                lost = losses.next(), if loss.is_none() => {
                    loss = Some(lost?);
                    loss_due = Instant::now() + LOSS_EVERY;
                    warn!(length = self.config.queue_length, "this node is too slow for its queue: the broker dropped its oldest messages");
                    self.lose().await?;
                }
                () = sleep_until(loss_due), if loss.is_some() => {
                    if let Some(loss) = loss.take() {
                        loss.told().await?;
                    }
                }
                _ = ack_due.tick() => acks.send(1).await?,
            }
        }
    }

    /// Hands deliveries on, each with a number of its own.
    async fn number(&mut self, found: Vec<Delivery>, acks: &mut Acks) -> Result<(), Failure> {
        let mut messages = Vec::with_capacity(found.len());
        if let Some(newest) = found.last() {
            acks.add(found.len(), &newest.acker);
        }
        for delivery in found {
            self.credit.count(delivery.data.len());
            messages.push(message_at(self.next_number(), delivery));
        }
        self.tell_messages(messages).await
    }

    /// Says what the book is from now on: what a checkpoint says, nothing, or what it was, each in a life of its own. Returns whether messages
    /// may be missing in it.
    async fn begin_numbering(&mut self, checkpoint: Option<v1::Checkpoint>) -> Result<bool, Failure> {
        // Room first: what is told and what is noted of it change together.
        let room = self.told.reserve().await.map_err(|_| nobody_listens())?;
        let epoch = own_epoch(self.epoch);
        self.epoch = next_epoch(self.epoch);
        let is_gap = self.numbered.is_some() || checkpoint.is_some();
        let event = match (self.numbered, checkpoint) {
            (Some(_), _) => SourceEvent::Interrupted { epoch },
            (None, Some(checkpoint)) => {
                info!(instruments = checkpoint.instruments.len(), "starts from a checkpoint; what came after it is lost");
                // Numbers go on behind those of the node that wrote it, so that none of its images is newer than what comes.
                self.numbered = Some(checkpoint.seq);
                SourceEvent::Restore(Box::new(v1::Checkpoint { epoch, body_hash: 0, ..checkpoint }))
            }
            (None, None) => {
                self.numbered = Some(0);
                SourceEvent::Reset { epoch }
            }
        };
        room.send(Told::Event(event));
        Ok(is_gap)
    }

    /// An unknown number of messages was lost. They take one position together.
    async fn lose(&mut self) -> Result<(), Failure> {
        self.metrics.queue_losses.inc();
        let from = self.numbered.unwrap_or(0);
        let to = self.next_number() + 1;
        self.tell(SourceEvent::Gap { from, to }).await
    }

    fn next_number(&mut self) -> u64 {
        let next = self.numbered.unwrap_or(0) + 1;
        self.numbered = Some(next);
        next
    }
}

/// The name of a life whose positions only this node knows.
fn own_epoch(before: u64) -> String {
    // Two nodes may well begin in the same millisecond.
    format!("{}-{:08x}", next_epoch(before), getrandom::u32().unwrap_or(0))
}

/// Between two words about messages that the broker drops.
const LOSS_EVERY: Duration = Duration::from_secs(1);
