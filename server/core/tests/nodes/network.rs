//! The network: frames under way in both directions, sockets that fill up, and connections that break.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tickwire_core::engine::{ConnectionKey, FrameRef, Sink, Written};
use tickwire_proto::Moment;
use tickwire_proto::v1::ErrorCode;

/// All connections, on all nodes.
#[derive(Default)]
pub(crate) struct Network {
    pub(crate) wires: BTreeMap<ConnectionKey, Wire>,
    pub(crate) now: Moment,
    keys: u32,
}

/// One connection.
pub(crate) struct Wire {
    pub(crate) node: usize,
    pub(crate) client: usize,
    latency: Duration,
    /// Nothing arrives before.
    pub(crate) stalled_until: Moment,
    to_client: VecDeque<(Moment, Vec<u8>)>,
    to_server: VecDeque<(Moment, Vec<u8>)>,
    /// The engine was told that the socket is full.
    pub(crate) blocked: bool,
    /// The engine has closed it; the client hears of it after the frames.
    pub(crate) closed: Option<ErrorCode>,
}

impl Network {
    pub(crate) fn open(&mut self, node: usize, client: usize, latency: Duration) -> ConnectionKey {
        self.keys += 1;
        let wire = Wire {
            node,
            client,
            latency,
            stalled_until: Moment::ZERO,
            to_client: VecDeque::new(),
            to_server: VecDeque::new(),
            blocked: false,
            closed: None,
        };
        self.wires.insert(ConnectionKey(self.keys), wire);
        ConnectionKey(self.keys)
    }

    pub(crate) fn send(&mut self, key: ConnectionKey, frame: Vec<u8>) {
        if let Some(wire) = self.wires.get_mut(&key) {
            wire.to_server.push_back((self.now + wire.latency, frame));
        }
    }

    /// When something arrives next.
    pub(crate) fn deadline(&self) -> Option<Moment> {
        let times = |wire: &Wire| {
            let fronts = [wire.to_client.front(), wire.to_server.front().filter(|_| wire.closed.is_none())];
            fronts.into_iter().flatten().map(|(at, _)| (*at).max(wire.stalled_until)).min()
        };
        self.wires.values().filter_map(times).min()
    }
}

impl Wire {
    pub(crate) fn arrived_at_client(&mut self, now: Moment) -> Option<Vec<u8>> {
        take(&mut self.to_client, now, self.stalled_until)
    }

    pub(crate) fn arrived_at_server(&mut self, now: Moment) -> Option<Vec<u8>> {
        take(&mut self.to_server, now, self.stalled_until)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.to_client.is_empty()
    }
}

fn take(queue: &mut VecDeque<(Moment, Vec<u8>)>, now: Moment, stalled_until: Moment) -> Option<Vec<u8>> {
    let due = queue.front().is_some_and(|(at, _)| *at <= now && stalled_until <= now);
    due.then(|| queue.pop_front()).flatten().map(|(_, frame)| frame)
}

impl Sink for Network {
    fn frame(&mut self, connection: ConnectionKey, frame: FrameRef<'_>) {
        let now = self.now;
        let wire = self.wires.get_mut(&connection).expect("frames go to open connections");
        assert!(wire.closed.is_none(), "a frame after the close");
        wire.to_client.push_back((now + wire.latency, frame.payload.to_vec()));
    }

    fn commit(&mut self, connection: ConnectionKey) -> Written {
        let wire = self.wires.get_mut(&connection).expect("commits go to open connections");
        wire.blocked = wire.to_client.len() > FRAMES_UNDER_WAY;
        if wire.blocked { Written::Blocked } else { Written::All }
    }

    fn close(&mut self, connection: ConnectionKey, code: ErrorCode, _: &str) {
        self.wires.get_mut(&connection).expect("closes go to open connections").closed = Some(code);
    }
}

/// Frames that a socket holds before it is full.
const FRAMES_UNDER_WAY: usize = 4;
