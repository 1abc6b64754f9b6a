//! The engine of a shard, driven by any batches, clients, sockets and times. Clients check all that they are told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tickwire_core::access::{Authority, Grant};
use tickwire_core::engine::{
    Arrival, ConnectionKey, Engine, EngineConfig, FRAME_RECORDS_MAX, FrameKind, FrameRef, RATE_CLASSES_MS, RateRule, Sink, Written,
};
use tickwire_core::{Batch, Entry};
use tickwire_proto::v1::{self, ErrorCode, client_frame::Command, server_frame::Control, subscribe_item::Target, update::Body};
use tickwire_proto::wire::{self, Encoding};
use tickwire_proto::{Moment, Pattern, Scale};

use crate::session::update;
use crate::tape::Tape;

/// Steps until the tape ends.
pub(crate) fn run(bytes: &[u8]) {
    let mut tape = Tape::new(bytes);
    let mut world = World::new(&mut tape);
    for _ in 0..STEPS_MAX {
        if tape.is_over() {
            break;
        }
        world.step(&mut tape);
    }
    world.settle();
}

struct World {
    engine: Engine,
    now: Moment,
    instruments: u32,
    seq: u64,
    sockets: Sockets,
    keys_used: u32,
}

/// What the engine writes into.
#[derive(Default)]
struct Sockets {
    open: BTreeMap<ConnectionKey, Socket>,
    frames: usize,
}

struct Socket {
    encoding: Encoding,
    cseq: u64,
    /// Takes nothing beyond the next commit.
    jammed: bool,
    blocked: bool,
    uncommitted: bool,
    infos: BTreeMap<u32, v1::InstrumentInfo>,
    requests: BTreeSet<u32>,
}

impl World {
    fn new(tape: &mut Tape<'_>) -> Self {
        let mut engine = Engine::new(config(tape), Box::new(Tokens));
        engine.set_wall_clock(Moment::ZERO, 1_000_000_000);
        let mut world = Self { engine, now: Moment::ZERO, instruments: 0, seq: 0, sockets: Sockets::default(), keys_used: 0 };
        if tape.flag() {
            world.apply(vec![Entry::Reset { epoch: "e".into() }, Entry::Synced]);
        }
        world
    }

    fn step(&mut self, tape: &mut Tape<'_>) {
        match tape.below(16) {
            0 | 1 => self.attach(tape),
            2..=5 => self.batch(tape),
            6 => self.wait(Duration::from_millis(u64::from(tape.byte()) << tape.below(9))),
            7 => {
                let key = self.key(tape);
                if let Some(socket) = self.sockets.open.get_mut(&key) {
                    socket.jammed = true;
                }
            }
            8 => {
                let key = self.key(tape);
                self.unjam(key);
            }
            9 => {
                let key = self.key(tape);
                if tape.below(4) == 0 {
                    self.engine.detach(key);
                    self.sockets.open.remove(&key);
                } else if tape.below(16) == 0 {
                    self.engine.reject(self.now, key, ErrorCode::MessageTooLarge, "too large");
                }
            }
            10 => {
                let key = self.key(tape);
                self.engine.receive(self.now, key, tape.piece());
            }
            11 if tape.below(64) == 0 => {
                let [retry_after, spread] = [tape.number(), tape.number()].map(Duration::from_millis);
                self.engine.drain(self.now, retry_after, spread);
            }
            12 if tape.flag() => self.watch(tape),
            _ => self.command(tape),
        }
        // Several things may happen between two flushes.
        if tape.below(4) != 0 {
            self.flush();
        }
    }

    fn attach(&mut self, tape: &mut Tape<'_>) {
        if self.sockets.open.len() >= CONNECTIONS_MAX {
            return;
        }
        self.keys_used += 1;
        let key = ConnectionKey(self.keys_used);
        let encoding = if tape.flag() { Encoding::Json } else { Encoding::Protobuf };
        let grant = tape.maybe(|_| grant());
        let request = (tape.below(4) == 0).then(|| (hello(tape), v1::Subscribe { items: items(tape), replace: false }));
        let socket = Socket {
            encoding,
            cseq: 0,
            jammed: false,
            blocked: false,
            uncommitted: false,
            infos: BTreeMap::new(),
            requests: BTreeSet::new(),
        };
        self.sockets.open.insert(key, socket);
        self.engine.attach(self.now, key, Arrival { encoding, grant, request, session: format!("n1-{}", self.keys_used) });
        if tape.below(4) != 0 {
            self.send(key, 1, Command::Hello(hello(tape)));
            let items = items(tape);
            self.send(key, 2, Command::Subscribe(v1::Subscribe { items, replace: false }));
        }
    }

