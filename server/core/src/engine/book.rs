//! The book: the newest state of every instrument, and what finds instruments by name.

use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::ops::Bound;

use tickwire_proto::image::{Image, Kind, Kinds};
use tickwire_proto::planted::{Fault, planted};
use tickwire_proto::v1::{self, UpdateFlag, update::Body};
use tickwire_proto::wire::Naming;
use tickwire_proto::{Pattern, Symbol};

use super::rate::RateClass;
use super::{RATE_CLASSES_MS, RateRule};
use crate::batch::InstrumentId;
use crate::scales::Scales;

/// Every instrument of the node, by id and by symbol.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// Dense: id 1 comes first.
    instruments: Vec<Instrument>,
    symbols: BTreeMap<Symbol, InstrumentId>,
    /// Fastest rate of every instrument, milliseconds ...
    conflate_ms_min: u32,
    /// ... and of some.
    rate_rules: Vec<RateRule>,
}

/// One instrument and its newest state.
#[derive(Debug)]
pub(super) struct Instrument {
    pub(super) info: v1::InstrumentInfo,
    pub(super) symbol: Symbol,
    /// Those that its info names.
    pub(super) scales: Scales,
    pub(super) image: Image,
    /// Position of its newest update; `None` before the first.
    pub(super) seq: Option<u64>,
    /// When the newest update of each kind happened.
    pub(super) ts_us: [u64; Kind::ALL.len()],
    /// Kinds that it ever had: an image empties those that it lost.
    pub(super) kinds_seen: Kinds,
    /// Position of its newest event, or of its image in a checkpoint, which may stand for one.
    pub(super) event_seq: Option<u64>,
    /// Position of its newest single trade.
    pub(super) trade_seq: Option<u64>,
    /// Fastest rate that is granted, by the node's settings, milliseconds.
    pub(super) conflate_ms_min: u32,
    lanes: [u32; RATE_CLASSES_MS.len()],
}

impl Book {
    /// An empty book with the fastest rate of every instrument, and of some.
    pub(super) fn new(conflate_ms_min: u32, rate_rules: Vec<RateRule>) -> Self {
        Self { conflate_ms_min, rate_rules, ..Self::default() }
    }

    /// Adds an instrument, or gives a known one new scales and names. Returns its id if it is new; infos that are out of order or not
    /// valid are passed over.
    pub(super) fn announce(&mut self, info: &v1::InstrumentInfo) -> Option<InstrumentId> {
        let symbol = Symbol::parse(&info.symbol).ok()?;
        let scales = Scales::of(info).ok()?;
        if let Some(instrument) = self.get_mut(InstrumentId(info.id)) {
            if instrument.symbol == symbol {
                instrument.info = info.clone();
                instrument.scales = scales;
            }
            return None;
        }
        let id = InstrumentId(self.instruments.len() as u32 + 1);
        if info.id != id.0 {
            return None;
        }
        let rule = self.rate_rules.iter().find(|rule| rule.pattern.matches(&symbol) && !planted(Fault::IgnoreRateRule));
        let conflate_ms_min = rule.map_or(0, |rule| rule.conflate_ms_min).max(self.conflate_ms_min);
        self.symbols.insert(symbol.clone(), id);
        self.instruments.push(Instrument {
            info: info.clone(),
            symbol,
            scales,
            image: Image::default(),
            seq: None,
            ts_us: [0; Kind::ALL.len()],
            kinds_seen: Kinds::NONE,
            event_seq: None,
            trade_seq: None,
            conflate_ms_min,
            lanes: [NO_LANE; RATE_CLASSES_MS.len()],
        });
        Some(id)
    }

    /// Empties every body and forgets positions. Ids, names and lanes stay.
    pub(super) fn reset(&mut self) {
        for instrument in &mut self.instruments {
            instrument.image = Image::default();
            instrument.seq = None;
            instrument.event_seq = None;
            instrument.trade_seq = None;
        }
    }

    pub(super) fn get(&self, id: InstrumentId) -> Option<&Instrument> {
        self.instruments.get((id.0 as usize).checked_sub(1)?)
    }

    pub(super) fn get_mut(&mut self, id: InstrumentId) -> Option<&mut Instrument> {
        self.instruments.get_mut((id.0 as usize).checked_sub(1)?)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Instrument> {
        self.instruments.iter()
    }

    /// Those whose ids come after `id`, in order.
    pub(super) fn behind(&self, id: InstrumentId) -> impl Iterator<Item = &Instrument> {
        self.instruments.get(id.0 as usize..).unwrap_or_default().iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Instrument> {
        self.instruments.iter_mut()
    }

    pub(super) fn find(&self, symbol: &str) -> Option<InstrumentId> {
        self.symbols.get(symbol).copied()
    }

    /// The instruments that `pattern` names now. Costs one visit per symbol that begins with the pattern's words before its first wildcard.
    pub(super) fn matching<'a>(&'a self, pattern: &'a Pattern) -> impl Iterator<Item = &'a Instrument> + 'a {
        let text = pattern.as_str();
        let prefix = &text[..text.find(['*', '#']).unwrap_or(text.len())];
        // `stock.#` names `stock` too: the dot before the wildcard is not part of what all of them begin with.
        let prefix = prefix.strip_suffix('.').unwrap_or(prefix);
        self.symbols
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(move |(symbol, _)| symbol.as_str().starts_with(prefix))
            .filter(move |(symbol, _)| pattern.matches(symbol))
            .filter_map(|(_, id)| self.get(*id))
    }
}

impl Instrument {
    pub(super) fn id(&self) -> InstrumentId {
        InstrumentId(self.info.id)
    }

