//! Everything between a feed's bytes and an application, without sockets and in virtual time: market → intake → engine → session.
//!
//! The expected values come from the feed's own messages, applied in order to an image per instrument.

use std::collections::BTreeMap;
use std::time::Duration;

use prost::Message as _;
use tickwire_core::access::{Authority, Grant};
use tickwire_core::checkpoint::{Assembler, Builder, Head, join};
use tickwire_core::engine::{Arrival, ConnectionKey, Engine, EngineConfig, FrameRef, Sink, Written};
use tickwire_core::health::FeedRule;
use tickwire_core::intake::{Intake, IntakeConfig, Message};
use tickwire_core::{Batch, Entry, InstrumentId};
use tickwire_proto::image::Image;
use tickwire_proto::session::{Change, Event, Input, Item, Output, Session, SessionConfig, State, SubscribeOptions, SubscriptionId};
use tickwire_proto::v1::{self, ErrorCode, update::Body};
use tickwire_proto::wire::Encoding;
use tickwire_proto::{Moment, Pattern, Scale};
use tickwire_simulator::{Market, Publication};

const START: u64 = 1_700_000_000_000_000;
const STEP: Duration = Duration::from_millis(10);

#[test]
fn every_client_ends_with_what_the_feed_said_and_misses_no_status() {
    let mut world = World::new(5);
    world.join(Encoding::Protobuf, 0, "#");
    world.join(Encoding::Json, 100, "#");
    world.join(Encoding::Protobuf, 1_000, "soccer.#");
    world.run(Duration::from_secs(60));
    world.settle();
}

#[test]
fn a_client_that_was_cut_off_resumes_where_it_was() {
    let mut world = World::new(6);
    world.join(Encoding::Protobuf, 0, "#");
    world.join(Encoding::Json, 250, "soccer.#");
    for _ in 0..4 {
        world.run(Duration::from_secs(10));
        (0..2).for_each(|index| world.cut(index));
    }
    world.run(Duration::from_secs(10));
    assert!(world.clients.iter().all(|client| client.session.stats().connects == 5));
    world.settle();
}

#[test]
fn a_client_that_takes_nothing_for_a_while_gets_the_newest_afterwards() {
    let mut world = World::new(7);
    world.join(Encoding::Protobuf, 0, "stock.*");
    world.run(Duration::from_secs(5));
    world.clients[0].is_stuck = true;
    world.run(Duration::from_secs(8));
    world.clients[0].is_stuck = false;
    world.run(Duration::from_secs(5));
    world.settle();
}

#[test]
fn a_node_that_starts_from_a_checkpoint_serves_what_the_old_one_would_have() {
    let mut world = World::new(8);
    world.join(Encoding::Protobuf, 0, "#");
    world.join(Encoding::Json, 100, "#");
    world.run(Duration::from_secs(10));
    let checkpoint = world.checkpoint();
    world.run(Duration::from_secs(20));
    world.restart(&checkpoint);
    world.run(Duration::from_secs(20));
    world.settle();
}

/// A feed, one shard and its clients.
struct World {
    now: Moment,
    market: Market,
    intake: Intake,
    engine: Engine,
    /// Every message with its routing key; its place is its position.
    log: Vec<(String, Vec<u8>)>,
    /// Instruments by their id on the node.
    infos: BTreeMap<u32, v1::InstrumentInfo>,
    /// What the feed said, by symbol, and every status in order.
    images: BTreeMap<String, Image>,
    statuses: Vec<(String, v1::Status)>,
    clients: Vec<Client>,
    keys: u32,
}

