//! The market: what is published, message by message, as the broker keeps it.

use prost::Message as _;
use tickwire_proto::Scale;
use tickwire_proto::v1;
use tickwire_proto::wire::{Encoding, Naming, encode_update};

use crate::random::mix;
use crate::truth::Truth;

pub(crate) struct Market {
    pub(crate) instruments: Vec<Truth>,
    /// The newest life of the log.
    pub(crate) log: Vec<Published>,
    pub(crate) life: u32,
    seq: u64,
}

/// One message as the broker keeps it.
pub(crate) struct Published {
    pub(crate) seq: u64,
    pub(crate) key: String,
    pub(crate) encoding: Encoding,
    pub(crate) body: Vec<u8>,
    /// When it happened, virtual microseconds.
    pub(crate) at_us: u64,
}

impl Market {
    pub(crate) fn new() -> Self {
        let instruments = ["stock.A", "stock.B", "stock.C", "soccer.x", "soccer.x.1x2", "bar.B"].map(Truth::new).into();
        Self { instruments, log: Vec::new(), life: 1, seq: 0 }
    }

    /// A new instrument. The broker hears of it with its first update.
    pub(crate) fn list(&mut self, symbol: &str) {
        self.instruments.push(Truth::new(symbol));
    }

    pub(crate) fn find(&self, symbol: &str) -> Option<usize> {
        self.instruments.iter().position(|truth| truth.symbol == symbol)
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
        let message = v1::FeedMessage { alive: Some(alive), ..Default::default() };
        self.append("stock.alive".into(), Encoding::Protobuf, message.encode_to_vec(), at_us);
    }

    /// Something happens to an instrument; `dice` says what.
    pub(crate) fn publish(&mut self, n: usize, dice: u64, at_us: u64) {
        let (life, seq) = (self.life, self.seq + 1);
        let truth = &mut self.instruments[n];
        let info = truth.announce(life);
        let mut updates = Vec::new();
        for part in 0..if dice % 11 == 0 { 2 } else { 1 } {
            let mut update = truth.happen(mix(dice + part), life, seq);
            update.ts_event_us = START_US + at_us;
            updates.push(update);
        }
        let key = truth.symbol.clone();
        // Some feeds write JSON; infos are left to the others.
        let (encoding, body) = if info.is_none() && dice % 13 == 0 {
            (Encoding::Json, as_json(&key, &updates))
        } else {
            (Encoding::Protobuf, v1::FeedMessage { updates, info, ..Default::default() }.encode_to_vec())
        };
        self.append(key, encoding, body, at_us);
    }

    fn append(&mut self, key: String, encoding: Encoding, body: Vec<u8>, at_us: u64) {
        self.seq += 1;
        self.log.push(Published { seq: self.seq, key, encoding, body, at_us });
    }
}

fn as_json(symbol: &str, updates: &[v1::Update]) -> Vec<u8> {
    let naming = Naming { symbol, price_scale: price_scale(), quantity_scale: quantity_scale() };
    let mut body = b"{\"updates\":[".to_vec();
    for (n, update) in updates.iter().enumerate() {
        if n > 0 {
            body.push(b',');
        }
        encode_update(Encoding::Json, update, naming, &mut body);
    }
    body.extend_from_slice(b"]}");
    body
}

pub(crate) fn price_scale() -> Scale {
    Scale::new(2).expect("a scale")
}

pub(crate) fn quantity_scale() -> Scale {
    Scale::new(0).expect("a scale")
}

/// The time of day at which worlds begin.
pub(crate) const START_US: u64 = 1_800_000_000_000_000;
