//! The stream of what happens beside the data.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::Stream;
use tickwire_proto::session::Event;

use crate::shared::Shared;

/// States of the connection, health of feeds, refusals and notices, from the moment it was made. Ends when the client is closed.
///
/// A listener that does not read loses the oldest of more than 1,024 events, and is told how many by [`missed`](Self::missed);
/// [`Client::state`](crate::Client::state) and [`Client::feeds`](crate::Client::feeds) are always up to date.
pub struct Events {
    shared: Arc<Shared>,
    key: u64,
}

impl Events {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let key = shared.lock().listen();
        Self { shared, key }
    }

    /// The next event, or `None` when the client is closed.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        poll_fn(|context| self.shared.poll_event(self.key, context)).await
    }

    /// Events lost because this listener did not read in time.
    pub fn missed(&self) -> u64 {
        self.shared.lock().missed(self.key)
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.shared.poll_event(self.key, context)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.shared.unlisten(self.key);
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}
