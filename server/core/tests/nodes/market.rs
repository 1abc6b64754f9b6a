//! The market: what happened to each instrument, and the log that nodes read.

use tickwire_core::Entry;
use tickwire_proto::v1::{self, TradingPhase, UpdateFlag, update::Body};

/// The truth.
pub(crate) struct Market {
    pub(crate) instruments: Vec<Truth>,
    /// Everything that nodes are told, in order.
    pub(crate) log: Vec<Entry>,
    seq: u64,
    life: u64,
}

/// One instrument.
pub(crate) struct Truth {
    pub(crate) symbol: String,
    /// Newest bid: larger than any before, also across lives of the log. Unknown after a reset.
    pub(crate) bid: Option<i64>,
    pub(crate) phase: Option<i32>,
    /// Status events so far, and single trades: each carries its number.
    pub(crate) statuses: u64,
    pub(crate) trades: u64,
}

impl Market {
    pub(crate) fn new() -> Self {
        let symbols = ["a.A", "a.B", "a.C", "b.A", "b.B", "b.C"];
        let mut log = vec![Entry::Reset { epoch: "life-0".into() }];
        for (id, symbol) in (1..).zip(symbols) {
            log.push(Entry::Instrument(v1::InstrumentInfo { symbol: symbol.into(), id, price_scale: 2, ..Default::default() }));
        }
        log.push(Entry::Synced);
        let truth = |symbol: &str| Truth { symbol: symbol.into(), bid: None, phase: None, statuses: 0, trades: 0 };
        Self { instruments: symbols.map(truth).into(), log, seq: 0, life: 0 }
    }

    pub(crate) fn quote(&mut self, n: usize, bid: i64) {
        self.instruments[n].bid = Some(bid);
        let quote = v1::Quote { bid: Some(bid), last: Some(bid), ..Default::default() };
        self.publish(n, Body::Quote(quote), 0);
    }

    pub(crate) fn status(&mut self, n: usize) {
        let truth = &mut self.instruments[n];
        truth.statuses += 1;
        let phase = if truth.statuses % 2 == 1 { TradingPhase::Halted } else { TradingPhase::Open } as i32;
        truth.phase = Some(phase);
        let status = v1::Status { phase, reason: truth.statuses.to_string(), resume_us: None };
        self.publish(n, Body::Status(status), UpdateFlag::Event as u32);
    }

    pub(crate) fn trade(&mut self, n: usize) {
        self.instruments[n].trades += 1;
        let trade = v1::Trade { price: 1, quantity: 1, trade_id: self.instruments[n].trades.to_string(), ..Default::default() };
        self.publish(n, Body::Trade(trade), 0);
    }

    /// The log is lost: a new life begins empty.
    pub(crate) fn reset(&mut self) {
        self.life += 1;
        self.seq = 0;
        for truth in &mut self.instruments {
            (truth.bid, truth.phase) = (None, None);
        }
        self.log.push(Entry::Reset { epoch: format!("life-{}", self.life) });
        self.log.push(Entry::Synced);
    }

    fn publish(&mut self, n: usize, body: Body, flags: u32) {
        self.seq += 1;
        let update = v1::Update { id: n as u32 + 1, seq: self.seq, ts_event_us: self.seq, flags, body: Some(body), ..Default::default() };
        self.log.push(Entry::Update(update));
    }
}
