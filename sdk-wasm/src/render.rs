//! Changes and events as the JSON that `js/change.js` and `js/client.js` read. Names are those of `js/index.d.ts`.

use std::sync::Arc;

use tickwire_proto::Scale;
use tickwire_proto::session::{Change, Event, Instrument, State, Stats, SubscriptionId};
use tickwire_proto::v1::update::Body;
use tickwire_proto::v1::{self, UpdateFlag};

use crate::json::{Object, push_objects};

/// Infos that JavaScript has already: one crosses when it is new. In order of their addresses, which stay taken while they are held here.
#[derive(Debug, Default)]
pub(crate) struct InfosGiven(Vec<Arc<v1::InstrumentInfo>>);

impl InfosGiven {
    /// Whether JavaScript does not have it yet; it has it from now on.
    fn add(&mut self, info: &Arc<v1::InstrumentInfo>) -> bool {
        if self.0.len() >= INFOS_GIVEN_MAX {
            self.0.clear();
        }
        match self.0.binary_search_by_key(&Arc::as_ptr(info), Arc::as_ptr) {
            Ok(_) => false,
            Err(place) => {
                self.0.insert(place, info.clone());
                true
            }
        }
    }
}

/// An array of changes.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    text: String,
}

impl Batch {
    pub(crate) fn push(&mut self, change: &Change, infos: &mut InfosGiven) {
        let out = &mut self.text;
        out.push(if out.is_empty() { '[' } else { ',' });
        Object::write(out, |o| match change {
            Change::State(instrument) => state(o, "state", instrument, infos),
            Change::Event { update, instrument, .. } => {
                state(o, "event", instrument, infos);
                o.object("event", |o| event_body(o, update, &instrument.info));
            }
            Change::Gap { symbol, from, to } => {
                o.text("kind", "gap");
                o.text("symbol", symbol.as_str());
                o.number("from", *from);
                o.number("to", *to);
            }
            // A kind that this version does not know: named, so that the batch stays whole.
            _ => o.text("kind", "unknown"),
        });
    }

    /// The text, or nothing if there was no change.
    pub(crate) fn finish(mut self) -> Option<String> {
        if self.text.is_empty() {
            return None;
        }
        self.text.push(']');
        Some(self.text)
    }
}

/// The state of one instrument.
pub(crate) fn latest(instrument: &Instrument, infos: &mut InfosGiven) -> String {
    let mut out = String::new();
    Object::write(&mut out, |o| state(o, "state", instrument, infos));
    out
}

/// Something that is no data. `number_of` gives the number of a subscription as JavaScript knows it.
pub(crate) fn event(event: &Event, number_of: impl Fn(SubscriptionId) -> Option<u32>) -> String {
    let mut out = String::new();
    Object::write(&mut out, |o| match event {
        Event::State { state, code, reason } => {
            o.text("type", "state");
            o.text("state", state_name(*state));
            if let Some(code) = code {
                o.text("code", code.name());
            }
            o.text_if_any("reason", reason);
        }
        Event::Feed(feed) => {
            o.text("type", "feed");
            feed_state(o, feed);
        }
        Event::Refused { subscription, symbol, code } => {
            o.text("type", "refused");
            o.number("subscription", number_of(*subscription).map(u64::from));
            o.text("symbol", symbol);
            o.text("code", code.name());
        }
        Event::Notice(notice) => {
            o.text("type", "notice");
            o.text("kind", notice.kind().as_str_name());
            o.text_if_any("text", &notice.text);
        }
        Event::Error(error) => {
            o.text("type", "error");
            o.text("code", error.code().name());
            o.text_if_any("text", &error.text);
            o.text("retry", error.retry().as_str_name());
            o.number("retryAfterMs", error.retry_after_ms.map(u64::from));
        }
        _ => o.text("type", "unknown"),
    });
    out
}

/// All feed states.
pub(crate) fn feeds(feeds: &[v1::FeedState]) -> String {
    let mut out = String::new();
    push_objects(&mut out, feeds, feed_state);
    out
}