struct Client {
    session: Session,
    subscription: SubscriptionId,
    pattern: Pattern,
    encoding: Encoding,
    key: Option<ConnectionKey>,
    wakes_at: Option<Moment>,
    is_stuck: bool,
    blocked: bool,
    /// Frames that left the engine and have not arrived.
    wire: Vec<Vec<u8>>,
    statuses: Vec<(String, v1::Status)>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut world = Self {
            now: Moment::ZERO,
            market: Market::new(seed, START),
            intake: Intake::new(intake_config()),
            engine: Engine::new(engine_config(), Box::new(Anyone)),
            log: Vec::new(),
            infos: BTreeMap::new(),
            images: BTreeMap::new(),
            statuses: Vec::new(),
            clients: Vec::new(),
            keys: 0,
        };
        world.engine.set_wall_clock(world.now, START);
        let mut batch = Batch::default();
        world.intake.reset("1", &mut batch);
        world.engine.apply(world.now, &batch);
        let opening = world.market.opening();
        world.publish(opening);
        world.engine.apply(world.now, &synced());
        // Clients come after the opening and get its statuses as state.
        world.statuses.clear();
        world
    }

    fn join(&mut self, encoding: Encoding, conflate_ms: u32, pattern: &str) {
        let mut session = Session::new(SessionConfig { encoding, ..SessionConfig::default() }, self.clients.len() as u64);
        let options = SubscribeOptions { conflate_ms: Some(conflate_ms), trades: false };
        let subscription = session.subscribe(self.now, &[Item { target: pattern.into() }], options);
        session.handle(self.now, Input::Connect);
        self.clients.push(Client {
            session,
            subscription,
            pattern: Pattern::parse(pattern).expect("a pattern"),
            encoding,
            key: None,
            wakes_at: None,
            is_stuck: false,
            blocked: false,
            wire: Vec::new(),
            statuses: Vec::new(),
        });
        self.exchange();
    }

    fn run(&mut self, span: Duration) {
        let until = self.now + span;
        while self.now < until {
            self.now = self.now + STEP;
            let published = self.market.step(START + self.now.as_micros());
            self.publish(published);
            self.exchange();
        }
    }

    /// Lets what is merged leave, and compares.
    fn settle(&mut self) {
        for _ in 0..300 {
            self.now = self.now + STEP;
            self.exchange();
        }
        for (index, client) in self.clients.iter().enumerate() {
            assert_eq!(client.session.state(), State::Live, "client {index}");
            let wanted = |symbol: &str| client.pattern.matches(&tickwire_proto::Symbol::parse(symbol).expect("a symbol"));
            for info in self.infos.values().filter(|info| wanted(&info.symbol)) {
                let held = client.session.latest(&info.symbol).unwrap_or_else(|| panic!("client {index} has no {}", info.symbol));
                assert_eq!(held.image, self.images[&info.symbol], "client {index}, {}", info.symbol);
                assert_eq!(held.info.price_scale, info.price_scale);
            }
            let said: Vec<_> = self.statuses.iter().filter(|(symbol, _)| wanted(symbol)).collect();
            let mut told: Vec<_> = client.statuses.iter().collect();
            // Events are in order per instrument, not across instruments.
            let mut said = said;
            said.sort_by(|a, b| a.0.cmp(&b.0));
            told.sort_by(|a, b| a.0.cmp(&b.0));
            assert!(!said.is_empty(), "a run without a status proves nothing");
            assert_eq!(told, said, "client {index}");
        }
    }

    /// The connection of a client breaks; both sides notice.
    fn cut(&mut self, index: usize) {
        let client = &mut self.clients[index];
        if let Some(key) = client.key.take() {
            self.engine.detach(key);
        }
        client.wire.clear();
        client.session.handle(self.now, Input::Closed { code: None, retry_after: None });
        self.exchange();
    }

    /// The book of the node, as it comes back from parts that were written and read.
    fn checkpoint(&self) -> v1::Checkpoint {
        let mut instruments = self.engine.checkpoint();
        for kept in &mut instruments {
            kept.announced = kept.info.as_ref().is_some_and(|info| self.intake.is_announced(InstrumentId(info.id)));
        }
        // Ids belong to a node: another order gives other ids.
        instruments.reverse();
        let mut assembler = Assembler::default();
        let mut builder = Builder::new(Head { epoch: "1".to_owned(), seq: self.log.len() as u64, ..Default::default() });
        instruments.iter().for_each(|instrument| builder.push(instrument));
        let whole = builder.finish().into_iter().find_map(|part| assembler.take(&part.head.clone(), part.encode()));
        let parts = whole.expect("all parts are there").parts;
        join(parts.iter().map(|part| v1::Checkpoint::decode(&part[..]).expect("it was encoded here"))).expect("there is a part")
    }

    /// Another node takes over: it starts from `checkpoint` and reads the rest of the log, then the clients come.
    fn restart(&mut self, checkpoint: &v1::Checkpoint) {
        self.intake = Intake::new(intake_config());
        self.engine = Engine::new(engine_config(), Box::new(Anyone));
        self.engine.set_wall_clock(self.now, START + self.now.as_micros());
        let mut batch = Batch::default();
        self.intake.restore(checkpoint, &mut batch);
        self.intake.hold_back();
        for seq in checkpoint.seq + 1..=self.log.len() as u64 {
            self.read(seq, &mut batch);
        }
        self.intake.tell_held(&mut batch);
        self.infos = batch.entries.iter().filter_map(announced).collect();
        self.engine.apply(self.now, &batch);
        self.engine.apply(self.now, &synced());
        (0..self.clients.len()).for_each(|index| self.cut(index));
    }

    fn publish(&mut self, publications: Vec<Publication>) {
        let mut batch = Batch::default();
        for Publication { symbol, message } in publications {
            self.log.push((symbol, message.encode_to_vec()));
            self.read(self.log.len() as u64, &mut batch);
        }
        self.infos.extend(batch.entries.iter().filter_map(announced));
        for entry in &batch.entries {
            let Entry::Update(update) = entry else { continue };
            let symbol = self.infos[&update.id].symbol.clone();
            let _ = self.images.entry(symbol.clone()).or_default().apply(update);
            if let Some(Body::Status(status)) = &update.body {
                self.statuses.push((symbol, status.clone()));
            }
        }
        self.engine.apply(self.now, &batch);
    }

    /// Takes the message at `seq`.
    fn read(&mut self, seq: u64, batch: &mut Batch) {
        let (routing_key, body) = &self.log[seq as usize - 1];
        let content_type = Some("application/x-protobuf");
        let receipt = self.intake.take(Message { seq, routing_key, content_type, body }, batch);
        assert_eq!(receipt.poison, []);
    }

    /// Passes frames to and fro until nobody has more to say now.
    fn exchange(&mut self) {
        for _ in 0..8 {
            for client in &mut self.clients {
                if client.wakes_at.is_some_and(|at| at <= self.now) {
                    client.session.handle(self.now, Input::Timeout);
                }
                if !client.is_stuck {
                    for frame in std::mem::take(&mut client.wire) {
                        client.session.handle(self.now, Input::Frame(&frame));
                    }
                    if std::mem::take(&mut client.blocked) {
                        client.key.into_iter().for_each(|key| self.engine.writable(self.now, key));
                    }
                }
                client.drive(self.now, &mut self.engine, &mut self.keys);
            }
            let mut sink = Wires { clients: &mut self.clients };
            self.engine.flush(self.now, &mut sink);
        }
    }
}

