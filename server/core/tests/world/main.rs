//! Both ends in one simulated world: the real engine and real client sessions over links that stall, cut and lose what was on the way.
//!
//! Whatever happened, in the end every application knows what the book knows, and has been given every halt once and in order, or a gap.
//! `SEED=7` replays one world, `SEEDS=5000` tries more of them.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tickwire_core::access::{Authority, Grant};
use tickwire_core::engine::{Arrival, ConnectionKey, Engine, EngineConfig, FrameRef, Sink, Written};
use tickwire_core::{Batch, Entry};
use tickwire_proto::image::Image;
use tickwire_proto::session::{Change, Input, Item, Output, Session, SessionConfig, State, SubscribeOptions, SubscriptionId};
use tickwire_proto::time::Moment;
use tickwire_proto::v1::{self, ErrorCode, update::Body};
use tickwire_proto::wire::Encoding;
use tickwire_proto::{Pattern, Symbol};

#[test]
fn every_application_learns_the_truth() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("SEED") {
        return World::new(seed).run();
    }
    for seed in 1..=number("SEEDS").unwrap_or(SEEDS) {
        let outcome = std::panic::catch_unwind(|| World::new(seed).run());
        assert!(outcome.is_ok(), "the world of SEED={seed} went wrong");
    }
}

struct World {
    random: Random,
    now: Moment,
    engine: Engine,
    net: Net,
    peers: Vec<Peer>,
    seq: u64,
    epoch: u32,
    symbols: u32,
    halts: BTreeMap<u32, Vec<u64>>,
    /// The log has started over: positions do not tell events apart any more.
    was_reset: bool,
}

/// An application with its session.
struct Peer {
    session: Session,
    encoding: Encoding,
    /// One-way: what its request asks for is all that it can say.
    one_way: bool,
    rate: u32,
    subscription: SubscriptionId,
    key: Option<ConnectionKey>,
    /// A transport that was asked for is open then.
    opens_at: Option<Moment>,
    wakes_at: Option<Moment>,
    halts: BTreeMap<Symbol, Vec<u64>>,
    gaps: BTreeMap<Symbol, Vec<(u64, u64)>>,
    newest: BTreeMap<Symbol, u64>,
}

/// Frames on their way to the clients.
#[derive(Default)]
struct Net {
    links: BTreeMap<ConnectionKey, Link>,
    keys: u32,
}

#[derive(Default)]
struct Link {
    frames: VecDeque<Vec<u8>>,
    /// Nothing arrives while it is stalled, and the socket takes nothing more.
    stalled: bool,
    blocked: bool,
    closed: Option<ErrorCode>,
}

impl Sink for Net {
    fn frame(&mut self, connection: ConnectionKey, frame: FrameRef<'_>) {
        self.links.entry(connection).or_default().frames.push_back(frame.payload.to_vec());
    }

    fn commit(&mut self, connection: ConnectionKey) -> Written {
        let link = self.links.entry(connection).or_default();
        link.blocked |= link.stalled;
        if link.blocked { Written::Blocked } else { Written::All }
    }

    fn close(&mut self, connection: ConnectionKey, code: ErrorCode, _: &str) {
        self.links.entry(connection).or_default().closed = Some(code);
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let config = EngineConfig {
            node: "n1".into(),
            events_kept: if random.one_in(3) { 10 } else { 10_000 },
            events_waiting_max: if random.one_in(3) { 4 } else { 256 },
            ..EngineConfig::default()
        };
        let mut engine = Engine::new(config, Box::new(Everyone));
        engine.set_wall_clock(Moment::ZERO, 1_700_000_000_000_000);
        let mut world = Self {
            random,
            now: Moment::ZERO,
            engine,
            net: Net::default(),
            peers: Vec::new(),
            seq: 0,
            epoch: 1,
            symbols: 0,
            halts: BTreeMap::new(),
            was_reset: false,
        };
        world.apply(vec![Entry::Reset { epoch: "e1".into() }]);
        for _ in 0..3 {
            world.announce();
        }
        world.apply(vec![Entry::Synced]);
        for n in 0..5 {
            world.join(n);
        }
        // Nobody is owed what happened before they came.
        world.pass(Duration::from_millis(100));
        world
    }

