//! A plain socket.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::Shutdown;

use mio::net::TcpStream;

use super::Sent;

/// A socket, and what it has not taken yet. Idle, it holds no buffer.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(in crate::shard) stream: TcpStream,
    /// What the socket did not take, from `unsent_at` on. Bounded by one flush: while it is not empty, the engine gives only what may not
    /// wait, and cuts the connection after a time without progress.
    unsent: Vec<u8>,
    unsent_at: usize,
}

impl Socket {
    pub(in crate::shard) fn new(stream: TcpStream) -> Self {
        Self { stream, unsent: Vec::new(), unsent_at: 0 }
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> Sent {
        if !self.unsent.is_empty() {
            self.unsent.extend_from_slice(bytes);
            return Sent::Blocked;
        }
        match write_some(&mut self.stream, bytes) {
            Ok(taken) if taken == bytes.len() => Sent::All,
            Ok(taken) => {
                self.unsent.extend_from_slice(&bytes[taken..]);
                Sent::Blocked
            }
            Err(_) => Sent::Broken,
        }
    }

    pub(super) fn send_rest(&mut self) -> Sent {
        match write_some(&mut self.stream, &self.unsent[self.unsent_at..]) {
            Ok(taken) => self.unsent_at += taken,
            Err(_) => return Sent::Broken,
        }
        if self.unsent_at < self.unsent.len() {
            return Sent::Blocked;
        }
        (self.unsent, self.unsent_at) = (Vec::new(), 0);
        Sent::All
    }

    pub(super) fn is_blocked(&self) -> bool {
        !self.unsent.is_empty()
    }

    pub(super) fn unsent(&self) -> usize {
        self.unsent.len() - self.unsent_at
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match self.stream.read(buffer) {
                Ok(len) => return Ok(Some(len)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn shut_if_done(&self) {
        if !self.is_blocked() {
            let _ = self.stream.shutdown(Shutdown::Write);
        }
    }
}

/// Writes until the socket is full or everything is out.
fn write_some(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut taken = 0;
    while taken < bytes.len() {
        match stream.write(&bytes[taken..]) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(len) => taken += len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(taken)
}
