//! The client session: everything an SDK decides, without socket and clock.
//!
//! A driver opens transports, feeds inputs, and drains [`Session::poll_output`] after each until it says [`Output::Wait`]:
//!
//! ```text
//! Idle → Connecting → Syncing → Live | Degraded → Stalled → Backoff → Connecting;  Closed on a fatal code or by the user
//! ```

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use crate::image::Image;
use crate::symbol::Symbol;
use crate::time::Moment;
use crate::v1;
use crate::wire::Encoding;

/// What the session is told.
#[derive(Debug)]
#[non_exhaustive]
pub enum Input<'a> {
    /// The user wants a connection.
    Connect,
    /// The transport that [`Output::Open`] asked for is open.
    Opened,
    /// One frame: a WebSocket message, or the data of one SSE event.
    Frame(&'a [u8]),
    /// The transport failed or ended. Both fields as far as known: a WebSocket close code, and `Retry-After` of an HTTP 503 or 429.
    Closed {
        /// Close code of the WebSocket, or the HTTP status if the request was refused.
        code: Option<u16>,
        /// What `Retry-After` said.
        retry_after: Option<Duration>,
    },
    /// The deadline of [`Output::Wait`] has passed.
    Timeout,
    /// The network came back or the page was shown: try at once.
    Wake,
    /// The page was hidden (true) or shown (false).
    Paused(bool),
    /// The answer to [`Output::NeedToken`]; `None` if there is none. Late answers (other `request`) are dropped.
    Token {
        /// As in the request.
        request: u32,
        /// The token, or nothing if the callback failed.
        token: Option<String>,
    },
    /// The user closes.
    Close,
}

/// What the driver is to do.
#[derive(Debug, PartialEq)]
#[non_exhaustive]
pub enum Output {
    /// Open a transport, after closing the old one. `resume` matters to SSE, which sends it as `Last-Event-ID`.
    Open {
        /// 0 for the first try after Idle or Live, then counting up.
        attempt: u32,
    },
    /// Write one frame.
    Send(Vec<u8>),
    /// Close the transport.
    Shut {
        /// WebSocket close code to give.
        code: u16,
    },
    /// Ask the token callback, and answer with [`Input::Token`].
    NeedToken {
        /// To be given back.
        request: u32,
    },
    /// Tell the application.
    Event(Event),
    /// Data is ready: see [`Session::next_change`]. Said once until the queue has been drained.
    Ready(SubscriptionId),
    /// Nothing more to do until the next input, or until this moment.
    Wait(Option<Moment>),
}

/// State of the connection as applications see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Not asked to connect yet.
    Idle,
    /// Opening a transport, or waiting for Welcome.
    Connecting,
    /// Welcomed; snapshots are on their way.
    Syncing,
    /// All snapshots are here and every feed is LIVE.
    Live,
    /// As Live, but a feed is not LIVE.
    Degraded,
    /// Nothing was heard for `2 × heartbeat + 500 ms`: data is old.
    Stalled,
    /// Waiting before the next try.
    Backoff,
    /// Ended for good.
    Closed,
}

/// Something the application may want to know, apart from data.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The state changed. `retry_at` is set in Backoff, `code` if the server gave a reason.
    State {
        /// The new state.
        state: State,
        /// Why, if the server or transport said so.
        code: Option<v1::ErrorCode>,
        /// For people.
        reason: String,
    },
    /// A feed changed its health.
    Feed(v1::FeedState),
    /// A symbol or pattern was refused.
    Refused {
        /// Which subscription it belonged to.
        subscription: SubscriptionId,
        /// The symbol or pattern as asked for.
        symbol: String,
        /// Why.
        code: v1::ErrorCode,
    },
    /// The server said something: SLOW, SLOW_CLEARED.
    Notice(v1::Notice),
    /// The server reported an error.
    Error(v1::Error),
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

/// Everything known about one instrument, newest values only.
#[derive(Clone, Debug, PartialEq)]
pub struct Instrument {
    /// Its name.
    pub symbol: Symbol,
    /// What is known apart from prices.
    pub info: Arc<v1::InstrumentInfo>,
    /// Its newest values.
    pub image: Image,
    /// Position of the newest record.
    pub seq: u64,
    /// When its newest record happened, microseconds since 1970 UTC by the server's clock.
    pub ts_event_us: u64,
    /// Inputs merged into the newest record, beyond the first.
    pub merged: u32,
}

