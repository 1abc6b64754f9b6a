//! How applications read an instrument: its values with their decimal point, and whole changes as one line of text.

use core::fmt;

use crate::decimal::{Price, Scale};
use crate::session::{Change, Instrument};
use crate::v1::{self, TradingPhase, update::Body};

impl Instrument {
    /// A price mantissa of this instrument with its decimal point.
    pub fn price(&self, mantissa: i64) -> Price {
        Price::new(mantissa, scale(self.info.price_scale))
    }

    /// A quantity mantissa of this instrument with its decimal point.
    pub fn quantity(&self, mantissa: i64) -> Price {
        Price::new(mantissa, scale(self.info.quantity_scale))
    }

    /// Best bid, if known.
    pub fn bid(&self) -> Option<Price> {
        self.quote()?.bid.map(|bid| self.price(bid))
    }

    /// Best ask, if known.
    pub fn ask(&self) -> Option<Price> {
        self.quote()?.ask.map(|ask| self.price(ask))
    }

    /// Price of the last trade, if known.
    pub fn last(&self) -> Option<Price> {
        self.quote()?.last.map(|last| self.price(last))
    }

    /// Quantity traded today, if known.
    pub fn volume(&self) -> Option<Price> {
        self.quote()?.volume.map(|volume| self.quantity(volume))
    }

    /// Quantity offered at the bid, if known.
    pub fn bid_quantity(&self) -> Option<Price> {
        self.quote()?.bid_quantity.map(|quantity| self.quantity(quantity))
    }

    /// Quantity offered at the ask, if known.
    pub fn ask_quantity(&self) -> Option<Price> {
        self.quote()?.ask_quantity.map(|quantity| self.quantity(quantity))
    }

    /// Quantity of the last trade, if known.
    pub fn last_quantity(&self) -> Option<Price> {
        self.quote()?.last_quantity.map(|quantity| self.quantity(quantity))
    }

    /// Sum of price × quantity traded today, if known.
    pub fn turnover(&self) -> Option<Price> {
        self.quote()?.turnover.map(|turnover| self.price(turnover))
    }

    /// Trades today, if known.
    pub fn trades(&self) -> Option<u64> {
        self.quote()?.trades
    }

    /// First price of the trading day, if known.
    pub fn open(&self) -> Option<Price> {
        self.quote()?.open.map(|open| self.price(open))
    }

    /// Highest price of the trading day, if known.
    pub fn high(&self) -> Option<Price> {
        self.quote()?.high.map(|high| self.price(high))
    }

    /// Lowest price of the trading day, if known.
    pub fn low(&self) -> Option<Price> {
        self.quote()?.low.map(|low| self.price(low))
    }

    /// Last price of the previous trading day, if known.
    pub fn previous_close(&self) -> Option<Price> {
        self.quote()?.previous_close.map(|close| self.price(close))
    }

    /// Highest `last` of everything that was merged into a [`Change::State`]; nothing if nothing was.
    pub fn interval_high(&self) -> Option<Price> {
        self.quote()?.interval_high.map(|high| self.price(high))
    }

    /// Lowest `last` of everything that was merged into a [`Change::State`]; nothing if nothing was.
    pub fn interval_low(&self) -> Option<Price> {
        self.quote()?.interval_low.map(|low| self.price(low))
    }

    /// What the market said about trading; `Unspecified` if it said nothing.
    pub fn phase(&self) -> TradingPhase {
        self.image.status.as_ref().map_or(TradingPhase::Unspecified, v1::Status::phase)
    }

    /// The name of an outcome of a sports market, if it was announced.
    pub fn outcome_name(&self, id: u32) -> Option<&str> {
        self.info.outcome_names.get(&id).map(alloc::string::String::as_str)
    }

    fn quote(&self) -> Option<&v1::Quote> {
        self.image.quote.as_ref()
    }
}

/// `stock.AAPL bid 187.42 ask 187.44 last 187.43 OPEN`: what is known, in one line.
impl fmt::Display for Instrument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.symbol)?;
        for (name, price) in [("bid", self.bid()), ("ask", self.ask()), ("last", self.last())] {
            if let Some(price) = price {
                write!(f, " {name} {price}")?;
            }
        }
        if let Some(score) = &self.image.score {
            write_score(f, score)?;
        }
        for outcome in self.image.odds.iter().flat_map(|odds| &odds.outcomes) {
            match self.outcome_name(outcome.id) {
                Some(name) => write!(f, " {name} ")?,
                None => write!(f, " #{} ", outcome.id)?,
            }
            write_or_dash(f, outcome.back.map(|back| self.price(back)))?;
            f.write_str("/")?;
            write_or_dash(f, outcome.lay.map(|lay| self.price(lay)))?;
        }
        match self.phase() {
            TradingPhase::Unspecified => Ok(()),
            phase => write!(f, " {}", phase.as_str_name()),
        }
    }
}

