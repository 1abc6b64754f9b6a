//! What carries the bytes of a connection: a socket, or TLS above one.

use std::io::{self, ErrorKind, Read as _, Write as _};

use anyhow::Result;
use mio::net::TcpStream;
use rustls::{ClientConnection, StreamOwned};

use crate::Encryption;

pub(super) enum Line {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Line {
    pub(super) fn new(socket: TcpStream, encryption: Option<&Encryption>) -> Result<Self> {
        Ok(match encryption {
            None => Self::Plain(socket),
            Some(encryption) => Self::Tls(Box::new(StreamOwned::new(encryption.begin()?, socket))),
        })
    }

    pub(super) fn socket(&mut self) -> &mut TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => &mut stream.sock,
        }
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }

    /// Whether a read of `length` bytes, where `allowed` could have been, has left nothing: TLS gives a record at a time.
    pub(super) fn is_emptied_by(&self, length: usize, allowed: usize) -> bool {
        matches!(self, Self::Plain(_)) && length < allowed
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    /// Sends what TLS has kept back, as far as the socket takes it.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let Self::Tls(stream) = self else { return Ok(()) };
        while stream.conn.wants_write() {
            match stream.conn.write_tls(&mut stream.sock) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                sent => drop(sent?),
            }
        }
        Ok(())
    }
}
