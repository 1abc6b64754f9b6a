//! The conversation with Tickwire: over a WebSocket in protobuf or JSON, or as server-sent events.

mod json;
mod sse;

use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tickwire_proto::v1::{self, client_frame::Command};
use tickwire_proto::wire::{self, Encoding};
use tickwire_proto::{Pattern, Scale};
use tickwire_simulator::steady_price;

use crate::websocket::{self, answer, close_text, first_frame, push_frame};
use crate::{Conversation, Ledger, Seen, Stamp, Tally, read_protobuf};

/// How a connection is made, and what travels on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wire {
    /// WebSocket, protobuf.
    #[default]
    Protobuf,
    /// WebSocket, JSON.
    Json,
    /// Server-sent events.
    Sse,
}

impl Wire {
    /// As it is written on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Protobuf => "protobuf",
            Self::Json => "json",
            Self::Sse => "sse",
        }
    }

    const fn encoding(self) -> Encoding {
        match self {
            Self::Protobuf => Encoding::Protobuf,
            Self::Json | Self::Sse => Encoding::Json,
        }
    }
}

/// What all connections of a crowd have in common.
#[derive(Clone, Debug)]
pub struct Manner {
    /// For the `Host` header.
    pub host: String,
    /// Bearer token.
    pub token: Option<String>,
    /// How frames travel.
    pub wire: Wire,
    /// Rate asked for.
    pub conflate_ms: u32,
    /// Whether progress is reported when the server asks for it.
    pub credit: bool,
    /// Whether the market is the steady one of this project, so that every update can be accounted for.
    pub steady: bool,
}

/// One connection to Tickwire.
#[derive(Debug)]
pub struct Ticker {
    manner: Arc<Manner>,
    /// Needed until the connection stands.
    symbols: Vec<String>,
    ledger: Ledger,
    phase: Phase,
    frames: u64,
    /// Of a credit window: what was reported last, and when.
    reported: Option<(u64, Instant)>,
    /// Pieces of events. Empty between events.
    events: sse::Events,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Asking,
    Syncing,
    Live,
}

impl Ticker {
    /// A connection that subscribes to `symbols`, which may be patterns.
    pub fn new(manner: Arc<Manner>, symbols: Vec<String>) -> Self {
        let (ledger, phase) = (Ledger::new(manner.steady), Phase::Asking);
        Self { manner, symbols, ledger, phase, frames: 0, reported: None, events: sse::Events::default() }
    }

    fn hello(&mut self, out: &mut Vec<u8>) {
        let hello = v1::Hello {
            protocol: 1,
            sdk: concat!("tickwire-load/", env!("CARGO_PKG_VERSION")).into(),
            conflate_ms: Some(self.manner.conflate_ms),
            heartbeat_ms: Some(HEARTBEAT_MS),
            credit: self.manner.credit,
            ..Default::default()
        };
        self.say(Command::Hello(hello), 1, out);
        for (items, number) in std::mem::take(&mut self.symbols).chunks(ITEMS_MAX).zip(2..) {
            let items = items.iter().map(|symbol| v1::SubscribeItem { target: Some(target(symbol)), ..Default::default() }).collect();
            self.say(Command::Subscribe(v1::Subscribe { items, replace: false }), number, out);
        }
    }

    fn say(&self, command: Command, request_id: u32, out: &mut Vec<u8>) {
        let mut payload = Vec::new();
        wire::encode_client(self.manner.wire.encoding(), &v1::ClientFrame { request_id, command: Some(command) }, &mut payload);
        push_frame(out, if self.manner.wire == Wire::Json { 1 } else { 2 }, &payload);
    }

    /// The answer to the request: its length, once it is whole.
    fn answered(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, String> {
        let Some((length, status)) = answer(bytes)? else { return Ok(0) };
        let expected = if self.manner.wire == Wire::Sse { 200 } else { 101 };
        if status != expected {
            let body = String::from_utf8_lossy(&bytes[length..]).chars().filter(|letter| !letter.is_control()).collect::<String>();
            return Err(format!("refused with HTTP {status} {body}"));
        }
        self.phase = Phase::Syncing;
        if self.manner.wire == Wire::Sse {
            self.symbols = Vec::new();
        } else {
            self.hello(out);
        }
        Ok(length)
    }

    fn frame(&mut self, payload: &[u8], now: Stamp, tally: &mut Tally) -> Result<(), String> {
        self.frames += 1;
        let (before, mut ending) = (tally.records, None);
        let mut see = |seen: Seen<'_>| match seen {
            Seen::Record(record) => self.ledger.count_record(&record, now, tally),
            Seen::Frame { cseq } => self.ledger.count_frame(cseq, tally),
            Seen::Info { id, symbol } => self.ledger.introduce(id, symbol),
            Seen::Ready => self.phase = Phase::Live,
            Seen::Window { bytes } => self.reported = (bytes > 0).then(|| (0, Instant::now())),
            Seen::Refused { symbol, code } => {
                tally.faults.refused += 1;
                let code = v1::ErrorCode::try_from(code).map_or("for another reason", |code| code.as_str_name());
                tally.faults.note(|| format!("{symbol} was refused: {code}"));
            }
            Seen::Gap => {
                tally.faults.lost += 1;
                tally.faults.note(|| "the server reports lost events".to_owned());
            }
            Seen::Slow => tally.slow_notices += 1,
            Seen::Ending { text } => ending = Some(text.to_owned()),
        };
        match self.manner.wire.encoding() {
            Encoding::Protobuf => read_protobuf(payload, &mut see)?,
            Encoding::Json => json::read(payload, &mut see)?,
        }
        tally.frames += u64::from(tally.records > before);
        if self.frames.is_multiple_of(SAMPLE_EVERY) {
            self.check(payload, tally)?;
        }
        ending.map_or(Ok(()), Err)
    }

