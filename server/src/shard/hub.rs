//! The connections of a shard, by key, and the buffer in which their frames are put together.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use tickwire_core::engine::{ConnectionKey, FrameRef, Sink, Written};
use tickwire_core::watch::Progress;
use tickwire_proto::Moment;
use tickwire_proto::v1::ErrorCode;

use super::connection::{Appointment, Connection, Phase};
use super::link::{Bell, Call, Carrier, Encrypted, Link, Sent, Socket};
use super::watch::{Look, Watch, Watched, Way};
use super::{TransportKind, Visitor};

/// The connections, and what their sockets are given.
pub(super) struct Hub {
    registry: Registry,
    /// Rung by the readers of pipes.
    bell: Arc<Bell>,
    slots: Vec<Option<Connection>>,
    free: Vec<u32>,
    serials: u64,
    /// Frames of the connection that is being written. Empty between connections.
    scratch: Vec<u8>,
    /// Connections whose socket broke during a flush: the engine is told after it.
    broken: Vec<u32>,
    /// Leaving connections, the oldest first.
    farewells: VecDeque<Appointment>,
    /// Connections in the middle of a message, the oldest first. Bounded by the commands and control frames that a client may send.
    unfinished: VecDeque<Appointment>,
    watch: Watch,
    /// Of this flush.
    now: Moment,
    connections: Arc<AtomicUsize>,
}

impl Hub {
    pub(super) fn new(registry: Registry, bell: Arc<Bell>, connections: Arc<AtomicUsize>) -> Self {
        Self {
            registry,
            bell,
            slots: Vec::new(),
            free: Vec::new(),
            serials: 0,
            scratch: Vec::new(),
            broken: Vec::new(),
            farewells: VecDeque::new(),
            unfinished: VecDeque::new(),
            watch: Watch::default(),
            now: Moment::ZERO,
            connections,
        }
    }

    /// Takes over a way to a client.
    pub(super) fn insert(&mut self, carrier: Carrier, transport: TransportKind, visitor: Visitor) -> io::Result<u32> {
        let key = self.free.pop().unwrap_or(self.slots.len() as u32);
        self.serials += 1;
        let link = match self.link(carrier, Call { key, serial: self.serials }) {
            Ok(link) => link,
            Err(error) => {
                if (key as usize) < self.slots.len() {
                    self.free.push(key);
                }
                self.connections.fetch_sub(1, Ordering::Relaxed);
                return Err(error);
            }
        };
        let connection = Connection::new(link, transport, visitor, self.serials);
        match self.slots.get_mut(key as usize) {
            Some(slot) => *slot = Some(connection),
            None => self.slots.push(Some(connection)),
        }
        Ok(key)
    }

    /// Has `carrier` watched.
    fn link(&self, carrier: Carrier, call: Call) -> io::Result<Link> {
        match carrier {
            Carrier::Socket(socket) => Ok(Link::Socket(Socket::new(self.watch(socket, call.key)?))),
            Carrier::Tls(socket, session) => Ok(Link::Tls(Box::new(Encrypted::new(self.watch(socket, call.key)?, *session)))),
            Carrier::Pipe(pipe) => {
                pipe.bind(self.bell.clone(), call);
                Ok(Link::Pipe(pipe))
            }
        }
    }

    /// Edges of both directions from the start: no system call when a socket fills up or empties.
    fn watch(&self, socket: std::net::TcpStream, key: u32) -> io::Result<TcpStream> {
        let mut socket = TcpStream::from_std(socket);
        self.registry.register(&mut socket, Token(key as usize), Interest::READABLE | Interest::WRITABLE)?;
        Ok(socket)
    }

    pub(super) fn get(&mut self, key: u32) -> Option<&mut Connection> {
        self.slots.get_mut(key as usize)?.as_mut()
    }