/// All counters.
pub(crate) fn stats(stats: &Stats) -> String {
    let mut out = String::new();
    Object::write(&mut out, |o| {
        o.number("frames", stats.frames);
        o.number("bytes", stats.bytes);
        o.number("records", stats.records);
        o.number("merged", stats.merged);
        o.number("conflated", stats.conflated);
        o.number("connects", stats.connects);
    });
    out
}

fn state(o: &mut Object<'_>, kind: &str, instrument: &Instrument, infos: &mut InfosGiven) {
    let scales = Scales::of(&instrument.info);
    o.text("kind", kind);
    o.text("symbol", instrument.symbol.as_str());
    o.number("seq", instrument.seq);
    o.number("tsEventUs", instrument.ts_event_us);
    o.number("merged", u64::from(instrument.merged));
    if let Some(body) = &instrument.image.quote {
        o.object("quote", |o| quote(o, body, scales));
    }
    if let Some(body) = &instrument.image.status {
        o.object("status", |o| status(o, body));
    }
    if let Some(body) = &instrument.image.score {
        o.object("score", |o| score(o, body));
    }
    if let Some(body) = &instrument.image.odds {
        o.object("odds", |o| odds(o, body, scales));
    }
    if !instrument.image.bars.is_empty() {
        o.objects("bars", &instrument.image.bars, |o, body| bar(o, body, scales));
    }
    if infos.add(&instrument.info) {
        o.object("info", |o| info(o, &instrument.info));
    }
}

fn event_body(o: &mut Object<'_>, update: &v1::Update, info: &v1::InstrumentInfo) {
    let scales = Scales::of(info);
    o.number("seq", update.seq);
    o.number("tsEventUs", update.ts_event_us);
    o.flag("correction", Some(update.flags & UpdateFlag::Correction as u32 != 0));
    match &update.body {
        Some(Body::Quote(body)) => o.object("quote", |o| quote(o, body, scales)),
        Some(Body::Trade(body)) => o.object("trade", |o| trade(o, body, scales)),
        Some(Body::Bar(body)) => o.object("bar", |o| bar(o, body, scales)),
        Some(Body::Status(body)) => o.object("status", |o| status(o, body)),
        Some(Body::Score(body)) => o.object("score", |o| score(o, body)),
        Some(Body::Odds(body)) => o.object("odds", |o| odds(o, body, scales)),
        None => {}
    }
}

fn info(o: &mut Object<'_>, info: &v1::InstrumentInfo) {
    o.text("assetClass", info.asset_class().as_str_name());
    o.text("feed", &info.feed);
    o.number("priceScale", u64::from(info.price_scale));
    o.number("quantityScale", u64::from(info.quantity_scale));
    o.text_if_any("currency", &info.currency);
    o.decimal("tickSize", info.tick_size, Scales::of(info).price);
    o.text_if_any("displayName", &info.display_name);
    if !info.outcome_names.is_empty() {
        o.object("outcomeNames", |o| {
            for (id, name) in &info.outcome_names {
                o.text(&id.to_string(), name);
            }
        });
    }
}

fn quote(o: &mut Object<'_>, quote: &v1::Quote, Scales { price, quantity }: Scales) {
    o.decimal("bid", quote.bid, price);
    o.decimal("bidQuantity", quote.bid_quantity, quantity);
    o.decimal("ask", quote.ask, price);
    o.decimal("askQuantity", quote.ask_quantity, quantity);
    o.decimal("last", quote.last, price);
    o.decimal("lastQuantity", quote.last_quantity, quantity);
    o.number("lastTsUs", quote.last_ts_us);
    o.decimal("volume", quote.volume, quantity);
    o.decimal("turnover", quote.turnover, price);
    o.exact("trades", quote.trades);
    o.decimal("open", quote.open, price);
    o.decimal("high", quote.high, price);
    o.decimal("low", quote.low, price);
    o.decimal("previousClose", quote.previous_close, price);
    o.decimal("settlement", quote.settlement, price);
    o.decimal("intervalHigh", quote.interval_high, price);
    o.decimal("intervalLow", quote.interval_low, price);
}

