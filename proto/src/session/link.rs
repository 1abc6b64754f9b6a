//! The state of the connection: one enum whose states own their deadlines, so that a deadline exists only while it can fire.

use alloc::string::String;
use core::time::Duration;

use super::progress::Progress;
use crate::planted::{Fault, planted};
use crate::time::Moment;
use crate::v1;

/// Where the connection is.
#[derive(Debug)]
pub(super) enum Link {
    Idle,
    /// One-way, and nothing is wanted: there is no request to make.
    Parked,
    /// Waiting for a new token before the next try.
    Renewing {
        not_before: Moment,
        give_up_at: Moment,
    },
    /// A transport is being opened.
    Opening {
        since: Moment,
        give_up_at: Moment,
    },
    /// Open; Welcome has not come.
    Greeting {
        peer: Peer,
        give_up_at: Moment,
    },
    /// Welcomed.
    Up(Up),
    Backoff {
        retry_at: Moment,
    },
    Closed,
}

/// What is known of the other side since the transport opened.
#[derive(Debug)]
pub(super) struct Peer {
    /// When Welcome was asked for.
    pub(super) greeted_at: Moment,
    /// Newest frame. The next one has the next number, or something was lost.
    pub(super) cseq: u64,
    /// An Error of the connection that no frame followed: if the transport ends now, this is why.
    pub(super) last_words: Option<v1::Error>,
    /// Whether the server was told that the page is hidden.
    pub(super) paused: bool,
}

/// A welcomed connection.
#[derive(Debug)]
pub(super) struct Up {
    pub(super) peer: Peer,
    pub(super) session: String,
    /// Silence that is still no stall.
    pub(super) silence_max: Duration,
    pub(super) silent_at: Moment,
    /// All images of the first wanted set are here.
    pub(super) synced: bool,
    /// Since when it counts towards the reset of the backoff.
    pub(super) live_since: Option<Moment>,
    pub(super) ping: Option<Ping>,
    /// Credit: only if the server holds data back for it.
    pub(super) progress: Option<Progress>,
    pub(super) leave: Option<Leave>,
}

/// Clock samples: one is asked for from time to time.
#[derive(Debug)]
pub(super) struct Ping {
    pub(super) due_at: Moment,
    /// Nonce and moment of the one under way.
    pub(super) sent: Option<(u64, Moment)>,
}

/// The server said Goodbye.
#[derive(Debug)]
pub(super) struct Leave {
    pub(super) at: Moment,
    pub(super) code: Option<v1::ErrorCode>,
}

impl Link {
    /// The connection, once the transport is open.
    pub(super) fn peer_mut(&mut self) -> Option<&mut Peer> {
        match self {
            Self::Greeting { peer, .. } | Self::Up(Up { peer, .. }) => Some(peer),
            _ => None,
        }
    }

    /// As [`Link::peer_mut`].
    pub(super) fn peer(&self) -> Option<&Peer> {
        match self {
            Self::Greeting { peer, .. } | Self::Up(Up { peer, .. }) => Some(peer),
            _ => None,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self, Self::Greeting { .. } | Self::Up(_))
    }

    /// Whether there is a transport that has to be shut.
    pub(super) fn has_transport(&self) -> bool {
        matches!(self, Self::Opening { .. }) || self.is_open()
    }

    /// When the state has to be looked at again.
    pub(super) fn deadline(&self) -> Option<Moment> {
        match self {
            Self::Idle | Self::Parked | Self::Closed => None,
            Self::Renewing { give_up_at, .. } | Self::Opening { give_up_at, .. } | Self::Greeting { give_up_at, .. } => Some(*give_up_at),
            Self::Backoff { retry_at } => Some(*retry_at),
            Self::Up(up) => up.deadline(),
        }
    }
}

impl Peer {
    pub(super) fn new(greeted_at: Moment) -> Self {
        Self { greeted_at, cseq: 0, last_words: None, paused: false }
    }
}

impl Up {
    fn deadline(&self) -> Option<Moment> {
        let progress = self.progress.as_ref().and_then(|progress| progress.due_at(self.peer.cseq));
        let others = [self.ping.as_ref().map(|ping| ping.due_at), progress, self.leave.as_ref().map(|leave| leave.at)];
        others.into_iter().flatten().chain([self.silent_at]).min()
    }

    /// Something was heard.
    pub(super) fn heard(&mut self, now: Moment) {
        self.silent_at = now + self.silence_max;
    }
}

/// Silence of a healthy connection: two heartbeats, and some time for the network.
pub(super) fn silence_max(heartbeat_ms: u32) -> Duration {
    let heartbeat = heartbeat_ms.clamp(HEARTBEAT_MS_MIN, HEARTBEAT_MS_MAX);
    let beats = if planted(Fault::ClientIgnoresSilence) { 1_000_000 } else { 2 };
    Duration::from_millis(u64::from(heartbeat) * beats) + STALL_MARGIN
}

/// Wait for a transport to open. Then it is given up, and tried again after a backoff.
pub(super) const OPEN_WAIT: Duration = Duration::from_secs(10);
/// Wait for Welcome. Then the connection is given up, and tried again after a backoff.
pub(super) const WELCOME_WAIT: Duration = Duration::from_secs(10);
/// What the network may add to two heartbeats before the connection counts as stalled.
const STALL_MARGIN: Duration = Duration::from_millis(500);
/// Heartbeats as the protocol allows them. A server that says otherwise is taken at the nearest of these.
const HEARTBEAT_MS_MIN: u32 = 500;
const HEARTBEAT_MS_MAX: u32 = 30_000;
/// Time of Live after which failures are forgotten.
pub(super) const PROVEN_AFTER: Duration = Duration::from_secs(30);
/// First clock sample after Welcome, whose own round trip holds the server's checks.
pub(super) const PING_FIRST: Duration = Duration::from_secs(2);
/// Further clock samples.
pub(super) const PING_EVERY: Duration = Duration::from_secs(30);
/// After a change of the network the connection has to give a sign of life within this time, or it is stalled.
pub(super) const WAKE_PROBE: Duration = Duration::from_secs(5);
