//! A random market, random clients and random links, held to a model of its own. A failure prints its seed; `SEED=7` runs that one alone,
//! `SEEDS=5000` runs more of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use tickwire_core::Entry;
use tickwire_proto::image::Image;
use tickwire_proto::v1::{self, UpdateFlag, client_frame::Command, subscribe_item::Target, update::Body};
use tickwire_proto::wire::Encoding;

use super::decimals::{Meaning, Scales, images_at};
use super::script;
use super::world::{Told, World, config, grant_of};

#[test]
fn after_the_storm_every_client_knows_the_truth() {
    if let Some(seed) = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()) {
        return Storm::new(seed).run();
    }
    let seeds = std::env::var("SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(SEEDS);
    for seed in 1..=seeds {
        let outcome = std::panic::catch_unwind(|| Storm::new(seed).run());
        assert!(outcome.is_ok(), "the storm of SEED={seed} went wrong");
    }
}

#[test]
fn what_lies_until_the_engine_is_looked_at_changes_nothing() {
    let mut lain = 0;
    for seed in 1..=SEEDS / 2 {
        let [at_once, later] = [false, true].map(|lets_lie| {
            let mut storm = Storm::new(seed);
            (storm.world.lets_lie, storm.world.clients.quiet) = (lets_lie, false);
            (0..STEPS).for_each(|_| storm.step());
            storm.calm_down();
            lain += storm.world.lain;
            storm.world.transcript()
        });
        assert!(at_once == later, "SEED={seed}: {}", first_difference(&at_once, &later));
    }
    assert!(lain > 300, "only {lain} batches could wait");
}

fn first_difference(left: &str, right: &str) -> String {
    let differ = left.lines().zip(right.lines()).enumerate().find(|(_, (left, right))| left != right);
    differ.map_or_else(|| "one is longer".into(), |(n, (left, right))| format!("line {n}\nat once: {left}\nlater:   {right}"))
}

proptest! {
    /// Whatever a client sends, the engine answers or ends the connection, and serves the others.
    #[test]
    fn nothing_that_a_client_sends_hurts_the_others(json: bool, messages in prop::collection::vec(message(), 1..30)) {
        let mut world = World::new(config());
        world.clients.quiet = true;
        script::run(&mut world, "new s.1; new s.2; quote s.1 1 bid=1; status s.2 2 OPEN\nopen good; sub good s.*@0");
        script::run(&mut world, if json { "open bad json" } else { "open bad" });
        for (n, message) in messages.into_iter().enumerate() {
            match message {
                Message::Bytes(bytes) => world.send_raw("bad", &bytes),
                Message::Frame(frame) => world.send("bad", &frame),
            }
            script::run(&mut world, &format!("quote s.1 {} bid={n}", n + 10));
            world.wait(Duration::from_millis(70));
        }
        prop_assert!(world.client("good").closed.is_none());
        prop_assert_eq!(&world.client("good").images, &world.book());
    }
}

#[derive(Clone, Debug)]
enum Message {
    Bytes(Vec<u8>),
    Frame(v1::ClientFrame),
}

/// Mostly frames that mean something, with names and numbers that need not.
fn message() -> impl Strategy<Value = Message> {
    let name = prop_oneof![Just("s.1"), Just("s.*"), Just("#"), Just("s.2"), Just(""), Just("..")].prop_map(String::from).boxed();
    let name = prop_oneof![4 => name, 1 => any::<String>()].boxed();
    let item = (name.clone(), any::<bool>(), any::<Option<u32>>(), any::<bool>()).prop_map(|(name, pattern, conflate_ms, trades)| {
        let target = Some(if pattern { Target::Pattern(name) } else { Target::Symbol(name) });
        v1::SubscribeItem { target, conflate_ms, trades }
    });
    let command = prop_oneof![
        4 => (prop::collection::vec(item, 0..5), any::<bool>()).prop_map(|(items, replace)| Command::Subscribe(v1::Subscribe { items, replace })),
        2 => (prop::collection::vec(name.clone(), 0..3), any::<bool>()).prop_map(|(symbols, all)| Command::Unsubscribe(v1::Unsubscribe { symbols, all })),
        2 => (any::<Option<u32>>(), any::<Option<bool>>()).prop_map(|(conflate_ms, paused)| Command::Configure(v1::Configure { conflate_ms, paused })),
        1 => prop_oneof![Just("all"), Just("stock"), Just("slow"), Just("two"), Just("?")].prop_map(|token| Command::Authenticate(v1::Authenticate { token: token.into() })),
        1 => any::<u64>().prop_map(|cseq| Command::Progress(v1::Progress { cseq })),
        1 => any::<u64>().prop_map(|nonce| Command::Ping(v1::Ping { nonce })),
    ];
    let frame =
        (any::<u32>(), command).prop_map(|(request_id, command)| Message::Frame(v1::ClientFrame { request_id, command: Some(command) }));
    prop_oneof![30 => frame, 1 => prop::collection::vec(any::<u8>(), 0..60).prop_map(Message::Bytes)]
}

