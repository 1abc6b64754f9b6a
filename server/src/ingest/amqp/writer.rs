//! Publishes checkpoints and refused messages, on a connection of its own: a broker that blocks publishers must not stop the reading.

use std::sync::Arc;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use tickwire_core::checkpoint::Part;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use super::backoff::{Backoff, chance};
use super::brokers::Brokers;
use super::checkpoint::seal;
use super::dead::header;
use super::failure::Failure;
use super::names::{Names, short};
use super::outlet::{Outlet, content_properties};
use super::{AmqpConfig, LogKind};
use crate::ingest::source::{LogMessage, body_hash};
use crate::telemetry::Metrics;

/// What the writer is asked to publish.
#[derive(Debug)]
pub(crate) enum Order {
    /// The parts of a checkpoint.
    Checkpoint(Vec<Part>),
    /// The same, where there are no streams.
    CheckpointToQueue(Vec<Part>),
    /// A refused message.
    Dead(DeadLetter),
}

/// A refused message and why it was refused.
#[derive(Debug)]
pub(crate) struct DeadLetter {
    /// Where it comes from.
    pub(crate) log: LogKind,
    /// The message.
    pub(crate) message: LogMessage,
    /// Name of the first cause.
    pub(crate) reason: &'static str,
    /// For people.
    pub(crate) detail: String,
}

/// One publishing connection after the other; none before the first order.
#[derive(Debug)]
pub(crate) struct Writer {
    brokers: Brokers,
    names: Names,
    node: String,
    orders: mpsc::Receiver<Order>,
    metrics: Arc<Metrics>,
}

impl Writer {
    /// A writer that waits for orders.
    pub(crate) fn new(config: AmqpConfig, node: String, orders: mpsc::Receiver<Order>, metrics: Arc<Metrics>) -> Self {
        let names = Names::new(&config.prefix);
        Self { brokers: config.brokers, names, node, orders, metrics }
    }

    /// Publishes until nobody orders any more. An order that meets a broken connection is tried once more on a new one.
    pub(crate) async fn run(mut self) {
        let mut link: Option<Outlet> = None;
        let mut backoff = Backoff::default();
        while let Some(order) = self.orders.recv().await {
            for attempt in 1..=ATTEMPTS {
                let connected = Instant::now();
                match self.publish(&mut link, &order).await {
                    Ok(()) => break,
                    Err(failure) => {
                        link = None;
                        self.brokers.pass_on();
                        debug!(cause = %failure, attempt, "could not publish");
                        sleep(backoff.after(connected.elapsed(), chance())).await;
                        if attempt == ATTEMPTS {
                            self.give_up(&order, &failure);
                        }
                    }
                }
            }
        }
    }

    async fn publish(&mut self, link: &mut Option<Outlet>, order: &Order) -> Result<(), Failure> {
        let link = match link {
            Some(link) if link.is_connected() => link,
            _ => {
                let name = format!("tickwire {}: checkpoints and dead letters", self.node);
                link.insert(Outlet::open(&mut self.brokers, &name).await?)
            }
        };
        match order {
            Order::Checkpoint(parts) => self.publish_checkpoint(link, &self.names.checkpoint, parts).await,
            Order::CheckpointToQueue(parts) => self.publish_checkpoint(link, &self.names.checkpoint_queue, parts).await,
            Order::Dead(letter) => self.publish_dead(link, letter).await,
        }
    }

    async fn publish_checkpoint(&self, link: &Outlet, to: &ShortString, parts: &[Part]) -> Result<(), Failure> {
        for part in parts {
            let part = part.encode();
            let sealed = tokio::task::spawn_blocking(move || seal(&part)).await;
            let body = sealed.map_err(|error| Failure::Away(error.to_string()))?.map_err(|error| Failure::Away(error.to_string()))?;
            let properties = BasicProperties::default().with_delivery_mode(PERSISTENT).with_content_type(CHECKPOINT_TYPE.into());
            link.publish(&ShortString::default(), to, &body, properties).await?;
        }
        self.metrics.checkpoints_written.inc();
        Ok(())
    }

    async fn publish_dead(&self, link: &Outlet, letter: &DeadLetter) -> Result<(), Failure> {
        let DeadLetter { log, message, reason, detail } = letter;
        let cut = message.body.len() > DEAD_BODY_BYTES_MAX;
        let body = &message.body[..message.body.len().min(DEAD_BODY_BYTES_MAX)];
        let mut headers = FieldTable::default();
        headers.insert(header::REASON.into(), AMQPValue::LongString((*reason).into()));
        headers.insert(header::DETAIL.into(), AMQPValue::LongString(detail.as_str().into()));
        headers.insert(header::OFFSET.into(), AMQPValue::LongLongInt(i64::try_from(message.seq).unwrap_or(i64::MAX)));
        headers.insert(header::STREAM.into(), AMQPValue::LongString(self.names.log.as_str().into()));
        if cut {
            headers.insert(header::CUT.into(), AMQPValue::Boolean(true));
        }
        // Every node meets the same message; the identifier lets readers of the queue see that. Where each node counts by itself, what is
        // the same is what looks the same.
        let id = match log {
            LogKind::Stream => format!("{}:{}", self.names.log, message.seq),
            LogKind::Queue => format!("{}:{}:{:x}", self.names.feed, message.routing_key, body_hash(&message.body)),
        };
        let content = content_properties(message.content_type.as_deref(), message.content_encoding.as_deref());
        let properties = content.with_delivery_mode(PERSISTENT).with_headers(headers).with_message_id(short(&id));
        link.publish(&self.names.dead, &short(&message.routing_key), body, properties).await?;
        self.metrics.dead_letters_written.inc();
        Ok(())
    }

    fn give_up(&self, order: &Order, failure: &Failure) {
        match order {
            Order::Checkpoint(_) | Order::CheckpointToQueue(_) => {
                warn!(cause = %failure, "could not write a checkpoint; the next one follows")
            }
            Order::Dead(letter) => {
                self.metrics.dead_letters_dropped.inc();
                debug!(cause = %failure, seq = letter.message.seq, "could not put a refused message aside");
            }
        }
    }
}

const PERSISTENT: u8 = 2;
const CHECKPOINT_TYPE: &str = "application/x-tickwire-checkpoint";
/// Tries for one order. Then it is given up: another checkpoint follows soon, and a dead letter is only a copy.
const ATTEMPTS: u32 = 3;
/// Bytes of a refused message that are kept. A larger one is cut and says so, so that the queue of 10,000 stays below 640 MB.
const DEAD_BODY_BYTES_MAX: usize = 64 << 10;
