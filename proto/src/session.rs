//! The client session: everything an SDK decides, without socket and clock.
//!
//! A driver opens transports, feeds inputs, and drains [`Session::poll_output`] after each until it says [`Output::Wait`]:
//!
//! ```text
//! Idle → Connecting → Syncing → Live | Degraded → Stalled → Backoff → Connecting;  Closed on a fatal code or by the user
//! ```
//!
//! A driver in short:
//!
//! ```
//! use tickwire_proto::Moment;
//! use tickwire_proto::session::{Input, Item, Output, Session, SessionConfig, SubscribeOptions};
//!
//! let mut session = Session::new(SessionConfig::default(), 7);
//! let now = Moment::ZERO; // the driver's clock
//! let quotes = session.subscribe(now, &[Item { target: "stock.AAPL".into() }], SubscribeOptions::default());
//! session.handle(now, Input::Connect);
//! let deadline = loop {
//!     match session.poll_output() {
//!         Output::Open { attempt } => println!("open a socket, try {attempt}; then Input::Opened, and Input::Frame for each message"),
//!         Output::Send(frame) => println!("write {} bytes", frame.len()),
//!         Output::Ready(subscription) => assert_eq!(subscription, quotes),
//!         Output::Wait(deadline) => break deadline, // for the next input, or Input::Timeout
//!         other => println!("{other:?}"),
//!     }
//! };
//! assert!(deadline.is_some(), "a transport that does not open is given up");
//! while let Some(change) = session.next_change(quotes) {
//!     println!("{change}");
//! }
//! ```
//!
//! The session owns what the application wants and brings every new connection to it; it keeps the newest values across connections,
//! so that nothing flickers while it reconnects, and says by its state whether they are current.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::time::Moment;
use crate::v1;

mod backoff;
mod clock;
mod config;
mod ending;
mod exchange;
mod instrument;
mod link;
mod pace;
mod progress;
mod query;
mod queue;
mod sending;
mod serving;
mod table;
mod token;
mod transition;
mod wanted;

pub use config::{SessionConfig, Stats};
pub use exchange::{Event, Input, Output, State};
pub use instrument::{Change, Instrument};

use backoff::Backoff;
use clock::ServerClock;
use link::Link;
use pace::Pace;
use table::Table;
use token::Tokens;
use wanted::Wanted;

/// The client session. One per connection of an application.
#[derive(Debug)]
pub struct Session {
    config: SessionConfig,
    /// The newest time told.
    now: Moment,
    link: Link,
    /// The state that the application was told last.
    shown: State,
    /// Bounded by what one input can ask for: drivers drain it after each.
    outputs: VecDeque<Output>,
    wanted: Wanted,
    table: Table,
    backoff: Backoff,
    pace: Pace,
    clock: ServerClock,
    tokens: Tokens,
    feeds: Vec<v1::FeedState>,
    /// Covers what the wanted set says is held.
    resume: Option<String>,
    epoch: String,
    node: String,
    paused: bool,
    requests: u32,
    /// Bytes of items in one command.
    message_bytes_max: usize,
    /// One-way: what the open request asked for, and when it has to be replaced by another.
    asked_query: String,
    reopen_at: Option<Moment>,
    stats: Stats,
}

impl Session {
    /// A session at rest. `seed` feeds the jitter of backoff.
    pub fn new(config: SessionConfig, seed: u64) -> Self {
        Self {
            now: Moment::ZERO,
            link: Link::Idle,
            shown: State::Idle,
            outputs: VecDeque::new(),
            wanted: Wanted::default(),
            table: Table::new(config.events_max),
            backoff: Backoff::new(config.backoff_min, config.backoff_max, seed),
            pace: Pace::new(),
            clock: ServerClock::default(),
            tokens: Tokens::new(config.token.clone(), config.refresh),
            feeds: Vec::new(),
            resume: None,
            epoch: String::new(),
            node: String::new(),
            paused: false,
            requests: 0,
            message_bytes_max: serving::message_budget(serving::MESSAGE_BYTES_MAX),
            asked_query: String::new(),
            reopen_at: None,
            stats: Stats::default(),
            config,
        }
    }

