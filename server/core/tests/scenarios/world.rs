//! An engine with clients that decode and check all they get.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tickwire_core::access::{Authority, Grant};
use tickwire_core::engine::{Arrival, ConnectionKey, Engine, EngineConfig, FrameKind, FrameRef, Sink, Written};
use tickwire_core::{Batch, Entry};
use tickwire_proto::image::Image;
use tickwire_proto::time::Moment;
use tickwire_proto::v1::{self, ErrorCode, UpdateFlag, server_frame::Control, update::Body};
use tickwire_proto::wire::{Encoding, decode_server, encode_client};
use tickwire_proto::{Pattern, Scale};

use super::decimals::Scales;
use super::transcript;

/// The engine, the time, and the clients by name.
pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) now: Moment,
    pub(crate) instruments: Vec<v1::InstrumentInfo>,
    pub(crate) batch: Batch,
    pub(crate) clients: Clients,
    /// Whether batches lie until something else happens, where the engine lets them wait.
    pub(crate) lets_lie: bool,
    lying: Vec<Batch>,
    /// How many have lain.
    pub(crate) lain: u32,
}

/// What the engine's sink is.
#[derive(Default)]
pub(crate) struct Clients {
    by_name: BTreeMap<String, ConnectionKey>,
    by_key: BTreeMap<ConnectionKey, Client>,
    keys_used: u32,
    now: Moment,
    lines: Vec<String>,
    /// Whether frames are written down; properties do without.
    pub(crate) quiet: bool,
}

/// One client: everything it knows comes from its frames.
pub(crate) struct Client {
    pub(crate) name: String,
    encoding: Encoding,
    /// Its socket takes nothing after the next write.
    pub(crate) jammed: bool,
    /// A write was not taken whole; the engine waits for `writable`.
    pub(crate) blocked: bool,
    pub(crate) closed: Option<ErrorCode>,
    /// Newest frame.
    pub(crate) cseq: u64,
    frames_since_commit: usize,
    /// What it knows of instruments; before this connection it may have heard of some.
    pub(crate) infos: BTreeMap<u32, v1::InstrumentInfo>,
    /// Instruments whose info came on this connection.
    introduced: BTreeSet<u32>,
    pub(crate) images: BTreeMap<u32, Image>,
    /// Newest position of each instrument on this connection.
    seqs: BTreeMap<u32, u64>,
    /// Newest position of what it held before this connection: older records are dropped.
    held: BTreeMap<u32, u64>,
    pub(crate) token: Option<String>,
    /// What it held when the newest token came: what a client knows for sure after a cut.
    saved: Option<Box<Saved>>,
    /// Every update in the order of arrival.
    pub(crate) updates: Vec<Told>,
    pub(crate) gaps: Vec<v1::Gap>,
}

/// An update as a client read it.
#[derive(Clone)]
pub(crate) struct Told {
    pub(crate) update: v1::Update,
    /// What the client knew then.
    pub(crate) scales: Scales,
}

/// What a client takes into its next connection.
#[derive(Clone)]
struct Saved {
    infos: BTreeMap<u32, v1::InstrumentInfo>,
    images: BTreeMap<u32, Image>,
    held: BTreeMap<u32, u64>,
    /// How many updates and gaps it had been told by then.
    told: (usize, usize),
}

impl World {
    pub(crate) fn new(config: EngineConfig) -> Self {
        let mut world = Self::unsynced(config);
        world.batch.entries.push(Entry::Reset { epoch: "log".into() });
        world.batch.entries.push(Entry::Synced);
        world.flush();
        world
    }

    pub(crate) fn unsynced(config: EngineConfig) -> Self {
        #[cfg(feature = "planted-faults")]
        tickwire_proto::planted::plant(&std::env::var("PLANTED").unwrap_or_default());
        let mut engine = Engine::new(config, Box::new(Tokens));
        engine.set_wall_clock(Moment::ZERO, 1_000_000_000);
        Self {
            engine,
            now: Moment::ZERO,
            instruments: Vec::new(),
            batch: Batch::default(),
            clients: Clients::default(),
            lets_lie: false,
            lying: Vec::new(),
            lain: 0,
        }
    }

