//! One subscription: a stream that always gives the newest state.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use tickwire_proto::session::{Change, Instrument, SubscriptionId};
use tickwire_proto::v1::ErrorCode;

use crate::builder::millis;
use crate::client::Handle;

/// Changes of the instruments subscribed to. Dropping it unsubscribes.
///
/// A slow reader gets fewer changes, each of them the newest state of its instrument: memory is bounded by the number of instruments,
/// and there is no error for being slow. What is never conflated (halts, final scores, settlements, corrections, closed bars) comes as
/// [`Change::Event`], in order for each instrument; if a reader is so slow that they overflow, a [`Change::Gap`] says so.
///
/// The stream goes on over reconnects. It ends when the client is closed.
pub struct Subscription {
    handle: Arc<Handle>,
    id: SubscriptionId,
}

impl Subscription {
    pub(crate) fn new(handle: Arc<Handle>, id: SubscriptionId) -> Self {
        Self { handle, id }
    }

    /// The next change, or `None` when the client is closed.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Change> {
        poll_fn(|context| self.handle.shared.poll_change(self.id, context)).await
    }

    /// The newest state of one instrument, read or not. `None` until its first image has come.
    pub fn latest(&self, symbol: &str) -> Option<Instrument> {
        self.handle.shared.lock().session.latest(symbol).cloned()
    }

    /// How old the newest record of `instrument` is now, as [`Client::age`](crate::Client::age).
    pub fn age(&self, instrument: &Instrument) -> Option<Duration> {
        self.handle.age(instrument)
    }

    /// Changes the shortest time between two records of one instrument, while it is live. See
    /// [`Builder::conflation`](crate::Builder::conflation).
    pub fn set_conflation(&self, interval: Duration) {
        self.handle.shared.set_conflation(self.id, Some(millis(interval)));
    }

    /// Items that the server has refused so far, and why.
    pub fn refused(&self) -> Vec<(String, ErrorCode)> {
        self.handle.shared.lock().refused(self.id)
    }

    /// Name of this subscription in [`Event::Refused`](crate::Event::Refused).
    pub fn id(&self) -> SubscriptionId {
        self.id
    }

    /// Ends the subscription, as dropping it does.
    pub fn unsubscribe(self) {}
}

impl Stream for Subscription {
    type Item = Change;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Change>> {
        self.handle.shared.poll_change(self.id, context)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.handle.shared.unsubscribe(self.id);
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("id", &self.id.0).finish_non_exhaustive()
    }
}
