//! What the driver and the handles of an application share: the session, behind a lock that is held for single calls only.
//!
//! Why a lock and no channel of changes: a value that waits in a channel is an old value. Whoever reads takes the newest state from the
//! session at that moment, and wakes the driver only if the session has something to send because of it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tickwire_proto::session::{Change, Event, Input, Item, Session, State, SubscribeOptions, SubscriptionId};
use tickwire_proto::time::Moment;
use tickwire_proto::v1::ErrorCode;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// The shared part of one client.
#[derive(Debug)]
pub(crate) struct Shared {
    inner: Mutex<Inner>,
    /// Tells the driver that a handle has changed the session.
    pub(crate) kick: Notify,
    /// Origin of the session's clock.
    started: Instant,
    /// True once the driver has ended: nothing more will come.
    pub(crate) ended: watch::Sender<bool>,
}

/// What the lock guards.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) session: Session,
    readers: BTreeMap<SubscriptionId, Reader>,
    listeners: BTreeMap<u64, Listener>,
    listener_next: u64,
    ended: bool,
}

/// One subscription of the application.
#[derive(Debug, Default)]
struct Reader {
    /// Who waits for a change.
    waker: Option<Waker>,
    /// Items that the server refused, newest reason each.
    refused: BTreeMap<String, ErrorCode>,
}

/// One stream of events.
#[derive(Debug, Default)]
struct Listener {
    /// At most [`EVENTS_WAITING_MAX`].
    waiting: VecDeque<Event>,
    waker: Option<Waker>,
    missed: u64,
}

impl Shared {
    pub(crate) fn new(session: Session) -> Arc<Self> {
        let inner = Inner { session, readers: BTreeMap::new(), listeners: BTreeMap::new(), listener_next: 0, ended: false };
        let (ended, _) = watch::channel(false);
        Arc::new(Self { inner: Mutex::new(inner), kick: Notify::new(), started: Instant::now(), ended })
    }

    /// The session's time now.
    pub(crate) fn now(&self) -> Moment {
        Moment::from_micros(self.started.elapsed().as_micros() as u64)
    }

    /// `moment` on tokio's clock.
    pub(crate) fn instant(&self, moment: Moment) -> Instant {
        self.started + std::time::Duration::from_micros(moment.as_micros())
    }

    /// Locks for a few calls. Never held across an await.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere must not take the application's handles down with it.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a subscription; `None` once the client is closed.
    pub(crate) fn subscribe(&self, items: &[Item], options: SubscribeOptions) -> Option<SubscriptionId> {
        let mut inner = self.lock();
        if inner.is_over() {
            return None;
        }
        let id = inner.session.subscribe(self.now(), items, options);
        inner.readers.insert(id, Reader::default());
        drop(inner);
        self.kick.notify_one();
        Some(id)
    }

    pub(crate) fn unsubscribe(&self, id: SubscriptionId) {
        let mut inner = self.lock();
        let reader = inner.readers.remove(&id);
        inner.session.unsubscribe(self.now(), id);
        drop(inner);
        // After the lock: dropping a waker may drop a task, with whatever handles it holds.
        drop(reader);
        self.kick.notify_one();
    }

    /// The next change of a subscription, the end, or nothing yet: then the task is woken.
    pub(crate) fn poll_change(&self, id: SubscriptionId, context: &Context<'_>) -> Poll<Option<Change>> {
        // Declared first, so that it is dropped after the lock, as in `unsubscribe`.
        let _replaced;
        let mut inner = self.lock();
        if let Some(change) = inner.session.next_change(id) {
            return Poll::Ready(Some(change));
        }
        if inner.is_over() {
            return Poll::Ready(None);
        }
        _replaced = inner.readers.get_mut(&id).and_then(|reader| reader.waker.replace(context.waker().clone()));
        Poll::Pending
    }

    /// As [`Shared::poll_change`], for a listener.
    pub(crate) fn poll_event(&self, key: u64, context: &Context<'_>) -> Poll<Option<Event>> {
        let _replaced;
        let mut inner = self.lock();
        let ended = inner.ended;
        let Some(listener) = inner.listeners.get_mut(&key) else { return Poll::Ready(None) };
        if let Some(event) = listener.waiting.pop_front() {
            return Poll::Ready(Some(event));
        }
        // Not before the driver has ended: the last state is an event too.
        if ended {
            return Poll::Ready(None);
        }
        _replaced = listener.waker.replace(context.waker().clone());
        Poll::Pending
    }

    pub(crate) fn unlisten(&self, key: u64) {
        let listener = self.lock().listeners.remove(&key);
        drop(listener);
    }

    pub(crate) fn set_conflation(&self, id: SubscriptionId, conflate_ms: Option<u32>) {
        self.lock().session.set_conflation(self.now(), id, conflate_ms);
        self.kick.notify_one();
    }

    /// Gives the session an input that does not come from the transport.
    pub(crate) fn tell(&self, input: Input<'_>) {
        self.lock().session.handle(self.now(), input);
        self.kick.notify_one();
    }
}

impl Inner {
    /// Whether nothing will come any more.
    pub(crate) fn is_over(&self) -> bool {
        self.ended || self.session.state() == State::Closed
    }

    /// Who has to be woken because `id` has data.
    pub(crate) fn take_waker(&mut self, id: SubscriptionId) -> Option<Waker> {
        self.readers.get_mut(&id)?.waker.take()
    }

    pub(crate) fn refused(&self, id: SubscriptionId) -> Vec<(String, ErrorCode)> {
        let refused = self.readers.get(&id).map(|reader| &reader.refused);
        refused.into_iter().flatten().map(|(symbol, code)| (symbol.clone(), *code)).collect()
    }

    pub(crate) fn listen(&mut self) -> u64 {
        let key = self.listener_next;
        self.listener_next += 1;
        self.listeners.insert(key, Listener::default());
        key
    }

    /// Events that a listener was too slow for.
    pub(crate) fn missed(&self, key: u64) -> u64 {
        self.listeners.get(&key).map_or(0, |listener| listener.missed)
    }

    /// Gives an event to every listener; adds who has to be woken.
    pub(crate) fn publish(&mut self, event: &Event, wakers: &mut Vec<Waker>) {
        if let Event::Refused { subscription, symbol, code } = event
            && let Some(reader) = self.readers.get_mut(subscription)
        {
            reader.refused.insert(symbol.clone(), *code);
        }
        for listener in self.listeners.values_mut() {
            if listener.waiting.len() == EVENTS_WAITING_MAX {
                listener.waiting.pop_front();
                listener.missed += 1;
            }
            listener.waiting.push_back(event.clone());
            wakers.extend(listener.waker.take());
        }
    }

    /// Marks the end; returns everyone who waits.
    pub(crate) fn end(&mut self) -> Vec<Waker> {
        self.ended = true;
        let readers = self.readers.values_mut().filter_map(|reader| reader.waker.take());
        let listeners = self.listeners.values_mut().filter_map(|listener| listener.waker.take());
        readers.chain(listeners).collect()
    }
}

/// Events that wait for one listener. When more come, the oldest go and are counted: the newest state is the one that counts.
const EVENTS_WAITING_MAX: usize = 1_024;
