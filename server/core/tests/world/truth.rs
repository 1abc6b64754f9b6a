//! What is true of one instrument, through all lives of the log. Every value is made from the instrument and the number of the update, so
//! that a value that was made up or mixed up is found out.

use tickwire_proto::Symbol;
use tickwire_proto::v1::{self, UpdateFlag, update::Body};

use crate::fields::{self, Fields, outcome_at};
use crate::market::{price_scale, quantity_scale};
use crate::random::mix;

pub(crate) struct Truth {
    pub(crate) symbol: String,
    pub(crate) name: Symbol,
    kind: What,
    /// The state after each update.
    pub(crate) states: Vec<Instant>,
    /// Events by number, from 1; single trades are counted apart.
    pub(crate) events: Vec<Happened>,
    pub(crate) trades: Vec<Happened>,
    announced: u32,
    versions: u64,
    salt: u64,
}

/// The state after one update.
pub(crate) struct Instant {
    pub(crate) life: u32,
    pub(crate) seq: u64,
    pub(crate) fields: Fields,
    /// `last`, if this update set it.
    pub(crate) last: Option<i64>,
    /// A single trade changes nothing.
    pub(crate) trade: bool,
}

/// One event.
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

/// What an update turned out to be.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    State,
    Event,
    Trade,
}

impl Truth {
    pub(crate) fn new(symbol: &str) -> Self {
        let kind = match symbol.split('.').next() {
            Some("soccer") if symbol.ends_with("1x2") => What::Odds,
            Some("soccer") => What::Match,
            Some("bar") => What::Candle,
            _ => What::Stock,
        };
        Self {
            symbol: symbol.into(),
            name: Symbol::parse(symbol).expect("a symbol"),
            kind,
            states: Vec::new(),
            events: Vec::new(),
            trades: Vec::new(),
            announced: 0,
            versions: 0,
            salt: symbol.bytes().fold(0, |salt, byte| mix(salt + u64::from(byte))),
        }
    }

    /// The info that a feed sends with the first update of a life.
    pub(crate) fn announce(&mut self, life: u32) -> Option<v1::InstrumentInfo> {
        let info =
            v1::InstrumentInfo { price_scale: price_scale().places(), quantity_scale: quantity_scale().places(), ..Default::default() };
        (std::mem::replace(&mut self.announced, life) != life).then_some(info)
    }

    /// Something happens; `dice` says what.
    pub(crate) fn happen(&mut self, dice: u64, life: u32, seq: u64) -> v1::Update {
        self.versions += 1;
        let mut state = self.now(life).cloned().unwrap_or_default();
        let mut update = v1::Update::default();
        let (way, body) = match self.kind {
            _ if dice % 100 < 6 => (Way::Event, self.new_phase(&mut state)),
            What::Stock if dice % 100 < 20 => (Way::Trade, self.new_trade()),
            What::Stock => (Way::State, self.new_quote(dice, &mut state, &mut update)),
            What::Match => self.new_score(dice, &mut state),
            What::Odds => self.new_odds(dice, &mut state, &mut update),
            What::Candle => self.new_bar(dice, &mut state),
        };
        let last = match &body {
            Body::Quote(quote) => quote.last,
            _ => None,
        };
        let happened = Happened { life, seq, body: body.clone(), index: self.states.len() };
        match way {
            Way::State => {}
            Way::Event => self.events.push(happened),
            Way::Trade => self.trades.push(happened),
        }
        self.states.push(Instant { life, seq, fields: state, last, trade: way == Way::Trade });
        v1::Update { body: Some(body), ..update }
    }

    /// The value that a field gets from this update.
    fn value(&self, field: u32) -> i64 {
        (mix(self.salt ^ (self.versions * 64 + u64::from(field))) % 600_000) as i64
    }

    fn next_event(&self) -> i64 {
        self.events.len() as i64 + 1
    }

    fn new_phase(&self, state: &mut Fields) -> Body {
        let phase = 1 + (self.versions % 8) as i32;
        state.set(fields::PHASE, i64::from(phase));
        state.set(fields::STATUS_NUMBER, self.next_event());
        Body::Status(v1::Status { phase, reason: self.next_event().to_string(), resume_us: None })
    }

    fn new_trade(&self) -> Body {
        let number = self.trades.len() + 1;
        Body::Trade(v1::Trade { price: self.value(1), quantity: 1, trade_id: number.to_string(), ..Default::default() })
    }

