//! The world around a session: its driver, its application, a server that says what the story says, and the clock.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use tickwire_proto::decimal::Decimal;
use tickwire_proto::session::{Event, Input, Item, Output, Session, SessionConfig, SubscribeOptions, SubscriptionId};
use tickwire_proto::v1::client_frame::Command;
use tickwire_proto::v1::server_frame::Control;
use tickwire_proto::v1::update::Body;
use tickwire_proto::v1::{self, ErrorCode};
use tickwire_proto::wire::{self, Encoding, FrameWriter, Naming};
use tickwire_proto::{Moment, Scale};

/// One session with everything around it.
pub(crate) struct World {
    pub(crate) session: Session,
    encoding: Encoding,
    two_way: bool,
    now: Moment,
    deadline: Option<Moment>,
    log: String,
    /// The server's side of the connection.
    cseq: u64,
    announced: BTreeMap<String, u32>,
    requests: Vec<Request>,
    /// What the server would send, with rate and trades.
    pub(crate) subscribed: BTreeMap<String, (Option<u32>, bool)>,
    nonce: u64,
    /// Whether the connection began with a resume token.
    resumes: bool,
    /// The newest frame, for noise.
    last_frame: Vec<u8>,
}

struct Request {
    id: u32,
    targets: Vec<String>,
    /// What the server would have sent without it.
    before: BTreeMap<String, (Option<u32>, bool)>,
}

impl World {
    pub(crate) fn new(config: SessionConfig) -> Self {
        #[cfg(feature = "planted-faults")]
        tickwire_proto::planted::plant(&std::env::var("PLANTED").unwrap_or_default());
        Self {
            encoding: config.encoding,
            two_way: config.two_way,
            session: Session::new(config, 7),
            now: Moment::ZERO,
            deadline: None,
            log: String::new(),
            cseq: 0,
            announced: BTreeMap::new(),
            requests: Vec::new(),
            subscribed: BTreeMap::new(),
            nonce: 0,
            resumes: false,
            last_frame: Vec::new(),
        }
    }

    /// Plays a story of steps that are set apart by `;` or line ends, and returns what happened.
    pub(crate) fn play(mut self, story: &str) -> String {
        for step in story.split([';', '\n']).map(str::trim).filter(|step| !step.is_empty()) {
            self.step(step);
        }
        self.log
    }

