//! A stock or a currency pair: quotes, trades, bars, and now and then a halt.

use alloc::format;
use alloc::vec::Vec;

use tickwire_proto::v1::{self, AssetClass, TradingPhase, update::Body};

use crate::catalogue::Spec;
use crate::outbox::{Outbox, delta, image, status};
use crate::random::Random;
use crate::walk::Walk;

/// One instrument that trades.
#[derive(Debug)]
pub(crate) struct Listing {
    spec: &'static Spec,
    random: Random,
    walk: Walk,
    /// The state as it was last said.
    quote: v1::Quote,
    bar: v1::Bar,
    bar_due_us: u64,
    is_halted: bool,
    /// Updates left of a burst.
    burst: u64,
    trade_number: u64,
}

impl Listing {
    pub(crate) fn new(spec: &'static Spec, mut random: Random, now_us: u64) -> Self {
        let walk = Walk::new(spec.price, spec.volatility_ppm);
        let open = spec.price;
        let trades = random.between(5_000, 90_000);
        let volume = trades * spec.lot;
        let quote = v1::Quote {
            last: Some(open),
            last_quantity: Some(spec.lot),
            last_ts_us: Some(now_us),
            volume: Some(volume),
            turnover: Some(turnover(spec, open, volume)),
            trades: Some(trades as u64),
            open: Some(open),
            high: Some(open),
            low: Some(open),
            previous_close: Some(open + open * random.between(-150, 150) / 10_000),
            ..Default::default()
        };
        let bar = bar_at(now_us, open);
        let mut listing =
            Self { spec, random, walk, quote, bar, bar_due_us: now_us + BAR_GAP_US, is_halted: false, burst: 0, trade_number: 0 };
        listing.requote();
        listing
    }

    /// Announces itself with its whole state.
    pub(crate) fn open(&self, now_us: u64, out: &mut Outbox) {
        let spec = self.spec;
        let info = v1::InstrumentInfo {
            symbol: spec.symbol.into(),
            asset_class: spec.asset_class as i32,
            price_scale: spec.price_scale,
            quantity_scale: spec.quantity_scale,
            currency: if spec.symbol.ends_with("-BTC") { "BTC" } else { "USD" }.into(),
            tick_size: Some(1),
            display_name: spec.name.into(),
            ..Default::default()
        };
        let images =
            [image(now_us, Body::Quote(self.quote)), status(now_us, TradingPhase::Open, "", None), delta(now_us, Body::Bar(self.bar))];
        out.announce(now_us, info, images.into());
    }

    /// Something happens; returns when the next thing does.
    pub(crate) fn act(&mut self, now_us: u64, out: &mut Outbox) -> u64 {
        let mut updates = Vec::with_capacity(4);
        if core::mem::take(&mut self.is_halted) {
            updates.push(status(now_us, TradingPhase::Open, "trading resumes", None));
        }
        self.walk.step(&mut self.random);
        self.requote();
        let mut said = v1::Quote {
            bid: self.quote.bid,
            bid_quantity: self.quote.bid_quantity,
            ask: self.quote.ask,
            ask_quantity: self.quote.ask_quantity,
            ..Default::default()
        };
        let trade = self.random.once_in(TRADE_ONCE_IN).then(|| self.trade(now_us, &mut said));
        updates.push(delta(now_us, Body::Quote(said)));
        updates.extend(trade.map(|trade| delta(now_us, Body::Trade(trade))));
        self.roll_bar(now_us, &mut updates);
        let next = self.next(now_us, &mut updates);
        out.publish(now_us, self.spec.symbol, updates);
        next
    }

    /// New best bid and ask around the fair value.
    fn requote(&mut self) {
        let lots = |random: &mut Random| Some(self.spec.lot * random.between(1, 40) / 4);
        let spread = self.random.between(self.spec.spread.max(2) / 2, self.spec.spread + self.spec.spread / 2);
        let bid = (self.walk.mantissa() - spread / 2).max(1);
        self.quote.bid = Some(bid);
        self.quote.ask = Some(bid + spread.max(1));
        self.quote.bid_quantity = lots(&mut self.random);
        self.quote.ask_quantity = lots(&mut self.random);
    }

