//! What a session and its driver say to each other.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::SubscriptionId;
use crate::v1;

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
    ///
    /// Only the newest transport counts: drivers say nothing about one after [`Output::Shut`] or a later [`Output::Open`].
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
        /// 0 for the first try after Idle, or after a connection that was Live for 30 s; then counting up.
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
    /// Data is ready: see [`Session::next_change`](super::Session::next_change). Said once until the queue has been drained.
    Ready(SubscriptionId),
    /// Nothing more to do until the next input, or until this moment.
    Wait(Option<crate::time::Moment>),
}

/// State of the connection as applications see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Not asked to connect yet; or one-way, and nothing is wanted.
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

impl State {
    /// Whether values are as new as the connection allows: false means that they are shown as stale.
    pub fn is_current(self) -> bool {
        matches!(self, Self::Live | Self::Degraded)
    }
}

/// Something the application may want to know, apart from data.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The state changed. [`Session::retry_at`](super::Session::retry_at) tells when a Backoff ends.
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
    /// A symbol or pattern was refused. It stays wanted, and is asked for again on the next connection; a text that is neither symbol
    /// nor pattern is not.
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
