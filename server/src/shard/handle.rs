//! How a shard is reached from outside: its queue of commands, and when it has to be woken for one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mio::Waker;
use tokio::sync::mpsc;

use super::rest::Rest;
use super::{ShardCommand, UnderWay};

/// The outer end of a shard.
#[derive(Debug)]
pub(super) struct Handle {
    commands: mpsc::Sender<ShardCommand>,
    rest: Arc<Rest>,
    waker: Arc<Waker>,
    /// Connections given to the shard and not yet gone.
    connections: Arc<AtomicUsize>,
}

impl Handle {
    pub(super) fn new(commands: mpsc::Sender<ShardCommand>, rest: Arc<Rest>, waker: Arc<Waker>, connections: Arc<AtomicUsize>) -> Self {
        Self { commands, rest, waker, connections }
    }

    /// Gives the shard a command, and has it looked at.
    pub(super) async fn send(&self, command: ShardCommand) {
        // A shard that has ended needs nothing any more; one that panicked ends the process.
        if self.commands.send(command).await.is_ok() {
            self.wake();
        }
    }

    /// Has the shard look at what was queued.
    pub(super) fn wake(&self) {
        if self.rest.needs_wake(|_| false) {
            let _ = self.waker.wake();
        }
    }

    /// Gives the shard a batch. It is woken if something of it may have to leave before the shard gets up by itself, or if many wait.
    /// Returns whether it was.
    pub(super) async fn apply(&self, under_way: &Arc<UnderWay>) -> bool {
        let is_queued = self.commands.send(ShardCommand::Apply(under_way.clone())).await.is_ok();
        let can_wait = |rest: &Rest| self.waiting() <= WAITING_MAX && under_way.batch.can_wait(|id| rest.lets_wait(id));
        let wakes = is_queued && self.rest.needs_wake(can_wait);
        if wakes {
            let _ = self.waker.wake();
        }
        wakes
    }

    /// Notes a connection that is about to be given to the shard.
    pub(super) fn reserve(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// Connections given to the shard and not yet gone.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(super) fn rest(&self) -> &Rest {
        &self.rest
    }

    /// Commands that the shard has not taken yet.
    fn waiting(&self) -> usize {
        self.commands.max_capacity() - self.commands.capacity()
    }
}

/// Commands that may wait while their shard sleeps. With one more it is woken, long before the queue is full.
pub(super) const WAITING_MAX: usize = 64;