    /// Takes one input. Drain [`Session::poll_output`] afterwards.
    pub fn handle(&mut self, now: Moment, input: Input<'_>) {
        self.now = self.now.max(now);
        let now = self.now;
        match (&self.link, input) {
            (Link::Closed, _) => {}
            (_, Input::Close) => self.finish(None, String::from("closed by the user")),
            (Link::Idle, Input::Connect) => self.connect(now),
            (Link::Opening { since, .. }, Input::Opened) => self.greet(now, *since),
            (_, Input::Frame(bytes)) => self.receive(now, bytes),
            (_, Input::Closed { code, retry_after }) => self.transport_ended(now, code, retry_after),
            (_, Input::Timeout) => self.expire(now),
            (Link::Backoff { .. }, Input::Wake | Input::Connect) => self.connect(now),
            (Link::Up(_), Input::Wake) => self.probe(now),
            (_, Input::Paused(paused)) => self.paused = paused,
            (_, Input::Token { request, token }) => self.take_token(now, request, token),
            (_, Input::Connect | Input::Opened | Input::Wake) => {}
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Output {
        if self.outputs.is_empty() {
            // Only now, so that several calls of the application become one command.
            self.reconcile();
        }
        self.outputs.pop_front().unwrap_or_else(|| Output::Wait(self.deadline()))
    }

    /// Adds a subscription. Items that are no symbol or pattern are reported as [`Event::Refused`].
    ///
    /// Subscriptions may overlap: the server is asked once, at the fastest rate that any of them wants, and each reads for itself.
    pub fn subscribe(&mut self, now: Moment, items: &[Item], options: SubscribeOptions) -> SubscriptionId {
        let mut refusals = Vec::new();
        let subscription = self.wanted.add(items, options, &mut refusals);
        self.refuse(refusals);
        self.table.subscribe(subscription, options.trades, &self.wanted, &mut self.outputs);
        self.wanted_changed(now);
        subscription
    }

    /// Changes the rate of a subscription while it is live.
    pub fn set_conflation(&mut self, now: Moment, subscription: SubscriptionId, conflate_ms: Option<u32>) {
        self.wanted.set_conflation(subscription, conflate_ms);
        self.wanted_changed(now);
    }

    /// Ends a subscription. Its values and unread changes are dropped, unless another one covers them.
    pub fn unsubscribe(&mut self, now: Moment, subscription: SubscriptionId) {
        if self.wanted.remove(subscription) {
            self.table.unsubscribe(subscription);
            self.table.serve(&self.wanted);
            self.wanted_changed(now);
        }
    }

    /// The next change of a subscription, the oldest first; the events of an instrument come before its state.
    ///
    /// A state is always the newest one; its `merged`, `interval_high` and `interval_low` cover all records since the previous change
    /// of the instrument that this subscription read.
    pub fn next_change(&mut self, subscription: SubscriptionId) -> Option<Change> {
        self.table.next_change(subscription)
    }

    /// Changes that wait for [`Session::next_change`]: at most one state for each instrument, and `events_max` events.
    pub fn waiting(&self, subscription: SubscriptionId) -> usize {
        self.table.waiting(subscription)
    }

    /// The newest state of an instrument that some subscription covers.
    pub fn latest(&self, symbol: &str) -> Option<&Instrument> {
        self.table.latest(symbol)
    }

    /// How old the newest record of `instrument` is, by the server's clock as estimated here. `None` before the first Welcome, and for
    /// a record that does not say when it happened.
    pub fn age(&self, now: Moment, instrument: &Instrument) -> Option<Duration> {
        let unix_us = self.clock.unix_us(now)?;
        (instrument.ts_event_us > 0).then(|| Duration::from_micros(unix_us.saturating_sub(instrument.ts_event_us)))
    }

    /// The server's time at `now`, microseconds since 1970 UTC, as estimated here. `None` before the first Welcome.
    pub fn server_time_us(&self, now: Moment) -> Option<u64> {
        self.clock.unix_us(now)
    }

    /// The state of the connection.
    pub fn state(&self) -> State {
        self.shown
    }

    /// When the next try begins, in [`State::Backoff`].
    pub fn retry_at(&self) -> Option<Moment> {
        match self.link {
            Link::Backoff { retry_at } => Some(retry_at),
            _ => None,
        }
    }

    /// Every feed's newest state.
    pub fn feeds(&self) -> &[v1::FeedState] {
        &self.feeds
    }

    /// What was counted so far.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// The newest resume token, for `Last-Event-ID`. One-way, only while it covers everything that is wanted.
    pub fn resume_token(&self) -> Option<&str> {
        self.resume.as_deref().filter(|_| self.config.two_way || self.wanted.holds_all())
    }

    /// The newest bearer token, for the `Authorization` header.
    pub fn token(&self) -> Option<&str> {
        self.tokens.current()
    }

    /// Query of the SSE request for everything wanted now, such as `?symbols=a,b&conflate_ms=250`. One request has one rate: the fastest
    /// that is wanted.
    pub fn sse_query(&self) -> String {
        query::sse(self.wanted.targets(), self.wanted.terms_of_all(self.config.conflate_ms), self.config.heartbeat_ms)
    }

    /// When [`Input::Timeout`] is needed at the latest.
    fn deadline(&self) -> Option<Moment> {
        let has_more = self.wanted.is_changed() || self.link.peer().is_some_and(|peer| peer.paused != self.paused);
        let command = (self.config.two_way && self.link.is_open() && has_more).then(|| self.pace.free_at());
        let reopen = self.reopen_at.filter(|_| self.link.has_transport());
        [self.link.deadline(), self.tokens.deadline(), command, reopen].into_iter().flatten().min()
    }
}

/// Name of one subscription of this session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionId(pub u32);

/// One thing an application subscribes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Symbol or pattern.
    pub target: String,
}

/// Options of one subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// Rate asked for, milliseconds; the session's default if none.
    pub conflate_ms: Option<u32>,
    /// Single trades as well.
    pub trades: bool,
}
