//! Shards: one thread, one engine, its own connections and its own epoll loop each. No lock on the path of a tick.

mod connection;
mod handle;
mod hub;
mod link;
mod reactor;
mod rest;
mod sse;
mod watch;

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread::JoinHandle;
use std::time::Duration;

use dashmap::DashMap;
use tickwire_core::engine::{Arrival, EngineConfig, EngineStats};
use tickwire_core::{Batch, Engine, Entry, InstrumentId};
use tickwire_proto::{Pattern, v1};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::accept::Visitor;
use crate::auth::Gate;
use crate::thread;
use handle::Handle;
pub(crate) use link::{Carrier, Ending, PipeReader, pipe};
use reactor::Reactor;
pub(crate) use sse::preface as sse_preface;

/// Handle on all shards of this node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Shards(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    handles: Vec<Handle>,
    /// The newest state of every feed, for `/readyz`.
    feeds: DashMap<String, v1::FeedState>,
    /// For entries of batches that some shard has not applied yet.
    room: Arc<Semaphore>,
}

/// All that can be asked of a shard from outside.
pub(crate) enum ShardCommand {
    /// Apply a batch.
    Apply(Arc<UnderWay>),
    /// Take over a connection.
    Attach(Box<Newcomer>),
    /// Tell what was counted.
    Inspect(oneshot::Sender<EngineStats>),
    /// Copy what the book has behind an id: one page.
    Images(InstrumentId, oneshot::Sender<BookImages>),
    /// List instruments; behind which id the next page begins.
    Instruments(InstrumentPage, oneshot::Sender<(Vec<v1::InstrumentInfo>, Option<u32>)>),
    /// Say Goodbye to everyone.
    Drain { retry_after: Duration, spread: Duration },
    /// End the thread, and with it every connection.
    Stop,
}

/// A batch that some shard has not applied yet.
pub(crate) struct UnderWay {
    pub(crate) batch: Batch,
    /// Given back with the last shard's share.
    _room: OwnedSemaphorePermit,
}

/// Which instruments to list.
pub(crate) struct InstrumentPage {
    /// Only those that one of these matches ...
    pub(crate) allowed: Vec<Pattern>,
    /// ... and this one, if there is one ...
    pub(crate) pattern: Option<Pattern>,
    /// ... behind this id ...
    pub(crate) after: u32,
    /// ... and not more than this.
    pub(crate) limit: usize,
}

/// A connection whose request was accepted.
pub(crate) struct Newcomer {
    pub(crate) carrier: Carrier,
    /// Its place among the connections of this node.
    pub(crate) visitor: Visitor,
    pub(crate) transport: TransportKind,
    /// What the engine is told.
    pub(crate) arrival: Arrival,
    /// Answer to the request, to be written before anything else.
    pub(crate) preface: Vec<u8>,
    /// What the client sent behind its request.
    pub(crate) early: Vec<u8>,
}

/// How frames travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TransportKind {
    /// WebSocket frames, binary or text.
    WebSocket { text: bool },
    /// Events; `chunked` for HTTP/1.1, plain until the end of the connection for HTTP/1.0.
    Sse { chunked: bool },
    /// Messages of a call.
    Grpc,
}

impl TransportKind {
    /// Whether its clients can say nothing once they have asked.
    const fn is_one_way(self) -> bool {
        matches!(self, Self::Sse { .. } | Self::Grpc)
    }
}

impl Shards {
    /// Starts `count` threads.
    ///
    /// # Errors
    /// The system refuses a thread or a poll.
    pub(crate) fn start(
        count: usize,
        engine: &EngineConfig,
        gate: &Gate,
        message_bytes_max: usize,
    ) -> io::Result<(Self, Vec<JoinHandle<()>>)> {
        let (mut handles, mut threads) = (Vec::new(), Vec::new());
        for n in 0..count {
            let (commands, received) = mpsc::channel(COMMANDS_MAX);
            let connections = Arc::new(AtomicUsize::new(0));
            let engine = Engine::new(engine.clone(), Box::new(gate.clone()));
            let reactor = Reactor::new(engine, received, connections.clone(), message_bytes_max)?;
            handles.push(Handle::new(commands, reactor.rest(), reactor.waker(), connections));
            threads.push(thread::spawn(format!("shard-{n}"), move || run(reactor))?);
        }
        Ok((Self::of(handles), threads))
    }

    fn of(handles: Vec<Handle>) -> Self {
        Self(Arc::new(Inner { handles, feeds: DashMap::new(), room: Arc::new(Semaphore::new(ENTRIES_MAX as usize)) }))
    }

    /// Gives every shard the batch. Waits while the slowest shard has too much before it, so that it slows the feed and nothing is lost. A
    /// shard that sleeps and has nothing to tell of it before it gets up by itself is left alone.
    pub async fn apply(&self, batch: Batch) {
        for entry in &batch.entries {
            if let Entry::Feed(state) = entry {
                self.0.feeds.insert(state.feed.clone(), state.clone());
            }
        }
        let entries = u32::try_from(batch.entries.len()).unwrap_or(u32::MAX).min(ENTRIES_MAX);
        let Ok(room) = self.room(entries).await else { return };
        let batch = Arc::new(UnderWay { batch, _room: room });
        for handle in self.0.handles.iter() {
            handle.apply(&batch).await;
        }
    }

