//! The market: what is published, and the truth about it. The truth knows fields by number, and neither books nor images.
//!
//! Every value is made from the instrument and the number of the update, so a value that was made up or mixed up is found out.

use std::collections::BTreeMap;

use prost::Message as _;
use tickwire_proto::Symbol;
use tickwire_proto::image::Image;
use tickwire_proto::v1::{self, UpdateFlag, update::Body};

use crate::random::mix;

/// Values by a number of the test's own.
pub(crate) type Fields = BTreeMap<u32, i64>;

pub(crate) struct Market {
    pub(crate) instruments: Vec<Truth>,
    /// The newest life of the log.
    pub(crate) log: Vec<Published>,
    pub(crate) life: u32,
    seq: u64,
}

/// One message as the broker keeps it.
#[derive(Clone)]
pub(crate) struct Published {
    pub(crate) seq: u64,
    pub(crate) key: String,
    pub(crate) body: Vec<u8>,
    /// When it happened, virtual microseconds.
    pub(crate) at_us: u64,
}

/// What is true of one instrument.
pub(crate) struct Truth {
    pub(crate) symbol: String,
    pub(crate) name: Symbol,
    kind: What,
    /// The state after each update, through all lives.
    pub(crate) states: Vec<Moment>,
    /// Events by number, from 1, through all lives; single trades are counted apart.
    pub(crate) events: Vec<Happened>,
    pub(crate) trades: Vec<Happened>,
    announced: u32,
    versions: u64,
}

pub(crate) struct Moment {
    pub(crate) life: u32,
    pub(crate) seq: u64,
    pub(crate) fields: Fields,
    /// `last`, if this update set it.
    pub(crate) last: Option<i64>,
    /// A single trade changes nothing.
    pub(crate) trade: bool,
}

#[derive(Clone)]
pub(crate) struct Happened {
    pub(crate) life: u32,
    pub(crate) seq: u64,
    pub(crate) body: Body,
    /// Where its state is in `states`.
    pub(crate) index: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum What {
    Stock,
    Match,
    Odds,
    Candle,
}

impl Market {
    pub(crate) fn new() -> Self {
        let mut market = Self { instruments: Vec::new(), log: Vec::new(), life: 1, seq: 0 };
        for symbol in ["stock.A", "stock.B", "stock.C", "soccer.x", "soccer.x.1x2", "bar.B"] {
            market.list(symbol);
        }
        market
    }

    /// A new instrument. The broker hears of it with its first update.
    pub(crate) fn list(&mut self, symbol: &str) {
        let kind = match symbol.split('.').next() {
            Some("soccer") if symbol.ends_with("1x2") => What::Odds,
            Some("soccer") => What::Match,
            Some("bar") => What::Candle,
            _ => What::Stock,
        };
        let truth = Truth {
            symbol: symbol.into(),
            name: Symbol::parse(symbol).expect("a symbol"),
            kind,
            states: Vec::new(),
            events: Vec::new(),
            trades: Vec::new(),
            announced: 0,
            versions: 0,
        };
        self.instruments.push(truth);
    }

    /// A new life of the log, empty.
    pub(crate) fn reset(&mut self) {
        self.life += 1;
        self.seq = 0;
        self.log.clear();
    }

    /// A feed's sign of life.
    pub(crate) fn alive(&mut self, at_us: u64) {
        let alive = v1::Alive { publisher: "p".into(), interval_ms: 0 };
        self.append("stock.alive".into(), v1::FeedMessage { alive: Some(alive), ..Default::default() }, at_us);
    }

    /// Something happens to an instrument; `dice` says what.
    pub(crate) fn publish(&mut self, n: usize, dice: u64, at_us: u64) -> String {
        let (life, seq) = (self.life, self.seq + 1);
        let truth = &mut self.instruments[n];
        let info = (truth.announced != life).then(|| v1::InstrumentInfo { price_scale: 2, quantity_scale: 0, ..Default::default() });
        truth.announced = life;
        let mut updates = Vec::new();
        for part in 0..if dice % 11 == 0 { 2 } else { 1 } {
            let mut update = truth.happen(mix(dice + part), life, seq);
            update.ts_event_us = START_US + at_us;
            updates.push(update);
        }
        let (key, told) = (truth.symbol.clone(), format!("{}@{seq} {:?}", truth.symbol, truth.states.last().map(|state| &state.fields)));
        self.append(key, v1::FeedMessage { updates, info, ..Default::default() }, at_us);
        told
    }