impl Client {
    fn drive(&mut self, now: Moment, engine: &mut Engine, keys: &mut u32) {
        loop {
            match self.session.poll_output() {
                Output::Open { .. } => {
                    *keys += 1;
                    let key = ConnectionKey(*keys);
                    engine.attach(now, key, Arrival { encoding: self.encoding, grant: None, request: None, session: "s".into() });
                    self.key = Some(key);
                    self.session.handle(now, Input::Opened);
                }
                Output::Send(bytes) => self.key.into_iter().for_each(|key| engine.receive(now, key, &bytes)),
                Output::Shut { code } => panic!("the session gives up: {code}"),
                Output::Event(Event::Refused { code, .. }) => panic!("refused: {code:?}"),
                Output::Ready(_) => self.read(),
                Output::Wait(until) => {
                    self.wakes_at = until;
                    return;
                }
                _ => {}
            }
        }
    }

    fn read(&mut self) {
        while let Some(change) = self.session.next_change(self.subscription) {
            match change {
                Change::Event { symbol, update: v1::Update { body: Some(Body::Status(status)), .. }, .. } => {
                    self.statuses.push((symbol.to_string(), status));
                }
                Change::Gap { symbol, from, to } => panic!("{symbol} lost events from {from} to {to}"),
                _ => {}
            }
        }
    }
}

/// Frames go to the wires of their clients.
struct Wires<'a> {
    clients: &'a mut [Client],
}

impl Sink for Wires<'_> {
    fn frame(&mut self, connection: ConnectionKey, frame: FrameRef<'_>) {
        let client = self.clients.iter_mut().find(|client| client.key == Some(connection)).expect("a known connection");
        client.wire.push(frame.payload.to_vec());
    }

    fn commit(&mut self, connection: ConnectionKey) -> Written {
        let client = self.clients.iter_mut().find(|client| client.key == Some(connection)).expect("a known connection");
        client.blocked = client.is_stuck;
        if client.is_stuck { Written::Blocked } else { Written::All }
    }

    fn close(&mut self, _: ConnectionKey, code: ErrorCode, text: &str) {
        panic!("the engine closes: {code:?} {text}");
    }
}

/// Everyone may see everything.
struct Anyone;

impl Authority for Anyone {
    fn grant(&self, _: Option<&str>, _: u64) -> Result<Grant, ErrorCode> {
        let patterns = vec![Pattern::parse("#").expect("a pattern")];
        Ok(Grant { subject: "anyone".into(), patterns, expires_at_s: None, conflate_ms_min: 0, subscriptions_max: None })
    }
}

fn announced(entry: &Entry) -> Option<(u32, v1::InstrumentInfo)> {
    if let Entry::Instrument(info) = entry { Some((info.id, info.clone())) } else { None }
}

/// The node has caught up, and all feeds are well.
fn synced() -> Batch {
    let live = |feed: &str| Entry::Feed(v1::FeedState { feed: feed.into(), health: v1::FeedHealth::Live as i32, ..Default::default() });
    Batch { entries: FEEDS.map(live).into_iter().chain([Entry::Synced]).collect() }
}

fn intake_config() -> IntakeConfig {
    let rule = |feed: &str| FeedRule::new(feed, Pattern::parse(&format!("{feed}.#")).expect("a pattern"));
    IntakeConfig {
        routing_prefix: String::new(),
        price_scale: Scale::default(),
        quantity_scale: Scale::default(),
        body_bytes_max: 1 << 20,
        updates_max: 1_000,
        instruments_max: 1_000,
        rules: FEEDS.map(rule).into(),
        mappings: Vec::new(),
    }
}

const FEEDS: [&str; 3] = ["stock", "crypto", "soccer"];

fn engine_config() -> EngineConfig {
    EngineConfig { node: "n1".into(), ..EngineConfig::default() }
}