    /// One step. Panics on what is no step, and on storms of timers or outputs.
    pub(crate) fn step(&mut self, step: &str) {
        let words: Vec<&str> = step.split_whitespace().collect();
        let (verb, rest) = (words[0], Words(&words[1..]));
        match verb {
            // the application
            "connect" => self.input(Input::Connect),
            "close" => self.input(Input::Close),
            "subscribe" => self.subscribe(rest),
            "unsubscribe" => self.session.unsubscribe(self.now, rest.subscription()),
            "rate" => self.session.set_conflation(self.now, rest.subscription(), rest.0[1].parse().ok()),
            "read" => self.read(rest),
            "latest" => {
                let text = self.session.latest(rest.0[0]).map_or("nothing".into(), |instrument| instrument.to_string());
                self.say(&format!("latest: {text}"));
            }
            "age" => {
                let age = self.session.latest(rest.0[0]).and_then(|instrument| self.session.age(self.now, instrument));
                self.say(&format!("age {age:?}"));
            }
            "stats" => {
                let stats = self.session.stats();
                let v = (stats.records, stats.merged, stats.conflated, stats.repeated, stats.ignored, stats.events_lost);
                self.say(&format!("records {} merged {} conflated {} repeated {} ignored {} lost {}", v.0, v.1, v.2, v.3, v.4, v.5));
            }
            "resume?" => self.say(&format!("resume token {:?}", self.session.resume_token())),
            // the driver
            "open" => self.opened(),
            "cut" => self.input(Input::Closed { code: rest.0.first().map(|code| code.parse().expect("a close code")), retry_after: None }),
            "http" => {
                let retry_after = rest.get("after").map(|ms| Duration::from_millis(ms.parse().expect("milliseconds")));
                self.input(Input::Closed { code: rest.0[0].parse().ok(), retry_after });
            }
            "wake" => self.input(Input::Wake),
            "hide" => self.input(Input::Paused(true)),
            "show" => self.input(Input::Paused(false)),
            "token" => self.input(Input::Token { request: rest.number(0), token: rest.0.get(1).map(|token| (*token).into()) }),
            "wait" => self.wait(duration(rest.0[0])),
            // the server
            "live" => self.live(),
            "welcome" => self.welcome(rest),
            "ack" => self.ack(rest),
            "complete" => self.complete(rest.0.first().map_or(usize::MAX, |count| count.parse().expect("a count"))),
            "beat" => self.beat(rest),
            "feed" => self.frame(None, &[], rest.feeds(), &[]),
            "image" => self.update(rest, v1::UpdateFlag::Image as u32),
            "delta" => self.update(rest, 0),
            "event" => self.update(rest, v1::UpdateFlag::Event as u32),
            "announce" => {
                let info = self.info(rest.0[0], rest.get("scale").map_or(2, |scale| scale.parse().expect("a scale")));
                self.frame(None, &[info], Vec::new(), &[]);
            }
            "fill" => self.fill(rest.number(0) as usize),
            "gap" => {
                let gap = v1::Gap { id: id_of(rest.0[0]), from: rest.number(1).into(), to: rest.number(2).into() };
                self.control(Control::Gap(gap));
            }
            "notice" => self.control(Control::Notice(v1::Notice { kind: rest.number(0) as i32, text: String::new() })),
            "error" => self.error(rest),
            "goodbye" => {
                let code = rest.get("code").map_or(ErrorCode::ShuttingDown, code_of) as i32;
                let [retry_after_ms, spread_ms] = ["after", "spread"].map(|name| rest.get(name).map_or(0, |ms| ms.parse().expect("ms")));
                self.control(Control::Goodbye(v1::Goodbye { code, retry_after_ms, spread_ms }));
            }
            "expiring" => self.control(Control::TokenExpiring(v1::TokenExpiring { in_ms: rest.number(0) })),
            "pong" => {
                let pong = v1::Pong { nonce: self.nonce, server_ts_us: self.server_us() };
                self.control(Control::Pong(pong));
            }
            "lose" => self.cseq += u64::from(rest.number(0)),
            "garbage" => self.input(Input::Frame(b"\xff\xff{]")),
            "noise" => {
                // The next frame, bent in one place.
                let mut frame = std::mem::take(&mut self.last_frame);
                let place = rest.number(0) as usize;
                if !frame.is_empty() {
                    let at = place % frame.len();
                    frame[at] ^= 1 << (place % 8);
                }
                self.input(Input::Frame(&frame));
            }
            _ => panic!("no such step: {step}"),
        }
        self.drain();
    }

    fn subscribe(&mut self, words: Words<'_>) {
        let items: Vec<Item> = words.0[0].split(',').map(|target| Item { target: target.into() }).collect();
        let conflate_ms = words.0.iter().find_map(|word| word.strip_suffix("ms")).and_then(|ms| ms.parse().ok());
        self.session.subscribe(self.now, &items, SubscribeOptions { conflate_ms, trades: words.0.contains(&"trades") });
    }

    fn read(&mut self, words: Words<'_>) {
        let most = words.0.get(1).map_or(usize::MAX, |count| count.parse().expect("a count"));
        for _ in 0..most {
            let Some(change) = self.session.next_change(words.subscription()) else { break };
            let merged = change.instrument().filter(|instrument| instrument.merged > 0).map(|instrument| {
                let extreme = |price: Option<tickwire_proto::Price>| price.map_or("-".into(), |price| price.to_string());
                format!(" (+{}, {} to {})", instrument.merged, extreme(instrument.interval_low()), extreme(instrument.interval_high()))
            });
            self.say(&format!("read {change}{}", merged.unwrap_or_default()));
        }
    }

    fn opened(&mut self) {
        self.cseq = 0;
        self.announced.clear();
        self.requests.clear();
        self.subscribed.clear();
        if !self.two_way {
            let query = self.session.sse_query();
            let targets = query.split('=').nth(1).and_then(|list| list.split('&').next()).unwrap_or_default();
            let targets = targets.replace("%23", "#").split(',').map(str::to_owned).collect();
            self.requests.push(Request { id: 0, targets, before: BTreeMap::new() });
        }
        self.input(Input::Opened);
    }

    /// Everything from the first input to Live.
    fn live(&mut self) {
        for step in ["connect", "open", "welcome", "ack", "complete", "beat e1:1 stock=LIVE"] {
            self.step(step);
        }
        self.log.clear();
        self.say("live");
    }

