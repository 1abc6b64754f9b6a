//! What the shell gives and takes: connections at their start, frames at their end.

use alloc::string::String;

use tickwire_proto::v1::{self, ErrorCode};
use tickwire_proto::wire::Encoding;

use crate::access::Grant;

/// Names a connection of this shard. The shell chooses it and does not use it again while the engine knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionKey(pub u32);

/// What the shell does with what the engine decides.
pub trait Sink {
    /// One frame for `connection`; more may follow. `kind` helps transports that name their events (SSE), `token` is the resume token
    /// when the frame carries one.
    fn frame(&mut self, connection: ConnectionKey, frame: FrameRef<'_>);

    /// All frames of this flush for `connection` were given: write them out. Returns whether the socket took everything; if not, the
    /// shell keeps the rest and calls [`Engine::writable`](super::Engine::writable) when it has left.
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