    fn run(mut self) {
        for _ in 0..STEPS {
            match self.random.below(30) {
                0..=12 => self.publish(),
                13..=22 => {
                    let span = self.random.below(300);
                    self.pass(Duration::from_millis(span));
                }
                23 => self.pass(Duration::from_secs(3)),
                24 => self.link(|link| link.stalled = true),
                25 | 26 => self.relieve(),
                27 => self.cut(),
                28 if self.symbols < 6 => self.announce(),
                29 if self.random.one_in(6) => self.reset(),
                _ => {
                    let index = self.random.below(self.peers.len() as u64) as usize;
                    let rate = self.random.below(1_500) as u32;
                    let peer = &mut self.peers[index];
                    peer.rate = rate;
                    peer.session.set_conflation(self.now, peer.subscription, Some(rate));
                }
            }
            self.settle();
        }
        for key in self.net.links.keys().copied().collect::<Vec<_>>() {
            self.unstall(key);
        }
        self.pass(Duration::from_secs(120));
        self.judge();
    }

    fn join(&mut self, n: u64) {
        let one_way = n == 4;
        let encoding = if n % 2 == 0 && !one_way { Encoding::Protobuf } else { Encoding::Json };
        let config = SessionConfig { encoding, two_way: !one_way, heartbeat_ms: 500, ..SessionConfig::default() };
        let mut session = Session::new(config, self.random.next());
        let rate = [0, 100, 250, 1_000, 250][n as usize];
        let options = SubscribeOptions { conflate_ms: Some(rate), trades: false };
        let subscription = session.subscribe(self.now, &[Item { target: "s.*".into() }], options);
        session.handle(self.now, Input::Connect);
        self.peers.push(Peer {
            session,
            encoding,
            one_way,
            rate,
            subscription,
            key: None,
            opens_at: None,
            wakes_at: None,
            halts: BTreeMap::new(),
            gaps: BTreeMap::new(),
            newest: BTreeMap::new(),
        });
        self.settle();
    }

    fn apply(&mut self, entries: Vec<Entry>) {
        self.engine.apply(self.now, &Batch { entries });
    }

    fn announce(&mut self) {
        self.symbols += 1;
        let info = v1::InstrumentInfo { symbol: format!("s.{}", self.symbols), id: self.symbols, price_scale: 2, ..Default::default() };
        self.apply(vec![Entry::Instrument(info)]);
    }

    fn publish(&mut self) {
        let id = 1 + self.random.below(u64::from(self.symbols)) as u32;
        self.seq += 1 + self.random.below(3);
        let body = if self.random.one_in(6) {
            self.halts.entry(id).or_default().push(self.seq);
            Body::Status(v1::Status { phase: 1 + self.random.below(8) as i32, ..Default::default() })
        } else {
            let bid = self.random.one_in(2).then(|| self.random.below(100) as i64);
            Body::Quote(v1::Quote { bid, last: Some(self.seq as i64), ..Default::default() })
        };
        self.apply(vec![Entry::Update(v1::Update { id, seq: self.seq, ts_event_us: self.seq, body: Some(body), ..Default::default() })]);
    }

    /// The log starts over, with lower positions.
    fn reset(&mut self) {
        self.was_reset = true;
        self.epoch += 1;
        self.seq = 0;
        self.halts.clear();
        self.apply(vec![Entry::Reset { epoch: format!("e{}", self.epoch) }]);
        self.publish();
        self.settle();
        self.publish();
        self.apply(vec![Entry::Synced]);
    }

