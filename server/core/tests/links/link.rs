//! A link whose buffer is hidden from both ends, as that of a proxy is: whoever writes sees a socket that takes nearly everything.

use std::collections::VecDeque;
use std::time::Duration;

use tickwire_core::engine::{ConnectionKey, FrameRef, Sink, Written};
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
    /// Frames that have arrived, and when the server's socket gets to know of the newest of them.
    arrived: u64,
    known: VecDeque<(Moment, u64)>,
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
            arrived: 0,
            known: VecDeque::new(),
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
                self.arrived += 1;
                self.known.push_back((self.now + Duration::from_millis(self.shape.trip_ms), self.arrived));
            }
        }
        let frees = self.blocked && self.buffered_bytes <= self.shape.buffer / 2;
        self.blocked &= !frees;
        frees
    }

    pub(crate) fn send_back(&mut self, frame: Vec<u8>) {
        self.sent_back = (self.sent_back.0 + 1, self.sent_back.1 + frame.len() as u64);
        self.to_server.push_back((self.now + Duration::from_micros(self.shape.trip_ms * 500), frame));
    }

    /// The newest frame that the other end's acknowledgements cover, if there is a newer one than was asked for last.
    pub(crate) fn acknowledged(&mut self) -> Option<u64> {
        let known = self.known.partition_point(|(at, _)| *at <= self.now);
        self.known.drain(..known).next_back().map(|(_, frame)| frame)
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
    }

    fn commit(&mut self, _: ConnectionKey) -> Written {
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