/// The state of the instrument; before it, in brackets, what happened if it is an event.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State(instrument) => instrument.fmt(f),
            Self::Event { update, instrument, .. } => {
                write_event(f, update, instrument)?;
                instrument.fmt(f)
            }
            Self::Gap { symbol, from, to } => write!(f, "[events lost between {from} and {to}] {symbol}"),
        }
    }
}

impl Change {
    /// Which instrument it is about.
    pub fn symbol(&self) -> &crate::Symbol {
        match self {
            Self::State(instrument) => &instrument.symbol,
            Self::Event { symbol, .. } | Self::Gap { symbol, .. } => symbol,
        }
    }

    /// The newest state of the instrument; a gap brings none.
    pub fn instrument(&self) -> Option<&Instrument> {
        match self {
            Self::State(instrument) | Self::Event { instrument, .. } => Some(instrument),
            Self::Gap { .. } => None,
        }
    }
}

fn write_event(f: &mut fmt::Formatter<'_>, update: &v1::Update, instrument: &Instrument) -> fmt::Result {
    match &update.body {
        Some(Body::Status(status)) if status.reason.is_empty() => write!(f, "[{}] ", status.phase().as_str_name()),
        Some(Body::Status(status)) => write!(f, "[{}: {}] ", status.phase().as_str_name(), status.reason),
        Some(Body::Trade(trade)) => {
            let kind = match trade {
                v1::Trade { bust: true, .. } => "bust",
                v1::Trade { correction: true, .. } => "correction",
                _ => "trade",
            };
            write!(f, "[{kind} {} @ {}] ", instrument.quantity(trade.quantity), instrument.price(trade.price))
        }
        Some(Body::Bar(bar)) => write!(f, "[bar {} s closed at {}] ", bar.length_s, instrument.price(bar.close)),
        Some(Body::Score(_)) => f.write_str("[score] "),
        Some(Body::Odds(_)) => f.write_str("[odds] "),
        Some(Body::Quote(_)) => f.write_str("[quote] "),
        None => Ok(()),
    }
}

fn write_score(f: &mut fmt::Formatter<'_>, score: &v1::Score) -> fmt::Result {
    if let (Some(home), Some(away)) = (score.home, score.away) {
        write!(f, " {home}-{away}")?;
    }
    if let Some(clock_s) = score.clock_s {
        write!(f, " {:02}:{:02}", clock_s / 60, clock_s % 60)?;
    }
    if score.r#final == Some(true) { f.write_str(" final") } else { Ok(()) }
}

fn write_or_dash(f: &mut fmt::Formatter<'_>, price: Option<Price>) -> fmt::Result {
    match price {
        Some(price) => write!(f, "{price}"),
        None => f.write_str("-"),
    }
}