    fn someone(&mut self) -> usize {
        self.random.below(self.peers.len() as u64) as usize
    }

    fn link(&mut self, change: impl FnOnce(&mut Link)) {
        let index = self.someone();
        if let Some(link) = self.peers[index].key.and_then(|key| self.net.links.get_mut(&key)) {
            change(link);
        }
    }

    fn relieve(&mut self) {
        let index = self.someone();
        if let Some(key) = self.peers[index].key {
            self.unstall(key);
        }
    }

    fn unstall(&mut self, key: ConnectionKey) {
        let Some(link) = self.net.links.get_mut(&key) else { return };
        link.stalled = false;
        if core::mem::take(&mut link.blocked) {
            self.engine.writable(self.now, key);
        }
    }

    /// The network takes a connection away, with all that was on its way.
    fn cut(&mut self) {
        let index = self.someone();
        if let Some(key) = self.peers[index].key.take() {
            self.engine.detach(key);
            self.net.links.remove(&key);
            self.peers[index].session.handle(self.now, Input::Closed { code: None, retry_after: None });
        }
    }

    /// Lets time pass, from one deadline of either end to the next.
    fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            self.settle();
            let peers = self.peers.iter().flat_map(|peer| [peer.opens_at, peer.wakes_at]).flatten();
            let next = peers.chain(self.engine.deadline()).min().filter(|next| *next <= end);
            let Some(next) = next else { break };
            // A session that says "now" again and again would hang the world.
            self.now = next.max(self.now + Duration::from_micros(1));
            for index in 0..self.peers.len() {
                self.wake(index);
            }
        }
        self.now = self.now.max(end);
    }

    fn wake(&mut self, index: usize) {
        let peer = &mut self.peers[index];
        if peer.opens_at.is_some_and(|at| at <= self.now) {
            peer.opens_at = None;
            self.net.keys += 1;
            let key = ConnectionKey(self.net.keys);
            peer.key = Some(key);
            self.net.links.insert(key, Link::default());
            let request = peer.one_way.then(|| peer.request());
            let arrival = Arrival { encoding: peer.encoding, grant: None, request, session: String::new() };
            self.engine.attach(self.now, key, arrival);
            peer.session.handle(self.now, Input::Opened);
        }
        if peer.wakes_at.take().is_some_and(|at| at <= self.now) {
            peer.session.handle(self.now, Input::Timeout);
        }
    }

    /// Carries frames to and fro until nobody has anything to say at this moment.
    fn settle(&mut self) {
        loop {
            self.engine.flush(self.now, &mut self.net);
            let mut busy = false;
            for index in 0..self.peers.len() {
                busy |= self.deliver(index);
                busy |= self.drain(index);
            }
            if !busy && self.engine.deadline().is_none_or(|deadline| deadline > self.now) {
                return;
            }
        }
    }

    fn deliver(&mut self, index: usize) -> bool {
        let peer = &mut self.peers[index];
        let Some(key) = peer.key else { return false };
        let Some(link) = self.net.links.get_mut(&key).filter(|link| !link.stalled) else { return false };
        let busy = !link.frames.is_empty();
        for frame in link.frames.drain(..) {
            peer.session.handle(self.now, Input::Frame(&frame));
        }
        if let Some(code) = link.closed {
            self.net.links.remove(&key);
            peer.key = None;
            peer.session.handle(self.now, Input::Closed { code: Some(code.close_code()), retry_after: None });
            return true;
        }
        busy
    }

    fn drain(&mut self, index: usize) -> bool {
        let mut busy = false;
        loop {
            let peer = &mut self.peers[index];
            match peer.session.poll_output() {
                Output::Wait(at) => {
                    peer.wakes_at = at;
                    return busy;
                }
                Output::Open { .. } => {
                    self.hang_up(index);
                    self.peers[index].opens_at = Some(self.now + Duration::from_millis(10));
                }
                Output::Shut { .. } => self.hang_up(index),
                Output::Send(bytes) => {
                    if let Some(key) = peer.key {
                        self.engine.receive(self.now, key, &bytes);
                    }
                }
                Output::Ready(_) => peer.read(self.was_reset),
                _ => {}
            }
            busy = true;
        }
    }

    fn hang_up(&mut self, index: usize) {
        let peer = &mut self.peers[index];
        peer.opens_at = None;
        if let Some(key) = peer.key.take() {
            self.engine.detach(key);
            self.net.links.remove(&key);
        }
    }

    fn judge(&mut self) {
        let mut book = BTreeMap::new();
        self.engine.images(&mut |info, images| {
            let mut image = Image::default();
            for update in images {
                image.apply(update);
            }
            book.insert(info.id, (info.symbol.clone(), image));
        });
        for (n, peer) in self.peers.iter_mut().enumerate() {
            peer.read(self.was_reset);
            assert_eq!(peer.session.state(), State::Live, "peer {n}");
            for (id, (symbol, image)) in &book {
                let latest = peer.session.latest(symbol).map(|instrument| instrument.image.clone()).unwrap_or_default();
                assert_eq!(latest, *image, "peer {n} is wrong about {symbol}");
                if self.was_reset {
                    continue;
                }
                let symbol = Symbol::parse(symbol).expect("the engine's symbols are valid");
                let given = peer.halts.get(&symbol).cloned().unwrap_or_default();
                assert!(
                    given.windows(2).all(|pair| pair[0] < pair[1]),
                    "peer {n} was given halts of {symbol} twice or out of order: {given:?}"
                );
                let gaps = peer.gaps.get(&symbol).cloned().unwrap_or_default();
                for seq in self.halts.get(id).into_iter().flatten() {
                    let told = given.contains(seq) || gaps.iter().any(|(from, to)| from < seq && seq < to);
                    assert!(told, "peer {n} never heard of the halt {seq} of {symbol}: {given:?}, gaps {gaps:?}");
                }
            }
        }
    }
}