    fn new_quote(&self, dice: u64, state: &mut Fields, update: &mut v1::Update) -> Body {
        let mut quote = v1::Quote { last_ts_us: Some(self.versions), ..Default::default() };
        let image = dice % 100 == 99;
        if image {
            update.flags = UpdateFlag::Image as u32;
            state.clear_below(fields::PHASE);
        }
        state.set(fields::LAST_TS, self.versions as i64);
        if dice & 0x1000 != 0 && !image {
            update.clear.push(3);
            state.clear(3);
        }
        let mut set = |bit: u32, field: u32, place: &mut Option<i64>| {
            if dice >> bit & 1 == 1 {
                *place = Some(self.value(field));
                state.set(field, self.value(field));
            }
        };
        set(20, 1, &mut quote.bid);
        if update.clear.is_empty() {
            set(21, 3, &mut quote.ask);
        }
        set(22, 5, &mut quote.last);
        set(23, fields::VOLUME, &mut quote.volume);
        Body::Quote(quote)
    }

    fn new_score(&self, dice: u64, state: &mut Fields) -> (Way, Body) {
        let clock = self.value(4);
        let mut score = v1::Score { home: Some(self.versions as u32), clock_s: Some(clock as u32), ..Default::default() };
        state.set(fields::HOME, self.versions as i64);
        state.set(fields::CLOCK, clock);
        let was = state.get(fields::FINAL) == Some(1);
        if dice % 100 <= 90 && !was {
            return (Way::State, Body::Score(score));
        }
        score.r#final = Some(!was);
        score.extra.insert("n".into(), self.next_event());
        state.set(fields::FINAL, i64::from(!was));
        state.set(fields::SCORE_NUMBER, self.next_event());
        (Way::Event, Body::Score(score))
    }

    fn new_odds(&self, dice: u64, state: &mut Fields, update: &mut v1::Update) -> (Way, Body) {
        let id = 1 + (dice >> 20 & 3) as u32;
        let at = outcome_at(id);
        let mut outcome = v1::Outcome { id, back: Some(self.value(2)), ..Default::default() };
        state.set(at + fields::BACK, self.value(2));
        if dice & 0x1000 != 0 {
            outcome.lay = Some(self.value(4));
            state.set(at + fields::LAY, self.value(4));
        } else if dice & 0x2000 != 0 {
            update.clear.push(id * 16 + fields::LAY);
            state.clear(at + fields::LAY);
        }
        let mut odds = v1::Odds { line: Some(self.versions as i64), ..Default::default() };
        state.set(fields::LINE, self.versions as i64);
        let mut way = Way::State;
        if dice % 100 > 90 {
            way = Way::Event;
            let active = state.get(at + fields::ACTIVE) == Some(0);
            outcome.active = Some(active);
            odds.matched = Some(self.next_event());
            state.set(at + fields::ACTIVE, i64::from(active));
            state.set(fields::MATCHED, self.next_event());
        }
        odds.outcomes.push(outcome);
        (way, Body::Odds(odds))
    }

    fn new_bar(&self, dice: u64, state: &mut Fields) -> (Way, Body) {
        let was_final = state.get(fields::BAR_FINAL) == Some(1);
        let start = state.get(fields::BAR_START).map_or(1, |start| start as u64 + u64::from(was_final));
        let is_final = dice % 100 > 80;
        let trades = if is_final { self.next_event() as u64 } else { 0 };
        let (close, volume) = (self.value(6).max(1), self.versions as i64);
        state.set(fields::BAR_START, start as i64);
        state.set(fields::BAR_CLOSE, close);
        state.set(fields::BAR_FINAL, i64::from(is_final));
        state.set(fields::BAR_TRADES, trades as i64);
        state.set(fields::BAR_VOLUME, volume);
        let (start_us, length_s) = (start * 60_000_000, 60);
        let bar = v1::Bar { start_us, length_s, open: 1, high: close, low: 1, close, volume, trades, r#final: is_final };
        (if is_final { Way::Event } else { Way::State }, Body::Bar(bar))
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
        fields.iter().all(|(number, value)| self.states.iter().rev().any(|state| state.fields.get(number) == Some(value)))
    }

    /// The values of now, in this life.
    pub(crate) fn now(&self, life: u32) -> Option<&Fields> {
        self.states.last().filter(|state| state.life == life).map(|state| &state.fields)
    }

    /// The newest state of a life that a node which has read up to `read` knows, apart from single trades.
    pub(crate) fn newest_state(&self, life: u32, read: u64) -> Option<&Instant> {
        let end = self.states.partition_point(|state| (state.life, state.seq) <= (life, read));
        self.states[..end].iter().rfind(|state| !state.trade).filter(|state| state.life == life)
    }
}
