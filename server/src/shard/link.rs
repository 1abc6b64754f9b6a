//! What the bytes of a connection travel on. Each kind keeps what could not leave yet, bounded by one flush.

mod pipe;
mod socket;
mod tls;

use std::io;
use std::net::SocketAddr;

use tickwire_proto::v1::ErrorCode;
use tokio_rustls::rustls::ServerConnection;

pub(super) use pipe::{Bell, Call, PipeWriter};
pub(crate) use pipe::{Ending, PipeReader, pipe};
pub(super) use socket::Socket;
pub(super) use tls::Encrypted;

/// The way to one client.
#[derive(Debug)]
pub(super) enum Link {
    /// A socket of this shard.
    Socket(Socket),
    /// An encrypted socket of this shard.
    Tls(Box<Encrypted>),
    /// A task that writes to a connection it shares with others (HTTP/2).
    Pipe(PipeWriter),
}

/// A way to a client that no shard has yet.
#[derive(Debug)]
pub(crate) enum Carrier {
    /// A plain socket.
    Socket(std::net::TcpStream),
    /// A socket whose TLS handshake is over.
    Tls(std::net::TcpStream, Box<ServerConnection>),
    /// The end for a shard of a [`pipe`].
    Pipe(PipeWriter),
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// Everything has left.
    All,
    /// Something is left in user space.
    Blocked,
    /// There is no way to the client any more.
    Broken,
}

impl Link {
    /// Writes `bytes` behind what is unsent; keeps what does not leave.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Sent {
        match self {
            Self::Socket(socket) => socket.send(bytes),
            Self::Tls(socket) => socket.send(bytes),
            Self::Pipe(pipe) => pipe.send(bytes),
        }
    }

    /// Writes more of what is unsent.
    pub(super) fn send_rest(&mut self) -> Sent {
        match self {
            Self::Socket(socket) => socket.send_rest(),
            Self::Tls(socket) => socket.send_rest(),
            Self::Pipe(pipe) => pipe.standing(),
        }
    }

    /// Whether something is unsent.
    pub(super) fn is_blocked(&self) -> bool {
        match self {
            Self::Socket(socket) => socket.is_blocked(),
            Self::Tls(socket) => socket.is_blocked(),
            Self::Pipe(pipe) => pipe.is_blocked(),
        }
    }

    /// Bytes that are unsent, if they can be told.
    pub(super) fn unsent(&self) -> Option<usize> {
        match self {
            Self::Socket(socket) => Some(socket.unsent()),
            // They wait encrypted inside of the session.
            Self::Tls(socket) => Some(0).filter(|_| !socket.is_blocked()),
            Self::Pipe(_) => None,
        }
    }

    /// The two ends of a socket of its own.
    pub(super) fn ends(&self) -> Option<(SocketAddr, SocketAddr)> {
        let stream = match self {
            Self::Socket(socket) => &socket.stream,
            Self::Tls(socket) => &socket.stream,
            Self::Pipe(_) => return None,
        };
        Some((stream.local_addr().ok()?, stream.peer_addr().ok()?))
    }

    /// Reads into `buffer`. `Ok(None)`: nothing there now; `Ok(Some(0))`: the client has ended its half.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self {
            Self::Socket(socket) => socket.read(buffer),
            Self::Tls(socket) => socket.read(buffer),
            // One way: the request has said everything.
            Self::Pipe(_) => Ok(None),
        }
    }

    /// Says why the conversation ends, where the link itself has a place for it.
    pub(super) fn end(&mut self, code: Option<ErrorCode>, text: &str) {
        if let Self::Pipe(pipe) = self {
            pipe.end(code, text);
        }
    }

    /// Ends our half once everything has left.
    pub(super) fn shut_if_done(&mut self) {
        match self {
            Self::Socket(socket) => socket.shut_if_done(),
            Self::Tls(socket) => socket.shut_if_done(),
            // Its reader leaves when it has read the end.
            Self::Pipe(_) => {}
        }
    }
}