/// One run.
struct Storm {
    random: Random,
    world: World,
    seq: u64,
    /// What the feed said, by instrument: the model that clients are held to.
    said: BTreeMap<u32, Said>,
    clients: Vec<Habit>,
}

/// What the feed said of one instrument, in order.
#[derive(Default)]
struct Said {
    /// What all of it came to, at the scales of now.
    image: Image,
    /// Quotes that are state: position and `last`.
    quotes: Vec<(u64, Option<i128>)>,
    /// Every `bid`.
    bids: BTreeSet<i128>,
    events: Vec<(u64, Meaning)>,
    trades: Vec<(u64, Meaning)>,
    active: BTreeMap<u32, bool>,
}

/// How a client behaves.
struct Habit {
    name: String,
    items: Vec<v1::SubscribeItem>,
    trades: bool,
    /// Subscribed once and kept the same rate and connection, so that counts and extremes must be exact.
    steady: bool,
    /// It came without a token then, and is owed nothing from before.
    since: u64,
}

impl Storm {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let mut settings = config();
        settings.commands_burst = 1_000_000;
        settings.paced = seed % 2 == 0;
        settings.stalled_max = Duration::from_secs(100_000);
        settings.events_waiting_max = if random.one_in(2) { 256 } else { 6 };
        settings.events_kept = if random.one_in(2) { 10_000 } else { 20 };
        let mut world = World::new(settings);
        world.clients.quiet = true;
        let mut storm = Self { random, world, seq: 0, said: BTreeMap::new(), clients: Vec::new() };
        for _ in 0..4 {
            storm.announce();
        }
        storm.world.flush();
        for n in 0..5 {
            storm.open(n);
        }
        storm.world.flush();
        storm
    }

    fn run(mut self) {
        for _ in 0..STEPS {
            self.step();
        }
        self.calm_down();
        self.judge();
    }

    fn step(&mut self) {
        match self.random.below(20) {
            0..=11 => {
                for n in 0..=self.random.below(4) {
                    self.publish(n > 0);
                }
                self.world.flush();
            }
            12..=14 => self.world.wait(Duration::from_millis(self.random.below(400))),
            15 => {
                let name = self.someone().name.clone();
                self.world.client_mut(&name).jammed = true;
            }
            16 => {
                let name = self.someone().name.clone();
                self.world.unblock(&name);
                self.world.flush();
            }
            17 => {
                let name = self.someone().name.clone();
                let paused = Some(self.random.one_in(2));
                self.send(&name, Command::Configure(v1::Configure { paused, conflate_ms: None }));
            }
            18 => self.change(),
            19 if self.random.one_in(2) => {
                self.rescale();
                self.world.flush();
            }
            _ => {
                if self.world.instruments.len() < 8 && self.random.one_in(3) {
                    self.announce();
                    self.world.flush();
                }
            }
        }
    }

    fn announce(&mut self) {
        let id = self.world.instruments.len() as u32 + 1;
        let info = v1::InstrumentInfo { symbol: format!("s.{id}"), id, price_scale: 2, ..Default::default() };
        self.world.instruments.push(info.clone());
        self.world.batch.entries.push(Entry::Instrument(info));
        self.said.insert(id, Said::default());
    }

    /// The feed needs other scales: what it said follows as images, as the intake gives them.
    fn rescale(&mut self) {
        let index = self.random.below(self.world.instruments.len() as u64) as usize;
        let old = &self.world.instruments[index];
        let (price_scale, quantity_scale) = (1 + self.random.below(5) as u32, self.random.below(4) as u32);
        let info = v1::InstrumentInfo { price_scale, quantity_scale, ..old.clone() };
        let (from, to) = (Scales::of(old), Scales::of(&info));
        if from == to {
            return;
        }
        self.seq += 1;
        let said = self.said.get_mut(&info.id).expect("every instrument has a record");
        let image = UpdateFlag::Image as u32;
        let updates: Vec<_> = images_at(&said.image, from, to)
            .into_iter()
            .map(|body| v1::Update { id: info.id, seq: self.seq, flags: image, body: Some(body), ..Default::default() })
            .collect();
        self.world.instruments[index] = info.clone();
        self.world.batch.entries.push(Entry::Instrument(info));
        for update in updates {
            said.image.apply(&update);
            match &update.body {
                Some(Body::Quote(quote)) => said.quotes.push((self.seq, quote.last.map(|last| to.price(last)))),
                Some(body @ Body::Bar(bar)) if bar.r#final => said.events.push((self.seq, to.meaning(body))),
                _ => {}
            }
            self.world.batch.entries.push(Entry::Update(update));
        }
    }

    fn open(&mut self, n: u64) {
        let name = format!("c{n}");
        let trades = self.random.one_in(2);
        let conflate_ms = [0, 50, 100, 250, 1_000][self.random.below(5) as usize];
        let items = vec![v1::SubscribeItem { target: Some(Target::Pattern("s.*".into())), conflate_ms: Some(conflate_ms), trades }];
        let encoding = if self.random.one_in(2) { Encoding::Json } else { Encoding::Protobuf };
        self.world.attach(&name, encoding, grant_of("all", 0), None);
        self.clients.push(Habit { name: name.clone(), items: items.clone(), trades, steady: n < 3, since: 0 });
        self.hello(&name, None);
        self.send(&name, Command::Subscribe(v1::Subscribe { items, replace: false }));
    }

    fn hello(&mut self, name: &str, resume: Option<String>) {
        let hello = v1::Hello { protocol: 1, token: Some("all".into()), resume, heartbeat_ms: Some(500), ..Default::default() };
        self.world.send(name, &v1::ClientFrame { request_id: 1, command: Some(Command::Hello(hello)) });
    }

    fn send(&mut self, name: &str, command: Command) {
        self.world.send(name, &v1::ClientFrame { request_id: 1, command: Some(command) });
        self.world.flush();
    }

    fn someone(&mut self) -> &Habit {
        let index = self.random.below(self.clients.len() as u64) as usize;
        &self.clients[index]
    }

    /// An unsteady client changes its rate, or loses its connection and comes back.
    fn change(&mut self) {
        let index = 3 + self.random.below(2) as usize;
        let (reconnects, rate) = (self.random.one_in(2), self.random.below(1_200) as u32);
        let habit = &mut self.clients[index];
        let name = habit.name.clone();
        if reconnects {
            let resume = self.world.reconnect(&name);
            if resume.is_none() {
                habit.since = self.seq;
            }
            let items = habit.items.clone();
            self.hello(&name, resume);
            self.send(&name, Command::Subscribe(v1::Subscribe { items, replace: false }));
        } else if self.world.client(&name).closed.is_none() {
            habit.items[0].conflate_ms = Some(rate);
            let items = habit.items.clone();
            self.send(&name, Command::Subscribe(v1::Subscribe { items, replace: true }));
        }
    }

    /// The feed says something about somebody.
    fn publish(&mut self, same_batch: bool) {
        let id = 1 + self.random.below(self.world.instruments.len() as u64) as u32;
        // Now and then several updates are of one message and share its position; a message is never cut into two batches.
        if !(same_batch && self.random.one_in(4)) {
            self.seq += 1 + self.random.below(3);
        }
        let mut update = v1::Update { id, seq: self.seq, ts_event_us: self.seq, ..Default::default() };
        let said = self.said.get_mut(&id).expect("every instrument has a record");
        let scales = Scales::of(&self.world.instruments[id as usize - 1]);
        let (random, mut is_event, mut is_trade) = (&mut self.random, false, false);
        match random.below(12) {
            0..=5 => {
                let quote = v1::Quote {
                    bid: random.maybe(|random| random.below(100) as i64),
                    // Few places, so that it fits at every scale and extremes stay exact.
                    last: random.maybe(|random| random.below(1_000) as i64 * 10_i64.pow(scales.price - 1)),
                    volume: random.maybe(|random| random.below(1_000) as i64),
                    ..Default::default()
                };
                if random.one_in(6) {
                    update.clear = vec![1 + random.below(15) as u32];
                }
                if random.one_in(8) {
                    update.flags = UpdateFlag::Image as u32;
                }
                if random.one_in(12) {
                    update.flags |= UpdateFlag::Correction as u32;
                    is_event = true;
                } else if quote != v1::Quote::default() || !update.clear.is_empty() || update.flags != 0 {
                    said.quotes.push((self.seq, quote.last.map(|last| scales.price(last))));
                }
                said.bids.extend(quote.bid.map(|bid| scales.price(bid)));
                update.body = Some(Body::Quote(quote));
            }
            6 => {
                is_event = true;
                let status = v1::Status {
                    phase: 1 + random.below(8) as i32,
                    resume_us: random.maybe(|random| random.below(9)),
                    ..Default::default()
                };
                update.body = Some(Body::Status(status));
            }
            7 => {
                let extra = random.maybe(|random| (format!("k{}", random.below(3)), random.below(9) as i64)).into_iter().collect();
                let score = v1::Score {
                    home: random.maybe(|random| random.below(5) as u32),
                    clock_s: Some(self.seq as u32),
                    extra,
                    ..Default::default()
                };
                if random.one_in(5) {
                    update.clear = vec![1 + random.below(8) as u32];
                }
                update.clear.retain(|field| *field != 7);
                update.body = Some(Body::Score(score));
            }
            8 => {
                let outcome = 1 + random.below(4) as u32;
                let active = random.one_in(4).then(|| random.one_in(2));
                let known = said.active.entry(outcome).or_insert(true);
                if active.is_some_and(|active| active != *known) {
                    *known = !*known;
                    is_event = true;
                }
                let outcomes =
                    vec![v1::Outcome { id: outcome, back: random.maybe(|random| random.below(500) as i64), active, ..Default::default() }];
                if random.one_in(6) {
                    update.clear = vec![outcome * 16 + 2];
                }
                update.body =
                    Some(Body::Odds(v1::Odds { outcomes, matched: random.maybe(|random| random.below(99) as i64), ..Default::default() }));
            }
            9 => {
                let r#final = random.one_in(4);
                is_event = r#final;
                let length_s = [60, 300, 10][random.below(3) as usize];
                let start_us = self.seq.saturating_sub(random.below(3));
                update.body = Some(Body::Bar(v1::Bar { start_us, length_s, close: self.seq as i64, r#final, ..Default::default() }));
            }
            _ => {
                let bust = random.one_in(8);
                (is_event, is_trade) = (bust, !bust);
                // Some fit at few other scales, or at none.
                let price = if random.one_in(8) { i64::MAX - random.below(9) as i64 } else { random.below(100_000) as i64 };
                update.body = Some(Body::Trade(v1::Trade { price, quantity: random.below(1_000) as i64, bust, ..Default::default() }));
            }
        }
        said.image.apply(&update);
        let told = update.body.as_ref().map(|body| (self.seq, scales.meaning(body)));
        if is_event {
            said.events.extend(told);
        } else if is_trade {
            said.trades.extend(told);
        }
        self.world.batch.entries.push(Entry::Update(update));
    }

    fn calm_down(&mut self) {
        for index in 0..self.clients.len() {
            let name = self.clients[index].name.clone();
            self.world.unblock(&name);
            if self.world.client(&name).closed.is_none() {
                self.send(&name, Command::Configure(v1::Configure { paused: Some(false), conflate_ms: None }));
            }
        }
        self.world.wait(Duration::from_secs(20));
    }

    fn judge(&self) {
        let book = self.world.book();
        for habit in &self.clients {
            let client = self.world.client(&habit.name);
            if client.closed.is_some() {
                continue;
            }
            for (id, said) in &self.said {
                let image = client.images.get(id).cloned().unwrap_or_default();
                assert_eq!(image, book[id], "{} is wrong about instrument {id}", habit.name);
                assert_eq!(image, said.image, "the feed said otherwise of instrument {id}");
                let scales = Scales::of(&self.world.instruments[*id as usize - 1]);
                let known = client.infos.get(id).map(Scales::of).filter(|_| image != Image::default());
                assert!(known.is_none_or(|known| known == scales), "{} reads instrument {id} at {known:?}, not {scales:?}", habit.name);
                let mine = || client.updates.iter().filter(|told| told.update.id == *id);
                let told = |wanted: &dyn Fn(&v1::Update) -> bool| -> Vec<(u64, Meaning)> {
                    let wanted = mine().filter(|told| wanted(&told.update));
                    wanted.filter_map(|told| Some((told.update.seq, told.scales.meaning(told.update.body.as_ref()?)))).collect()
                };
                for told in mine() {
                    let Some(Body::Quote(v1::Quote { bid: Some(bid), .. })) = told.update.body else { continue };
                    let is_true = said.bids.contains(&told.scales.price(bid));
                    assert!(is_true, "{} was told a bid that nobody said: {:?} at {:?}", habit.name, told.update, told.scales);
                }
                let gaps: Vec<_> = client.gaps.iter().filter(|gap| gap.id == *id).collect();
                let excused = |seq: u64| gaps.iter().any(|gap| gap.from < seq && seq < gap.to);
                let is_event = |update: &v1::Update| update.flags & UpdateFlag::Event as u32 != 0;
                let is_trade = |update: &v1::Update| matches!(&update.body, Some(Body::Trade(trade)) if !trade.bust && !trade.correction);
                self.complete(habit, *id, "event", &said.events, &told(&is_event), &excused);
                let trades = told(&is_trade);
                if habit.trades {
                    self.complete(habit, *id, "trade", &said.trades, &trades, &excused);
                } else {
                    assert!(trades.is_empty(), "{} got trades without asking", habit.name);
                }
                if habit.steady && gaps.is_empty() {
                    exact(&habit.name, said, mine().filter(|told| !is_event(&told.update)));
                }
            }
        }
    }

    /// Every event was told, in order, or its loss was.
    fn complete(
        &self,
        habit: &Habit,
        id: u32,
        what: &str,
        said: &[(u64, Meaning)],
        told: &[(u64, Meaning)],
        excused: &dyn Fn(u64) -> bool,
    ) {
        let mut left: Vec<_> = told.iter().collect();
        for event in said.iter().filter(|(seq, _)| *seq > habit.since) {
            match left.iter().position(|told| *told == event) {
                Some(index) => drop(left.remove(index)),
                None => assert!(excused(event.0), "{} was not told {what} {event:?} of instrument {id}, but {left:?}", habit.name),
            }
        }
        // What it is told again, or of positions before it came, is as true.
        for event in &left {
            assert!(said.contains(event), "{} was told {what} {event:?} of instrument {id} that nobody said", habit.name);
        }
        // A client that came back is told some events again.
        assert!(left.is_empty() || !habit.steady, "{} was told {what}s {left:?} of instrument {id} that nobody said", habit.name);
        assert!(!habit.steady || told.is_sorted_by_key(|(seq, _)| *seq), "{} was told {what}s of instrument {id} out of order", habit.name);
    }
}

/// Counts and extremes are those of the raw stream: each record covers the next `merged + 1` inputs.
fn exact<'a>(name: &str, said: &Said, updates: impl Iterator<Item = &'a Told>) {
    let mut inputs = said.quotes.iter();
    for Told { update, scales } in updates {
        let Some(Body::Quote(quote)) = &update.body else { continue };
        let [newest, interval_low, interval_high] =
            [quote.last, quote.interval_low, quote.interval_high].map(|price| price.map(|price| scales.price(price)));
        let covered: Vec<_> = inputs.by_ref().take(update.merged as usize + 1).collect();
        assert_eq!(covered.len(), update.merged as usize + 1, "{name} was told of more inputs than there were: {update:?}");
        assert!(covered.iter().all(|(seq, _)| *seq <= update.seq), "{name} was told too early of a position: {update:?}");
        // The record shows the newest `last`, which may be of an input that the next record counts.
        let lasts = || covered.iter().filter_map(|(_, last)| *last);
        let (low, high) = (lasts().chain(newest).min(), lasts().chain(newest).max());
        let is_plain = lasts().next().is_none() || (update.merged == 0 && low == newest && high == newest);
        let expected = if is_plain { (None, None) } else { (low, high) };
        assert_eq!((interval_low, interval_high), expected, "{name}: {update:?} of {covered:?}");
    }
    assert_eq!(inputs.next(), None, "{name} was not told of all inputs");
}

/// A small generator: the same seed gives the same storm everywhere.
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

    fn maybe<T>(&mut self, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.one_in(2).then(|| value(self))
    }
}

/// Storms per run of the tests.
const SEEDS: u64 = 100;
/// Things that happen in a storm.
const STEPS: u32 = 250;
