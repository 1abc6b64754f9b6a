//! One connection of a shard: its socket, its transport, and what its socket has not taken yet.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::Shutdown;

use mio::net::TcpStream;
use tickwire_core::engine::FrameRef;
use tickwire_proto::Moment;

use super::{TransportKind, sse};
use crate::accept::Visitor;
use crate::websocket::{Inbound, Opcode, push_close, push_frame};

/// One connection. Idle, it holds no buffer.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) socket: TcpStream,
    pub(super) transport: TransportKind,
    pub(super) inbound: Inbound,
    pub(super) phase: Phase,
    /// Distinguishes it from an earlier one of the same key.
    pub(super) serial: u64,
    /// What the socket did not take, from `unsent_at` on. Bounded by one flush: while it is not empty, the engine gives only what may not
    /// wait, and cuts the connection after a time without progress.
    unsent: Vec<u8>,
    unsent_at: usize,
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

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// The socket took everything.
    All,
    /// Something is left in user space.
    Blocked,
    /// The socket is gone.
    Broken,
}

impl Connection {
    pub(super) fn new(socket: TcpStream, transport: TransportKind, visitor: Visitor, serial: u64) -> Self {
        let (unsent, unsent_at) = (Vec::new(), 0);
        Self {
            socket,
            transport,
            inbound: Inbound::default(),
            phase: Phase::Open,
            serial,
            unsent,
            unsent_at,
            pong: None,
            _visitor: visitor,
        }
    }

    /// Appends `frame` to `out`, as it travels on this connection.
    pub(super) fn push_frame(&self, out: &mut Vec<u8>, frame: FrameRef<'_>) {
        match self.transport {
            TransportKind::WebSocket { text } => push_frame(out, if text { Opcode::Text } else { Opcode::Binary }, frame.payload),
            TransportKind::Sse { chunked } => sse::push_event(out, frame, chunked),
        }
    }

    /// Appends the end of the conversation to `out`. `code` is for WebSockets.
    pub(super) fn push_end(&self, out: &mut Vec<u8>, code: Option<u16>, reason: &str) {
        match (self.transport, code) {
            (TransportKind::WebSocket { .. }, Some(code)) => push_close(out, code, reason),
            (TransportKind::WebSocket { .. }, None) => push_frame(out, Opcode::Close, &[]),
            (TransportKind::Sse { chunked }, _) => sse::push_end(out, chunked),
        }
    }

    /// Writes `bytes` behind what is unsent; keeps what the socket does not take.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Sent {
        if !self.unsent.is_empty() {
            self.unsent.extend_from_slice(bytes);
            return Sent::Blocked;
        }
        match write_some(&mut self.socket, bytes) {
            Ok(taken) if taken == bytes.len() => Sent::All,
            Ok(taken) => {
                self.unsent.extend_from_slice(&bytes[taken..]);
                Sent::Blocked
            }
            Err(_) => Sent::Broken,
        }
    }

    /// Writes more of what is unsent, and the pong that is owed behind it.
    pub(super) fn send_rest(&mut self) -> Sent {
        match write_some(&mut self.socket, &self.unsent[self.unsent_at..]) {
            Ok(taken) => self.unsent_at += taken,
            Err(_) => return Sent::Broken,
        }
        if self.unsent_at < self.unsent.len() {
            return Sent::Blocked;
        }
        (self.unsent, self.unsent_at) = (Vec::new(), 0);
        match self.pong.take() {
            Some(payload) => self.pong(&payload),
            None => Sent::All,
        }
    }

    /// Answers a ping; while the socket is full, only the newest one.
    pub(super) fn pong(&mut self, payload: &[u8]) -> Sent {
        if self.is_blocked() {
            self.pong = Some(payload.into());
            return Sent::Blocked;
        }
        let mut frame = Vec::with_capacity(payload.len() + 2);
        push_frame(&mut frame, Opcode::Pong, payload);
        self.send(&frame)
    }

    /// Whether something is unsent.
    pub(super) fn is_blocked(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Ends our half once everything has left.
    pub(super) fn shut_if_done(&self) {
        if !self.is_blocked() {
            let _ = self.socket.shutdown(Shutdown::Write);
        }
    }

    /// Reads into `buffer`. `Ok(None)`: nothing there now.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match self.socket.read(buffer) {
                Ok(len) => return Ok(Some(len)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// When to look at a connection again, if it is still the same one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Appointment {
    pub(super) key: u32,
    pub(super) serial: u64,
    pub(super) until: Moment,
}

/// Writes until the socket is full or everything is out.
fn write_some(socket: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut taken = 0;
    while taken < bytes.len() {
        match socket.write(&bytes[taken..]) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(len) => taken += len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(taken)
}