    pub(crate) fn transcript(&self) -> String {
        self.clients.lines.concat()
    }

    /// Applies what was collected, and flushes.
    pub(crate) fn flush(&mut self) {
        if self.can_lie() {
            self.lying.push(std::mem::take(&mut self.batch));
            self.lain += 1;
            return;
        }
        self.apply();
        self.clients.now = self.now;
        self.engine.flush(self.now, &mut self.clients);
        // What did not fit leaves at once, if the engine asks for it.
        for _ in 0..FLUSHES_MAX {
            if self.engine.deadline().is_none_or(|deadline| deadline > self.now) {
                return;
            }
            self.engine.flush(self.now, &mut self.clients);
        }
        panic!("the engine asks to be flushed for ever at {:?}", self.now);
    }

    /// As a shard that sleeps is left alone.
    fn can_lie(&self) -> bool {
        let sleeps = self.engine.deadline().is_none_or(|deadline| deadline > self.now);
        self.lets_lie && sleeps && !self.batch.entries.is_empty() && self.batch.can_wait(|id| self.engine.lets_wait(id))
    }

    pub(crate) fn apply(&mut self) {
        for batch in std::mem::take(&mut self.lying) {
            self.engine.apply(self.now, &batch);
        }
        let batch = std::mem::take(&mut self.batch);
        self.engine.apply(self.now, &batch);
    }

    /// Lets time pass and flushes exactly when the engine asks for it.
    pub(crate) fn wait(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(deadline) = self.engine.deadline().filter(|deadline| *deadline <= end) {
            self.now = self.now.max(deadline);
            self.flush();
        }
        self.now = end;
    }

    pub(crate) fn attach(&mut self, name: &str, encoding: Encoding, grant: Option<Grant>, request: Option<(v1::Hello, v1::Subscribe)>) {
        self.apply();
        self.clients.keys_used += 1;
        let key = ConnectionKey(self.clients.keys_used);
        self.clients.by_name.insert(name.into(), key);
        self.clients.by_key.insert(key, Client::new(name, encoding));
        self.engine.attach(self.now, key, Arrival { encoding, grant, request, session: format!("n1-{name}") });
    }

    /// A client loses its connection, and all that came after its newest token; it comes back with what it has saved. Returns its token.
    pub(crate) fn reconnect(&mut self, name: &str) -> Option<String> {
        self.apply();
        let old = self.key(name);
        self.engine.detach(old);
        let gone = self.clients.by_key.remove(&old).expect("the key is known");
        self.clients.keys_used += 1;
        let key = ConnectionKey(self.clients.keys_used);
        let mut client = Client::new(name, gone.encoding);
        let token = gone.token.filter(|_| gone.saved.is_some());
        if let Some(saved) = gone.saved.filter(|_| token.is_some()) {
            let Saved { infos, images, held, told } = *saved;
            let (mut updates, mut gaps) = (gone.updates, gone.gaps);
            updates.truncate(told.0);
            gaps.truncate(told.1);
            client = Client { infos, images, held, updates, gaps, ..client };
        }
        self.clients.by_name.insert(name.into(), key);
        self.clients.by_key.insert(key, client);
        let arrival = Arrival { encoding: gone.encoding, grant: None, request: None, session: format!("n1-{name}") };
        self.engine.attach(self.now, key, arrival);
        token
    }

    pub(crate) fn key(&self, name: &str) -> ConnectionKey {
        *self.clients.by_name.get(name).unwrap_or_else(|| panic!("no client {name}"))
    }

    pub(crate) fn client(&self, name: &str) -> &Client {
        &self.clients.by_key[&self.key(name)]
    }

    pub(crate) fn client_mut(&mut self, name: &str) -> &mut Client {
        let key = self.key(name);
        self.clients.by_key.get_mut(&key).expect("the key is known")
    }

    pub(crate) fn send(&mut self, name: &str, frame: &v1::ClientFrame) {
        self.apply();
        let mut bytes = Vec::new();
        encode_client(self.client(name).encoding, frame, &mut bytes);
        self.engine.receive(self.now, self.key(name), &bytes);
    }

