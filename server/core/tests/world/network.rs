//! The network: latency, slow links, sockets that fill up, proxies that hide a backlog, stalls, breaks that only one end notices, and
//! frames that are swallowed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::Duration;

use tickwire_core::engine::{ConnectionKey, FrameRef, Sink, Written};
use tickwire_proto::Moment;
use tickwire_proto::v1::ErrorCode;

#[derive(Default)]
pub(crate) struct Network {
    pub(crate) wires: BTreeMap<ConnectionKey, Wire>,
    pub(crate) now: Moment,
    /// Until when each node's feed is well, or since when it is not, as the test sees it.
    pub(crate) fed_until: Vec<Moment>,
    /// When something arrives. One valid entry for each wire: the one that it is armed for.
    arrivals: BinaryHeap<Reverse<(Moment, ConnectionKey)>>,
    keys: u32,
}

/// One connection.
pub(crate) struct Wire {
    pub(crate) node: usize,
    /// `None`: the client has gone, and the server has not noticed.
    pub(crate) client: Option<usize>,
    quality: Quality,
    free_at: Moment,
    /// Nothing arrives before.
    pub(crate) stalled_until: Moment,
    pub(crate) to_client: VecDeque<Frame>,
    to_server: VecDeque<(Moment, Vec<u8>)>,
    bytes: usize,
    pub(crate) blocked: bool,
    /// The server has closed it, and the client hears of it then.
    pub(crate) closed: Option<(ErrorCode, Moment)>,
    /// The client has gone: then the network says so.
    pub(crate) gone_until: Option<Moment>,
    /// The next frame to the client is swallowed.
    pub(crate) swallows: bool,
    /// When it last was not at its best.
    pub(crate) rough_at: Moment,
    /// The client cannot report, and the server sees how far its socket has got.
    pub(crate) watched: bool,
    /// Frames so far.
    frames: u64,
    armed: Option<Moment>,
}

/// What a connection is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quality {
    pub(crate) latency: Duration,
    pub(crate) bytes_per_s: u64,
    /// Bytes that a proxy takes at once and passes on slowly.
    pub(crate) hidden: usize,
}

pub(crate) struct Frame {
    pub(crate) number: u64,
    at: Moment,
    pub(crate) written_at: Moment,
    pub(crate) was_fed: bool,
    pub(crate) payload: Vec<u8>,
}

impl Network {
    pub(crate) fn new(nodes: usize) -> Self {
        Self { fed_until: vec![Moment::ZERO; nodes], ..Self::default() }
    }

    pub(crate) fn open(&mut self, node: usize, client: usize, quality: Quality) -> ConnectionKey {
        self.keys += 1;
        let wire = Wire {
            node,
            client: Some(client),
            quality,
            free_at: self.now,
            stalled_until: Moment::ZERO,
            to_client: VecDeque::new(),
            to_server: VecDeque::new(),
            bytes: 0,
            blocked: false,
            closed: None,
            gone_until: None,
            swallows: false,
            rough_at: self.now,
            watched: false,
            frames: 0,
            armed: None,
        };
        self.wires.insert(ConnectionKey(self.keys), wire);
        ConnectionKey(self.keys)
    }

    pub(crate) fn send(&mut self, key: ConnectionKey, frame: Vec<u8>) {
        if let Some(wire) = self.wires.get_mut(&key).filter(|wire| wire.closed.is_none()) {
            wire.to_server.push_back((self.now + wire.quality.latency, frame));
            self.arm(key);
        }
    }

    /// The client goes, and the server hears of it only much later.
    pub(crate) fn abandon(&mut self, key: ConnectionKey, until: Moment) {
        if let Some(wire) = self.wires.get_mut(&key) {
            wire.client = None;
            wire.to_client.clear();
            wire.gone_until = Some(until);
            self.arm(key);
        }
    }

    /// Makes sure that the wire is looked at when something is due on it.
    pub(crate) fn arm(&mut self, key: ConnectionKey) {
        let Some(wire) = self.wires.get_mut(&key) else { return };
        let Some(next) = wire.deadline() else { return };
        if wire.armed.is_none_or(|armed| next < armed) {
            wire.armed = Some(next);
            self.arrivals.push(Reverse((next, key)));
        }
    }

    /// The next wire on which something is due now.
    pub(crate) fn next_due(&mut self) -> Option<ConnectionKey> {
        while let Some(Reverse((at, key))) = self.arrivals.peek().copied().filter(|Reverse((at, _))| *at <= self.now) {
            self.arrivals.pop();
            let Some(wire) = self.wires.get_mut(&key).filter(|wire| wire.armed == Some(at)) else { continue };
            wire.armed = None;
            return Some(key);
        }
        None
    }

    /// When something arrives next, or may.
    pub(crate) fn deadline(&self) -> Option<Moment> {
        self.arrivals.peek().map(|Reverse((at, _))| *at)
    }

    pub(crate) fn wire_of(&self, key: Option<ConnectionKey>) -> Option<&Wire> {
        self.wires.get(&key?)
    }
}