    /// What JSON needs to write its records.
    pub(super) fn naming(&self) -> Naming<'_> {
        Naming { symbol: self.symbol.as_str(), price_scale: self.scales.price, quantity_scale: self.scales.quantity }
    }

    /// The lane at this rate, if somebody subscribes to it.
    pub(super) fn lane(&self, class: RateClass) -> Option<u32> {
        Some(self.lanes[class.index()]).filter(|lane| *lane != NO_LANE)
    }

    pub(super) fn set_lane(&mut self, class: RateClass, lane: Option<u32>) {
        self.lanes[class.index()] = lane.unwrap_or(NO_LANE);
    }

    /// Its lanes, fastest first.
    pub(super) const fn lanes(&self) -> [u32; RATE_CLASSES_MS.len()] {
        self.lanes
    }

    /// What `update` is to those who subscribe, judged before it is applied.
    pub(super) fn nature(&self, update: &v1::Update) -> Nature {
        let flags = update.flags;
        if flags & (UpdateFlag::Event as u32 | UpdateFlag::Correction as u32) != 0 {
            return Nature::Event;
        }
        let event = match &update.body {
            Some(Body::Trade(trade)) if !trade.correction && !trade.bust => return Nature::Trade,
            Some(Body::Trade(_) | Body::Status(_)) => true,
            Some(Body::Bar(bar)) => bar.r#final,
            Some(Body::Score(score)) => self.ends_or_reopens(score, update),
            Some(Body::Odds(odds)) => self.flips(odds, update),
            Some(Body::Quote(_)) | None => false,
        };
        if event { Nature::Event } else { Nature::State }
    }

    fn ends_or_reopens(&self, score: &v1::Score, update: &v1::Update) -> bool {
        let was = self.image.score.as_ref().and_then(|score| score.r#final) == Some(true);
        let untold = score.r#final.is_none() && update.flags & UpdateFlag::Image as u32 == 0 && !update.clear.contains(&SCORE_FINAL);
        score.r#final == Some(true) || (was && !untold)
    }

    fn flips(&self, odds: &v1::Odds, update: &v1::Update) -> bool {
        let known = self.image.odds.as_ref().map(|odds| odds.outcomes.as_slice()).unwrap_or_default();
        let before = |id| known.iter().find(|outcome| outcome.id == id);
        let set = odds.outcomes.iter().any(|outcome| {
            let (result, active) = before(outcome.id).map_or((None, None), |known| (known.result, known.active));
            // An outcome that was never said to be closed counts as open.
            (outcome.result.is_some() && outcome.result != result) || outcome.active.is_some_and(|now| now != active.unwrap_or(true))
        });
        let cleared = update.clear.iter().any(|number| {
            number % 16 == OUTCOME_RESULT && before(number / 16).is_some_and(|known| known.result.is_some())
                || number % 16 == OUTCOME_ACTIVE && before(number / 16).is_some_and(|known| known.active == Some(false))
        });
        let image = update.flags & UpdateFlag::Image as u32 != 0;
        let lost = image
            && known.iter().any(|known| {
                let kept = odds.outcomes.iter().find(|outcome| outcome.id == known.id);
                known.result.is_some() && kept.is_none_or(|kept| kept.result.is_none())
                    || known.active == Some(false) && kept.is_none_or(|kept| kept.active.is_none())
            });
        set || cleared || lost
    }

    /// Gives its images, one record per body, as checkpoints keep them.
    pub(super) fn images(&self, images: &mut Vec<v1::Update>) {
        self.image.records(&tickwire_proto::image::Changed::images(self.image.kinds()), |kind, mut record| {
            record.id = self.info.id;
            record.seq = self.seq.unwrap_or(0);
            record.ts_event_us = self.ts_us[kind.index()];
            images.push(record);
        });
    }
}

/// How an update is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nature {
    /// Merged with others into the newest state.
    State,
    /// Never conflated, to everyone.
    Event,
    /// One trade, to those who asked for trades.
    Trade,
}

/// For people: the name of an instrument in an error text.
pub(super) fn name(book: &Book, id: InstrumentId) -> alloc::string::String {
    book.get(id).map(|instrument| instrument.symbol.to_string()).unwrap_or_default()
}

pub(super) const NO_LANE: u32 = u32::MAX;
const SCORE_FINAL: u32 = 7;
const OUTCOME_ACTIVE: u32 = 7;
const OUTCOME_RESULT: u32 = 8;