/// The scale of an info. The session refuses infos beyond the limit, so the clamp changes nothing that it let through.
fn scale(places: u32) -> Scale {
    Scale::new(places.min(Scale::MAX)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::sync::Arc;
    use alloc::vec::Vec;

    use super::*;
    use crate::Symbol;
    use crate::image::Image;

    fn instrument(symbol: &str, image: Image) -> Instrument {
        let outcome_names = [(1, "ARS".to_string())].into();
        let info = v1::InstrumentInfo { price_scale: 2, quantity_scale: 1, outcome_names, ..v1::InstrumentInfo::default() };
        Instrument { symbol: Symbol::parse(symbol).unwrap(), info: Arc::new(info), image, seq: 7, ts_event_us: 1, merged: 0 }
    }

    fn check(symbol: &str, image: Image, expected: &str) {
        assert_eq!(instrument(symbol, image).to_string(), expected);
    }

    #[test]
    fn an_instrument_reads_as_one_line() {
        let quote = v1::Quote { bid: Some(18_742), ask: Some(18_744), ..v1::Quote::default() };
        check("stock.AAPL", Image { quote: Some(quote), ..Image::default() }, "stock.AAPL bid 187.42 ask 187.44");
        let score = v1::Score { home: Some(2), away: Some(1), clock_s: Some(754), ..v1::Score::default() };
        check("soccer.epl.ARS-CHE", Image { score: Some(score), ..Image::default() }, "soccer.epl.ARS-CHE 2-1 12:34");
        let outcome = v1::Outcome { id: 1, back: Some(210), ..v1::Outcome::default() };
        let odds = v1::Odds { outcomes: [outcome, v1::Outcome { id: 2, ..outcome }].into(), ..v1::Odds::default() };
        check("m", Image { odds: Some(odds), ..Image::default() }, "m ARS 2.10/- #2 2.10/-");
        check("empty", Image::default(), "empty");
    }

    #[test]
    fn every_value_has_the_point_of_its_own_scale() {
        let quote = v1::Quote {
            bid: Some(101),
            bid_quantity: Some(201),
            ask: Some(102),
            ask_quantity: Some(202),
            last: Some(103),
            last_quantity: Some(203),
            volume: Some(204),
            turnover: Some(104),
            trades: Some(7),
            open: Some(105),
            high: Some(106),
            low: Some(107),
            previous_close: Some(108),
            interval_high: Some(109),
            interval_low: Some(110),
            ..v1::Quote::default()
        };
        let instrument = instrument("a", Image { quote: Some(quote), ..Image::default() });
        let texts = |values: &[Option<Price>]| values.iter().map(|value| value.map(|value| value.to_string())).collect::<Vec<_>>();
        let prices = [
            instrument.bid(),
            instrument.ask(),
            instrument.last(),
            instrument.turnover(),
            instrument.open(),
            instrument.high(),
            instrument.low(),
            instrument.previous_close(),
            instrument.interval_high(),
            instrument.interval_low(),
        ];
        assert_eq!(texts(&prices), (101..=110).map(|cents| Some(alloc::format!("1.{:02}", cents - 100))).collect::<Vec<_>>());
        let quantities = [instrument.bid_quantity(), instrument.ask_quantity(), instrument.last_quantity(), instrument.volume()];
        assert_eq!(texts(&quantities), (201..=204).map(|tenths| Some(alloc::format!("20.{}", tenths - 200))).collect::<Vec<_>>());
        assert_eq!(instrument.trades(), Some(7));
        let unknown = Instrument { image: Image::default(), ..instrument };
        assert_eq!((unknown.turnover(), unknown.volume(), unknown.trades()), (None, None, None));
    }

    #[test]
    fn every_kind_of_event_has_its_words() {
        let said = |body| {
            let update = v1::Update { body, ..v1::Update::default() };
            Change::Event { symbol: Symbol::parse("a").unwrap(), update, instrument: instrument("a", Image::default()) }.to_string()
        };
        let trade = v1::Trade { price: 18_742, quantity: 15, ..v1::Trade::default() };
        assert_eq!(said(Some(Body::Trade(trade.clone()))), "[trade 1.5 @ 187.42] a");
        assert_eq!(said(Some(Body::Trade(v1::Trade { correction: true, ..trade.clone() }))), "[correction 1.5 @ 187.42] a");
        assert_eq!(said(Some(Body::Trade(v1::Trade { bust: true, correction: true, ..trade }))), "[bust 1.5 @ 187.42] a");
        assert_eq!(said(Some(Body::Bar(v1::Bar { length_s: 60, close: 18_700, ..v1::Bar::default() }))), "[bar 60 s closed at 187.00] a");
        assert_eq!(said(Some(Body::Status(v1::Status { phase: TradingPhase::Open as i32, ..v1::Status::default() }))), "[OPEN] a");
        assert_eq!(said(Some(Body::Score(v1::Score::default()))), "[score] a");
        assert_eq!(said(Some(Body::Odds(v1::Odds::default()))), "[odds] a");
        assert_eq!(said(Some(Body::Quote(v1::Quote::default()))), "[quote] a");
        assert_eq!(said(None), "a");
    }

    #[test]
    fn a_gap_names_its_instrument_and_shows_no_state() {
        let gap = Change::Gap { symbol: Symbol::parse("stock.AAPL").unwrap(), from: 7, to: 12 };
        assert_eq!(gap.to_string(), "[events lost between 7 and 12] stock.AAPL");
        assert_eq!((gap.symbol().as_str(), gap.instrument().is_none()), ("stock.AAPL", true));
    }

    #[test]
    fn a_match_that_is_over_says_so() {
        let score = v1::Score { home: Some(2), away: Some(1), r#final: Some(true), ..v1::Score::default() };
        let state = Change::State(instrument("m", Image { score: Some(score), ..Image::default() }));
        assert_eq!(state.to_string(), "m 2-1 final");
        assert_eq!(state.symbol().as_str(), "m");
    }

    #[test]
    fn an_event_says_what_happened_before_the_state() {
        let status = v1::Status { phase: TradingPhase::Halted as i32, reason: "news".to_string(), resume_us: None };
        let image = Image { status: Some(status.clone()), ..Image::default() };
        let update = v1::Update { body: Some(Body::Status(status)), ..v1::Update::default() };
        let change = Change::Event { symbol: Symbol::parse("a").unwrap(), update, instrument: instrument("a", image) };
        assert_eq!(change.to_string(), "[HALTED: news] a HALTED");
        assert_eq!(change.instrument().map(Instrument::phase), Some(TradingPhase::Halted));
    }
}
