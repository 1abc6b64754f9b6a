//! One connection of a crowd. Idle, it holds no buffer.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use mio::net::TcpStream;
use socket2::{Domain, Protocol, Socket, Type};

use super::Pace;
use super::line::Line;
use crate::{Conversation, Stamp, Tally};

pub(super) struct Member {
    pub(super) line: Line,
    pub(super) conversation: Box<dyn Conversation>,
    /// Since when it dials.
    pub(super) since: Instant,
    pub(super) ended: bool,
    opened: bool,
    /// A message whose end has not come.
    held: Vec<u8>,
    /// What the socket did not take.
    unsent: Vec<u8>,
    pace: Pace,
    /// Bytes that a slow one may read before its next turn.
    budget: usize,
    /// Whether there may be more to read than the budget allowed.
    waiting: bool,
}

impl Member {
    pub(super) fn new(line: Line, conversation: Box<dyn Conversation>, pace: Pace) -> Self {
        let (held, unsent) = (Vec::new(), Vec::new());
        Self { line, conversation, since: Instant::now(), ended: false, opened: false, held, unsent, pace, budget: 0, waiting: false }
    }

    pub(super) fn is_slow(&self) -> bool {
        self.pace != Pace::Free
    }

    /// Bytes that it may read now. Until it is ready it reads freely: it is the updates that it is slow to take.
    pub(super) fn allowance(&self) -> usize {
        if self.is_slow() && self.conversation.is_ready() { self.budget } else { usize::MAX }
    }

    pub(super) fn spend(&mut self, length: usize) {
        self.budget = self.budget.saturating_sub(length);
        self.waiting = true;
    }

    /// There is nothing more to read now.
    pub(super) fn drained(&mut self) {
        self.waiting = false;
    }

    /// Gives a slow one its next share; returns whether it has something to read with it.
    pub(super) fn refill(&mut self, every: Duration) -> bool {
        let Pace::Slow { bytes_per_s } = self.pace else { return false };
        let share = u128::from(bytes_per_s) * every.as_millis() / 1_000;
        self.budget = (self.budget + share as usize).min(2 * share as usize);
        // An edge may have come while the budget was empty.
        !self.ended
    }

    /// The socket is connected, or takes bytes again.
    pub(super) fn writable(&mut self) -> io::Result<()> {
        if self.ended {
            return Ok(());
        }
        if let Some(error) = self.line.socket().take_error()? {
            return Err(error);
        }
        if !self.opened {
            match self.line.socket().peer_addr() {
                Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(()),
                connected => connected?,
            };
            self.opened = true;
            self.conversation.open(&mut self.unsent);
        }
        self.send(&[])
    }

    /// Sends `bytes` behind what is unsent.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.opened {
            return Ok(());
        }
        self.unsent.extend_from_slice(bytes);
        while !self.unsent.is_empty() {
            match self.line.write(&self.unsent) {
                Ok(length) => drop(self.unsent.drain(..length)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.unsent = Vec::new();
        self.line.flush()
    }

    pub(super) fn received(&mut self, bytes: &[u8], now: Stamp, tally: &mut Tally, answers: &mut Vec<u8>) -> Result<(), String> {
        if self.held.is_empty() {
            let used = self.conversation.take(bytes, now, tally, answers)?;
            self.held.extend_from_slice(&bytes[used..]);
            return Ok(());
        }
        self.held.extend_from_slice(bytes);
        let used = self.conversation.take(&self.held, now, tally, answers)?;
        self.held.drain(..used);
        if self.held.is_empty() {
            // An idle connection holds no buffer: the generator shares its machine with the server.
            self.held = Vec::new();
        }
        Ok(())
    }
}

/// Begins to connect.
pub(super) fn dial(address: SocketAddr, pace: Pace) -> Result<TcpStream> {
    let dial = || -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        // Closed with a reset: thousands of ports must not wait for late packets when the next crowd comes.
        socket.set_linger(Some(Duration::ZERO))?;
        if pace != Pace::Free {
            socket.set_recv_buffer_size(SLOW_BUFFER_BYTES)?;
        }
        match socket.connect(&address.into()) {
            // EINPROGRESS has no kind of its own.
            Err(error) if error.kind() != ErrorKind::WouldBlock && error.raw_os_error() != Some(IN_PROGRESS) => return Err(error),
            _ => {}
        }
        Ok(TcpStream::from_std(socket.into()))
    };
    dial().with_context(|| format!("cannot connect to {address}"))
}

/// Receive buffer of a slow reader: what waits there is already old.
const SLOW_BUFFER_BYTES: usize = 8 * 1024;
/// EINPROGRESS on Linux.
const IN_PROGRESS: i32 = 115;
