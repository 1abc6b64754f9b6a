//! Extremes and counts, end to end: from the messages of a feed through intake, book, lanes and frames to what a client decodes.

use std::time::Duration;

use proptest::prelude::*;
use tickwire_core::access::{Authority, Grant};
use tickwire_core::engine::{Arrival, ConnectionKey, Engine, EngineConfig, FrameRef, RATE_CLASSES_MS, Sink, Written};
use tickwire_core::intake::{Intake, Message};
use tickwire_core::{Batch, Entry};
use tickwire_proto::v1::{self, ErrorCode, client_frame::Command, subscribe_item::Target, update::Body};
use tickwire_proto::wire::{self, Encoding};
use tickwire_proto::{Moment, Pattern, Scale};

use super::intake_config;

/// One client of each encoding at each of three rates; their sockets jam and clear.
struct Client {
    key: ConnectionKey,
    encoding: Encoding,
    jammed: bool,
    blocked: bool,
    quotes: Vec<(u64, u32, v1::Quote)>,
}

struct Clients(Vec<Client>);

impl Sink for Clients {
    fn frame(&mut self, connection: ConnectionKey, frame: FrameRef<'_>) {
        let client = self.get(connection);
        let scales = |_| Some((Scale::new(2).unwrap(), Scale::default()));
        for update in wire::decode_server(client.encoding, frame.payload, &scales).unwrap().updates {
            if let Some(Body::Quote(quote)) = update.body {
                client.quotes.push((update.seq, update.merged, quote));
            }
        }
    }

    fn commit(&mut self, connection: ConnectionKey) -> Written {
        let client = self.get(connection);
        client.blocked = client.jammed;
        if client.blocked { Written::Blocked } else { Written::All }
    }

    fn close(&mut self, connection: ConnectionKey, code: ErrorCode, text: &str) {
        panic!("{connection:?} was closed: {code:?} {text}");
    }
}

impl Clients {
    fn get(&mut self, key: ConnectionKey) -> &mut Client {
        self.0.iter_mut().find(|client| client.key == key).unwrap()
    }
}

struct Everyone;

impl Authority for Everyone {
    fn grant(&self, _: Option<&str>, _: u64) -> Result<Grant, ErrorCode> {
        Ok(grant())
    }
}

fn grant() -> Grant {
    let patterns = vec![Pattern::parse("#").unwrap()];
    Grant { subject: "ann".into(), patterns, expires_at_s: None, conflate_ms_min: 0, subscriptions_max: None }
}

fn config() -> EngineConfig {
    EngineConfig { stalled_max: Duration::from_secs(100_000), ..EngineConfig::default() }
}

/// A message of the feed at position `seq`.
fn take(intake: &mut Intake, seq: u64, body: &str, batch: &mut Batch) {
    let message = Message { seq, routing_key: "a", content_type: None, body: body.as_bytes() };
    assert_eq!(intake.take(message, batch).poison, [], "{body}");
}

/// What happens next.
#[derive(Clone, Debug)]
enum Turn {
    /// The feed says a quote; `last` may be absent.
    Quote {
        last: Option<i64>,
        bid: i64,
    },
    /// Time passes.
    Wait {
        ms: u64,
    },
    /// A client's socket takes nothing, or everything again.
    Jam {
        client: usize,
    },
    Clear {
        client: usize,
    },
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        6 => (prop::option::weighted(0.8, -50..50_i64), 0..9_i64).prop_map(|(last, bid)| Turn::Quote { last, bid }),
        3 => (1..400_u64).prop_map(|ms| Turn::Wait { ms }),
        1 => (0..CLIENTS).prop_map(|client| Turn::Jam { client }),
        1 => (0..CLIENTS).prop_map(|client| Turn::Clear { client }),
    ]
}

struct World {
    engine: Engine,
    intake: Intake,
    now: Moment,
    clients: Clients,
    /// `last` of each quote, whose position is its place here, from 1.
    said: Vec<Option<i64>>,
}

