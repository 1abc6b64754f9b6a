//! The loop of one shard: waits for sockets, commands and deadlines, feeds the engine, and flushes once.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mio::event::Event;
use mio::{Events, Poll, Token, Waker};
use tickwire_core::engine::ConnectionKey;
use tickwire_core::{Engine, InstrumentId};
use tickwire_proto::v1::{self, ErrorCode};
use tickwire_proto::{Moment, Symbol};
use tokio::sync::mpsc;

use super::connection::Phase;
use super::hub::Hub;
use super::link::{Bell, Carrier, Sent};
use super::rest::Rest;
use super::{BookImages, IMAGES_PAGE, InstrumentPage, Newcomer, ShardCommand, TransportKind};
use crate::websocket::{Incoming, Violation};

/// One shard.
pub(super) struct Reactor {
    poll: Poll,
    waker: Arc<Waker>,
    bell: Arc<Bell>,
    rest: Arc<Rest>,
    commands: mpsc::Receiver<ShardCommand>,
    engine: Engine,
    hub: Hub,
    /// What is read lands here, whoever sent it.
    buffer: Vec<u8>,
    /// Connections that had more to read than one turn allows.
    unread: Vec<u32>,
    message_bytes_max: usize,
    origin: Instant,
    now: Moment,
    /// When the engine was last told the time of day.
    told_time_at: Option<Moment>,
    /// Whether commands were left for the next turn.
    has_more_commands: bool,
    stopping: bool,
}

impl Reactor {
    pub(super) fn new(
        engine: Engine,
        commands: mpsc::Receiver<ShardCommand>,
        connections: Arc<AtomicUsize>,
        message_bytes_max: usize,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
        let bell = Arc::new(Bell::new(waker.clone()));
        let hub = Hub::new(poll.registry().try_clone()?, bell.clone(), connections);
        let rest = Arc::new(Rest::new());
        let (buffer, unread, origin) = (vec![0; READ_BYTES], Vec::new(), Instant::now());
        let (now, told_time_at, has_more_commands, stopping) = (Moment::ZERO, None, false, false);
        Ok(Self {
            poll,
            waker,
            bell,
            rest,
            commands,
            engine,
            hub,
            buffer,
            unread,
            message_bytes_max,
            origin,
            now,
            told_time_at,
            has_more_commands,
            stopping,
        })
    }

    /// Wakes the loop.
    pub(super) fn waker(&self) -> Arc<Waker> {
        self.waker.clone()
    }

    /// Says when it sleeps.
    pub(super) fn rest(&self) -> Arc<Rest> {
        self.rest.clone()
    }

