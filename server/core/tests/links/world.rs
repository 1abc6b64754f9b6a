//! One engine, one client session, and the link between them, a millisecond at a time.

use std::time::Duration;

use tickwire_core::engine::{Arrival, ConnectionKey, Engine, EngineConfig};
use tickwire_core::{Batch, Entry};
use tickwire_proto::Moment;
use tickwire_proto::session::{Input, Item, Output, Session, SessionConfig, SubscribeOptions, SubscriptionId};
use tickwire_proto::v1::{self, update::Body};
use tickwire_proto::wire::Encoding;

use super::everybody::Everybody;
use super::link::{Link, Shape};
use super::random::Random;
use super::request::request_of;

/// A feed and one client of it.
pub(crate) struct World {
    engine: Engine,
    pub(crate) session: Session,
    subscription: SubscriptionId,
    pub(crate) link: Link,
    pub(crate) feed: Feed,
    random: Random,
    now: Moment,
    deadline: Option<Moment>,
    /// Updates that each instrument has had.
    versions: Vec<i64>,
    seq: u64,
    /// Updates that are due, in thousandths.
    due: u64,
    /// Ages of what the client held, sampled, milliseconds.
    ages: Vec<u64>,
    back: Back,
}

/// How the server gets to know what the client has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Back {
    /// The client reports.
    Reports,
    /// It cannot: the server looks how far its socket has got.
    Watched,
}

/// What is published.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Feed {
    pub(crate) instruments: u32,
    pub(crate) updates_per_s: u64,
    /// Records of some 150 bytes in place of 50.
    pub(crate) wide: bool,
}

/// What was seen while time passed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// Of what the client held, milliseconds.
    pub(crate) age_p50: u64,
    pub(crate) age_p99: u64,
    /// Percent of the link's capacity that carried frames.
    pub(crate) used: f64,
    /// Reports of the client for each MB that it got, and in a second.
    pub(crate) reports_per_mb: f64,
    pub(crate) reports_per_s: f64,
    /// The most that waited in the link's buffer.
    pub(crate) buffered_max: u64,
}

impl World {
    pub(crate) fn new(seed: u64, shape: Shape, feed: Feed, credit_bytes_max: u32) -> Self {
        Self::with(seed, shape, feed, credit_bytes_max, Back::Reports)
    }

    pub(crate) fn with(seed: u64, shape: Shape, feed: Feed, credit_bytes_max: u32, back: Back) -> Self {
        #[cfg(feature = "planted-faults")]
        tickwire_proto::planted::plant(&std::env::var("PLANTED").unwrap_or_default());
        let config = EngineConfig { node: "n1".into(), credit_bytes_max, ..EngineConfig::default() };
        let mut engine = Engine::new(config, Box::new(Everybody));
        engine.set_wall_clock(Moment::ZERO, START_US);
        let settings = SessionConfig {
            encoding: Encoding::Protobuf,
            conflate_ms: Some(0),
            two_way: back == Back::Reports,
            ..SessionConfig::default()
        };
        let mut session = Session::new(settings, seed);
        let subscription = session.subscribe(Moment::ZERO, &[Item { target: "s.*".into() }], SubscribeOptions::default());
        let mut world = Self {
            engine,
            session,
            subscription,
            link: Link::new(shape),
            feed,
            random: Random(seed),
            now: Moment::ZERO,
            deadline: None,
            versions: vec![0; feed.instruments as usize],
            seq: 0,
            due: 0,
            ages: Vec::new(),
            back,
        };
        let mut entries = vec![Entry::Reset { epoch: "1".into() }];
        for id in 0..feed.instruments {
            let info = v1::InstrumentInfo { symbol: symbol(id), id: id + 1, feed: "f".into(), price_scale: 2, ..Default::default() };
            entries.extend([Entry::Instrument(info), Entry::Update(world.update(id))]);
        }
        entries.push(Entry::Synced);
        world.engine.apply(Moment::ZERO, &Batch { entries });
        world.session.handle(Moment::ZERO, Input::Connect);
        world.drain();
        world
    }

    /// Lets `span` pass, and looks.
    pub(crate) fn pass(&mut self, span: Duration) -> Seen {
        let (carried, capacity, back) = (self.link.carried, self.link.capacity, self.link.sent_back.0);
        let mut buffered_max = 0;
        self.ages.clear();
        for _ in 0..span.as_millis() {
            self.tick();
            buffered_max = buffered_max.max(self.link.buffered_bytes);
        }
        self.ages.sort_unstable();
        let at = |percent: usize| self.ages.get(self.ages.len() * percent / 100).copied().unwrap_or(u64::MAX);
        let (carried, reports) = ((self.link.carried - carried) as f64, (self.link.sent_back.0 - back) as f64);
        Seen {
            age_p50: at(50),
            age_p99: at(99),
            used: carried * 100.0 / (self.link.capacity - capacity) as f64,
            reports_per_mb: reports * 1e6 / carried,
            reports_per_s: reports / span.as_secs_f64(),
            buffered_max,
        }
    }

