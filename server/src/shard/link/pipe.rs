//! The way from a shard to a task that writes to a connection shared with others, such as the stream of a call over HTTP/2.
//!
//! It holds what the task has not taken: [`UNREAD_BYTES_MAX`] and one flush more. The task takes what the flow control of its connection
//! lets through, so a slow client blocks its pipe as it would block a socket, and from then on has only dirty marks in the engine.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tickwire_proto::v1::ErrorCode;

use super::Sent;

/// A pipe: the end for a shard, and the end for a task.
pub(crate) fn pipe() -> (PipeWriter, PipeReader) {
    let shared = Arc::new(Mutex::new(State::default()));
    (PipeWriter(shared.clone()), PipeReader(shared))
}

/// The end that a shard writes to. Dropping it ends the stream.
#[derive(Debug)]
pub(crate) struct PipeWriter(Arc<Mutex<State>>);

/// The end that a task reads. Dropping it tells the shard that the client is gone.
#[derive(Debug)]
pub(crate) struct PipeReader(Arc<Mutex<State>>);

/// Why a stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) code: ErrorCode,
    pub(crate) text: String,
}

/// How the tasks of a shard's pipes call it: who wants attention. A pipe calls once while it is blocked, and once when its reader leaves.
#[derive(Debug)]
pub(in crate::shard) struct Bell {
    rung: Mutex<Vec<Call>>,
    waker: Arc<mio::Waker>,
}

/// A connection that wants attention, if it is still the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) struct Call {
    pub(in crate::shard) key: u32,
    pub(in crate::shard) serial: u64,
}

#[derive(Debug, Default)]
struct State {
    /// What each send gave.
    unread: VecDeque<Bytes>,
    unread_bytes: usize,
    /// The shard was told that it is blocked, and waits to be called.
    blocked: bool,
    /// The shard's end is closed.
    ended: bool,
    ending: Option<Ending>,
    /// The task's end is closed.
    gone: bool,
    /// Wakes the task.
    reader: Option<Waker>,
    /// Calls the shard, once it has the connection.
    bell: Option<(Arc<Bell>, Call)>,
}

impl PipeWriter {
    /// From now on the reader calls `bell` when a blocked pipe has been emptied, or when it leaves.
    pub(in crate::shard) fn bind(&self, bell: Arc<Bell>, call: Call) {
        let mut state = lock(&self.0);
        state.bell = Some((bell, call));
        if state.gone {
            state.ring();
        }
    }

    /// Gives `bytes` to the reader.
    pub(super) fn send(&self, bytes: &[u8]) -> Sent {
        let mut state = lock(&self.0);
        if state.gone {
            return Sent::Broken;
        }
        if !bytes.is_empty() {
            state.unread_bytes += bytes.len();
            state.unread.push_back(Bytes::copy_from_slice(bytes));
        }
        state.blocked |= state.unread_bytes >= UNREAD_BYTES_MAX;
        let sent = if state.blocked { Sent::Blocked } else { Sent::All };
        wake(state);
        sent
    }

    /// How it stands, without sending.
    pub(super) fn standing(&self) -> Sent {
        let state = lock(&self.0);
        match (state.gone, state.blocked) {
            (true, _) => Sent::Broken,
            (false, true) => Sent::Blocked,
            (false, false) => Sent::All,
        }
    }

    /// Whether the reader has to take something first.
    pub(super) fn is_blocked(&self) -> bool {
        lock(&self.0).blocked
    }

    /// Nothing more comes.
    pub(super) fn end(&self, code: Option<ErrorCode>, text: &str) {
        let mut state = lock(&self.0);
        if !state.ended {
            state.ended = true;
            state.ending = code.map(|code| Ending { code, text: text.to_owned() });
        }
        wake(state);
    }
}

impl Drop for PipeWriter {
    fn drop(&mut self) {
        self.end(None, "");
    }
}