    fn welcome(&mut self, words: Words<'_>) {
        let number = |name: &str, otherwise| words.get(name).map_or(otherwise, |value| value.parse().expect("a number"));
        let welcome = v1::Welcome {
            session: "n1-1".into(),
            node: words.get("node").unwrap_or("n1").into(),
            epoch: words.get("epoch").unwrap_or("e1").into(),
            heartbeat_ms: number("heartbeat", 5_000),
            window_bytes: number("window", 0),
            resume: match words.get("resume") {
                Some(resume) => v1::Resume::from_str_name(resume).expect("a way to resume"),
                None if self.resumes => v1::Resume::Resumed,
                None => v1::Resume::Fresh,
            } as i32,
            server_ts_us: self.server_us() + words.get("ahead").map_or(0, |span| duration(span).as_micros() as u64),
            ..v1::Welcome::default()
        };
        self.control(Control::Welcome(welcome));
    }

    /// Answers every request: granted, unless the story says otherwise.
    fn ack(&mut self, words: Words<'_>) {
        let requests: Vec<(u32, Vec<String>)> = self.requests.iter().map(|request| (request.id, request.targets.clone())).collect();
        for (id, targets) in requests {
            let results = targets
                .into_iter()
                .map(|symbol| {
                    let code = words.get(&symbol).map_or(ErrorCode::Unspecified, code_of) as i32;
                    v1::SubscribeResult { symbol, code, ..v1::SubscribeResult::default() }
                })
                .collect();
            self.control(Control::SubscribeAck(v1::SubscribeAck { request_id: id, results, images_follow: 0 }));
            self.drain();
        }
    }

    fn complete(&mut self, most: usize) {
        let count = self.requests.len().min(most);
        for Request { id, .. } in self.requests.drain(..count).collect::<Vec<_>>() {
            self.control(Control::SnapshotComplete(v1::SnapshotComplete { request_id: id }));
            self.drain();
        }
    }

    fn beat(&mut self, words: Words<'_>) {
        let token = words.0.first().filter(|word| !word.contains('=')).map_or(String::new(), |token| (*token).into());
        self.frame(Some(Control::Heartbeat(v1::Heartbeat { token })), &[], words.feeds(), &[]);
    }

    fn error(&mut self, words: Words<'_>) {
        let error = v1::Error {
            request_id: words.get("request").map_or(0, |_| self.forget_request()),
            code: code_of(words.0[0]) as i32,
            text: "no".into(),
            retry: code_of(words.0[0]).retry() as i32,
            retry_after_ms: words.get("after").map(|ms| ms.parse().expect("milliseconds")),
            ..v1::Error::default()
        };
        self.control(Control::Error(error));
    }

    /// The server refuses the newest request.
    fn forget_request(&mut self) -> u32 {
        let Some(request) = self.requests.pop() else { return 0 };
        for target in request.targets {
            match request.before.get(&target) {
                _ if !self.subscribed.contains_key(&target) => None,
                Some(before) => self.subscribed.insert(target, *before),
                None => self.subscribed.remove(&target),
            };
        }
        request.id
    }

    fn update(&mut self, words: Words<'_>, flags: u32) {
        let symbol = words.0[0];
        let scale = words.get("scale").map_or(2, |scale| scale.parse().expect("a scale"));
        let price = |name: &str| {
            words.get(name).map(|text| Decimal::parse(text).and_then(|price| price.at(Scale::new(scale)?)).expect("a price at the scale"))
        };
        let body = if let Some(phase) = words.get("phase") {
            let phase = v1::TradingPhase::from_str_name(phase).expect("a phase") as i32;
            Body::Status(v1::Status { phase, reason: String::new(), resume_us: None })
        } else if let Some(trade) = price("trade") {
            let bust = words.0.contains(&"bust");
            Body::Trade(v1::Trade { price: trade, quantity: 100, trade_id: "t".into(), bust, ..v1::Trade::default() })
        } else {
            let [bid, ask, last, interval_high, interval_low] = ["bid", "ask", "last", "high", "low"].map(price);
            Body::Quote(v1::Quote { bid, ask, last, interval_high, interval_low, ..v1::Quote::default() })
        };
        let update = v1::Update {
            id: id_of(symbol),
            seq: words.get("seq").map_or(0, |seq| seq.parse().expect("a position")),
            ts_event_us: self.server_us() - words.get("old").map_or(0, |span| duration(span).as_micros() as u64),
            merged: words.get("merged").map_or(0, |merged| merged.parse().expect("a count")),
            flags,
            body: Some(body),
            ..v1::Update::default()
        };
        let info = (self.announced.get(symbol) != Some(&scale)).then(|| self.info(symbol, scale));
        self.frame(None, info.as_slice(), Vec::new(), &[(update, symbol, scale)]);
    }

