//! The client session: everything an SDK decides, without socket and clock.
//!
//! A driver opens transports, feeds inputs, and drains [`Session::poll_output`] after each until it says [`Output::Wait`]:
//!
//! ```text
//! Idle → Connecting → Syncing → Live | Degraded → Stalled → Backoff → Connecting;  Closed on a fatal code or by the user
//! ```
//!
//! The session owns what the application wants and brings every new connection to it; it keeps the newest values across connections,
//! so that nothing flickers while it reconnects, and says by its state whether they are current.

use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use crate::time::Moment;
use crate::v1::client_frame::Command;
use crate::v1::{self, ErrorCode, Retry};
use crate::wire;

mod backoff;
mod clock;
mod config;
mod ending;
mod exchange;
mod instrument;
mod link;
mod pace;
mod query;
mod queue;
mod serving;
mod table;
mod token;
mod wanted;

pub use config::{SessionConfig, Stats};
pub use exchange::{Event, Input, Output, State};
pub use instrument::{Change, Instrument};

use backoff::Backoff;
use clock::ServerClock;
use ending::Ending;
use link::{Link, OPEN_WAIT, PING_EVERY, PROVEN_AFTER, Peer, Up, WAKE_PROBE, WELCOME_WAIT};
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
}

/// The way from one state of the link to the next.
impl Session {
    fn connect(&mut self, now: Moment) {
        if !self.config.two_way && self.wanted.is_empty() {
            self.link = Link::Parked;
            self.show(State::Idle, None, String::from("nothing is wanted yet"));
        } else if self.tokens.is_missing() {
            self.ask_token(now);
            self.link = Link::Renewing { not_before: now, give_up_at: now + token::ANSWER_WAIT };
            self.show(State::Connecting, None, String::from("waiting for a token"));
        } else {
            self.open(now);
        }
    }

    fn open(&mut self, now: Moment) {
        self.table.reconnect();
        self.wanted.forget_told();
        self.pace.restart();
        self.reopen_at = None;
        if !self.config.two_way {
            self.asked_query = self.sse_query();
            self.wanted.all_asked(self.config.conflate_ms);
        }
        self.link = Link::Opening { since: now, give_up_at: now + OPEN_WAIT };
        self.show(State::Connecting, None, String::new());
        self.outputs.push_back(Output::Open { attempt: self.backoff.attempt() });
    }

    /// The transport is open: Hello, and what is wanted right behind it.
    fn greet(&mut self, now: Moment, since: Moment) {
        self.stats.connects += 1;
        let greeted_at = if self.config.two_way { now } else { since };
        self.link = Link::Greeting { peer: Peer::new(greeted_at), give_up_at: now + WELCOME_WAIT };
        if !self.config.two_way {
            return;
        }
        let resume = self.resume.clone().filter(|_| self.wanted.holds_any());
        let resumes = resume.is_some();
        let hello = v1::Hello {
            protocol: PROTOCOL,
            sdk: self.config.sdk.clone(),
            token: self.tokens.current().map(ToString::to_string),
            resume,
            conflate_ms: self.config.conflate_ms,
            heartbeat_ms: Some(self.config.heartbeat_ms),
            credit: true,
        };
        self.send(0, Command::Hello(hello));
        if resumes {
            // The token counts for the first Subscribe alone, so what has no images yet goes into another one.
            self.send_next_wanted(now, true);
        }
    }

    /// Brings the server's knowledge to what is wanted, as fast as it allows.
    fn reconcile(&mut self) {
        if !self.config.two_way || !self.link.is_open() {
            return;
        }
        while self.wanted.is_changed() && self.pace.free_at() <= self.now {
            if !self.send_next_wanted(self.now, false) {
                break;
            }
        }
        let (paused, now) = (self.paused, self.now);
        if let Some(peer) = self.link.peer_mut().filter(|peer| peer.paused != paused) {
            if self.pace.free_at() <= now {
                peer.paused = paused;
                self.pace.spend(now);
                let request = self.next_request();
                self.send(request, Command::Configure(v1::Configure { conflate_ms: None, paused: Some(paused) }));
            }
        }
    }

    fn send_next_wanted(&mut self, now: Moment, held_first: bool) -> bool {
        let request = self.next_request();
        let command = self.wanted.next_command(request, self.config.conflate_ms, self.message_bytes_max, held_first);
        let sends = command.is_some();
        if let Some(command) = command {
            self.pace.spend(now);
            self.send(request, command);
        }
        sends
    }

