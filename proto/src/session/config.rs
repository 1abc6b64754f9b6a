//! Settings and counters of a session.

use alloc::string::String;
use core::time::Duration;

use crate::wire::Encoding;

/// Settings of a session. `Default` gives the documented defaults.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Encoding of frames.
    pub encoding: Encoding,
    /// Whether frames can be sent: false over SSE, where the request itself carries hello and subscriptions.
    pub two_way: bool,
    /// Name and version for Hello.
    pub sdk: String,
    /// Default rate asked for, milliseconds. `None`: the server's default.
    pub conflate_ms: Option<u32>,
    /// Heartbeat asked for, milliseconds, 500 to 30,000.
    pub heartbeat_ms: u32,
    /// Token for the first Hello.
    pub token: Option<String>,
    /// Whether [`Output::NeedToken`](super::Output::NeedToken) may be asked. Without a `token` it is asked before the first connection.
    pub refresh: bool,
    /// First backoff ceiling (250 ms).
    pub backoff_min: Duration,
    /// Last backoff ceiling (30 s).
    pub backoff_max: Duration,
    /// Events kept for an application that does not read (1,024 per subscription). More become a Gap.
    pub events_max: usize,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            encoding: Encoding::Protobuf,
            two_way: true,
            sdk: concat!("tickwire/", env!("CARGO_PKG_VERSION")).into(),
            conflate_ms: None,
            heartbeat_ms: 5_000,
            token: None,
            refresh: false,
            backoff_min: Duration::from_millis(250),
            backoff_max: Duration::from_secs(30),
            events_max: 1_024,
        }
    }
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
    /// Records that were dropped because newer ones, or the same event, had come before.
    pub repeated: u64,
    /// Records and infos that were ignored: of no instrument that is wanted, or of a kind that is not known here.
    pub ignored: u64,
    /// Events that were dropped because the application did not read. Each is covered by a Gap.
    pub events_lost: u64,
}
