//! A kept connection as hyper sees it: one request after another, and the end when the next one is for a session.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::accept::{Head, Stream, is_session};

/// Looks at each head before hyper gets it. Requests with a body end the looking: from then on hyper gets whatever comes.
#[derive(Debug)]
pub(super) struct Requests {
    socket: Stream,
    /// What hyper may read, from `given` on.
    open: Vec<u8>,
    given: usize,
    /// The start of the next head. Bounded by the limit of heads and one read.
    held: Vec<u8>,
    next: Next,
}

#[derive(Debug)]
enum Next {
    /// The next head is looked at.
    Unknown,
    /// The next request is for a session: `held` begins with it.
    Session(Head),
    /// There is a body somewhere, or something that is no request.
    Opaque,
}

impl Requests {
    /// A connection that begins with `bytes`, whose head was parsed already.
    pub(super) fn new(socket: Stream, head: &Head, bytes: Vec<u8>) -> Self {
        let mut requests = Self { socket, open: Vec::new(), given: 0, held: bytes, next: Next::Unknown };
        requests.release(head);
        requests
    }

    /// The request for a session with which it ended, if it did.
    pub(super) fn into_session(self) -> Option<(Stream, Head, Vec<u8>)> {
        match self.next {
            Next::Session(head) => Some((self.socket, head, self.held)),
            _ => None,
        }
    }

    /// Lets hyper read the request that `held` begins with.
    fn release(&mut self, head: &Head) {
        if head.has_body() {
            self.next = Next::Opaque;
            (self.open, self.given) = (std::mem::take(&mut self.held), 0);
        } else {
            let rest = self.held.split_off(head.len);
            (self.open, self.given) = (std::mem::replace(&mut self.held, rest), 0);
        }
    }

    /// Looks at what is held.
    fn look(&mut self) {
        match Head::parse(&self.held) {
            Ok(None) => {}
            Ok(Some(head)) if is_session(&head) => self.next = Next::Session(head),
            Ok(Some(head)) => self.release(&head),
            // Hyper answers it.
            Err(_) => {
                self.next = Next::Opaque;
                (self.open, self.given) = (std::mem::take(&mut self.held), 0);
            }
        }
    }
}

impl AsyncRead for Requests {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.given < this.open.len() {
                let len = buffer.remaining().min(this.open.len() - this.given);
                buffer.put_slice(&this.open[this.given..this.given + len]);
                this.given += len;
                return Poll::Ready(Ok(()));
            }
            match this.next {
                Next::Session(_) => return Poll::Ready(Ok(())),
                Next::Opaque => return Pin::new(&mut this.socket).poll_read(cx, buffer),
                Next::Unknown => {}
            }
            if !this.held.is_empty() {
                this.look();
                if this.given < this.open.len() || matches!(this.next, Next::Session(_)) {
                    continue;
                }
            }
            let mut piece = [0; 2_048];
            let mut read = ReadBuf::new(&mut piece);
            ready!(Pin::new(&mut this.socket).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.held.extend_from_slice(read.filled());
        }
    }
}

impl AsyncWrite for Requests {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}