    /// A frame of so many bytes, and some more.
    fn fill(&mut self, bytes: usize) {
        let info = v1::InstrumentInfo { display_name: "x".repeat(bytes), ..self.info("FILL", 2) };
        self.frame(None, &[info], Vec::new(), &[]);
    }

    fn info(&mut self, symbol: &str, scale: u32) -> v1::InstrumentInfo {
        self.announced.insert(symbol.into(), scale);
        v1::InstrumentInfo { symbol: symbol.into(), id: id_of(symbol), price_scale: scale, ..v1::InstrumentInfo::default() }
    }

    fn control(&mut self, control: Control) {
        self.frame(Some(control), &[], Vec::new(), &[]);
    }

    /// One frame, made by the codec that servers use.
    fn frame(
        &mut self,
        control: Option<Control>,
        infos: &[v1::InstrumentInfo],
        feeds: Vec<v1::FeedState>,
        updates: &[(v1::Update, &str, u32)],
    ) {
        self.cseq += 1;
        let (mut out, mut record) = (Vec::new(), Vec::new());
        let mut writer = FrameWriter::begin(&mut out, self.encoding, self.cseq, self.server_us());
        for info in infos {
            record.clear();
            wire::encode_info(self.encoding, info, &mut record);
            writer.info(&record);
        }
        if let Some(control) = &control {
            writer.control(control);
        }
        for feed in &feeds {
            record.clear();
            wire::encode_feed(self.encoding, feed, &mut record);
            writer.feed(&record);
        }
        for (update, symbol, scale) in updates {
            record.clear();
            let naming = Naming { symbol, price_scale: Scale::new(*scale).expect("a scale"), quantity_scale: Scale::default() };
            wire::encode_update(self.encoding, update, naming, &mut record);
            writer.update(&record);
        }
        writer.finish();
        self.input(Input::Frame(&out));
        self.last_frame = out;
    }

    fn input(&mut self, input: Input<'_>) {
        self.session.handle(self.now, input);
    }

    /// Time passes; deadlines are kept.
    fn wait(&mut self, span: Duration) {
        let until = self.now + span;
        let mut at_once = 0;
        while let Some(deadline) = self.deadline.filter(|deadline| *deadline <= until) {
            at_once = if deadline > self.now { 0 } else { at_once + 1 };
            assert!(at_once < 2, "a storm of timers at {:?}", self.now);
            self.now = self.now.max(deadline);
            self.input(Input::Timeout);
            self.drain();
        }
        self.now = until;
    }

    /// Does what the session says, until it waits.
    fn drain(&mut self) {
        for _ in 0..OUTPUTS_MAX {
            match self.session.poll_output() {
                Output::Wait(deadline) => return self.deadline = deadline,
                Output::Send(bytes) => self.sent(&bytes),
                Output::Open { attempt } if self.two_way => self.say(&format!("open #{attempt}")),
                Output::Open { attempt } => {
                    self.resumes = self.session.resume_token().is_some();
                    let after = self.session.resume_token().map_or(String::new(), |token| format!(" after {token}"));
                    self.say(&format!("open #{attempt} {}{after}", self.session.sse_query()));
                }
                Output::Shut { code } => self.say(&format!("shut {code}")),
                Output::NeedToken { request } => self.say(&format!("need token #{request}")),
                Output::Ready(SubscriptionId(id)) => self.say(&format!("ready #{id}")),
                Output::Event(event) => self.heard(event),
                other => panic!("unknown output {other:?}"),
            }
        }
        panic!("a storm of outputs at {:?}", self.now);
    }

    fn heard(&mut self, event: Event) {
        let text = match event {
            Event::State { state, code, reason } => {
                let code = code.map_or(String::new(), |code| format!(" {}", code.name()));
                // What follows a colon is a decoder's own words, which differ by encoding.
                let reason =
                    reason.split(": ").next().filter(|reason| !reason.is_empty()).map_or(String::new(), |reason| format!(" ({reason})"));
                format!("{state:?}{code}{reason}")
            }
            Event::Feed(feed) => format!("feed {} {}", feed.feed, feed.health().as_str_name()),
            Event::Refused { subscription, symbol, code } => format!("refused {symbol} of #{}: {}", subscription.0, code.name()),
            Event::Notice(notice) => format!("notice {}", notice.kind().as_str_name()),
            Event::Error(error) => format!("error {}", error.code().name()),
            other => panic!("unknown event {other:?}"),
        };
        self.say(&text);
    }