    /// Runs until a `Stop` command.
    pub(super) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        self.tell_time();
        while !self.stopping {
            let patience = self.lie_down();
            match self.poll.poll(&mut events, Some(patience)) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            self.rest.get_up();
            self.tell_time();
            for key in std::mem::take(&mut self.unread) {
                self.read(key);
            }
            for event in &events {
                self.socket_event(event);
            }
            // After the sockets, so that no event of a connection that ended meets a new one of the same key.
            self.has_more_commands = false;
            self.run_commands();
            self.hub.cut_overdue();
            self.end_unfinished();
            self.look();
            self.engine.flush(self.now, &mut self.hub);
            for key in self.hub.take_broken() {
                self.gone(key);
            }
        }
        Ok(())
    }

    /// How long to wait for something to happen. What is queued from now on wakes it, or can wait as long.
    fn lie_down(&mut self) -> Duration {
        let patience = self.patience();
        if patience.is_zero() {
            return patience;
        }
        self.engine.take_waits(&mut |word, bits| self.rest.note_waits(word, bits));
        if self.rest.lie_down(|| self.commands.is_empty()) { patience } else { Duration::ZERO }
    }

    /// How long nothing happens by itself.
    fn patience(&self) -> Duration {
        if self.has_more_commands || !self.unread.is_empty() {
            return Duration::ZERO;
        }
        let now = self.moment();
        let wait = |deadline: Moment| deadline.since(now);
        [self.engine.deadline(), self.hub.deadline()].into_iter().flatten().map(wait).fold(TIME_OF_DAY_EVERY, Duration::min)
    }

    fn moment(&self) -> Moment {
        Moment::from_micros(self.origin.elapsed().as_micros() as u64)
    }

    fn tell_time(&mut self) {
        self.now = self.moment();
        self.hub.set_now(self.now);
        if self.told_time_at.is_none_or(|at| self.now >= at + TIME_OF_DAY_EVERY) {
            let unix_us = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64);
            self.engine.set_wall_clock(self.now, unix_us);
            self.told_time_at = Some(self.now);
        }
    }

    /// Runs what was asked for, so that one flush answers all of it. A feed that never pauses must not keep the flush waiting.
    fn run_commands(&mut self) {
        for _ in 0..COMMANDS_PER_TURN {
            let Ok(command) = self.commands.try_recv() else { return };
            match command {
                ShardCommand::Apply(under_way) => self.engine.apply(self.now, &under_way.batch),
                ShardCommand::Attach(newcomer) => self.attach(*newcomer),
                ShardCommand::Inspect(answer) => drop(answer.send(self.engine.stats())),
                ShardCommand::Images(after, answer) => drop(answer.send(self.images(after))),
                ShardCommand::Instruments(page, answer) => drop(answer.send(self.instruments(&page))),
                ShardCommand::Drain { retry_after, spread } => self.engine.drain(self.now, retry_after, spread),
                ShardCommand::Stop => self.stopping = true,
            }
        }
        self.has_more_commands = true;
    }

    fn images(&self, after: InstrumentId) -> BookImages {
        let instruments = self.engine.checkpoint_behind(after, IMAGES_PAGE);
        let last = instruments.last().filter(|_| instruments.len() == IMAGES_PAGE).and_then(|kept| kept.info.as_ref());
        BookImages { seq: self.engine.stats().seq, next: last.map(|info| InstrumentId(info.id)), instruments }
    }

    fn instruments(&self, page: &InstrumentPage) -> (Vec<v1::InstrumentInfo>, Option<u32>) {
        let mut fits = |symbol: &Symbol| {
            page.allowed.iter().any(|allowed| allowed.matches(symbol))
                && page.pattern.as_ref().is_none_or(|pattern| pattern.matches(symbol))
        };
        let (found, next_after) = self.engine.page(InstrumentId(page.after), page.limit, &mut fits);
        (found, next_after.map(|id| id.0))
    }

    fn attach(&mut self, newcomer: Newcomer) {
        let Newcomer { carrier, visitor, transport, arrival, preface, mut early } = newcomer;
        let is_encrypted = matches!(carrier, Carrier::Tls(..));
        let key = match self.hub.insert(carrier, transport, visitor) {
            Ok(key) => key,
            Err(error) => return tracing::warn!(%error, "a connection could not be watched"),
        };
        self.engine.attach(self.now, ConnectionKey(key), arrival);
        match self.hub.get(key).map(|connection| connection.link.send(&preface)) {
            Some(Sent::Broken) => return self.gone(key),
            _ => self.received(key, &mut early),
        }
        if let Some(way) = self.hub.way(key).filter(|_| self.engine.watch(self.now, ConnectionKey(key))) {
            self.hub.follow(key, way, preface.len());
        }
        if is_encrypted {
            // What TLS has read and decrypted already makes no event of the socket.
            self.unread.push(key);
        }
    }

    fn socket_event(&mut self, event: &Event) {
        if event.token() == WAKE {
            return self.answer_bell();
        }
        let key = event.token().0 as u32;
        if event.is_writable() {
            self.write(key);
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.read(key);
        }
    }

    /// Looks at the pipes that were emptied, or whose readers have left.
    fn answer_bell(&mut self) {
        for call in self.bell.take() {
            let Some(connection) = self.hub.get(call.key).filter(|connection| connection.serial == call.serial) else { continue };
            match connection.link.send_rest() {
                Sent::Broken => self.gone(call.key),
                Sent::All if connection.phase == Phase::Open => self.engine.writable(self.now, ConnectionKey(call.key)),
                _ => {}
            }
        }
    }

    /// The socket takes bytes again.
    fn write(&mut self, key: u32) {
        let Some(connection) = self.hub.get(key).filter(|connection| connection.link.is_blocked()) else { return };
        let (sent, phase) = (connection.send_rest(), connection.phase);
        match (sent, phase) {
            (Sent::Broken, _) => self.gone(key),
            (Sent::All, Phase::Open) => self.engine.writable(self.now, ConnectionKey(key)),
            (Sent::All, Phase::Leaving { .. }) => connection.link.shut_if_done(),
            (Sent::Blocked, _) => {}
        }
    }

    /// Reads until nothing is there; a connection that sends faster than that goes on in the next turn, behind the others.
    fn read(&mut self, key: u32) {
        let mut buffer = std::mem::take(&mut self.buffer);
        for _ in 0..READS_PER_TURN {
            let Some(connection) = self.hub.get(key) else { break };
            match connection.link.read(&mut buffer) {
                Ok(None) => {
                    self.buffer = buffer;
                    return;
                }
                Ok(Some(len)) if len > 0 => self.received(key, &mut buffer[..len]),
                _ => {
                    self.gone(key);
                    break;
                }
            }
        }
        self.buffer = buffer;
        if self.hub.get(key).is_some() {
            self.unread.push(key);
        }
    }

    fn received(&mut self, key: u32, bytes: &mut [u8]) {
        let Some(connection) = self.hub.get(key) else { return };
        match (&mut connection.phase, connection.transport) {
            (Phase::Leaving { discarded }, _) => {
                *discarded += bytes.len();
                if *discarded > DISCARDED_BYTES_MAX {
                    self.hub.remove(key);
                }
            }
            (Phase::Open, TransportKind::WebSocket { text }) => self.received_frames(key, text, bytes),
            // A body, or a second request: neither is read.
            (Phase::Open, TransportKind::Sse { .. } | TransportKind::Grpc) => {}
        }
    }

    fn received_frames(&mut self, key: u32, text_expected: bool, bytes: &mut [u8]) {
        let Some(connection) = self.hub.get(key) else { return };
        let mut inbound = std::mem::take(&mut connection.inbound);
        let (mut left, mut broken) = (None, false);
        let (now, engine, hub) = (self.now, &mut self.engine, &mut self.hub);
        let result = inbound.take(now, bytes, self.message_bytes_max, &mut |incoming| match incoming {
            Incoming::Message { text, payload } if text == text_expected => engine.receive(now, ConnectionKey(key), payload),
            Incoming::Message { .. } => {
                let text = if text_expected { "binary message where text was agreed" } else { "text message where binary was agreed" };
                engine.reject(now, ConnectionKey(key), ErrorCode::BadMessage, text);
            }
            Incoming::Ping(payload) => broken |= hub.get(key).is_some_and(|connection| connection.pong(payload) == Sent::Broken),
            Incoming::Close(code) => left = Some(code),
        });
        if inbound.unfinished_since() == Some(now) {
            self.hub.watch_unfinished(key);
        }
        if let Some(connection) = self.hub.get(key) {
            connection.inbound = inbound;
        }
        match (result, left) {
            (Err(Violation::TooLarge(text)), _) => self.engine.reject(now, ConnectionKey(key), ErrorCode::MessageTooLarge, text),
            (Err(violation), _) => {
                let (code, reason) = violation.close();
                self.end(key, Some(code), reason);
            }
            (Ok(()), Some(code)) => self.end(key, code, ""),
            (Ok(()), None) if broken => self.gone(key),
            (Ok(()), None) => {}
        }
    }

    /// Tells the engine how far the frames have got of clients that cannot say it.
    fn look(&mut self) {
        for (key, arrived) in self.hub.look() {
            match arrived {
                Some(frame) => self.engine.reached(self.now, ConnectionKey(key), frame),
                None => self.engine.unwatch(self.now, ConnectionKey(key)),
            }
        }
    }

    /// Ends conversations whose client began something and does not finish it.
    fn end_unfinished(&mut self) {
        while let Some(key) = self.hub.next_unfinished() {
            self.engine.reject(self.now, ConnectionKey(key), ErrorCode::BadMessage, "a message did not arrive whole in time");
        }
    }

    /// Ends a conversation for a reason below the session protocol.
    fn end(&mut self, key: u32, code: Option<u16>, reason: &str) {
        self.engine.detach(ConnectionKey(key));
        self.hub.leave(key, code, reason);
    }

    /// The transport is gone.
    fn gone(&mut self, key: u32) {
        if self.hub.get(key).is_some_and(|connection| connection.phase == Phase::Open) {
            self.engine.detach(ConnectionKey(key));
        }
        self.hub.remove(key);
    }
}

/// Token of the waker. Connections count from 0.
const WAKE: Token = Token(usize::MAX);
/// Events taken from the system at once. More come with the next turn.
const EVENTS_MAX: usize = 1_024;
/// Bytes of one read.
const READ_BYTES: usize = 64 * 1_024;
/// Reads of one connection in a turn. More wait for the next, so that one that sends without end does not keep the others waiting.
const READS_PER_TURN: usize = 4;
/// Commands in a turn. More wait for the next, behind a flush.
const COMMANDS_PER_TURN: usize = 256;
/// Bytes that a leaving client may still send. More cut it.
const DISCARDED_BYTES_MAX: usize = 256 * 1_024;
/// How often the engine is told the time of day; the longest sleep.
const TIME_OF_DAY_EVERY: Duration = Duration::from_secs(1);