    /// The application wants something else than before.
    fn wanted_changed(&mut self, now: Moment) {
        self.now = self.now.max(now);
        if !self.config.two_way {
            if matches!(self.link, Link::Parked) {
                self.connect(self.now);
            } else if self.link.has_transport() {
                let differs = self.sse_query() != self.asked_query;
                self.reopen_at = differs.then(|| self.reopen_at.unwrap_or(self.now + REOPEN_AFTER));
            }
        }
        self.settle(self.now);
    }

    /// The transport ended by itself.
    fn transport_ended(&mut self, now: Moment, close: Option<u16>, retry_after: Option<Duration>) {
        if !self.link.has_transport() {
            return;
        }
        self.forgive(now);
        let last_words = self.link.peer_mut().and_then(|peer| peer.last_words.take());
        let mut ending = Ending::of_transport(close, last_words.as_ref(), self.tokens.can_renew());
        ending.wait = retry_after.or(ending.wait).map(|wait| wait + self.backoff.next());
        if let Link::Up(Up { leave: Some(leave), .. }) = &self.link {
            if ending.code.is_none() || ending.code == leave.code {
                let wait = leave.at.since(now);
                ending = Ending::new(leave.code, String::from("the server said goodbye"));
                ending.wait = Some(wait);
            }
        }
        self.link = Link::Idle;
        self.retry(now, ending);
    }

    /// The session gives the connection up.
    fn fail(&mut self, now: Moment, reason: String) {
        self.end(now, None, reason, None);
    }

    fn end(&mut self, now: Moment, code: Option<ErrorCode>, reason: String, wait: Option<Duration>) {
        self.forgive(now);
        self.shut(CLOSE_RETRYING);
        self.link = Link::Idle;
        self.retry(now, Ending { wait, ..Ending::new(code, reason) });
    }

    /// There is no transport any more: what comes next?
    fn retry(&mut self, now: Moment, ending: Ending) {
        let Ending { code, retry, reason, wait } = ending;
        let renews = retry == Retry::WithNewToken;
        if retry == Retry::Never || (renews && !self.tokens.can_renew()) {
            return self.finish(code, reason);
        }
        let retry_at = now + wait.unwrap_or_else(|| self.backoff.next());
        self.link = if renews {
            self.ask_token(now);
            Link::Renewing { not_before: retry_at, give_up_at: retry_at.max(now + token::ANSWER_WAIT) }
        } else {
            Link::Backoff { retry_at }
        };
        self.show(State::Backoff, code, reason);
    }

    /// A connection that was Live for long enough makes up for the failures before it.
    fn forgive(&mut self, now: Moment) {
        if matches!(&self.link, Link::Up(Up { live_since: Some(since), .. }) if now.since(*since) >= PROVEN_AFTER) {
            self.backoff.reset();
        }
    }

    fn finish(&mut self, code: Option<ErrorCode>, reason: String) {
        self.shut(CLOSE_NORMAL);
        self.link = Link::Closed;
        self.tokens.stop();
        self.show(State::Closed, code, reason);
    }

    /// Deadlines that have passed.
    fn expire(&mut self, now: Moment) {
        if let Some(request) = self.tokens.expire(now) {
            self.outputs.push_back(Output::NeedToken { request });
        }
        if self.reopen_at.is_some_and(|at| now >= at) && self.link.has_transport() {
            self.shut(CLOSE_RETRYING);
            return self.connect(now);
        }
        match &mut self.link {
            Link::Backoff { retry_at } if now >= *retry_at => self.connect(now),
            Link::Opening { give_up_at, .. } if now >= *give_up_at => self.fail(now, String::from("the transport did not open in time")),
            Link::Greeting { give_up_at, .. } if now >= *give_up_at => self.fail(now, String::from("no welcome in time")),
            Link::Renewing { give_up_at, .. } if now >= *give_up_at => self.back_off(now, "no token in time"),
            Link::Up(up) if now >= up.silent_at => {
                let reason = String::from("the server is silent");
                self.show(State::Stalled, None, reason.clone());
                self.fail(now, reason);
            }
            Link::Up(up) => match &up.leave {
                Some(leave) if now >= leave.at => {
                    let code = leave.code;
                    self.end(now, code, String::from("the server said goodbye"), Some(Duration::ZERO));
                }
                _ => {
                    if up.ping.as_ref().is_some_and(|ping| now >= ping.due_at) {
                        self.ping(now);
                    }
                    self.tell_progress(now);
                }
            },
            _ => {}
        }
    }

