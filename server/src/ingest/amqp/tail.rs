//! Where the log ends. The broker does not say, so the last chunk is read.

use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::{BasicAckOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Connection, Consumer};
use tokio::time::{Instant, timeout, timeout_at};

use super::failure::Failure;
use super::link::{last_chunk, offset_of, read_stream};
use super::topology::CLOSE_OK;

/// A position that is at or behind everything that was in the stream when this was called, or `None` if the stream is empty.
///
/// Reads from the start of the last chunk until the stream is quiet for [`QUIET`], or, on a stream that is never quiet, for [`BUSY`]: a
/// chunk is delivered faster than that. An empty stream looks like a broker that is slow to deliver, so that case takes
/// [`FIRST_WITHIN`], or longer when the broker's statistics know of messages.
pub(crate) async fn probe(connection: &Connection, stream: &ShortString, prefetch: u16) -> Result<Option<u64>, Failure> {
    let counted = count(connection, stream).await?;
    let (channel, mut consumer) = read_stream(connection, stream, last_chunk(), prefetch).await?;
    let Ok(first) = timeout(first_within(counted), next_offset(&mut consumer)).await else { return Ok(None) };
    let mut tail = first?;
    let busy_until = Instant::now() + BUSY;
    while let Ok(next) = timeout_at(busy_until.min(Instant::now() + QUIET), next_offset(&mut consumer)).await {
        tail = next?;
    }
    channel.close(CLOSE_OK, "done".into()).await?;
    Ok(Some(tail))
}

/// How long the first message of a stream is waited for, when the broker's statistics count `counted` messages in it. They come late, so
/// zero means little.
pub(crate) fn first_within(counted: u32) -> Duration {
    if counted == 0 { FIRST_WITHIN } else { FIRST_WITHIN_COUNTED }
}

/// Messages in a stream by the broker's statistics.
pub(crate) async fn count(connection: &Connection, stream: &ShortString) -> Result<u32, Failure> {
    let channel = connection.create_channel().await?;
    let options = QueueDeclareOptions { passive: true, ..Default::default() };
    let queue = channel.queue_declare(stream.clone(), options, FieldTable::default()).await?;
    channel.close(CLOSE_OK, "done".into()).await?;
    Ok(queue.message_count())
}

async fn next_offset(consumer: &mut Consumer) -> Result<u64, Failure> {
    let delivery = consumer.next().await.ok_or_else(|| Failure::Away("the stream ended".to_owned()))??;
    delivery.ack(BasicAckOptions::default()).await?;
    offset_of(&delivery).ok_or_else(Failure::no_stream)
}

/// Silence after which the last chunk has been read.
const QUIET: Duration = Duration::from_millis(100);
/// The longest look at a stream that is never quiet.
const BUSY: Duration = Duration::from_millis(500);
/// Silence after which a stream counts as empty.
const FIRST_WITHIN: Duration = Duration::from_secs(1);
/// The same, when the broker's statistics know of messages.
const FIRST_WITHIN_COUNTED: Duration = Duration::from_secs(5);