    /// Waits for room, which nobody closes. Who sleeps on what lies before it is woken first, or it would be waited for until it gets up by itself.
    async fn room(&self, entries: u32) -> Result<OwnedSemaphorePermit, AcquireError> {
        if let Ok(room) = self.0.room.clone().try_acquire_many_owned(entries) {
            return Ok(room);
        }
        self.0.handles.iter().for_each(Handle::wake);
        self.0.room.clone().acquire_many_owned(entries).await
    }

    /// The first instruments behind `after` with their images, from one shard, at one position: its newest applied. As long as nothing is
    /// applied, the pages of a book belong together: only so much of it is there twice, and no shard is busy with it for long.
    pub async fn images_behind(&self, after: InstrumentId) -> BookImages {
        let (answer, answered) = oneshot::channel();
        if let Some(handle) = self.0.handles.first() {
            handle.send(ShardCommand::Images(after, answer)).await;
        }
        answered.await.unwrap_or_default()
    }

    /// All pages.
    pub async fn images(&self) -> BookImages {
        let mut book = self.images_behind(InstrumentId(0)).await;
        let mut next = book.next;
        while let Some(after) = next {
            let mut page = self.images_behind(after).await;
            book.instruments.append(&mut page.instruments);
            (book.seq, next) = (page.seq, page.next);
        }
        BookImages { next: None, ..book }
    }

    /// The newest state of every feed, by name.
    pub(crate) fn feeds(&self) -> Vec<v1::FeedState> {
        let mut feeds: Vec<_> = self.0.feeds.iter().map(|entry| entry.value().clone()).collect();
        feeds.sort_by(|left, right| left.feed.cmp(&right.feed));
        feeds
    }

    /// Instruments in the order of their ids, and behind which id the next page begins.
    pub(crate) async fn instruments(&self, page: InstrumentPage) -> (Vec<v1::InstrumentInfo>, Option<u32>) {
        let (answer, answered) = oneshot::channel();
        if let Some(handle) = self.0.handles.first() {
            handle.send(ShardCommand::Instruments(page, answer)).await;
        }
        answered.await.unwrap_or_default()
    }

    /// Gives a connection to the shard with the fewest.
    pub(crate) async fn attach(&self, newcomer: Newcomer) {
        let Some(handle) = self.0.handles.iter().min_by_key(|handle| handle.connections()) else { return };
        handle.reserve();
        handle.send(ShardCommand::Attach(Box::new(newcomer))).await;
    }

    /// What each shard counted.
    pub(crate) async fn stats(&self) -> Vec<EngineStats> {
        let mut stats = Vec::new();
        for handle in self.0.handles.iter() {
            let (answer, answered) = oneshot::channel();
            handle.send(ShardCommand::Inspect(answer)).await;
            stats.push(answered.await.unwrap_or_default());
        }
        stats
    }

    /// Says Goodbye to everyone, and waits until all have left, at most for `within`.
    pub(crate) async fn drain(&self, retry_after: Duration, spread: Duration, within: Duration) {
        for handle in self.0.handles.iter() {
            handle.send(ShardCommand::Drain { retry_after, spread }).await;
        }
        let everyone_left = async {
            while self.connections() > 0 {
                tokio::time::sleep(DRAIN_LOOK_EVERY).await;
            }
        };
        let _ = tokio::time::timeout(within, everyone_left).await;
    }

    /// Ends the threads.
    pub(crate) async fn stop(&self) {
        for handle in self.0.handles.iter() {
            handle.send(ShardCommand::Stop).await;
        }
    }

    /// Connections that shards have.
    pub(crate) fn connections(&self) -> usize {
        self.0.handles.iter().map(Handle::connections).sum()
    }
}

/// A copy of a part of the book at one position.
#[derive(Clone, Debug, Default)]
pub struct BookImages {
    /// Newest position applied.
    pub seq: u64,
    /// Behind which id the next page begins. `None`: this is the last.
    pub next: Option<InstrumentId>,
    /// Instruments with one image per body kind. Whether their scales were announced is for the intake to add.
    pub instruments: Vec<v1::CheckpointInstrument>,
}

/// The life of a shard's thread.
fn run(reactor: Reactor) {
    if let Err(error) = reactor.run() {
        tracing::error!(%error, "a shard's poll failed; the process ends");
        thread::end_process();
    }
}

/// Commands that may wait for a shard. The sender of one more waits, and with it the feed.
const COMMANDS_MAX: usize = 256;
/// Entries of batches, of about 450 bytes each, that may wait for a shard; a batch with more waits alone. Bounds what a node lets pile up
/// that reads a past faster than its shards take it.
const ENTRIES_MAX: u32 = 8_192;
/// Instruments in a page of the book, of about a kilobyte each.
const IMAGES_PAGE: usize = 1_000;
const _: () = assert!(handle::WAITING_MAX < COMMANDS_MAX);
/// How often a drain looks whether everyone has left.
const DRAIN_LOOK_EVERY: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests;