    /// Decodes a frame as a client does, and compares its prices with those of the steady market.
    fn check(&self, payload: &[u8], tally: &mut Tally) -> Result<(), String> {
        let cents = Scale::new(2).ok();
        let frame = wire::decode_server(self.manner.wire.encoding(), payload, &|_| cents.zip(Scale::new(0).ok()))
            .map_err(|error| error.to_string())?;
        tally.checked += 1;
        for update in &frame.updates {
            let (Some(index), Some(v1::update::Body::Quote(quote))) = (self.ledger.index(update.id), &update.body) else { continue };
            let (Some(version), Some(last)) = (quote.trades, quote.last) else { continue };
            let right = steady_price(index, version);
            if last != right || quote.bid != Some(right - 1) || quote.ask != Some(right + 1) {
                tally.faults.wrong += 1;
                tally.faults.note(|| format!("update {version} of bench.S{index} says {quote:?} where last is {right}"));
            }
        }
        Ok(())
    }

    fn frames(&mut self, bytes: &[u8], now: Stamp, tally: &mut Tally, out: &mut Vec<u8>) -> Result<usize, String> {
        let mut used = 0;
        while let Some(frame) = first_frame(&bytes[used..]) {
            match frame.opcode {
                1 | 2 => self.frame(frame.payload, now, tally)?,
                8 => return Err(format!("the server closed: {}", close_text(frame.payload))),
                9 => push_frame(out, 10, frame.payload),
                _ => {}
            }
            used += frame.length;
        }
        self.progress(PROGRESS_EVERY, out);
        Ok(used)
    }

    /// Reports progress if the server wants it and the last report is `since` ago.
    fn progress(&mut self, since: Duration, out: &mut Vec<u8>) {
        let cseq = self.ledger.cseq();
        if self.reported.is_some_and(|(reported, at)| reported < cseq && at.elapsed() >= since) {
            self.say(Command::Progress(v1::Progress { cseq }), 0, out);
            self.reported = Some((cseq, Instant::now()));
        }
    }
}

impl Conversation for Ticker {
    fn open(&mut self, out: &mut Vec<u8>) {
        let authorization = self.manner.token.as_ref().map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let host = &self.manner.host;
        let request = match self.manner.wire {
            Wire::Protobuf => websocket::request(host, "/v1/ws", "tickwire.v1.pb", &authorization),
            Wire::Json => websocket::request(host, "/v1/ws", "tickwire.v1.json", &authorization),
            Wire::Sse => sse::request(host, &self.symbols, self.manner.conflate_ms, HEARTBEAT_MS, &authorization),
        };
        out.extend_from_slice(request.as_bytes());
    }

    fn take(&mut self, bytes: &[u8], now: Stamp, tally: &mut Tally, out: &mut Vec<u8>) -> Result<usize, String> {
        let head = if self.phase == Phase::Asking { self.answered(bytes, out)? } else { 0 };
        if self.phase == Phase::Asking {
            return Ok(0);
        }
        let rest = &bytes[head..];
        let used = if self.manner.wire == Wire::Sse {
            let mut events = std::mem::take(&mut self.events);
            let used = events.take(rest, &mut |data| self.frame(data, now, tally));
            self.events = events;
            used?
        } else {
            self.frames(rest, now, tally, out)?
        };
        Ok(head + used)
    }

    fn is_ready(&self) -> bool {
        self.phase == Phase::Live
    }

    fn ages(&self, now: Stamp, ages: &mut Histogram<u64>) {
        self.ledger.ages(now, ages);
    }

    fn acknowledge(&mut self, out: &mut Vec<u8>) {
        self.progress(Duration::ZERO, out);
    }
}

fn target(symbol: &str) -> v1::subscribe_item::Target {
    if Pattern::is_wild(symbol) {
        v1::subscribe_item::Target::Pattern(symbol.to_owned())
    } else {
        v1::subscribe_item::Target::Symbol(symbol.to_owned())
    }
}

/// One frame in so many is decoded whole.
pub const SAMPLE_EVERY: u64 = 64;
/// The longest that a client may ask for: heartbeats cost, and here they prove nothing.
const HEARTBEAT_MS: u32 = 30_000;
/// Items of one `Subscribe`. More go into the next.
const ITEMS_MAX: usize = 1_000;
/// Between two reports of progress.
const PROGRESS_EVERY: Duration = Duration::from_millis(20);