    pub(crate) fn send_raw(&mut self, name: &str, bytes: &[u8]) {
        self.engine.receive(self.now, self.key(name), bytes);
    }

    /// The socket takes everything, and goes on doing so.
    pub(crate) fn unblock(&mut self, name: &str) {
        self.apply();
        let client = self.client_mut(name);
        client.jammed = false;
        if std::mem::take(&mut client.blocked) {
            self.engine.writable(self.now, self.key(name));
        }
    }

    /// The id of a symbol; panics for an unknown one.
    pub(crate) fn id(&self, symbol: &str) -> u32 {
        let found = self.instruments.iter().find(|info| info.symbol == symbol);
        found.unwrap_or_else(|| panic!("no instrument {symbol}")).id
    }

    /// The newest images of the engine's book.
    pub(crate) fn book(&self) -> BTreeMap<u32, Image> {
        let mut book = BTreeMap::new();
        self.engine.images(&mut |info, images| {
            let mut image = Image::default();
            for update in images {
                image.apply(update);
            }
            book.insert(info.id, image);
        });
        book
    }
}

impl Client {
    fn new(name: &str, encoding: Encoding) -> Self {
        Self {
            name: name.into(),
            encoding,
            jammed: false,
            blocked: false,
            closed: None,
            cseq: 0,
            frames_since_commit: 0,
            infos: BTreeMap::new(),
            introduced: BTreeSet::new(),
            images: BTreeMap::new(),
            seqs: BTreeMap::new(),
            held: BTreeMap::new(),
            token: None,
            saved: None,
            updates: Vec::new(),
            gaps: Vec::new(),
        }
    }

    /// Decodes a frame, and checks what must hold for every frame.
    fn read(&mut self, frame: FrameRef<'_>) -> v1::ServerFrame {
        let known = RefCell::new(&mut self.infos);
        let scales = |id: u32| {
            let known = known.borrow();
            let info = known.get(&id)?;
            Some((Scale::new(info.price_scale).ok()?, Scale::new(info.quantity_scale).ok()?))
        };
        let decoded = decode_server(self.encoding, frame.payload, &scales).expect("the engine writes frames that can be read");
        self.cseq += 1;
        assert_eq!(decoded.cseq, self.cseq, "cseq of {} is not contiguous", self.name);
        assert!(decoded.updates.len() <= tickwire_core::engine::FRAME_RECORDS_MAX, "frame is too long");
        for info in &decoded.infos {
            self.introduced.insert(info.id);
            let old = self.infos.insert(info.id, info.clone());
            if let Some(image) = self.images.get_mut(&info.id).filter(|_| old.is_some_and(|old| Scales::of(&old) != Scales::of(info))) {
                // As the client session does: images at the new scales follow.
                *image = Image { status: image.status.take(), score: image.score.take(), ..Image::default() };
            }
        }
        assert_eq!(frame.kind == FrameKind::Heartbeat, matches!(decoded.control, Some(Control::Heartbeat(_))));
        match &decoded.control {
            Some(Control::Heartbeat(heartbeat)) => {
                assert_eq!(frame.token.unwrap_or(""), heartbeat.token);
                self.token = frame.token.map(str::to_string);
                self.save();
            }
            Some(Control::Gap(gap)) => self.gaps.push(*gap),
            // Positions start again.
            Some(Control::Error(error)) if error.code == ErrorCode::ResumeExpired as i32 => self.seqs.clear(),
            _ => {}
        }
        for update in &decoded.updates {
            self.take(update);
        }
        decoded
    }

    fn take(&mut self, update: &v1::Update) {
        assert!(self.introduced.contains(&update.id), "{} got a record of {} before its info", self.name, update.id);
        let seq = self.seqs.entry(update.id).or_default();
        assert!(update.seq >= *seq, "{} went back from {seq} to {update:?}", self.name);
        *seq = update.seq;
        self.updates.push(Told { update: update.clone(), scales: Scales::of(&self.infos[&update.id]) });
        if self.held.get(&update.id).is_some_and(|held| update.seq < *held) {
            return;
        }
        if !matches!(update.body, Some(Body::Trade(_))) && update.flags & (UpdateFlag::Image as u32 | UpdateFlag::Event as u32) == 0 {
            assert!(self.images.contains_key(&update.id), "{} got a delta before an image: {update:?}", self.name);
        }
        if !matches!(update.body, Some(Body::Trade(_))) {
            self.images.entry(update.id).or_default().apply(update);
        }
    }

