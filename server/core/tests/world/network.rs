//! The network: latency, slow links, sockets that fill up, stalls, breaks that only one end notices, and frames that are swallowed.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tickwire_core::engine::{ConnectionKey, FrameRef, Sink, Written};
use tickwire_proto::Moment;
use tickwire_proto::v1::ErrorCode;

#[derive(Default)]
pub(crate) struct Network {
    pub(crate) wires: BTreeMap<ConnectionKey, Wire>,
    pub(crate) now: Moment,
    /// When each node's feed was well last, as the test sees it.
    pub(crate) fed_at: Vec<Option<Moment>>,
    keys: u32,
}

/// One connection.
pub(crate) struct Wire {
    pub(crate) node: usize,
    /// `None`: the client has gone, and the server has not noticed.
    pub(crate) client: Option<usize>,
    latency: Duration,
    bytes_per_s: u64,
    free_at: Moment,
    /// Nothing arrives before.
    pub(crate) stalled_until: Moment,
    pub(crate) to_client: VecDeque<Frame>,
    to_server: VecDeque<(Moment, Vec<u8>)>,
    bytes: usize,
    pub(crate) blocked: bool,
    pub(crate) closed: Option<ErrorCode>,
    /// The next frame to the client is swallowed.
    pub(crate) swallows: bool,
    /// When it last was not at its best.
    pub(crate) rough_at: Moment,
}

pub(crate) struct Frame {
    at: Moment,
    pub(crate) written_at: Moment,
    pub(crate) was_fed: bool,
    pub(crate) payload: Vec<u8>,
}

impl Network {
    pub(crate) fn open(&mut self, node: usize, client: usize, latency: Duration, bytes_per_s: u64) -> ConnectionKey {
        self.keys += 1;
        let wire = Wire {
            node,
            client: Some(client),
            latency,
            bytes_per_s,
            free_at: self.now,
            stalled_until: Moment::ZERO,
            to_client: VecDeque::new(),
            to_server: VecDeque::new(),
            bytes: 0,
            blocked: false,
            closed: None,
            swallows: false,
            rough_at: self.now,
        };
        self.wires.insert(ConnectionKey(self.keys), wire);
        ConnectionKey(self.keys)
    }

    pub(crate) fn send(&mut self, key: ConnectionKey, frame: Vec<u8>) {
        if let Some(wire) = self.wires.get_mut(&key).filter(|wire| wire.closed.is_none()) {
            wire.to_server.push_back((self.now + wire.latency, frame));
        }
    }

    /// When something arrives next.
    pub(crate) fn deadline(&self) -> Option<Moment> {
        let times = |wire: &Wire| {
            let fronts = [wire.to_client.front().map(|frame| frame.at), wire.to_server.front().map(|(at, _)| *at)];
            fronts.into_iter().flatten().map(|at| at.max(wire.stalled_until)).min()
        };
        self.wires.values().filter_map(times).min()
    }
}

impl Wire {
    pub(crate) fn arrived_at_client(&mut self, now: Moment) -> Option<Frame> {
        let due = self.to_client.front().is_some_and(|frame| frame.at.max(self.stalled_until) <= now);
        let frame = self.to_client.pop_front().filter(|_| due)?;
        self.bytes -= frame.payload.len();
        Some(frame)
    }

    pub(crate) fn is_due(&self, now: Moment) -> bool {
        self.to_client.front().is_some_and(|frame| frame.at.max(self.stalled_until) <= now)
    }

    pub(crate) fn arrived_at_server(&mut self, now: Moment) -> Option<Vec<u8>> {
        let due = self.to_server.front().is_some_and(|(at, _)| (*at).max(self.stalled_until) <= now);
        if due { self.to_server.pop_front().map(|(_, frame)| frame) } else { None }
    }

    pub(crate) fn is_slow(&self) -> bool {
        self.bytes_per_s < FAST_BYTES_PER_S
    }

    /// Whether a blocked socket has taken everything.
    pub(crate) fn is_writable(&self) -> bool {
        self.bytes <= SOCKET_BYTES / 2
    }
}

impl Sink for Network {
    fn frame(&mut self, connection: ConnectionKey, frame: FrameRef<'_>) {
        let now = self.now;
        let wire = self.wires.get_mut(&connection).expect("frames go to open connections");
        assert!(wire.closed.is_none(), "a frame after the close");
        if std::mem::take(&mut wire.swallows) {
            wire.rough_at = now;
            return;
        }
        assert!(frame.payload.len() <= FRAME_BYTES_MAX, "a frame of {} bytes", frame.payload.len());
        let bytes = frame.payload.len();
        wire.bytes += bytes;
        assert!(wire.bytes <= SOCKET_BYTES + BACKLOG_BYTES_MAX, "{} bytes were written to a full socket", wire.bytes);
        wire.free_at = wire.free_at.max(now) + Duration::from_micros(bytes as u64 * 1_000_000 / wire.bytes_per_s);
        // News of a feed waits like data for a client that cannot take any; a heartbeat brings it in a second at the latest.
        let is_slow = wire.is_slow() || now.since(wire.rough_at) < HEARTBEAT_MAX;
        let was_fed = self.fed_at[wire.node].is_some_and(|at| at == now || (is_slow && now.since(at) < HEARTBEAT_MAX));
        wire.to_client.push_back(Frame { at: wire.free_at + wire.latency, written_at: now, was_fed, payload: frame.payload.to_vec() });
    }

    fn commit(&mut self, connection: ConnectionKey) -> Written {
        let wire = self.wires.get_mut(&connection).expect("commits go to open connections");
        wire.blocked = wire.bytes > SOCKET_BYTES;
        if wire.blocked {
            wire.rough_at = self.now;
            return Written::Blocked;
        }
        Written::All
    }

    fn close(&mut self, connection: ConnectionKey, code: ErrorCode, _: &str) {
        let wire = self.wires.get_mut(&connection).expect("closes go to open connections");
        wire.closed = Some(code);
        // Nobody reads what the client still sends.
        wire.to_server.clear();
    }
}

/// A link that never fills up.
pub(crate) const FAST_BYTES_PER_S: u64 = 10_000_000;
/// A heartbeat, and the time for a full socket to take it.
const HEARTBEAT_MAX: Duration = Duration::from_secs(3);
/// Bytes that a socket holds before it is full.
const SOCKET_BYTES: usize = 8 << 10;
/// A frame ends after 64 KiB, with the record that crosses the line.
const FRAME_BYTES_MAX: usize = (64 << 10) + 4_096;
/// What the engine may add to a full socket: what waited for it, and answers.
const BACKLOG_BYTES_MAX: usize = 256 << 10;