impl Wire {
    pub(crate) fn arrived_at_client(&mut self, now: Moment) -> Option<Frame> {
        self.to_client.front().filter(|frame| frame.at.max(self.stalled_until) <= now)?;
        let frame = self.to_client.pop_front()?;
        self.bytes -= frame.payload.len();
        Some(frame)
    }

    pub(crate) fn arrived_at_server(&mut self, now: Moment) -> Option<Vec<u8>> {
        self.to_server.front().filter(|(at, _)| (*at).max(self.stalled_until) <= now)?;
        self.to_server.pop_front().map(|(_, frame)| frame)
    }

    /// After a change on the other side, all that was written before it has arrived by then.
    pub(crate) fn drains_within(&self) -> Duration {
        let bytes = SOCKET_BYTES + self.quality.hidden + FLUSH_BYTES_MAX;
        Duration::from_micros(bytes as u64 * 1_000_000 / self.quality.bytes_per_s)
    }

    pub(crate) fn is_slow(&self) -> bool {
        self.quality.bytes_per_s < FAST_BYTES_PER_S
    }

    /// Whether a blocked socket has taken so much that it takes more.
    pub(crate) fn is_writable(&self) -> bool {
        self.bytes <= (SOCKET_BYTES + self.quality.hidden) / 2
    }

    /// Everything has arrived, and the end as well.
    pub(crate) fn has_ended(&self, now: Moment) -> Option<ErrorCode> {
        self.closed.filter(|(_, at)| *at <= now && self.to_client.is_empty()).map(|(code, _)| code)
    }

    fn deadline(&self) -> Option<Moment> {
        let end = self.closed.filter(|_| self.to_client.is_empty()).map(|(_, at)| at);
        let frames = [self.to_client.front().map(|frame| frame.at), self.to_server.front().map(|(at, _)| *at), end];
        frames.into_iter().flatten().map(|at| at.max(self.stalled_until)).chain(self.gone_until).min()
    }
}

impl Sink for Network {
    fn frame(&mut self, connection: ConnectionKey, frame: FrameRef<'_>) {
        let now = self.now;
        let wire = self.wires.get_mut(&connection).expect("frames go to open connections");
        assert!(wire.closed.is_none(), "a frame after the close");
        wire.frames += 1;
        if std::mem::take(&mut wire.swallows) {
            wire.rough_at = now;
            return;
        }
        assert!(frame.payload.len() <= FRAME_BYTES_MAX, "a frame of {} bytes", frame.payload.len());
        let bytes = frame.payload.len();
        wire.bytes += bytes;
        let bytes_max = SOCKET_BYTES + wire.quality.hidden + BACKLOG_BYTES_MAX;
        assert!(wire.bytes <= bytes_max, "{} bytes were written to a full socket", wire.bytes);
        if wire.client.is_none() {
            // Nobody acknowledges what a client that has gone would have got.
            return;
        }
        wire.free_at = wire.free_at.max(now) + Duration::from_micros(bytes as u64 * 1_000_000 / wire.quality.bytes_per_s);
        // News of a feed waits like data for a client that cannot take any; a heartbeat brings it at the latest.
        let within = match (wire.is_slow(), now.since(wire.rough_at) < HEARTBEAT_MAX) {
            (true, _) => HEARTBEAT_UNDER_LOAD_MAX,
            (false, true) => HEARTBEAT_MAX,
            (false, false) => Duration::ZERO,
        };
        let was_fed = now < self.fed_until[wire.node] + within;
        let at = wire.free_at + wire.quality.latency;
        wire.to_client.push_back(Frame { number: wire.frames, at, written_at: now, was_fed, payload: frame.payload.to_vec() });
        self.arm(connection);
    }

    fn commit(&mut self, connection: ConnectionKey) -> Written {
        let wire = self.wires.get_mut(&connection).expect("commits go to open connections");
        wire.blocked = wire.bytes > SOCKET_BYTES + wire.quality.hidden;
        if wire.blocked {
            wire.rough_at = self.now;
            return Written::Blocked;
        }
        Written::All
    }

    fn close(&mut self, connection: ConnectionKey, code: ErrorCode, _: &str) {
        let wire = self.wires.get_mut(&connection).expect("closes go to open connections");
        wire.closed = Some((code, wire.free_at.max(self.now) + wire.quality.latency));
        // Nobody reads what the client still sends.
        wire.to_server.clear();
        self.arm(connection);
    }
}

/// A link that never fills up.
pub(crate) const FAST_BYTES_PER_S: u64 = 10_000_000;
/// A heartbeat, and the time for a full socket to take it.
const HEARTBEAT_MAX: Duration = Duration::from_secs(3);
/// The same while data is written without a pause.
const HEARTBEAT_UNDER_LOAD_MAX: Duration = Duration::from_secs(17);
/// Bytes that a socket holds before it is full.
const SOCKET_BYTES: usize = 8 << 10;
/// A frame ends after 64 KiB, with the record that crosses the line.
const FRAME_BYTES_MAX: usize = (64 << 10) + 4_096;
/// What one flush adds to a full socket in these worlds.
const FLUSH_BYTES_MAX: usize = 16 << 10;
/// What the engine may add to a full socket: what waited for it, and answers.
const BACKLOG_BYTES_MAX: usize = 256 << 10;