impl Peer {
    /// What the request of a one-way client stands for.
    fn request(&self) -> (v1::Hello, v1::Subscribe) {
        let resume = self.session.resume_token().map(str::to_string);
        let hello = v1::Hello { protocol: 1, resume, heartbeat_ms: Some(500), ..Default::default() };
        let target = Some(v1::subscribe_item::Target::Pattern("s.*".into()));
        let items = vec![v1::SubscribeItem { target, conflate_ms: Some(self.rate), trades: false }];
        (hello, v1::Subscribe { items, replace: false })
    }

    /// The application reads all there is.
    fn read(&mut self, was_reset: bool) {
        while let Some(change) = self.session.next_change(self.subscription) {
            match change {
                Change::State(instrument) => {
                    let newest = self.newest.entry(instrument.symbol.clone()).or_default();
                    assert!(was_reset || instrument.seq >= *newest, "{} went back from {newest} to {}", instrument.symbol, instrument.seq);
                    *newest = instrument.seq;
                }
                Change::Event { symbol, update, .. } => self.halts.entry(symbol).or_default().push(update.seq),
                Change::Gap { symbol, from, to } => self.gaps.entry(symbol).or_default().push((from, to)),
                _ => {}
            }
        }
    }
}

/// Everyone may see everything.
struct Everyone;

impl Authority for Everyone {
    fn grant(&self, _: Option<&str>, _: u64) -> Result<Grant, ErrorCode> {
        Ok(Grant {
            subject: "anyone".into(),
            patterns: vec![Pattern::parse("#").expect("a pattern")],
            expires_at_s: None,
            conflate_ms_min: 0,
            subscriptions_max: None,
        })
    }
}

/// A small generator: the same seed gives the same world everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// Worlds per run of the tests.
const SEEDS: u64 = 60;
/// Things that happen in a world.
const STEPS: u32 = 200;