    fn back_off(&mut self, now: Moment, reason: &str) {
        self.link = Link::Backoff { retry_at: now + self.backoff.next() };
        self.show(State::Backoff, None, reason.to_string());
    }

    /// The network changed under an open connection: it has to prove itself, sooner than silence would tell.
    fn probe(&mut self, now: Moment) {
        if let Link::Up(up) = &mut self.link {
            if up.ping.is_some() {
                up.silent_at = up.silent_at.min(now + WAKE_PROBE);
                self.ping(now);
            }
        }
    }

    fn ping(&mut self, now: Moment) {
        let nonce = u64::from(self.next_request());
        let Link::Up(Up { ping: Some(ping), .. }) = &mut self.link else { return };
        (ping.due_at, ping.sent) = (now + PING_EVERY, Some((nonce, now)));
        self.send(0, Command::Ping(v1::Ping { nonce }));
    }

    fn ask_token(&mut self, now: Moment) {
        if let Some(request) = self.tokens.ask(now) {
            self.outputs.push_back(Output::NeedToken { request });
        }
    }

    fn take_token(&mut self, now: Moment, request: u32, token: Option<String>) {
        if !self.tokens.answer(now, request, token.clone()) {
            return;
        }
        match (&self.link, token) {
            (Link::Renewing { not_before, .. }, Some(_)) if now < *not_before => self.link = Link::Backoff { retry_at: *not_before },
            (Link::Renewing { .. }, Some(_)) => self.open(now),
            (Link::Renewing { .. }, None) => self.back_off(now, "there is no token"),
            (Link::Greeting { .. } | Link::Up(_), Some(token)) if self.config.two_way => {
                let request = self.next_request();
                self.send(request, Command::Authenticate(v1::Authenticate { token }));
                if let Some(unix_us) = self.clock.unix_us(now) {
                    self.tokens.plan(now, unix_us);
                }
            }
            // One-way, a token can only be given with another request.
            (link, Some(_)) if !self.config.two_way && link.has_transport() => self.reopen_at = Some(now),
            _ => {}
        }
    }

    /// When [`Input::Timeout`] is needed at the latest.
    fn deadline(&self) -> Option<Moment> {
        let has_more = self.wanted.is_changed() || self.link.peer().is_some_and(|peer| peer.paused != self.paused);
        let command = (self.config.two_way && self.link.is_open() && has_more).then(|| self.pace.free_at());
        let reopen = self.reopen_at.filter(|_| self.link.has_transport());
        [self.link.deadline(), self.tokens.deadline(), command, reopen].into_iter().flatten().min()
    }

    fn show(&mut self, state: State, code: Option<ErrorCode>, reason: String) {
        if self.shown != state {
            self.shown = state;
            self.outputs.push_back(Output::Event(Event::State { state, code, reason }));
        }
    }

    fn shut(&mut self, code: u16) {
        if self.link.has_transport() {
            self.outputs.push_back(Output::Shut { code });
        }
    }

    fn send(&mut self, request_id: u32, command: Command) {
        let mut bytes = Vec::new();
        wire::encode_client(self.config.encoding, &v1::ClientFrame { request_id, command: Some(command) }, &mut bytes);
        self.outputs.push_back(Output::Send(bytes));
    }

    /// Numbers requests from 1: 0 stands for "no answer wanted".
    fn next_request(&mut self) -> u32 {
        self.requests = self.requests.checked_add(1).unwrap_or(1);
        self.requests
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

/// Version of the protocol, for Hello.
const PROTOCOL: u32 = 1;
/// Close code of a session that ends.
const CLOSE_NORMAL: u16 = 1_000;
/// Close code of a connection that is given up for another one. Browsers allow 1000 and 3000 to 4999; servers use 4000 and up.
const CLOSE_RETRYING: u16 = 3_000;
/// One-way: wait for further changes of the wanted set before a new request takes the place of the old one.
const REOPEN_AFTER: Duration = Duration::from_millis(20);
