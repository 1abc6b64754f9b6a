//! An encrypted socket. What it has not taken waits inside the TLS session, already encrypted.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::Shutdown;

use mio::net::TcpStream;
use tokio_rustls::rustls::ServerConnection;

use super::Sent;

/// A socket and its TLS session.
#[derive(Debug)]
pub(crate) struct Encrypted {
    pub(in crate::shard) stream: TcpStream,
    /// Holds what is unsent, bounded by one flush like that of a plain socket, and an input buffer of 4 KiB.
    session: ServerConnection,
    /// The end was said.
    ended: bool,
}

impl Encrypted {
    pub(in crate::shard) fn new(stream: TcpStream, mut session: ServerConnection) -> Self {
        // The bound is the engine's: it gives no more while something is unsent.
        session.set_buffer_limit(None);
        Self { stream, session, ended: false }
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> Sent {
        match self.session.writer().write_all(bytes) {
            Ok(()) => self.send_rest(),
            Err(_) => Sent::Broken,
        }
    }

    pub(super) fn send_rest(&mut self) -> Sent {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.stream) {
                Ok(0) => return Sent::Broken,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Sent::Blocked,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Sent::Broken,
            }
        }
        Sent::All
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.session.wants_write()
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match self.session.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => return read.map(Some),
            }
            match self.session.read_tls(&mut self.stream) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
                Ok(0) => return Ok(Some(0)),
                Ok(_) => {}
            }
            let processed = self.session.process_new_packets();
            // An answer to what the client's TLS asked, or the alert that says what is wrong. What does not leave now leaves later.
            self.send_rest();
            processed.map_err(io::Error::other)?;
        }
    }

    pub(super) fn shut_if_done(&mut self) {
        if !self.ended && !self.is_blocked() {
            self.ended = true;
            self.session.send_close_notify();
            self.send_rest();
        }
        if !self.is_blocked() {
            let _ = self.stream.shutdown(Shutdown::Write);
        }
    }
}
