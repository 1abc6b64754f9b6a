//! One connection of a shard: its link, its transport, and the answer it owes to a ping.

use tickwire_core::engine::FrameRef;
use tickwire_proto::Moment;

use super::link::{Link, Sent};
use super::watch::Watched;
use super::{TransportKind, sse};
use crate::accept::Visitor;
use crate::grpc;
use crate::websocket::{Inbound, Opcode, push_close, push_frame};

/// One connection. Idle, it holds no buffer.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) link: Link,
    pub(super) transport: TransportKind,
    pub(super) inbound: Inbound,
    pub(super) phase: Phase,
    /// Distinguishes it from an earlier one of the same key.
    pub(super) serial: u64,
    /// How far its frames have got, if the kernel is asked about it.
    pub(super) watched: Option<Box<Watched>>,
    /// The newest ping that could not be answered.
    pong: Option<Box<[u8]>>,
    _visitor: Visitor,
}

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The engine knows it.
    Open,
    /// The engine has forgotten it. What is unsent leaves, then the sending half is shut, and we wait for the client to read the reason and
    /// close, so that a reset does not take the reason from it.
    Leaving {
        /// Bytes that it still sent, thrown away.
        discarded: usize,
    },
}

impl Connection {
    pub(super) fn new(link: Link, transport: TransportKind, visitor: Visitor, serial: u64) -> Self {
        Self { link, transport, inbound: Inbound::default(), phase: Phase::Open, serial, watched: None, pong: None, _visitor: visitor }
    }

    /// Appends `frame` to `out`, as it travels on this connection.
    pub(super) fn push_frame(&self, out: &mut Vec<u8>, frame: FrameRef<'_>) {
        match self.transport {
            TransportKind::WebSocket { text } => push_frame(out, if text { Opcode::Text } else { Opcode::Binary }, frame.payload),
            TransportKind::Sse { chunked } => sse::push_event(out, frame, chunked),
            TransportKind::Grpc => grpc::push_frame(out, frame.payload),
        }
    }

    /// Appends the end of the conversation to `out`. `code` is for WebSockets.
    pub(super) fn push_end(&self, out: &mut Vec<u8>, code: Option<u16>, reason: &str) {
        match (self.transport, code) {
            (TransportKind::WebSocket { .. }, Some(code)) => push_close(out, code, reason),
            (TransportKind::WebSocket { .. }, None) => push_frame(out, Opcode::Close, &[]),
            (TransportKind::Sse { chunked }, _) => sse::push_end(out, chunked),
            // The status of the call says it.
            (TransportKind::Grpc, _) => {}
        }
    }

    /// Writes more of what is unsent, and the pong that is owed behind it.
    pub(super) fn send_rest(&mut self) -> Sent {
        match (self.link.send_rest(), self.pong.take()) {
            (Sent::All, Some(payload)) => self.pong(&payload),
            (sent, pong) => {
                self.pong = pong;
                sent
            }
        }
    }

    /// Answers a ping; while the socket is full, only the newest one.
    pub(super) fn pong(&mut self, payload: &[u8]) -> Sent {
        if self.link.is_blocked() {
            self.pong = Some(payload.into());
            return Sent::Blocked;
        }
        let mut frame = Vec::with_capacity(payload.len() + 2);
        push_frame(&mut frame, Opcode::Pong, payload);
        self.link.send(&frame)
    }
}

/// When to look at a connection again, if it is still the same one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Appointment {
    pub(super) key: u32,
    pub(super) serial: u64,
    pub(super) until: Moment,
}