    fn sent(&mut self, bytes: &[u8]) {
        let frame = wire::decode_client(self.encoding, bytes).expect("the session writes frames that servers understand");
        let mut text = String::from("send ");
        match frame.command.expect("a command") {
            Command::Hello(hello) => {
                self.resumes = hello.resume.is_some();
                text.push_str("hello");
                hello.token.iter().for_each(|token| text.push_str(&format!(" token={token}")));
                hello.resume.iter().for_each(|resume| text.push_str(&format!(" resume={resume}")));
            }
            Command::Subscribe(subscribe) => {
                text.push_str("subscribe");
                let before = self.subscribed.clone();
                let mut targets = Vec::new();
                for item in subscribe.items {
                    use v1::subscribe_item::Target;
                    let (Target::Symbol(target) | Target::Pattern(target)) = item.target.expect("a target");
                    let _ = write!(text, " {target}");
                    item.conflate_ms.iter().for_each(|ms| text.push_str(&format!("@{ms}")));
                    text.push_str(if item.trades { "+trades" } else { "" });
                    self.subscribed.insert(target.clone(), (item.conflate_ms, item.trades));
                    targets.push(target);
                }
                self.requests.push(Request { id: frame.request_id, targets, before });
            }
            Command::Unsubscribe(unsubscribe) => {
                text.push_str(&format!("unsubscribe {}", unsubscribe.symbols.join(" ")));
                self.subscribed.retain(|target, _| !unsubscribe.symbols.contains(target));
            }
            Command::Configure(configure) => text.push_str(&format!("configure paused={:?}", configure.paused.expect("paused"))),
            Command::Authenticate(authenticate) => text.push_str(&format!("authenticate {}", authenticate.token)),
            Command::Progress(progress) => text.push_str(&format!("progress {}", progress.cseq)),
            Command::Ping(ping) => {
                self.nonce = ping.nonce;
                text.push_str("ping");
            }
        }
        self.say(&text);
    }

    fn say(&mut self, text: &str) {
        let ms = self.now.as_micros() / 1_000;
        let _ = writeln!(self.log, "{}.{:03} {text}", ms / 1_000, ms % 1_000);
    }

    /// The server's clock: an hour and a bit ahead of ours.
    fn server_us(&self) -> u64 {
        SERVER_STARTS_US + self.now.as_micros()
    }
}

/// The words of a step after its verb.
#[derive(Clone, Copy)]
struct Words<'a>(&'a [&'a str]);

impl<'a> Words<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find_map(|word| word.split_once('=').filter(|(key, _)| *key == name).map(|(_, value)| value))
    }

    fn number(&self, n: usize) -> u32 {
        self.0[n].parse().expect("a number")
    }

    fn subscription(&self) -> SubscriptionId {
        SubscriptionId(self.number(0))
    }

    fn feeds(&self) -> Vec<v1::FeedState> {
        let pairs = self.0.iter().filter_map(|word| word.split_once('='));
        pairs
            .map(|(feed, health)| {
                let health = v1::FeedHealth::from_str_name(health).expect("a health") as i32;
                v1::FeedState { feed: feed.into(), health, ..v1::FeedState::default() }
            })
            .collect()
    }
}

fn duration(text: &str) -> Duration {
    let (number, unit) = text.split_at(text.find(|letter: char| !letter.is_ascii_digit()).expect("a unit"));
    let number = number.parse().expect("a number");
    match unit {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        _ => panic!("no such unit: {unit}"),
    }
}

fn code_of(name: &str) -> ErrorCode {
    ErrorCode::from_str_name(name).expect("an error code")
}

/// Ids go by name, so that a story need not name them.
fn id_of(symbol: &str) -> u32 {
    symbol.bytes().fold(7, |id, byte| id * 31 % 1_000_003 + u32::from(byte))
}

/// Outputs that one input of a story may ask for.
const OUTPUTS_MAX: usize = 10_000;
const SERVER_STARTS_US: u64 = 1_800_000_000_000_000;
