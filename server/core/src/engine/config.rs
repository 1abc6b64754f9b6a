//! Settings of an engine, and what it counts.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use tickwire_proto::Pattern;

use super::credit::Credit;

/// Settings of an engine.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Name of this node.
    pub node: String,
    /// Bytes of one client message; told to clients, enforced by the shell's framing.
    pub message_bytes_max: u32,
    /// Instruments per connection (2,000).
    pub subscriptions_max: u32,
    /// Items in one Subscribe (1,000).
    pub items_max: usize,
    /// Commands per second (10) ...
    pub commands_per_s: u32,
    /// ... and at once (40).
    pub commands_burst: u32,
    /// Time to Hello (5 s).
    pub hello_within: Duration,
    /// Default rate of connections that ask for none, milliseconds (250).
    pub conflate_ms_default: u32,
    /// Fastest rate granted, milliseconds (0).
    pub conflate_ms_min: u32,
    /// Fastest rates of some instruments; the first rule that matches a symbol counts. Each is tried once, when an instrument appears.
    pub rate_rules: Vec<RateRule>,
    /// Whether a first change waits for the next beat of its rate where its connection was told prices since the last one (no).
    pub paced: bool,
    /// Default heartbeat (5 s), and what may be asked for (500 ms to 30 s).
    pub heartbeat: Duration,
    /// Without progress for this long (30 s): SLOW_CONSUMER.
    pub stalled_max: Duration,
    /// Events kept for resume, over all instruments (10,000). Older ones become a Gap.
    pub events_kept: usize,
    /// Events a connection may have waiting while it cannot take data (256). More become a Gap.
    pub events_waiting_max: usize,
    /// Bytes that a client which reports progress may have under way at most (4 MiB); the window adapts below. 0: no credit.
    pub credit_bytes_max: u32,
}

impl Default for EngineConfig {
    /// The documented defaults, for a node without a name.
    fn default() -> Self {
        Self {
            node: String::new(),
            message_bytes_max: 65_536,
            subscriptions_max: 2_000,
            items_max: 1_000,
            commands_per_s: 10,
            commands_burst: 40,
            hello_within: Duration::from_secs(5),
            conflate_ms_default: 250,
            conflate_ms_min: 0,
            rate_rules: Vec::new(),
            paced: false,
            heartbeat: Duration::from_secs(5),
            stalled_max: Duration::from_secs(30),
            events_kept: 10_000,
            events_waiting_max: 256,
            credit_bytes_max: 4 << 20,
        }
    }
}

/// The fastest rate of some instruments, whatever clients ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateRule {
    /// Symbols of the instruments.
    pub pattern: Pattern,
    /// Milliseconds. 0: as fast as the server and the token allow.
    pub conflate_ms_min: u32,
}

/// What an engine counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineStats {
    /// Connections now.
    pub connections: u64,
    /// Lanes with at least one subscriber now.
    pub lanes: u64,
    /// Times that a lane was looked at, by an update, a flush or a heartbeat. A silent lane is not.
    pub lane_visits: u64,
    /// Subscriptions (connection × instrument) now.
    pub subscriptions: u64,
    /// Updates applied.
    pub updates_applied: u64,
    /// Records handed to sinks.
    pub records_sent: u64,
    /// Inputs that were merged into those records.
    pub updates_conflated: u64,
    /// Frames handed to sinks.
    pub frames_sent: u64,
    /// Bytes of those frames, without transport framing.
    pub frame_bytes: u64,
    /// Connections that cannot take data now.
    pub slow: u64,
    /// Gaps told.
    pub gaps: u64,
    /// Connections ended, by the engine's own decision.
    pub closed: u64,
    /// Newest position applied.
    pub seq: u64,
    /// Connections that report progress, or are watched, now ...
    pub credit_connections: u64,
    /// ... and bytes that they may have under way, together.
    pub credit_window_bytes: u64,
    /// Times that data waited until a client had got on ...
    pub credit_waits: u64,
    /// ... and for how long, together.
    pub credit_wait: Duration,
    /// Reports of progress that said nothing new, or named a frame that was never sent.
    pub reports_ignored: u64,
}

impl EngineStats {
    pub(super) fn note_credit(&mut self, credit: &Credit) {
        self.credit_connections += 1;
        self.credit_window_bytes += u64::from(credit.window());
    }

    pub(super) fn forget_credit(&mut self, credit: &Credit) {
        self.credit_connections -= 1;
        self.credit_window_bytes -= u64::from(credit.window());
    }

    pub(super) fn note_credit_wait(&mut self, span: Duration) {
        self.credit_waits += 1;
        self.credit_wait += span;
    }
}

/// Rates that are granted, milliseconds. A request is rounded up to one of them.
pub const RATE_CLASSES_MS: [u32; 8] = [0, 50, 100, 250, 500, 1_000, 2_000, 5_000];
/// Records in one frame, and state records of one connection in one flush. What does not fit stays dirty and leaves with the next flush.
pub const FRAME_RECORDS_MAX: usize = 512;