    fn save(&mut self) {
        let mut held = self.held.clone();
        for (id, seq) in &self.seqs {
            let newest = held.entry(*id).or_default();
            *newest = (*newest).max(*seq);
        }
        let (infos, images) = (self.infos.clone(), self.images.clone());
        self.saved = Some(Box::new(Saved { infos, images, held, told: (self.updates.len(), self.gaps.len()) }));
    }
}

impl Sink for Clients {
    fn frame(&mut self, connection: ConnectionKey, frame: FrameRef<'_>) {
        let client = self.by_key.get_mut(&connection).expect("frames go to known connections");
        assert!(client.closed.is_none(), "{} got a frame after its close", client.name);
        assert!(!client.blocked || client.frames_since_commit == 0, "{} got a second frame while blocked", client.name);
        client.frames_since_commit += 1;
        let decoded = client.read(frame);
        if !self.quiet {
            let infos = &client.infos;
            let line = transcript::frame(&decoded, |id| infos.get(&id).map_or("?", |info| &info.symbol).to_string());
            self.lines.push(format!("{} {}: {line}\n", self.now.as_micros() / 1_000, client.name));
        }
    }

    fn commit(&mut self, connection: ConnectionKey) -> Written {
        let client = self.by_key.get_mut(&connection).expect("commits go to known connections");
        assert!(client.frames_since_commit > 0, "a commit without a frame");
        client.frames_since_commit = 0;
        client.blocked |= client.jammed;
        if client.blocked { Written::Blocked } else { Written::All }
    }

    fn close(&mut self, connection: ConnectionKey, code: ErrorCode, text: &str) {
        let client = self.by_key.get_mut(&connection).expect("closes go to known connections");
        client.closed = Some(code);
        if !self.quiet {
            self.lines.push(format!("{} {}: close {} ({text})\n", self.now.as_micros() / 1_000, client.name, code.name()));
        }
    }
}

/// Tokens that the stories know.
struct Tokens;

impl Authority for Tokens {
    fn grant(&self, token: Option<&str>, unix_s: u64) -> Result<Grant, ErrorCode> {
        let grant = grant_of(token.ok_or(ErrorCode::AuthRequired)?, unix_s).ok_or(ErrorCode::AuthInvalid)?;
        if grant.expires_at_s.is_some_and(|at| at <= unix_s) { Err(ErrorCode::AuthExpired) } else { Ok(grant) }
    }
}

/// What a token of the stories grants.
pub(crate) fn grant_of(token: &str, unix_s: u64) -> Option<Grant> {
    let all = Grant {
        subject: "ann".into(),
        patterns: vec![Pattern::parse("#").expect("a pattern")],
        expires_at_s: None,
        conflate_ms_min: 0,
        subscriptions_max: None,
    };
    Some(match token {
        "all" => all,
        "stock" => Grant { patterns: vec![Pattern::parse("stock.#").expect("a pattern")], ..all },
        "slow" => Grant { conflate_ms_min: 500, ..all },
        "two" => Grant { subscriptions_max: Some(2), ..all },
        "other" => Grant { subject: "bob".into(), ..all },
        "short" => Grant { expires_at_s: Some(unix_s + 10), ..all },
        "long" => Grant { expires_at_s: Some(unix_s + 1_000), ..all },
        "old" => Grant { expires_at_s: Some(1), ..all },
        _ => return None,
    })
}

/// The documented defaults.
pub(crate) fn config() -> EngineConfig {
    EngineConfig { node: "n1".into(), ..EngineConfig::default() }
}

/// Flushes that one moment may take.
const FLUSHES_MAX: usize = 1_000;
