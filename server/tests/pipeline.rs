//! Everything between a feed's bytes and an application, without sockets and in virtual time: market → intake → engine → session.
//!
//! The expected values come from the feed's own messages, applied in order to an image per instrument.

use std::collections::BTreeMap;
use std::time::Duration;

use prost::Message as _;
use tickwire_core::access::{Authority, Grant};
use tickwire_core::engine::{Arrival, ConnectionKey, Engine, EngineConfig, FrameRef, Sink, Written};
use tickwire_core::health::FeedRule;
use tickwire_core::intake::{Intake, IntakeConfig, Message};
use tickwire_core::{Batch, Entry};
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

/// A feed, one shard and its clients.
struct World {
    now: Moment,
    market: Market,
    intake: Intake,
    engine: Engine,
    seq: u64,
    /// What the feed said, by instrument id, and every status in order.
    infos: BTreeMap<u32, v1::InstrumentInfo>,
    images: BTreeMap<u32, Image>,
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
        let rule = |feed: &str| FeedRule {
            feed: feed.into(),
            pattern: Pattern::parse(&format!("{feed}.#")).expect("a pattern"),
            silence_max: None,
            age_max: None,
        };
        let config = IntakeConfig {
            routing_prefix: String::new(),
            price_scale: Scale::default(),
            quantity_scale: Scale::default(),
            body_bytes_max: 1 << 20,
            updates_max: 1_000,
            instruments_max: 1_000,
            rules: ["stock", "crypto", "soccer"].map(rule).into(),
        };
        let mut world = Self {
            now: Moment::ZERO,
            market: Market::new(seed, START),
            intake: Intake::new(config),
            engine: Engine::new(engine_config(), Box::new(Anyone)),
            seq: 0,
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
        world.engine.apply(world.now, &Batch { entries: vec![Entry::Synced] });
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
            for (id, info) in self.infos.iter().filter(|(_, info)| wanted(&info.symbol)) {
                let held = client.session.latest(&info.symbol).unwrap_or_else(|| panic!("client {index} has no {}", info.symbol));
                assert_eq!(held.image, self.images[id], "client {index}, {}", info.symbol);
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

    fn publish(&mut self, publications: Vec<Publication>) {
        let mut batch = Batch::default();
        for Publication { symbol, message } in publications {
            self.seq += 1;
            let body = message.encode_to_vec();
            let content_type = Some("application/x-protobuf");
            let receipt = self
                .intake
                .take(Message { seq: self.seq, routing_key: &symbol, content_type, content_encoding: None, body: &body }, &mut batch);
            assert_eq!(receipt.poison, []);
        }
        for feed in ["stock", "crypto", "soccer"] {
            let health = v1::FeedHealth::Live as i32;
            batch
                .entries
                .extend((self.infos.is_empty()).then(|| Entry::Feed(v1::FeedState { feed: feed.into(), health, ..Default::default() })));
        }
        for entry in &batch.entries {
            match entry {
                Entry::Instrument(info) => {
                    self.infos.insert(info.id, info.clone());
                }
                Entry::Update(update) => {
                    let _ = self.images.entry(update.id).or_default().apply(update);
                    if let Some(Body::Status(status)) = &update.body {
                        self.statuses.push((self.infos[&update.id].symbol.clone(), status.clone()));
                    }
                }
                _ => {}
            }
        }
        self.engine.apply(self.now, &batch);
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

fn engine_config() -> EngineConfig {
    EngineConfig {
        node: "n1".into(),
        message_bytes_max: 65_536,
        subscriptions_max: 2_000,
        items_max: 1_000,
        commands_per_s: 10,
        commands_burst: 40,
        hello_within: Duration::from_secs(5),
        conflate_ms_default: 250,
        conflate_ms_min: 0,
        heartbeat: Duration::from_secs(5),
        stalled_max: Duration::from_secs(30),
        events_kept: 10_000,
        events_waiting_max: 256,
    }
}
