//! The world: nodes that read the log at their own pace, clients that come and go, and time.

use std::time::Duration;

use tickwire_core::engine::{Arrival, ConnectionKey, Engine, EngineConfig};
use tickwire_core::{Batch, Entry};
use tickwire_proto::session::{Event, Input, Item, Output, Session, SessionConfig, State, SubscribeOptions, SubscriptionId};
use tickwire_proto::v1::ErrorCode;
use tickwire_proto::wire::Encoding;
use tickwire_proto::{Moment, Pattern, Symbol};

use crate::everybody::Everybody;
use crate::market::Market;
use crate::network::Network;
use crate::random::Random;
use crate::reader::Reader;
use crate::request::request_of;

pub(crate) struct World {
    random: Random,
    now: Moment,
    market: Market,
    nodes: Vec<Node>,
    clients: Vec<Client>,
    network: Network,
    bids: i64,
    /// The network is well, and nodes keep up.
    healed: bool,
}

/// A node with its own position in the log.
struct Node {
    engine: Engine,
    applied: usize,
}

struct Client {
    session: Session,
    encoding: Encoding,
    two_way: bool,
    wire: Option<ConnectionKey>,
    opens_at: Option<Moment>,
    deadline: Option<Moment>,
    subscriptions: Vec<(SubscriptionId, Pattern, Reader)>,
}