    /// A shell that watches sockets; what it tells may be anything.
    fn watch(&mut self, tape: &mut Tape<'_>) {
        let key = self.key(tape);
        match tape.below(4) {
            0 => _ = self.engine.watch(self.now, key),
            1 => self.engine.unwatch(self.now, key),
            _ => {
                let newest = self.sockets.open.get(&key).map_or(0, |socket| socket.cseq);
                self.engine.reached(self.now, key, if tape.flag() { newest } else { tape.number() });
            }
        }
    }

    fn command(&mut self, tape: &mut Tape<'_>) {
        let key = self.key(tape);
        let command = match tape.below(8) {
            0 => Command::Hello(hello(tape)),
            1 | 2 => Command::Subscribe(v1::Subscribe { items: items(tape), replace: tape.flag() }),
            3 => {
                let symbols = (0..tape.below(4)).map(|_| symbol(tape)).collect();
                Command::Unsubscribe(v1::Unsubscribe { symbols, all: tape.below(8) == 0 })
            }
            4 => Command::Configure(v1::Configure { conflate_ms: tape.maybe(rate), paused: tape.maybe(Tape::flag) }),
            5 => Command::Authenticate(v1::Authenticate { token: tape.pick(&["all", "soon", "?"]).into() }),
            6 => {
                let newest = self.sockets.open.get(&key).map_or(0, |socket| socket.cseq);
                Command::Progress(v1::Progress { cseq: if tape.flag() { newest } else { tape.number() } })
            }
            _ => Command::Ping(v1::Ping { nonce: tape.number() }),
        };
        self.send(key, tape.number() as u32, command);
    }

    fn send(&mut self, key: ConnectionKey, request_id: u32, command: Command) {
        let Some(socket) = self.sockets.open.get_mut(&key) else { return };
        socket.requests.insert(request_id);
        let mut bytes = Vec::new();
        wire::encode_client(socket.encoding, &v1::ClientFrame { request_id, command: Some(command) }, &mut bytes);
        self.engine.receive(self.now, key, &bytes);
    }

    /// What the intake guarantees: dense ids, named before use, and positions that never turn back within one life of the log.
    fn batch(&mut self, tape: &mut Tape<'_>) {
        let mut entries = Vec::new();
        for _ in 0..=tape.below(6) {
            match tape.below(16) {
                0 | 1 if self.instruments < INSTRUMENTS_MAX => {
                    self.instruments += 1;
                    entries.push(Entry::Instrument(info(self.instruments, tape)));
                }
                2 if tape.below(8) == 0 => {
                    self.seq = 0;
                    entries.push(Entry::Reset { epoch: tape.pick(&["e", "f", "g"]).into() });
                }
                2 => entries.push(Entry::Synced),
                3 => {
                    let (from, to) = (self.seq, self.seq + 1 + u64::from(tape.byte()));
                    self.seq = to;
                    entries.push(Entry::Gap { from, to });
                }
                4 => entries.push(Entry::Feed(v1::FeedState {
                    feed: tape.pick(&["f", "g"]).into(),
                    health: 1 + i32::from(tape.below(5)),
                    ..Default::default()
                })),
                5 if self.instruments > 0 => self.rescale(tape, &mut entries),
                _ if self.instruments > 0 => {
                    self.seq += u64::from(tape.below(3));
                    let mut said = update(tape);
                    said.id = 1 + said.id % self.instruments;
                    entries.push(Entry::Update(v1::Update { seq: self.seq, merged: 0, flags: said.flags & ALLOWED_FLAGS, ..said }));
                }
                _ => {}
            }
        }
        entries.push(Entry::Position(self.seq));
        self.apply(entries);
    }

    /// New scales, followed by an image.
    fn rescale(&mut self, tape: &mut Tape<'_>, entries: &mut Vec<Entry>) {
        let id = 1 + u32::from(tape.byte()) % self.instruments;
        self.seq += 1;
        entries.push(Entry::Instrument(info(id, tape)));
        let body = Some(Body::Quote(v1::Quote { last: Some(tape.signed()), ..Default::default() }));
        entries.push(Entry::Update(v1::Update { id, seq: self.seq, flags: v1::UpdateFlag::Image as u32, body, ..Default::default() }));
    }