    /// Someone takes the bid or the ask.
    fn trade(&mut self, now_us: u64, said: &mut v1::Quote) -> v1::Trade {
        let is_buy = self.random.once_in(2);
        let price = if is_buy { self.quote.ask } else { self.quote.bid }.unwrap_or(self.spec.price);
        let quantity = (self.spec.lot * self.random.between(1, 20) / 8).max(1);
        let quote = &mut self.quote;
        quote.last = Some(price);
        quote.last_quantity = Some(quantity);
        quote.last_ts_us = Some(now_us);
        quote.volume = quote.volume.map(|volume| volume + quantity);
        quote.turnover = quote.turnover.map(|sum| sum + turnover(self.spec, price, quantity));
        quote.trades = quote.trades.map(|trades| trades + 1);
        quote.high = quote.high.max(Some(price));
        quote.low = quote.low.min(Some(price));
        *said = v1::Quote { open: None, previous_close: None, ..*quote };
        self.bar.high = self.bar.high.max(price);
        self.bar.low = self.bar.low.min(price);
        self.bar.close = price;
        self.bar.volume += quantity;
        self.bar.trades += 1;
        self.trade_number += 1;
        let side = if is_buy { v1::Side::Buy } else { v1::Side::Sell } as i32;
        v1::Trade { price, quantity, trade_id: format!("T{}", self.trade_number), side, ..Default::default() }
    }

    /// Ends the bar when its minute is over, and tells it now and then before.
    fn roll_bar(&mut self, now_us: u64, updates: &mut Vec<v1::Update>) {
        if now_us >= self.bar.start_us + BAR_LENGTH_US {
            updates.push(delta(now_us, Body::Bar(v1::Bar { r#final: true, ..self.bar })));
            self.bar = bar_at(now_us, self.bar.close);
        } else if now_us < self.bar_due_us {
            return;
        }
        self.bar_due_us = now_us + BAR_GAP_US;
        updates.push(delta(now_us, Body::Bar(self.bar)));
    }

    /// When the next update comes: at random, sometimes many in a burst, and not at all during a halt.
    fn next(&mut self, now_us: u64, updates: &mut Vec<v1::Update>) -> u64 {
        if self.spec.asset_class == AssetClass::Stock && self.random.once_in(HALT_ONCE_IN) {
            self.is_halted = true;
            let resume_us = now_us + self.random.between(8, 20) as u64 * 1_000_000;
            updates.push(status(now_us, TradingPhase::Halted, "volatility pause", Some(resume_us)));
            return resume_us;
        }
        if self.burst == 0 && self.random.once_in(BURST_ONCE_IN) {
            self.burst = self.random.between(8, 30) as u64;
        }
        let mean_us = self.spec.gap_ms * if self.burst > 0 { 1_000 / 5 } else { 1_000 };
        self.burst = self.burst.saturating_sub(1);
        now_us + mean_us / 4 + self.random.below(mean_us * 3 / 2)
    }
}

fn bar_at(now_us: u64, price: i64) -> v1::Bar {
    let start_us = now_us - now_us % BAR_LENGTH_US;
    v1::Bar { start_us, length_s: 60, open: price, high: price, low: price, close: price, ..Default::default() }
}

/// Price times quantity, at the price's scale.
fn turnover(spec: &Spec, price: i64, quantity: i64) -> i64 {
    (i128::from(price) * i128::from(quantity) / 10_i128.pow(spec.quantity_scale)) as i64
}

const BAR_LENGTH_US: u64 = 60_000_000;
/// A bar that is not final is told this often.
const BAR_GAP_US: u64 = 5_000_000;
/// Updates for one trade.
const TRADE_ONCE_IN: u64 = 4;
/// Updates for one burst.
const BURST_ONCE_IN: u64 = 120;
/// Updates of stocks for one halt: about one halt a minute in the whole market.
const HALT_ONCE_IN: u64 = 8_000;