impl World {
    /// Plays the world of one seed to its end.
    pub(crate) fn play(seed: u64) {
        let mut world = Self::new(seed);
        for _ in 0..TURNS {
            world.turn();
            let pause = world.random.below(60);
            world.advance(Duration::from_millis(pause));
        }
        world.healed = true;
        for client in &mut world.clients {
            client.session.handle(world.now, Input::Paused(false));
        }
        world.advance(Duration::from_secs(90));
        world.check_end();
    }

    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let config = || EngineConfig { node: "n".into(), events_kept: 12, events_waiting_max: 3, ..EngineConfig::default() };
        let node = || {
            let mut engine = Engine::new(config(), Box::new(Everybody));
            engine.set_wall_clock(Moment::ZERO, 1_800_000_000_000_000);
            Node { engine, applied: 0 }
        };
        let client = |n: u64, random: &mut Random| {
            let (two_way, encoding) = [(true, Encoding::Protobuf), (true, Encoding::Json), (false, Encoding::Json)][(n % 3) as usize];
            let events_max = 1 + random.below(8) as usize;
            let config = SessionConfig { encoding, two_way, events_max, heartbeat_ms: 1_000, ..SessionConfig::default() };
            let mut session = Session::new(config, random.next());
            session.handle(Moment::ZERO, Input::Connect);
            Client { session, encoding, two_way, wire: None, opens_at: None, deadline: None, subscriptions: Vec::new() }
        };
        let clients = (0..4).map(|n| client(n, &mut random)).collect();
        let (market, network) = (Market::new(), Network::default());
        Self { random, now: Moment::ZERO, market, nodes: vec![node(), node()], clients, network, bids: 0, healed: false }
    }

    /// Something happens.
    fn turn(&mut self) {
        let instrument = self.random.below(self.market.instruments.len() as u64) as usize;
        let client = self.random.below(self.clients.len() as u64) as usize;
        match self.random.below(100) {
            0..40 => {
                self.bids += 1;
                self.market.quote(instrument, self.bids);
            }
            40..50 => self.market.status(instrument),
            50..56 => self.market.trade(instrument),
            56..76 => self.read(client),
            76..82 => self.subscribe(client),
            82..85 => self.unsubscribe(client),
            85..88 => {
                let conflate_ms = self.random.pick(&[None, Some(0), Some(100), Some(1_000)]);
                let Client { session, subscriptions, .. } = &mut self.clients[client];
                if let Some((id, ..)) = subscriptions.last() {
                    session.set_conflation(self.now, *id, conflate_ms);
                }
            }
            88..92 => self.cut(client),
            92..96 => {
                let until = self.now + Duration::from_millis(self.random.below(4_000));
                if let Some(wire) = self.clients[client].wire.and_then(|key| self.network.wires.get_mut(&key)) {
                    wire.stalled_until = until;
                }
            }
            96 => self.clients[client].session.handle(self.now, Input::Paused(true)),
            97 => self.clients[client].session.handle(self.now, Input::Paused(false)),
            98 => self.clients[client].session.handle(self.now, Input::Wake),
            _ if self.random.one_in(4) => self.reset(),
            _ => {}
        }
    }

    /// All nodes see the new life at once: lives have no order, so a client could not tell an older one from a newer one.
    fn reset(&mut self) {
        self.keep_up();
        self.market.reset();
        self.keep_up();
    }

    fn subscribe(&mut self, n: usize) {
        let target = self.random.pick(&["a.A", "a.B", "b.C", "a.*", "b.#", "#"]);
        let trades = self.random.one_in(2);
        let conflate_ms = self.random.pick(&[None, Some(0), Some(50), Some(500)]);
        let client = &mut self.clients[n];
        if client.subscriptions.len() < SUBSCRIPTIONS_MAX {
            let item = Item { target: target.into() };
            let id = client.session.subscribe(self.now, &[item], SubscribeOptions { conflate_ms, trades });
            let reader = Reader { trades, ..Reader::default() };
            client.subscriptions.push((id, Pattern::parse(target).expect("a pattern"), reader));
        }
    }

    fn unsubscribe(&mut self, n: usize) {
        let count = self.clients[n].subscriptions.len() as u64;
        if count > 0 {
            let (id, ..) = self.clients[n].subscriptions.remove(self.random.below(count) as usize);
            self.clients[n].session.unsubscribe(self.now, id);
        }
    }

    fn read(&mut self, n: usize) {
        let most = if self.random.one_in(3) { usize::MAX } else { self.random.below(6) as usize };
        let Client { session, subscriptions, .. } = &mut self.clients[n];
        for (id, _, reader) in subscriptions {
            reader.read(session, *id, most);
        }
    }

    fn cut(&mut self, n: usize) {
        self.clients[n].opens_at = None;
        self.hang_up(n);
        self.clients[n].session.handle(self.now, Input::Closed { code: None, retry_after: None });
    }

    /// Both ends forget the connection, with everything that is under way on it.
    fn hang_up(&mut self, n: usize) {
        let Some(key) = self.clients[n].wire.take() else { return };
        if let Some(wire) = self.network.wires.remove(&key).filter(|wire| wire.closed.is_none()) {
            self.nodes[wire.node].engine.detach(key);
        }
    }

    /// Lets time pass, from one thing that is due to the next.
    fn advance(&mut self, span: Duration) {
        let end = self.now + span;
        for _ in 0..STEPS_MAX {
            self.network.now = self.now;
            if self.healed || self.random.below(3) > 0 {
                self.feed_nodes();
            }
            self.deliver();
            self.serve();
            (0..self.clients.len()).for_each(|n| self.drive(n));
            let engines = self.nodes.iter().filter_map(|node| node.engine.deadline());
            let sessions = self.clients.iter().flat_map(|client| [client.deadline, client.opens_at]).flatten();
            let next = engines.chain(sessions).chain(self.network.deadline()).min().filter(|next| *next <= end);
            match next {
                Some(next) => self.now = self.now.max(next),
                None => {
                    self.now = end;
                    return;
                }
            }
        }
        panic!("the world does not come to rest at {:?}", self.now);
    }

    /// Each node reads on in the log, some of it or all.
    fn feed_nodes(&mut self) {
        for n in 0..self.nodes.len() {
            let behind = (self.market.log.len() - self.nodes[n].applied) as u64;
            let count = if self.healed { behind } else { self.random.below(behind + 1) };
            self.feed(n, count as usize);
        }
    }

    fn keep_up(&mut self) {
        for n in 0..self.nodes.len() {
            self.feed(n, usize::MAX);
        }
    }

    fn feed(&mut self, n: usize, most: usize) {
        let node = &mut self.nodes[n];
        let entries: Vec<Entry> = self.market.log[node.applied..].iter().take(most).cloned().collect();
        node.applied += entries.len();
        node.engine.apply(self.now, &Batch { entries });
    }

    /// Frames arrive.
    fn deliver(&mut self) {
        let keys: Vec<ConnectionKey> = self.network.wires.keys().copied().collect();
        for key in keys {
            while let Some(wire) = self.network.wires.get_mut(&key).filter(|wire| wire.closed.is_none()) {
                let Some(frame) = wire.arrived_at_server(self.now) else { break };
                self.nodes[wire.node].engine.receive(self.now, key, &frame);
            }
            while let Some(wire) = self.network.wires.get_mut(&key) {
                let client = wire.client;
                if let Some(frame) = wire.arrived_at_client(self.now) {
                    self.clients[client].session.handle(self.now, Input::Frame(&frame));
                    self.drive(client);
                } else {
                    break;
                }
            }
            let Some(wire) = self.network.wires.get_mut(&key).filter(|wire| wire.is_empty()) else { continue };
            let (node, client, closed) = (wire.node, wire.client, wire.closed);
            if let Some(code) = closed {
                self.hang_up(client);
                let code = Some(code.close_code()).filter(|_| self.clients[client].two_way);
                self.clients[client].session.handle(self.now, Input::Closed { code, retry_after: None });
            } else if std::mem::take(&mut wire.blocked) {
                self.nodes[node].engine.writable(self.now, key);
            }
        }
    }

    fn serve(&mut self) {
        for node in &mut self.nodes {
            node.engine.flush(self.now, &mut self.network);
        }
    }

    /// Does what a session says.
    fn drive(&mut self, n: usize) {
        if self.clients[n].opens_at.is_some_and(|at| self.now >= at) {
            self.clients[n].opens_at = None;
            self.open(n);
        }
        if self.clients[n].deadline.is_some_and(|at| self.now >= at) {
            self.clients[n].session.handle(self.now, Input::Timeout);
        }
        loop {
            match self.clients[n].session.poll_output() {
                Output::Wait(deadline) => break self.clients[n].deadline = deadline,
                Output::Open { .. } => {
                    self.hang_up(n);
                    let latency = Duration::from_millis(1 + self.random.below(80));
                    self.clients[n].opens_at = Some(self.now + latency);
                }
                Output::Send(frame) => {
                    if let Some(key) = self.clients[n].wire {
                        self.network.send(key, frame);
                    }
                }
                Output::Shut { .. } => {
                    self.clients[n].opens_at = None;
                    self.hang_up(n);
                }
                Output::Event(Event::State { state: State::Closed, reason, .. }) => panic!("client {n} closed: {reason}"),
                Output::Event(Event::Error(error)) if error.code() == ErrorCode::ResumeExpired => {
                    // What waits was said before, so it is read before.
                    let Client { session, subscriptions, .. } = &mut self.clients[n];
                    for (id, _, reader) in subscriptions {
                        reader.read(session, *id, usize::MAX);
                        reader.break_off();
                    }
                }
                _ => {}
            }
        }
    }

    fn open(&mut self, n: usize) {
        let node = self.random.below(self.nodes.len() as u64) as usize;
        let latency = Duration::from_millis(1 + self.random.below(40));
        let client = &mut self.clients[n];
        let request = (!client.two_way).then(|| request_of(&client.session));
        let key = self.network.open(node, n, latency);
        client.wire = Some(key);
        let arrival = Arrival { encoding: client.encoding, grant: None, request, session: format!("client-{n}") };
        client.session.handle(self.now, Input::Opened);
        self.nodes[node].engine.attach(self.now, key, arrival);
    }

    fn check_end(&mut self) {
        let Self { clients, market, .. } = self;
        for (n, client) in clients.iter_mut().enumerate() {
            let idle = !client.two_way && client.subscriptions.is_empty();
            let expected = if idle { State::Idle } else { State::Live };
            assert_eq!(client.session.state(), expected, "client {n}");
            for (id, pattern, reader) in &mut client.subscriptions {
                reader.read(&mut client.session, *id, usize::MAX);
                let covers = |symbol: &str| pattern.matches(&Symbol::parse(symbol).expect("a symbol"));
                for truth in market.instruments.iter().filter(|truth| covers(&truth.symbol)) {
                    let latest = client.session.latest(&truth.symbol);
                    let bid = latest.and_then(|latest| latest.image.quote?.bid);
                    assert_eq!(bid, truth.bid, "client {n} has the wrong bid of {}", truth.symbol);
                    let phase = latest.and_then(|latest| latest.image.status.as_ref()).map(|status| status.phase);
                    assert_eq!(phase, truth.phase, "client {n} has the wrong phase of {}", truth.symbol);
                    let read = reader.read.get(&truth.symbol).and_then(|read| read.bid);
                    assert!(truth.bid.is_none() || read == truth.bid, "client {n} read {read:?} of {}, not {:?}", truth.symbol, truth.bid);
                    reader.end(&truth.symbol, truth.statuses, truth.trades);
                }
            }
        }
    }
}

/// Things that happen in one world.
const TURNS: usize = 250;
/// Steps in one stretch of time.
const STEPS_MAX: usize = 50_000;
/// Subscriptions of one client.
const SUBSCRIPTIONS_MAX: usize = 4;