/// What [`Session::next_change`] gives: always the newest state, never a backlog.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[expect(clippy::large_enum_variant, reason = "one at a time is handed over by value; none is stored")]
pub enum Change {
    /// The state of an instrument changed. The whole newest state comes along.
    State(Instrument),
    /// Something that is never conflated: a halt, a final score, a settlement, a correction, a closed bar, a single trade.
    Event {
        /// Which instrument.
        symbol: Symbol,
        /// What happened.
        update: v1::Update,
        /// The state of the instrument after it.
        instrument: Instrument,
    },
    /// Events of this instrument were lost between two positions.
    Gap {
        /// Which instrument.
        symbol: Symbol,
        /// Last position before the loss.
        from: u64,
        /// First position after it.
        to: u64,
    },
}

/// Settings of a session. `Default` gives the documented defaults.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Encoding of frames.
    pub encoding: Encoding,
    /// Whether frames can be sent: false over SSE, where the request itself carries hello and subscriptions.
    pub two_way: bool,
    /// Name and version for Hello.
    pub sdk: String,
    /// Default rate asked for, milliseconds.
    pub conflate_ms: Option<u32>,
    /// Heartbeat asked for, milliseconds, 500 to 30,000.
    pub heartbeat_ms: u32,
    /// Token for the first Hello.
    pub token: Option<String>,
    /// Whether [`Output::NeedToken`] may be asked.
    pub refresh: bool,
    /// First backoff ceiling (250 ms).
    pub backoff_min: Duration,
    /// Last backoff ceiling (30 s).
    pub backoff_max: Duration,
    /// Events kept for an application that does not read. More become a Gap.
    pub events_max: usize,
}

/// Counters of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Frames received.
    pub frames: u64,
    /// Bytes of frames received.
    pub bytes: u64,
    /// Records received.
    pub records: u64,
    /// Inputs that the server had merged into those records.
    pub merged: u64,
    /// Changes that the application was spared because newer ones came before it read.
    pub conflated: u64,
    /// Connections made.
    pub connects: u64,
}

/// The client session. One per connection of an application.
#[derive(Debug)]
pub struct Session {
    config: SessionConfig,
}

impl Session {
    /// A session at rest. `seed` feeds the jitter of backoff.
    pub fn new(config: SessionConfig, seed: u64) -> Self {
        let _ = seed;
        Self { config }
    }

    /// Takes one input. Drain [`Session::poll_output`] afterwards.
    pub fn handle(&mut self, now: Moment, input: Input<'_>) {
        let _ = (now, input, &self.config);
        unimplemented!()
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Output {
        unimplemented!()
    }

    /// Adds a subscription. Items that are no symbol or pattern are reported as [`Event::Refused`].
    pub fn subscribe(&mut self, now: Moment, items: &[Item], options: SubscribeOptions) -> SubscriptionId {
        let _ = (now, items, options);
        unimplemented!()
    }

    /// Changes the rate of a subscription while it is live.
    pub fn set_conflation(&mut self, now: Moment, subscription: SubscriptionId, conflate_ms: Option<u32>) {
        let _ = (now, subscription, conflate_ms);
        unimplemented!()
    }

    /// Ends a subscription.
    pub fn unsubscribe(&mut self, now: Moment, subscription: SubscriptionId) {
        let _ = (now, subscription);
        unimplemented!()
    }

    /// The next change of a subscription: events in order first for their instrument, else the instrument that has been dirty longest.
    pub fn next_change(&mut self, subscription: SubscriptionId) -> Option<Change> {
        let _ = subscription;
        unimplemented!()
    }

    /// The newest state of an instrument that some subscription covers.
    pub fn latest(&self, symbol: &str) -> Option<&Instrument> {
        let _ = symbol;
        unimplemented!()
    }

    /// How old the newest record of `instrument` is, by the server's clock as estimated here. `None` before the first Welcome.
    pub fn age(&self, now: Moment, instrument: &Instrument) -> Option<Duration> {
        let _ = (now, instrument);
        unimplemented!()
    }

    /// The state of the connection.
    pub fn state(&self) -> State {
        unimplemented!()
    }

    /// Every feed's newest state.
    pub fn feeds(&self) -> &[v1::FeedState] {
        unimplemented!()
    }

    /// What was counted so far.
    pub fn stats(&self) -> Stats {
        unimplemented!()
    }

    /// The newest resume token, for `Last-Event-ID`.
    pub fn resume_token(&self) -> Option<&str> {
        unimplemented!()
    }

    /// Path and query of the SSE request for everything wanted now, such as `?symbols=a,b&conflate_ms=250`.
    pub fn sse_query(&self) -> String {
        unimplemented!()
    }
}