    fn apply(&mut self, entries: Vec<Entry>) {
        self.engine.apply(self.now, &Batch { entries });
    }

    fn flush(&mut self) {
        self.engine.flush(self.now, &mut self.sockets);
        for round in 0.. {
            assert!(round < FLUSHES_MAX, "the engine asks to be flushed for ever");
            assert!(self.sockets.open.values().all(|socket| !socket.uncommitted), "frames were given and not committed");
            if self.engine.deadline().is_none_or(|deadline| deadline > self.now) {
                break;
            }
            self.engine.flush(self.now, &mut self.sockets);
        }
        let stats = self.engine.stats();
        assert_eq!(stats.connections as usize, self.sockets.open.len(), "the engine and its sockets know the same connections");
        assert!(stats.slow <= stats.connections);
    }

    fn wait(&mut self, span: Duration) {
        let end = self.now + span;
        for round in 0.. {
            let Some(due) = self.engine.deadline().filter(|due| *due <= end) else { break };
            assert!(round < WAKES_MAX, "a storm of timers");
            self.now = self.now.max(due);
            self.flush();
        }
        self.now = end;
    }

    fn unjam(&mut self, key: ConnectionKey) {
        let Some(socket) = self.sockets.open.get_mut(&key) else { return };
        socket.jammed = false;
        if std::mem::take(&mut socket.blocked) {
            self.engine.writable(self.now, key);
        }
    }

    /// With everyone listening, all is told within a minute, and then there is silence but for heartbeats.
    fn settle(&mut self) {
        for key in self.sockets.open.keys().copied().collect::<Vec<_>>() {
            self.unjam(key);
        }
        self.flush();
        self.wait(Duration::from_secs(20));
        self.sockets.frames = 0;
        self.wait(Duration::from_secs(10));
        let heartbeats = 20 * CONNECTIONS_MAX + self.sockets.open.len();
        assert!(self.sockets.frames <= heartbeats, "{} frames while nothing happens", self.sockets.frames);
    }

    fn key(&self, tape: &mut Tape<'_>) -> ConnectionKey {
        let index = usize::from(tape.byte()) % self.sockets.open.len().max(1);
        self.sockets.open.keys().nth(index).copied().unwrap_or(ConnectionKey(0))
    }
}

impl Sink for Sockets {
    fn frame(&mut self, connection: ConnectionKey, frame: FrameRef<'_>) {
        let socket = self.open.get_mut(&connection).expect("frames go to open connections");
        let last = matches!(frame.kind, FrameKind::Error | FrameKind::Goodbye);
        assert!(!socket.blocked || last, "a blocked socket is given nothing but a last word");
        socket.uncommitted = true;
        self.frames += 1;
        socket.hear(frame.payload);
    }

    fn commit(&mut self, connection: ConnectionKey) -> Written {
        let socket = self.open.get_mut(&connection).expect("commits are of open connections");
        socket.uncommitted = false;
        socket.blocked = socket.jammed;
        if socket.blocked { Written::Blocked } else { Written::All }
    }

    fn close(&mut self, connection: ConnectionKey, _: ErrorCode, _: &str) {
        self.open.remove(&connection).expect("a connection is closed once");
    }
}

impl Socket {
    fn hear(&mut self, payload: &[u8]) {
        let scales = |id| {
            let info: &v1::InstrumentInfo = self.infos.get(&id)?;
            Some((Scale::new(info.price_scale).ok()?, Scale::new(info.quantity_scale).ok()?))
        };
        let frame = wire::decode_server(self.encoding, payload, &scales).expect("what is written can be read");
        self.cseq += 1;
        assert_eq!(frame.cseq, self.cseq, "frames are counted without a hole");
        assert!(frame.updates.len() <= FRAME_RECORDS_MAX);
        for info in frame.infos {
            self.infos.insert(info.id, info);
        }
        if let Some(Control::SubscribeAck(ack)) = &frame.control {
            // The request of a one-way connection has no number.
            assert!(ack.request_id == 0 || self.requests.contains(&ack.request_id), "an answer to nothing");
            let granted = ack.results.iter().filter(|result| result.code == 0).map(|result| result.conflate_ms);
            granted.for_each(|rate| assert!(RATE_CLASSES_MS.contains(&rate), "{rate} ms is no class"));
        }
        for update in &frame.updates {
            assert!(self.infos.contains_key(&update.id), "an instrument is named before its first record");
            assert!(update.body.is_some());
        }
    }
}

