//! Values by numbers of the test's own, so that the truth knows neither books nor images.

use tickwire_proto::image::Image;
use tickwire_proto::v1::{self, update::Body};

/// Values, in the order of their numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Fields(Vec<(u32, i64)>);

impl Fields {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn get(&self, number: u32) -> Option<i64> {
        self.find(number).ok().map(|index| self.0[index].1)
    }

    pub(crate) fn set(&mut self, number: u32, value: i64) {
        match self.find(number) {
            Ok(index) => self.0[index].1 = value,
            Err(index) => self.0.insert(index, (number, value)),
        }
    }

    /// The field becomes unknown.
    pub(crate) fn clear(&mut self, number: u32) {
        if let Ok(index) = self.find(number) {
            self.0.remove(index);
        }
    }

    /// All fields below become unknown.
    pub(crate) fn clear_below(&mut self, number: u32) {
        self.0.retain(|(known, _)| *known >= number);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, i64)> + '_ {
        self.0.iter().copied()
    }

    fn put(&mut self, number: u32, value: Option<i64>) {
        if let Some(value) = value {
            self.set(number, value);
        }
    }

    fn find(&self, number: u32) -> Result<usize, usize> {
        // Fields come in order as a rule.
        if self.0.last().is_none_or(|(last, _)| *last < number) {
            return Err(self.0.len());
        }
        self.0.binary_search_by_key(&number, |(known, _)| *known)
    }
}

/// What a client's image says.
pub(crate) fn fields_of(image: &Image) -> Fields {
    let mut fields = Fields(Vec::with_capacity(16));
    if let Some(quote) = &image.quote {
        let v1::Quote { bid, bid_quantity, ask, ask_quantity, last, last_quantity, last_ts_us, volume, turnover, .. } = *quote;
        for (number, value) in (1..).zip([bid, bid_quantity, ask, ask_quantity, last, last_quantity]) {
            fields.put(number, value);
        }
        fields.put(LAST_TS, last_ts_us.map(|us| us as i64));
        fields.put(VOLUME, volume);
        fields.put(9, turnover);
        fields.put(10, quote.high.or(quote.low).or(quote.open));
    }
    if let Some(status) = &image.status {
        fields.put(PHASE, Some(i64::from(status.phase)));
        fields.put(STATUS_NUMBER, status.reason.parse().ok());
    }
    if let Some(score) = &image.score {
        fields.put(HOME, score.home.map(i64::from));
        fields.put(302, score.away.map(i64::from));
        fields.put(CLOCK, score.clock_s.map(i64::from));
        fields.put(FINAL, score.r#final.map(i64::from));
        fields.put(SCORE_NUMBER, score.extra.get("n").copied());
    }
    if let Some(odds) = &image.odds {
        fields.put(LINE, odds.line);
        fields.put(MATCHED, odds.matched);
        for outcome in &odds.outcomes {
            let at = outcome_at(outcome.id);
            fields.put(at + BACK, outcome.back);
            fields.put(at + LAY, outcome.lay);
            fields.put(at + ACTIVE, outcome.active.map(i64::from));
        }
    }
    for bar in &image.bars {
        fields.put(BAR_START, Some((bar.start_us / 60_000_000) as i64));
        fields.put(BAR_CLOSE, Some(bar.close));
        fields.put(BAR_FINAL, Some(i64::from(bar.r#final)));
        fields.put(BAR_TRADES, Some(bar.trades as i64));
        fields.put(BAR_VOLUME, Some(bar.volume));
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

/// Where the fields of an outcome begin.
pub(crate) const fn outcome_at(id: u32) -> u32 {
    1_000 + id * 16
}

/// Fields of quotes end below; 1 to 6 are bid, ask and last with their quantities.
pub(crate) const PHASE: u32 = 100;
pub(crate) const LAST_TS: u32 = 7;
pub(crate) const VOLUME: u32 = 8;
pub(crate) const STATUS_NUMBER: u32 = 101;
pub(crate) const HOME: u32 = 301;
pub(crate) const CLOCK: u32 = 304;
pub(crate) const FINAL: u32 = 307;
pub(crate) const SCORE_NUMBER: u32 = 390;
pub(crate) const LINE: u32 = 1_001;
pub(crate) const MATCHED: u32 = 1_002;
/// Beside [`outcome_at`].
pub(crate) const BACK: u32 = 2;
pub(crate) const LAY: u32 = 4;
pub(crate) const ACTIVE: u32 = 7;
pub(crate) const BAR_START: u32 = 2_001;
pub(crate) const BAR_CLOSE: u32 = 2_002;
pub(crate) const BAR_FINAL: u32 = 2_003;
pub(crate) const BAR_TRADES: u32 = 2_004;
pub(crate) const BAR_VOLUME: u32 = 2_005;
