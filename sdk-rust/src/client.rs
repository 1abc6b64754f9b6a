//! The handle of an application on its connection.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tickwire_proto::session::{Input, Instrument, Item, State, Stats, SubscribeOptions};
use tickwire_proto::v1::FeedState;
use tickwire_proto::{Pattern, Symbol};

use crate::builder::Builder;
use crate::error::SubscribeError;
use crate::events::Events;
use crate::shared::Shared;
use crate::subscription::Subscription;

/// A connection to a Tickwire server that keeps itself up. Cheap to clone; clones share the connection.
///
/// The connection lives as long as a client or a [`Subscription`] of it, and ends at once when the last is dropped. Use
/// [`close`](Self::close) to see it through.
#[derive(Clone)]
pub struct Client {
    handle: Arc<Handle>,
}

impl Client {
    /// A client of the server at `url`: `ws`, `wss`, `http` or `https`, with or without `/v1/ws`. Plain schemes work to this machine
    /// only, unless [`Builder::allow_insecure`] says otherwise.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use tickwire::Client;
    /// # async fn example() -> Result<(), tickwire::ConnectError> {
    /// let client = Client::builder("http://127.0.0.1:7447").conflation(Duration::from_millis(100)).connect().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(url: impl AsRef<str>) -> Builder {
        Builder::new(url.as_ref())
    }

    pub(crate) fn new(handle: Arc<Handle>) -> Self {
        Self { handle }
    }

    /// Subscribes to symbols (`stock.AAPL`) and patterns (`stock.*`, `soccer.#`). Instruments that appear later join a pattern.
    ///
    /// Does not wait for the server, so it works while the connection is down as well. What the server refuses is told by
    /// [`Event::Refused`](crate::Event::Refused) and [`Subscription::refused`]; the rest is served.
    ///
    /// ```no_run
    /// # async fn example(client: tickwire::Client) -> Result<(), tickwire::SubscribeError> {
    /// let mut quotes = client.subscribe(["stock.AAPL", "crypto.*"]).await?;
    /// while let Some(change) = quotes.next().await {
    ///     println!("{change}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// An item is neither symbol nor pattern, there is none, or the client is closed. Nothing is subscribed to then.
    pub async fn subscribe<I>(&self, items: I) -> Result<Subscription, SubscribeError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        self.subscribe_with(items, SubscribeOptions::default()).await
    }

    /// As [`subscribe`](Self::subscribe), with a rate of its own or with single trades.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    pub async fn subscribe_with<I>(&self, items: I, options: SubscribeOptions) -> Result<Subscription, SubscribeError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let items = items.into_iter().map(|item| check_item(item.as_ref())).collect::<Result<Vec<_>, _>>()?;
        if items.is_empty() {
            return Err(SubscribeError::Empty);
        }
        let id = self.handle.shared.subscribe(&items, options).ok_or(SubscribeError::Closed)?;
        Ok(Subscription::new(self.handle.clone(), id))
    }

    /// The newest state of an instrument that some subscription of this client covers.
    pub fn latest(&self, symbol: &str) -> Option<Instrument> {
        self.handle.shared.lock().session.latest(symbol).cloned()
    }

    /// What happens to the connection and the feeds, from now on. Each call gives a stream of its own.
    pub fn events(&self) -> Events {
        Events::new(self.handle.shared.clone())
    }

    /// The state of the connection now.
    pub fn state(&self) -> State {
        self.handle.shared.lock().session.state()
    }

    /// The health of every feed, as told last.
    pub fn feeds(&self) -> Vec<FeedState> {
        self.handle.shared.lock().session.feeds().to_vec()
    }

    /// What was counted since the client was made.
    pub fn stats(&self) -> Stats {
        self.handle.shared.lock().session.stats()
    }

    /// How old the newest record of `instrument` is now, by the server's clock. `None` before the first welcome, and for a record that
    /// does not say when it happened.
    pub fn age(&self, instrument: &Instrument) -> Option<Duration> {
        self.handle.age(instrument)
    }

    /// Tries to connect at once if the client waits before its next try, and checks the connection if there is one. For programs that
    /// learn of a change of the network.
    pub fn wake(&self) {
        self.handle.shared.tell(Input::Wake);
    }

    /// Closes the connection politely, and waits until it is closed (at most about a second). All streams of this client end.
    ///
    /// # Cancel safety
    /// Once polled, the connection closes even if the future is dropped.
    pub async fn close(&self) {
        self.handle.shared.tell(Input::Close);
        let mut ended = self.handle.shared.ended.subscribe();
        // An error means that nobody can tell any more, which is an end too.
        let _ = ended.wait_for(|ended| *ended).await;
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("url", &self.handle.url).field("state", &self.state()).finish_non_exhaustive()
    }
}

/// What clients and subscriptions hold. The last one dropped closes the connection.
pub(crate) struct Handle {
    pub(crate) shared: Arc<Shared>,
    url: String,
}

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>, url: String) -> Arc<Self> {
        Arc::new(Self { shared, url })
    }

    pub(crate) fn age(&self, instrument: &Instrument) -> Option<Duration> {
        self.shared.lock().session.age(self.shared.now(), instrument)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.tell(Input::Close);
    }
}

fn check_item(text: &str) -> Result<Item, SubscribeError> {
    let checked = if Pattern::is_wild(text) { Pattern::parse(text).map(drop) } else { Symbol::parse(text).map(drop) };
    match checked {
        Ok(()) => Ok(Item { target: text.to_owned() }),
        Err(source) => Err(SubscribeError::BadSymbol { symbol: text.to_owned(), source }),
    }
}