fn trade(o: &mut Object<'_>, trade: &v1::Trade, Scales { price, quantity }: Scales) {
    o.decimal("price", Some(trade.price), price);
    o.decimal("quantity", Some(trade.quantity), quantity);
    o.text_if_any("tradeId", &trade.trade_id);
    o.text("side", trade.side().as_str_name());
    o.numbers("conditions", &trade.conditions);
    o.flag("correction", Some(trade.correction));
    o.flag("bust", Some(trade.bust));
}

fn bar(o: &mut Object<'_>, bar: &v1::Bar, Scales { price, quantity }: Scales) {
    o.number("startUs", bar.start_us);
    o.number("lengthS", u64::from(bar.length_s));
    o.decimal("open", Some(bar.open), price);
    o.decimal("high", Some(bar.high), price);
    o.decimal("low", Some(bar.low), price);
    o.decimal("close", Some(bar.close), price);
    o.decimal("volume", Some(bar.volume), quantity);
    o.exact("trades", Some(bar.trades));
    o.flag("final", Some(bar.r#final));
}

fn status(o: &mut Object<'_>, status: &v1::Status) {
    o.text("phase", status.phase().as_str_name());
    o.text_if_any("reason", &status.reason);
    o.number("resumeUs", status.resume_us);
}

fn score(o: &mut Object<'_>, score: &v1::Score) {
    o.number("home", score.home.map(u64::from));
    o.number("away", score.away.map(u64::from));
    o.number("period", score.period.map(u64::from));
    o.number("clockS", score.clock_s.map(u64::from));
    o.flag("clockRunning", score.clock_running);
    o.flag("inPlay", score.in_play);
    o.flag("final", score.r#final);
    if !score.extra.is_empty() {
        o.object("extra", |o| {
            for (key, value) in &score.extra {
                o.decimal(key, Some(*value), Scale::default());
            }
        });
    }
}

fn odds(o: &mut Object<'_>, odds: &v1::Odds, scales: Scales) {
    let Scales { price, quantity } = scales;
    o.objects("outcomes", &odds.outcomes, |o, outcome| {
        o.number("id", u64::from(outcome.id));
        o.decimal("back", outcome.back, price);
        o.decimal("backQuantity", outcome.back_quantity, quantity);
        o.decimal("lay", outcome.lay, price);
        o.decimal("layQuantity", outcome.lay_quantity, quantity);
        o.decimal("last", outcome.last, price);
        o.flag("active", outcome.active);
        if let Some(result) = outcome.result {
            o.text("result", result_name(result));
        }
    });
    o.decimal("line", odds.line, price);
    o.decimal("matched", odds.matched, quantity);
}

fn feed_state(o: &mut Object<'_>, feed: &v1::FeedState) {
    o.text("feed", &feed.feed);
    o.text("health", feed.health().as_str_name());
    o.text_if_any("reason", &feed.reason);
    o.number("sinceUs", feed.since_us);
    o.number("lastSeq", feed.last_seq);
}

/// Decimal places of an instrument. The decoder has checked them; a scale out of range would show mantissas.
#[derive(Clone, Copy)]
struct Scales {
    price: Scale,
    quantity: Scale,
}

impl Scales {
    fn of(info: &v1::InstrumentInfo) -> Self {
        Self { price: Scale::new(info.price_scale).unwrap_or_default(), quantity: Scale::new(info.quantity_scale).unwrap_or_default() }
    }
}

fn state_name(state: State) -> &'static str {
    match state {
        State::Idle => "idle",
        State::Connecting => "connecting",
        State::Syncing => "syncing",
        State::Live => "live",
        State::Degraded => "degraded",
        State::Stalled => "stalled",
        State::Backoff => "backoff",
        State::Closed => "closed",
    }
}

fn result_name(result: u32) -> &'static str {
    match result {
        1 => "won",
        2 => "lost",
        3 => "void",
        4 => "dead-heat",
        _ => "unknown",
    }
}

/// Infos remembered as given. Beyond that all are forgotten, and cross once more.
const INFOS_GIVEN_MAX: usize = 16_384;