fn config(tape: &mut Tape<'_>) -> EngineConfig {
    EngineConfig {
        node: "n1".into(),
        message_bytes_max: 65_536,
        subscriptions_max: 6,
        items_max: 4,
        commands_per_s: 10,
        commands_burst: tape.pick(&[40, 10_000]),
        hello_within: Duration::from_secs(5),
        conflate_ms_default: 250,
        conflate_ms_min: 0,
        rate_rules: vec![RateRule { pattern: Pattern::parse("a.#").expect("a pattern"), conflate_ms_min: 100 }],
        heartbeat: Duration::from_secs(5),
        stalled_max: Duration::from_secs(30),
        events_kept: tape.pick(&[0, 3, 1_000]),
        events_waiting_max: tape.pick(&[1, 4, 256]),
        credit_bytes_max: tape.pick(&[0, 4_096, 4 << 20]),
        paced: tape.pick(&[false, true]),
    }
}

/// Knows a token for everything, and one that ends soon.
struct Tokens;

impl Authority for Tokens {
    fn grant(&self, token: Option<&str>, unix_s: u64) -> Result<Grant, ErrorCode> {
        match token {
            None | Some("all") => Ok(grant()),
            Some("soon") => Ok(Grant { expires_at_s: Some(unix_s + 3), subscriptions_max: Some(2), conflate_ms_min: 100, ..grant() }),
            Some(_) => Err(ErrorCode::AuthInvalid),
        }
    }
}

fn grant() -> Grant {
    let patterns = vec![Pattern::parse("s.#").expect("a pattern")];
    Grant { subject: "ann".into(), patterns, expires_at_s: None, conflate_ms_min: 0, subscriptions_max: None }
}

fn hello(tape: &mut Tape<'_>) -> v1::Hello {
    v1::Hello {
        protocol: 1,
        token: tape.maybe(|tape| tape.pick(&["all", "soon", "?"]).into()),
        resume: tape.maybe(|tape| format!("{}:{}", tape.pick(&["e", "f", ""]), tape.number())),
        conflate_ms: tape.maybe(rate),
        heartbeat_ms: tape.maybe(|tape| tape.number() as u32),
        credit: tape.flag(),
        ..Default::default()
    }
}

fn items(tape: &mut Tape<'_>) -> Vec<v1::SubscribeItem> {
    let item = |tape: &mut Tape<'_>| {
        let target = Some(if tape.flag() { Target::Pattern(symbol(tape)) } else { Target::Symbol(symbol(tape)) });
        v1::SubscribeItem { target, conflate_ms: tape.maybe(rate), trades: tape.flag() }
    };
    (0..tape.below(5)).map(|_| item(tape)).collect()
}

fn symbol(tape: &mut Tape<'_>) -> String {
    tape.pick(&["s.1", "s.2", "s.3", "s.4", "s.*", "#", "s.#", "t.1", "", ".."]).into()
}

fn rate(tape: &mut Tape<'_>) -> u32 {
    tape.pick(&[0, 1, 50, 100, 101, 250, 5_000, u32::MAX])
}

fn info(id: u32, tape: &mut Tape<'_>) -> v1::InstrumentInfo {
    let mut scale = || u32::from(tape.byte()) % (Scale::MAX + 1);
    v1::InstrumentInfo {
        symbol: format!("s.{id}"),
        id,
        price_scale: scale(),
        quantity_scale: scale(),
        feed: "f".into(),
        ..Default::default()
    }
}

/// Flags that feeds may set.
const ALLOWED_FLAGS: u32 = v1::UpdateFlag::Image as u32 | v1::UpdateFlag::Correction as u32;
const STEPS_MAX: usize = 300;
const CONNECTIONS_MAX: usize = 4;
const INSTRUMENTS_MAX: u32 = 8;
/// Flushes that one moment may take.
const FLUSHES_MAX: usize = 200;
/// Wakes of one wait: lanes and heartbeats of a few connections, at least 50 ms apart, over two minutes at most.
const WAKES_MAX: u32 = 20_000;
