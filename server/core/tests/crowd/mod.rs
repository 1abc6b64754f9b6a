//! An engine with many clients that take everything, in virtual time: for what is measured.

use std::time::Duration;

use tickwire_core::access::{Authority, Grant};
use tickwire_core::engine::{Arrival, ConnectionKey, Engine, EngineConfig, FrameRef, Sink, Written};
use tickwire_core::{Batch, Entry};
use tickwire_proto::Pattern;
use tickwire_proto::time::Moment;
use tickwire_proto::v1::{self, ErrorCode, client_frame::Command, subscribe_item::Target, update::Body};
use tickwire_proto::wire::{Encoding, encode_client};

/// An engine in virtual time whose clients take everything.
pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) now: Moment,
    instruments: u32,
    /// Whether clients report progress.
    pub(crate) credit: bool,
}

impl World {
    pub(crate) fn new(instruments: u32) -> Self {
        Self::with(config(), instruments)
    }

    pub(crate) fn with(config: EngineConfig, instruments: u32) -> Self {
        let mut engine = Engine::new(config, Box::new(Anyone));
        let mut entries = vec![Entry::Reset { epoch: "log".into() }];
        for id in 1..=instruments {
            let info = v1::InstrumentInfo { symbol: format!("s.{id}"), id, feed: "f".into(), price_scale: 2, ..Default::default() };
            entries.extend([Entry::Instrument(info), Entry::Update(quote(id, 1))]);
        }
        entries.push(Entry::Synced);
        engine.apply(Moment::ZERO, &Batch { entries });
        Self { engine, now: Moment::ZERO, instruments, credit: false }
    }

    /// A client subscribes to `count` instruments, beginning at a place of its own.
    pub(crate) fn subscribe(&mut self, n: u32, encoding: Encoding, conflate_ms: u32, count: u32) {
        let instruments = self.instruments;
        let symbols = (0..count).map(|place| format!("s.{}", (n * count + place) % instruments + 1));
        self.subscribe_to(ConnectionKey(n), encoding, conflate_ms, symbols);
    }

    /// A client reports all frames that it can have got so far.
    #[allow(dead_code, reason = "not every test has clients that report")]
    pub(crate) fn report(&mut self, n: u32, encoding: Encoding) {
        for cseq in 1..=12 {
            let mut bytes = Vec::new();
            let command = Some(Command::Progress(v1::Progress { cseq }));
            encode_client(encoding, &v1::ClientFrame { request_id: 0, command }, &mut bytes);
            self.engine.receive(self.now, ConnectionKey(n), &bytes);
        }
    }

    pub(crate) fn subscribe_to(
        &mut self,
        key: ConnectionKey,
        encoding: Encoding,
        conflate_ms: u32,
        symbols: impl IntoIterator<Item = String>,
    ) {
        self.attach(key, encoding);
        let item = |name: String| {
            let target = if Pattern::is_wild(&name) { Target::Pattern(name) } else { Target::Symbol(name) };
            v1::SubscribeItem { target: Some(target), conflate_ms: None, trades: false }
        };
        let items = symbols.into_iter().map(item);
        let hello = v1::Hello { protocol: 1, conflate_ms: Some(conflate_ms), credit: self.credit, ..Default::default() };
        let subscribe = v1::Subscribe { items: items.collect(), replace: false };
        for command in [Command::Hello(hello), Command::Subscribe(subscribe)] {
            let mut bytes = Vec::new();
            encode_client(encoding, &v1::ClientFrame { request_id: 1, command: Some(command) }, &mut bytes);
            self.engine.receive(self.now, key, &bytes);
        }
        self.flush();
    }

    pub(crate) fn attach(&mut self, key: ConnectionKey, encoding: Encoding) {
        self.engine.attach(self.now, key, Arrival { encoding, grant: None, request: None, session: format!("n1-{}", key.0) });
    }

    pub(crate) fn flush(&mut self) {
        while self.engine.deadline().is_some_and(|deadline| deadline <= self.now) {
            self.engine.flush(self.now, &mut Drain);
        }
    }

    /// Lets `span` pass, and flushes whenever the engine asks for it.
    pub(crate) fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(deadline) = self.engine.deadline().filter(|deadline| *deadline <= end) {
            self.now = self.now.max(deadline);
            self.engine.flush(self.now, &mut Drain);
        }
        self.now = end;
    }

    /// Until only heartbeats are left.
    pub(crate) fn settle(&mut self) {
        self.pass(Duration::from_secs(30));
    }
}

/// A socket that takes everything.
pub(crate) struct Drain;

impl Sink for Drain {
    fn frame(&mut self, _: ConnectionKey, _: FrameRef<'_>) {}

    fn commit(&mut self, _: ConnectionKey) -> Written {
        Written::All
    }

    fn close(&mut self, _: ConnectionKey, code: ErrorCode, text: &str) {
        panic!("closed: {code:?} {text}");
    }
}

/// Everyone may see everything.
struct Anyone;

impl Authority for Anyone {
    fn grant(&self, _: Option<&str>, _: u64) -> Result<Grant, ErrorCode> {
        let patterns = vec![Pattern::parse("#").expect("a pattern")];
        Ok(Grant { subject: String::new(), patterns, expires_at_s: None, conflate_ms_min: 0, subscriptions_max: None })
    }
}

pub(crate) fn quote(id: u32, seq: u64) -> v1::Update {
    let price = seq as i64;
    let quote = v1::Quote { bid: Some(price), ask: Some(price + 2), last: Some(price + 1), volume: Some(price), ..Default::default() };
    v1::Update { id, seq, ts_event_us: seq, body: Some(Body::Quote(quote)), ..Default::default() }
}

pub(crate) fn config() -> EngineConfig {
    EngineConfig { node: "n1".into(), ..EngineConfig::default() }
}