impl PipeReader {
    /// What one send gave, in order; at the end, why it ended. A pipe without an ending was dropped by its shard.
    pub(crate) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Option<Ending>>> {
        let mut state = lock(&self.0);
        if let Some(bytes) = state.unread.pop_front() {
            state.unread_bytes -= bytes.len();
            if state.unread.is_empty() && std::mem::take(&mut state.blocked) {
                state.ring();
            }
            return Poll::Ready(Ok(bytes));
        }
        if state.ended {
            return Poll::Ready(Err(state.ending.take()));
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for PipeReader {
    fn drop(&mut self) {
        let mut state = lock(&self.0);
        state.gone = true;
        (state.unread, state.unread_bytes) = (VecDeque::new(), 0);
        state.ring();
    }
}

impl State {
    fn ring(&self) {
        if let Some((bell, call)) = &self.bell {
            bell.ring(*call);
        }
    }
}

impl Bell {
    pub(in crate::shard) fn new(waker: Arc<mio::Waker>) -> Self {
        Self { rung: Mutex::default(), waker }
    }

    /// Who called since the last time.
    pub(in crate::shard) fn take(&self) -> Vec<Call> {
        std::mem::take(&mut *lock(&self.rung))
    }

    fn ring(&self, call: Call) {
        lock(&self.rung).push(call);
        let _ = self.waker.wake();
    }
}

/// Lets go of the lock before the task runs.
fn wake(mut state: MutexGuard<'_, State>) {
    let reader = state.reader.take();
    drop(state);
    if let Some(reader) = reader {
        reader.wake();
    }
}

/// Nothing in here panics half-way, so that what a panicking holder leaves is sound.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes that a task may leave unread, as `TCP_NOTSENT_LOWAT` is for sockets. What was given in one flush may exceed it; then nothing
/// more is given until the task has taken all of it.
const UNREAD_BYTES_MAX: usize = 16 * 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    fn next(reader: &PipeReader) -> Poll<Result<Bytes, Option<Ending>>> {
        reader.poll_next(&mut Context::from_waker(Waker::noop()))
    }

    fn bell() -> (mio::Poll, Arc<Bell>) {
        let poll = mio::Poll::new().unwrap();
        let waker = mio::Waker::new(poll.registry(), mio::Token(0)).unwrap();
        (poll, Arc::new(Bell::new(Arc::new(waker))))
    }

    const CALL: Call = Call { key: 3, serial: 7 };

    #[test]
    fn a_full_pipe_is_blocked_until_it_is_empty() {
        let ((writer, reader), (_poll, bell)) = (pipe(), bell());
        writer.bind(bell.clone(), CALL);
        assert_eq!(writer.send(b"a"), Sent::All);
        assert_eq!(writer.send(&[0; UNREAD_BYTES_MAX]), Sent::Blocked);
        assert_eq!(next(&reader), Poll::Ready(Ok(Bytes::from_static(b"a"))));
        assert_eq!((writer.standing(), bell.take()), (Sent::Blocked, vec![]));
        assert!(next(&reader).is_ready());
        assert_eq!((writer.standing(), bell.take()), (Sent::All, vec![CALL]));
        assert!(next(&reader).is_pending());
    }

    #[test]
    fn what_was_sent_comes_before_the_end() {
        let (writer, reader) = pipe();
        writer.send(b"a");
        writer.end(Some(ErrorCode::ShuttingDown), "leaving");
        drop(writer);
        assert_eq!(next(&reader), Poll::Ready(Ok(Bytes::from_static(b"a"))));
        let ending = Ending { code: ErrorCode::ShuttingDown, text: "leaving".to_owned() };
        assert_eq!(next(&reader), Poll::Ready(Err(Some(ending))));
    }

    #[test]
    fn a_reader_that_leaves_calls_the_shard_also_before_it_has_one() {
        for early in [true, false] {
            let ((writer, reader), (_poll, bell)) = (pipe(), bell());
            if early {
                drop(reader);
                writer.bind(bell.clone(), CALL);
            } else {
                writer.bind(bell.clone(), CALL);
                drop(reader);
            }
            assert_eq!((writer.send(b"a"), bell.take()), (Sent::Broken, vec![CALL]));
        }
    }
}
