//! The engine of one shard: applies batches to its book, marks what subscribers have to be told, and builds their frames.
//!
//! The shell calls [`Engine::apply`], [`Engine::receive`] and friends as things happen, then [`Engine::flush`], which writes what is
//! due into a [`Sink`]; it sleeps until [`Engine::deadline`].

use alloc::boxed::Box;
use alloc::string::String;
use core::time::Duration;

use tickwire_proto::time::Moment;
use tickwire_proto::v1::{self, ErrorCode};
use tickwire_proto::wire::Encoding;

use crate::access::{Authority, Grant};
use crate::batch::Batch;

/// Names a connection of this shard. The shell chooses it and does not use it again while the engine knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionKey(pub u32);

/// What the shell does with what the engine decides.
pub trait Sink {
    /// One frame for `connection`; more may follow. `kind` helps transports that name their events (SSE), `token` is the resume token
    /// when the frame carries one.
    fn frame(&mut self, connection: ConnectionKey, frame: FrameRef<'_>);

    /// All frames of this flush for `connection` were given: write them out. Returns whether the socket took everything; if not, the
    /// shell keeps the rest and calls [`Engine::writable`] when it has left.
    fn commit(&mut self, connection: ConnectionKey) -> Written;

    /// Close `connection` after what was committed. The engine has forgotten it.
    fn close(&mut self, connection: ConnectionKey, code: ErrorCode, text: &str);
}

/// One encoded `ServerFrame`, without transport framing.
#[derive(Clone, Copy, Debug)]
pub struct FrameRef<'a> {
    /// The frame in the connection's encoding.
    pub payload: &'a [u8],
    /// What its control part is.
    pub kind: FrameKind,
    /// Resume token, when the frame carries one.
    pub token: Option<&'a str>,
}

/// What a frame is about, for transports that name their events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those of the schema")]
pub enum FrameKind {
    Data,
    Welcome,
    SubscribeAck,
    SnapshotComplete,
    UnsubscribeAck,
    Ack,
    Heartbeat,
    Gap,
    Notice,
    Error,
    TokenExpiring,
    Goodbye,
    Pong,
}

/// Whether a socket took all bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Nothing is left in user space.
    All,
    /// The socket is full; the shell keeps the rest of the committed frames.
    Blocked,
}

/// A connection at its start.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// How its frames are written.
    pub encoding: Encoding,
    /// The grant, if the transport carried a token in its head; otherwise Hello brings it.
    pub grant: Option<Grant>,
    /// For one-way transports (SSE): the Hello and Subscribe that the request stands for. Such a connection gets no command later.
    pub request: Option<(v1::Hello, v1::Subscribe)>,
    /// Name for logs and Welcome, such as `n1-4711`.
    pub session: String,
}

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
    /// Default heartbeat (5 s), and what may be asked for (500 ms to 30 s).
    pub heartbeat: Duration,
    /// Without progress for this long (30 s): SLOW_CONSUMER.
    pub stalled_max: Duration,
    /// Events kept for resume, over all instruments (10,000). Older ones become a Gap.
    pub events_kept: usize,
    /// Events a connection may have waiting while it cannot take data (256). More become a Gap.
    pub events_waiting_max: usize,
}

/// What an engine counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineStats {
    /// Connections now.
    pub connections: u64,
    /// Lanes with at least one subscriber now.
    pub lanes: u64,
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
}

/// Engine of one shard.
pub struct Engine {
    config: EngineConfig,
    authority: Box<dyn Authority + Send>,
}

impl Engine {
    /// An engine with an empty book.
    pub fn new(config: EngineConfig, authority: Box<dyn Authority + Send>) -> Self {
        Self { config, authority }
    }

    /// Tells what time of day `now` is. Once at the start, then about once a second; stamps only, never deadlines.
    pub fn set_wall_clock(&mut self, now: Moment, unix_us: u64) {
        let _ = (now, unix_us, &self.config, &self.authority);
        unimplemented!()
    }

    /// Applies a batch and marks what has to be told.
    pub fn apply(&mut self, now: Moment, batch: &Batch) {
        let _ = (now, batch);
        unimplemented!()
    }

    /// A connection arrived.
    pub fn attach(&mut self, now: Moment, connection: ConnectionKey, arrival: Arrival) {
        let _ = (now, connection, arrival);
        unimplemented!()
    }

    /// A client's message arrived. A bad one ends the connection with its code.
    pub fn receive(&mut self, now: Moment, connection: ConnectionKey, message: &[u8]) {
        let _ = (now, connection, message);
        unimplemented!()
    }

    /// Ends a connection for a reason that the shell found (message too large, ...): an Error frame, then close.
    pub fn reject(&mut self, now: Moment, connection: ConnectionKey, code: ErrorCode, text: &str) {
        let _ = (now, connection, code, text);
        unimplemented!()
    }

    /// The socket of a blocked connection has taken everything.
    pub fn writable(&mut self, now: Moment, connection: ConnectionKey) {
        let _ = (now, connection);
        unimplemented!()
    }

    /// The transport is gone. Costs one visit per subscription.
    pub fn detach(&mut self, connection: ConnectionKey) {
        let _ = connection;
        unimplemented!()
    }

    /// Says Goodbye to everyone: come back after `retry_after` + U[0, `spread`]. Connections are closed on the next flush.
    pub fn drain(&mut self, now: Moment, retry_after: Duration, spread: Duration) {
        let _ = (now, retry_after, spread);
        unimplemented!()
    }

    /// Writes everything that is due.
    pub fn flush(&mut self, now: Moment, sink: &mut dyn Sink) {
        let _ = (now, sink);
        unimplemented!()
    }

    /// When [`Engine::flush`] has to be called at the latest. `None`: only after the next input.
    pub fn deadline(&self) -> Option<Moment> {
        unimplemented!()
    }

    /// What was counted.
    pub fn stats(&self) -> EngineStats {
        unimplemented!()
    }

    /// Every instrument with its images, for checkpoints and `/v1/instruments`, in the order of ids.
    pub fn images(&self, visit: &mut dyn FnMut(&v1::InstrumentInfo, &[v1::Update])) {
        let _ = visit;
        unimplemented!()
    }
}

/// Rates that are granted, milliseconds. A request is rounded up to one of them.
pub const RATE_CLASSES_MS: [u32; 8] = [0, 50, 100, 250, 500, 1_000, 2_000, 5_000];