    /// The feed falls silent, and within `span` the client has to hold the newest of everything.
    pub(crate) fn ends_well(&mut self, span: Duration) {
        self.feed.updates_per_s = 0;
        self.pass(span);
        for (id, version) in (0..).zip(&self.versions) {
            let held = self.session.latest(&symbol(id)).and_then(|instrument| instrument.image.quote?.volume);
            assert_eq!(held, Some(*version), "the newest of {}", symbol(id));
        }
    }

    fn tick(&mut self) {
        self.now = self.now + Duration::from_millis(1);
        self.link.now = self.now;
        self.publish();
        while let Some(frame) = self.link.at_server() {
            self.engine.receive(self.now, CONNECTION, &frame);
        }
        if self.link.carry() {
            self.engine.writable(self.now, CONNECTION);
        }
        if let Some(frame) = self.link.look().filter(|_| self.back == Back::Watched) {
            self.engine.reached(self.now, CONNECTION, frame);
        }
        self.flush();
        while let Some(frame) = self.link.at_client() {
            self.session.handle(self.now, Input::Frame(&frame));
            self.drain();
        }
        if self.deadline.is_some_and(|deadline| deadline <= self.now) {
            self.session.handle(self.now, Input::Timeout);
            self.drain();
        }
        while self.session.next_change(self.subscription).is_some() {}
        if self.now.as_micros() % SAMPLE_EVERY_US == 0 {
            let now_us = self.unix_us();
            for id in 0..self.feed.instruments.min(SAMPLED) {
                let age = self.session.latest(&symbol(id)).map_or(u64::MAX, |held| (now_us - held.ts_event_us) / 1_000);
                self.ages.push(age);
            }
        }
    }

    fn publish(&mut self) {
        self.due += self.feed.updates_per_s;
        let mut entries = Vec::new();
        while self.due >= 1_000 {
            self.due -= 1_000;
            let id = self.random.below(u64::from(self.feed.instruments)) as u32;
            entries.push(Entry::Update(self.update(id)));
        }
        if !entries.is_empty() {
            self.engine.apply(self.now, &Batch { entries });
        }
    }

    /// The next update of an instrument. Its volume numbers it, so that one that never comes shows when all is quiet.
    fn update(&mut self, id: u32) -> v1::Update {
        self.seq += 1;
        self.versions[id as usize] += 1;
        let version = self.versions[id as usize];
        let volume = Some(version);
        let quote = v1::Quote { bid: Some(1_000 + version % 7), ask: Some(1_010 + version % 7), volume, ..Default::default() };
        let ts_event_us = self.unix_us();
        let body = if !self.feed.wide || version == 1 {
            Body::Quote(quote)
        } else {
            let wide = Some((i64::MAX >> 8) - version);
            Body::Quote(v1::Quote {
                last: wide,
                last_quantity: wide,
                bid_quantity: wide,
                ask_quantity: wide,
                turnover: wide,
                open: wide,
                high: wide,
                low: wide,
                previous_close: wide,
                settlement: wide,
                ..quote
            })
        };
        v1::Update { id: id + 1, seq: self.seq, ts_event_us, body: Some(body), ..Default::default() }
    }

    fn flush(&mut self) {
        for _ in 0..FLUSHES_MAX {
            if self.engine.deadline().is_none_or(|deadline| deadline > self.now) {
                return;
            }
            self.engine.flush(self.now, &mut self.link);
        }
        panic!("a storm of flushes at {:?}", self.now);
    }

    fn drain(&mut self) {
        loop {
            match self.session.poll_output() {
                Output::Open { .. } => {
                    let session = "n1-1".into();
                    let request = (self.back != Back::Reports).then(|| request_of(&self.session));
                    self.engine.attach(self.now, CONNECTION, Arrival { encoding: Encoding::Protobuf, grant: None, request, session });
                    if self.back == Back::Watched {
                        self.engine.watch(self.now, CONNECTION);
                    }
                    self.session.handle(self.now, Input::Opened);
                }
                Output::Send(frame) => self.link.send_back(frame),
                Output::Wait(deadline) => return self.deadline = deadline,
                Output::Shut { code } => panic!("the client leaves with {code}"),
                _ => {}
            }
        }
    }

    fn unix_us(&self) -> u64 {
        START_US + self.now.as_micros()
    }
}

fn symbol(id: u32) -> String {
    format!("s.{id}")
}

const CONNECTION: ConnectionKey = ConnectionKey(1);
const START_US: u64 = 1_800_000_000_000_000;
/// How often ages are looked at.
const SAMPLE_EVERY_US: u64 = 7_000;
/// Instruments that are looked at.
const SAMPLED: u32 = 50;
/// Flushes within a millisecond.
const FLUSHES_MAX: usize = 10_000;
