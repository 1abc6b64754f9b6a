//! A link whose buffer is hidden from both ends, as that of a proxy is: whoever writes sees a socket that takes nearly everything.

use std::collections::VecDeque;
use std::time::Duration;

use tickwire_core::engine::{ConnectionKey, FrameRef, Sink, Written};
use tickwire_core::watch::{Pace, Progress};
use tickwire_proto::Moment;
use tickwire_proto::v1::ErrorCode;

/// What a link is like. It may change while it is in use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// What it carries towards the client. 50: 400 kbit/s.
    pub(crate) bytes_per_ms: u64,
    /// Both ways together, without any queue.
    pub(crate) trip_ms: u64,
    /// Bytes that are taken from the server before its socket fills.
    pub(crate) buffer: u64,
}

/// A connection over such a link.
pub(crate) struct Link {
    pub(crate) shape: Shape,
    pub(crate) now: Moment,
    /// Frames in the buffer, the first of them with the bytes that have not left.
    buffered: VecDeque<(u64, Vec<u8>)>,
    pub(crate) buffered_bytes: u64,
    to_client: VecDeque<(Moment, Vec<u8>)>,
    to_server: VecDeque<(Moment, Vec<u8>)>,
    blocked: bool,
    /// Bytes that it has carried, and that it could have.
    pub(crate) carried: u64,
    pub(crate) capacity: u64,
    /// Frames and bytes that went to the server.
    pub(crate) sent_back: (u64, u64),
    /// Bytes that the server has written.
    written: u64,
    /// Bytes that had arrived, by when the server's socket gets to know of them; the first is what it knows.
    known: VecDeque<(Moment, u64)>,
    /// How far the server has seen its frames get, where it watches the socket.
    progress: Progress,
    /// When it looks at the socket again, a look of each pace at most.
    looks: Vec<(Moment, Pace)>,
    pub(crate) looks_taken: u64,
}

impl Link {
    pub(crate) fn new(shape: Shape) -> Self {
        Self {
            shape,
            now: Moment::ZERO,
            buffered: VecDeque::new(),
            buffered_bytes: 0,
            to_client: VecDeque::new(),
            to_server: VecDeque::new(),
            blocked: false,
            carried: 0,
            capacity: 0,
            sent_back: (0, 0),
            written: 0,
            known: VecDeque::from([(Moment::ZERO, 0)]),
            progress: Progress::new(Moment::ZERO, 0),
            looks: Vec::new(),
            looks_taken: 0,
        }
    }

    /// Carries for a millisecond. Returns whether a full socket takes data again.
    pub(crate) fn carry(&mut self) -> bool {
        let mut free = self.shape.bytes_per_ms;
        self.capacity += free;
        let arrives = self.now + Duration::from_micros(self.shape.trip_ms * 500);
        while let Some((left, frame)) = self.buffered.front_mut().filter(|_| free > 0) {
            let taken = free.min(*left);
            (free, *left) = (free - taken, *left - taken);
            self.carried += taken;
            self.buffered_bytes -= taken;
            if *left == 0 {
                self.to_client.push_back((arrives, std::mem::take(frame)));
                self.buffered.pop_front();
            }
        }
        self.known.push_back((self.now + Duration::from_millis(self.shape.trip_ms), self.carried));
        let frees = self.blocked && self.buffered_bytes <= self.shape.buffer / 2;
        self.blocked &= !frees;
        frees
    }

    pub(crate) fn send_back(&mut self, frame: Vec<u8>) {
        self.sent_back = (self.sent_back.0 + 1, self.sent_back.1 + frame.len() as u64);
        self.to_server.push_back((self.now + Duration::from_micros(self.shape.trip_ms * 500), frame));
    }

    /// Looks at the server's socket if it is time. Returns the newest frame that its other end has acknowledged, if there is a new one.
    pub(crate) fn look(&mut self) -> Option<u64> {
        let (now, mut newest) = (self.now, None);
        while let Some(at) = self.looks.iter().position(|(at, _)| *at <= now) {
            let (_, pace) = self.looks.swap_remove(at);
            if !self.progress.is_due(pace) {
                continue;
            }
            self.looks_taken += 1;
            let known = self.known.partition_point(|(at, _)| *at <= now);
            self.known.drain(..known - 1);
            newest = self.progress.look(now, self.written - self.known[0].1).or(newest);
            self.plan();
        }
        newest
    }

    fn plan(&mut self) {
        self.looks.extend(self.progress.plan(self.now).map(|pace| (self.now + pace.wait(), pace)));
    }

    pub(crate) fn at_client(&mut self) -> Option<Vec<u8>> {
        take(&mut self.to_client, self.now)
    }

    pub(crate) fn at_server(&mut self) -> Option<Vec<u8>> {
        take(&mut self.to_server, self.now)
    }
}

impl Sink for Link {
    fn frame(&mut self, _: ConnectionKey, frame: FrameRef<'_>) {
        let bytes = frame.payload.len() as u64 + FRAME_HEAD;
        self.buffered.push_back((bytes, frame.payload.to_vec()));
        self.buffered_bytes += bytes;
        self.written += bytes;
        self.progress.frame(self.now, bytes as usize);
    }

    fn commit(&mut self, _: ConnectionKey) -> Written {
        self.plan();
        self.blocked = self.buffered_bytes > self.shape.buffer;
        if self.blocked { Written::Blocked } else { Written::All }
    }

    fn close(&mut self, _: ConnectionKey, code: ErrorCode, text: &str) {
        panic!("closed: {code:?} {text}");
    }
}

fn take(queue: &mut VecDeque<(Moment, Vec<u8>)>, now: Moment) -> Option<Vec<u8>> {
    let due = queue.front().is_some_and(|(at, _)| *at <= now);
    due.then(|| queue.pop_front()).flatten().map(|(_, frame)| frame)
}

/// Of a WebSocket frame.
const FRAME_HEAD: u64 = 4;