    fn append(&mut self, key: String, message: v1::FeedMessage, at_us: u64) {
        self.seq += 1;
        self.log.push(Published { seq: self.seq, key, body: message.encode_to_vec(), at_us });
    }
}

impl Truth {
    fn happen(&mut self, dice: u64, life: u32, seq: u64) -> v1::Update {
        self.versions += 1;
        let version = self.versions;
        let salt = self.symbol.bytes().fold(0, |salt, byte| mix(salt + u64::from(byte)));
        let value = |field: u32| (mix(salt ^ (version * 64 + u64::from(field))) % 600_000) as i64;
        let mut state = match self.states.last() {
            Some(last) if last.life == life => last.fields.clone(),
            _ => Fields::new(),
        };
        let mut update = v1::Update::default();
        let next = self.events.len() as i64 + 1;
        let (mut event, mut trade, mut last) = (false, false, None);
        let roll = dice % 100;
        let body = match self.kind {
            _ if roll < 6 => {
                event = true;
                let phase = 1 + (version % 8) as i32;
                state.extend([(100, i64::from(phase)), (101, next)]);
                Body::Status(v1::Status { phase, reason: next.to_string(), resume_us: None })
            }
            What::Stock if roll < 20 => {
                trade = true;
                let number = self.trades.len() + 1;
                Body::Trade(v1::Trade { price: value(1), quantity: 1, trade_id: number.to_string(), ..Default::default() })
            }
            What::Stock => {
                let mut quote = v1::Quote { last_ts_us: Some(version), ..Default::default() };
                let image = roll == 99;
                if image {
                    update.flags = UpdateFlag::Image as u32;
                    state.retain(|key, _| *key >= 100);
                }
                state.insert(7, version as i64);
                if dice & 0x1000 != 0 && !image {
                    update.clear.push(3);
                    state.remove(&3);
                }
                let mut set = |bit: u32, field: u32, place: &mut Option<i64>| {
                    if dice >> bit & 1 == 1 {
                        *place = Some(value(field));
                        state.insert(field, value(field));
                    }
                };
                set(20, 1, &mut quote.bid);
                if update.clear.is_empty() {
                    set(21, 3, &mut quote.ask);
                }
                set(22, 5, &mut quote.last);
                set(23, 8, &mut quote.volume);
                last = quote.last;
                Body::Quote(quote)
            }
            What::Match => {
                let mut score = v1::Score { home: Some(version as u32), clock_s: Some(value(4) as u32), ..Default::default() };
                state.extend([(301, version as i64), (304, value(4))]);
                let was = state.get(&307) == Some(&1);
                if roll > 90 || was {
                    event = true;
                    score.r#final = Some(!was);
                    score.extra.insert("n".into(), next);
                    state.extend([(307, i64::from(!was)), (390, next)]);
                }
                Body::Score(score)
            }
            What::Odds => {
                let id = 1 + (dice >> 20 & 3) as u32;
                let at = 1_000 + id * 16;
                let mut outcome = v1::Outcome { id, back: Some(value(2)), ..Default::default() };
                state.insert(at + 2, value(2));
                if dice & 0x1000 != 0 {
                    outcome.lay = Some(value(4));
                    state.insert(at + 4, value(4));
                } else if dice & 0x2000 != 0 {
                    update.clear.push(id * 16 + 4);
                    state.remove(&(at + 4));
                }
                let mut odds = v1::Odds { line: Some(version as i64), ..Default::default() };
                state.insert(1_001, version as i64);
                if roll > 90 {
                    event = true;
                    let active = state.get(&(at + 7)).is_some_and(|active| *active == 0);
                    outcome.active = Some(active);
                    odds.matched = Some(next);
                    state.extend([(at + 7, i64::from(active)), (1_002, next)]);
                }
                odds.outcomes.push(outcome);
                Body::Odds(odds)
            }
            What::Candle => {
                let start = state.get(&2_001).map_or(1, |start| *start as u64 + u64::from(state.get(&2_003) == Some(&1)));
                event = roll > 80;
                let trades = if event { next as u64 } else { 0 };
                let close = value(6).max(1);
                state.extend([(2_001, start as i64), (2_002, close), (2_003, i64::from(event)), (2_004, trades as i64)]);
                let (start_us, length_s, volume) = (start * 60_000_000, 60, version as i64);
                state.insert(2_005, volume);
                Body::Bar(v1::Bar { start_us, length_s, open: 1, high: close, low: 1, close, volume, trades, r#final: event })
            }
        };
        let happened = Happened { life, seq, body: body.clone(), index: self.states.len() };
        if event {
            self.events.push(happened);
        } else if trade {
            self.trades.push(happened);
        }
        self.states.push(Moment { life, seq, fields: state, last, trade });
        v1::Update { body: Some(body), ..update }
    }

    /// Where in `states` a client is that shows these values at this position, in `life` or later; the newest if there are several.
    pub(crate) fn find(&self, life: u32, seq: u64, fields: &Fields) -> Option<(u32, usize)> {
        let newest = self.states.last()?.life;
        for life in (life..=newest).rev() {
            let end = self.states.partition_point(|state| (state.life, state.seq) <= (life, seq));
            let start = self.states[..end].iter().rposition(|state| state.life < life || state.seq < seq).map_or(0, |n| n + 1);
            // What is between two positions is the state at the first.
            let range = if start == end { end.saturating_sub(1)..end } else { start..end };
            if let Some(index) = range.rev().find(|index| self.states[*index].life == life && self.states[*index].fields == *fields) {
                return Some((life, index));
            }
        }
        None
    }

    /// Whether each value was true of its field at some time.
    pub(crate) fn knows(&self, fields: &Fields) -> bool {
        fields.iter().all(|(key, value)| self.states.iter().rev().any(|state| state.fields.get(key) == Some(value)))
    }

    /// The values of now, in this life.
    pub(crate) fn now(&self, life: u32) -> Fields {
        self.states.last().filter(|state| state.life == life).map(|state| state.fields.clone()).unwrap_or_default()
    }
}

/// What a client's image says, in the truth's own numbers.
pub(crate) fn fields_of(image: &Image) -> Fields {
    let mut fields = Fields::new();
    let mut put = |key: u32, value: Option<i64>| value.map(|value| fields.insert(key, value));
    if let Some(quote) = &image.quote {
        let v1::Quote { bid, bid_quantity, ask, ask_quantity, last, last_quantity, last_ts_us, volume, turnover, .. } = *quote;
        for (key, value) in (1..).zip([bid, bid_quantity, ask, ask_quantity, last, last_quantity]) {
            put(key, value);
        }
        put(7, last_ts_us.map(|us| us as i64));
        put(8, volume);
        put(9, turnover);
        put(10, quote.high.or(quote.low).or(quote.open));
    }
    if let Some(status) = &image.status {
        put(100, Some(i64::from(status.phase)));
        put(101, status.reason.parse().ok());
    }
    if let Some(score) = &image.score {
        put(301, score.home.map(i64::from));
        put(302, score.away.map(i64::from));
        put(304, score.clock_s.map(i64::from));
        put(307, score.r#final.map(i64::from));
        put(390, score.extra.get("n").copied());
    }
    if let Some(odds) = &image.odds {
        put(1_001, odds.line);
        put(1_002, odds.matched);
        for outcome in &odds.outcomes {
            let at = 1_000 + outcome.id * 16;
            put(at + 2, outcome.back);
            put(at + 4, outcome.lay);
            put(at + 7, outcome.active.map(i64::from));
        }
    }
    for bar in &image.bars {
        put(2_001, Some((bar.start_us / 60_000_000) as i64));
        put(2_002, Some(bar.close));
        put(2_003, Some(i64::from(bar.r#final)));
        put(2_004, Some(bar.trades as i64));
        put(2_005, Some(bar.volume));
    }
    fields
}

/// The number of an event, which it carries; and whether it is a single trade.
pub(crate) fn number_of(body: &Body) -> Option<(u64, bool)> {
    Some(match body {
        Body::Status(status) => (status.reason.parse().ok()?, false),
        Body::Trade(trade) => (trade.trade_id.parse().ok()?, true),
        Body::Bar(bar) => (bar.trades, false),
        Body::Score(score) => (u64::try_from(*score.extra.get("n")?).ok()?, false),
        Body::Odds(odds) => (u64::try_from(odds.matched?).ok()?, false),
        Body::Quote(_) => return None,
    })
}

/// The time of day at which worlds begin.
pub(crate) const START_US: u64 = 1_800_000_000_000_000;