impl World {
    fn new(rates: &[u32], paced: bool) -> Self {
        let mut engine = Engine::new(EngineConfig { paced, ..config() }, Box::new(Everyone));
        let (mut intake, mut batch) = (Intake::new(intake_config()), Batch::default());
        intake.reset("e", &mut batch);
        take(&mut intake, 0, r#"{"info":{"price_scale":2}}"#, &mut batch);
        batch.entries.push(Entry::Synced);
        engine.apply(Moment::ZERO, &batch);
        let mut world = Self { engine, intake, now: Moment::ZERO, clients: Clients(Vec::new()), said: Vec::new() };
        for n in 0..CLIENTS {
            let key = ConnectionKey(n as u32 + 1);
            let encoding = [Encoding::Protobuf, Encoding::Json][n % 2];
            world.clients.0.push(Client { key, encoding, jammed: false, blocked: false, quotes: Vec::new() });
            world.engine.attach(world.now, key, Arrival { encoding, grant: Some(grant()), request: None, session: format!("n1-{n}") });
            let item = v1::SubscribeItem { target: Some(Target::Symbol("a".into())), conflate_ms: Some(rates[n / 2]), trades: false };
            for command in [
                Command::Hello(v1::Hello { protocol: 1, ..Default::default() }),
                Command::Subscribe(v1::Subscribe { items: vec![item], replace: false }),
            ] {
                let mut bytes = Vec::new();
                wire::encode_client(encoding, &v1::ClientFrame { request_id: 1, command: Some(command) }, &mut bytes);
                world.engine.receive(world.now, key, &bytes);
            }
        }
        world.flush();
        world
    }

    fn play(&mut self, turn: &Turn) {
        match *turn {
            Turn::Quote { last, bid } => {
                self.said.push(last);
                let last = last.map_or(String::new(), |last| format!(r#","last":"{last}e-2""#));
                let body = format!(r#"{{"quote":{{"bid":"{bid}"{last}}}}}"#);
                let mut batch = Batch::default();
                take(&mut self.intake, self.said.len() as u64, &body, &mut batch);
                self.engine.apply(self.now, &batch);
                self.flush();
            }
            Turn::Wait { ms } => self.wait(ms),
            Turn::Jam { client } => self.clients.0[client].jammed = true,
            Turn::Clear { client } => self.clear(client),
        }
    }

    fn clear(&mut self, client: usize) {
        let client = &mut self.clients.0[client];
        client.jammed = false;
        if std::mem::take(&mut client.blocked) {
            self.engine.writable(self.now, client.key);
            self.flush();
        }
    }

    fn wait(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        while let Some(due) = self.engine.deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.engine.flush(self.now, &mut self.clients);
        }
        self.now = end;
    }

    fn flush(&mut self) {
        self.engine.flush(self.now, &mut self.clients);
    }
}

proptest! {
    /// Law: the extremes of a record are those of `last` over the raw inputs that it counts, and over its own `last`, which may be newer;
    /// every input is counted once, in order, at every rate, in both encodings, and however the socket jams. A record of one input has no
    /// extremes if its `last` says it. Folded over all records they are the extremes of the raw stream.
    #[test]
    fn interval_extremes_are_those_of_the_raw_stream(
        turns in prop::collection::vec(turn(), 1..150),
        rates in prop::collection::vec(prop::sample::select(RATE_CLASSES_MS.to_vec()), CLIENTS / 2),
        paced: bool,
    ) {
        let mut world = World::new(&rates, paced);
        turns.iter().for_each(|turn| world.play(turn));
        (0..CLIENTS).for_each(|client| world.clear(client));
        world.wait(20_000);
        for client in &world.clients.0 {
            let (mut told, mut folded) = (0, Vec::new());
            for (seq, merged, quote) in &client.quotes {
                let covered = &world.said[told..told + *merged as usize + 1];
                told += covered.len();
                prop_assert!(*seq as usize >= told, "{:?} counts inputs that are not there yet", quote);
                let newest = world.said[..*seq as usize].iter().rev().find_map(|last| *last);
                prop_assert!(quote.last.is_none() || quote.last == newest, "{:?} is not the newest, {:?}", quote, newest);
                let spanned = || covered.iter().flatten().copied().chain(quote.last);
                let says_all = *merged == 0 && spanned().min() == quote.last && spanned().max() == quote.last;
                let expected = if says_all || covered.iter().flatten().next().is_none() { (None, None) } else { (spanned().min(), spanned().max()) };
                prop_assert_eq!((quote.interval_low, quote.interval_high), expected, "{:?} of {:?}", quote, covered);
                folded.extend([quote.last, quote.interval_low, quote.interval_high].into_iter().flatten());
            }
            prop_assert_eq!(told, world.said.len(), "every input is covered");
            let raw = || world.said.iter().flatten();
            prop_assert_eq!((folded.iter().min(), folded.iter().max()), (raw().min(), raw().max()), "the extremes of the whole stream");
        }
    }
}

/// Two of each rate, one of each encoding.
const CLIENTS: usize = 6;