    /// Closes the socket and frees the key.
    pub(super) fn remove(&mut self, key: u32) {
        let Some(mut connection) = self.slots.get_mut(key as usize).and_then(Option::take) else { return };
        let _ = match &mut connection.link {
            Link::Socket(socket) => self.registry.deregister(&mut socket.stream),
            Link::Tls(socket) => self.registry.deregister(&mut socket.stream),
            Link::Pipe(_) => Ok(()),
        };
        self.free.push(key);
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// Ends a connection that the engine has forgotten: the reason leaves behind what was committed, then we wait for the client to close.
    pub(super) fn leave(&mut self, key: u32, code: Option<u16>, reason: &str) {
        self.scratch.clear();
        let (now, mut scratch) = (self.now, std::mem::take(&mut self.scratch));
        if let Some(connection) = self.get(key) {
            connection.push_end(&mut scratch, code, reason);
            connection.phase = Phase::Leaving { discarded: 0 };
            connection.watched = None;
            let (sent, serial) = (connection.link.send(&scratch), connection.serial);
            connection.link.end(code.and_then(ErrorCode::from_close_code), reason);
            connection.link.shut_if_done();
            if sent == Sent::Broken {
                self.remove(key);
            } else {
                self.farewells.push_back(Appointment { key, serial, until: now + LINGER_MAX });
            }
        }
        scratch.clear();
        self.scratch = scratch;
    }

    /// Tells the time before anything happens.
    pub(super) fn set_now(&mut self, now: Moment) {
        self.now = now;
    }

    /// Cuts leaving connections whose time is over.
    pub(super) fn cut_overdue(&mut self) {
        while let Some(farewell) = self.farewells.front().copied().filter(|farewell| farewell.until <= self.now) {
            self.farewells.pop_front();
            if self.get(farewell.key).is_some_and(|connection| connection.serial == farewell.serial) {
                self.remove(farewell.key);
            }
        }
    }

    /// Notes that `key` is in the middle of a message since now.
    pub(super) fn watch_unfinished(&mut self, key: u32) {
        let until = self.now + MESSAGE_WITHIN;
        if let Some(serial) = self.get(key).map(|connection| connection.serial) {
            self.unfinished.push_back(Appointment { key, serial, until });
        }
    }

    /// A connection whose message has been unfinished for too long, if there is one. Each is named once.
    pub(super) fn next_unfinished(&mut self) -> Option<u32> {
        while let Some(Appointment { key, serial, until }) = self.unfinished.front().copied().filter(|due| due.until <= self.now) {
            self.unfinished.pop_front();
            let begun = self.get(key).filter(|connection| connection.serial == serial && connection.phase == Phase::Open);
            if begun.and_then(|connection| connection.inbound.unfinished_since()).is_some_and(|since| since + MESSAGE_WITHIN <= until) {
                return Some(key);
            }
        }
        None
    }

    /// The way to a client that cannot report, if the kernel can be asked how far its frames have got.
    pub(super) fn way(&mut self, key: u32) -> Option<Way> {
        let connection = self.slots.get(key as usize)?.as_ref().filter(|connection| connection.transport.is_one_way())?;
        let (local, peer) = connection.link.ends()?;
        self.watch.way(local, peer)
    }

    /// From now on the frames of this connection are followed; `bytes` have been written before the first.
    pub(super) fn follow(&mut self, key: u32, way: Way, bytes: usize) {
        let watched = Watched { way, progress: Progress::new(self.now, bytes) };
        if let Some(connection) = self.get(key) {
            connection.watched = Some(Box::new(watched));
        }
    }

    /// Asks the kernel about connections whose frames are under way, where it is time. Returns for each the newest frame that has arrived since
    /// the last time, or `None` if it cannot be seen any more.
    pub(super) fn look(&mut self) -> Vec<(u32, Option<u64>)> {
        let (now, due) = (self.now, self.watch.take_due(self.now));
        let mut asked = Vec::with_capacity(due.len());
        let mut ways = Vec::with_capacity(due.len());
        for (appointment, pace) in due {
            let connection = self.get(appointment.key).filter(|connection| connection.serial == appointment.serial);
            let Some(watched) = connection.and_then(|connection| connection.watched.as_deref_mut()) else { continue };
            if watched.progress.is_due(pace) {
                asked.push(appointment.key);
                ways.push(watched.way);
            }
        }
        let mut arrived = Vec::new();
        let (watch, slots) = (&mut self.watch, &mut self.slots);
        let mut again = Vec::new();
        watch.ask(&ways, &mut |n, look| {
            let key = asked[n];
            let Some(Some(connection)) = slots.get_mut(key as usize) else { return };
            let (Look::Outstanding(outstanding), Some(Watched { progress, .. })) = (look, connection.watched.as_deref_mut()) else {
                connection.watched = None;
                return arrived.push((key, None));
            };
            let outstanding = connection.link.unsent().map_or(u64::MAX, |unsent| u64::from(outstanding) + unsent as u64);
            arrived.extend(progress.look(now, outstanding).map(|frame| (key, Some(frame))));
            again.extend(progress.plan(now).map(|pace| (key, connection.serial, pace)));
        });
        again.into_iter().for_each(|(key, serial, pace)| watch.plan(now, key, serial, pace));
        arrived
    }

    /// When [`Hub::cut_overdue`], [`Hub::next_unfinished`] or [`Hub::look`] has something to do.
    pub(super) fn deadline(&self) -> Option<Moment> {
        let due = [self.farewells.front(), self.unfinished.front()].into_iter().flatten().map(|due| due.until);
        due.chain(self.watch.deadline()).min()
    }

    /// Connections whose socket broke since the last call.
    pub(super) fn take_broken(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.broken)
    }
}

impl Sink for Hub {
    fn frame(&mut self, connection: ConnectionKey, frame: FrameRef<'_>) {
        if let Some(Some(connection)) = self.slots.get_mut(connection.0 as usize) {
            let start = self.scratch.len();
            connection.push_frame(&mut self.scratch, frame);
            if let Some(watched) = &mut connection.watched {
                watched.progress.frame(self.now, self.scratch.len() - start);
            }
        }
    }

    fn commit(&mut self, key: ConnectionKey) -> Written {
        let sent = match self.slots.get_mut(key.0 as usize) {
            Some(Some(connection)) => {
                if let Some(pace) = connection.watched.as_deref_mut().and_then(|watched| watched.progress.plan(self.now)) {
                    self.watch.plan(self.now, key.0, connection.serial, pace);
                }
                connection.link.send(&self.scratch)
            }
            _ => Sent::All,
        };
        self.scratch.clear();
        if self.scratch.capacity() > SCRATCH_BYTES_KEPT {
            self.scratch = Vec::new();
        }
        match sent {
            Sent::All => Written::All,
            Sent::Blocked => Written::Blocked,
            Sent::Broken => {
                self.broken.push(key.0);
                Written::Blocked
            }
        }
    }

    fn close(&mut self, connection: ConnectionKey, code: ErrorCode, text: &str) {
        self.leave(connection.0, Some(code.close_code()), text);
    }
}

/// How long a leaving connection may take to read the reason and close. Then it is cut.
const LINGER_MAX: Duration = Duration::from_secs(2);
/// Time for a message to arrive whole, from its first byte. Later it is a bad message.
const MESSAGE_WITHIN: Duration = Duration::from_secs(10);
/// Bytes of scratch kept between flushes. A larger buffer, grown by a large snapshot, is given back.
const SCRATCH_BYTES_KEPT: usize = 1 << 20;
