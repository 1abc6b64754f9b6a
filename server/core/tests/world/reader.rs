//! An application: reads when it likes, and holds what it reads against the truth.

use std::collections::BTreeMap;

use tickwire_proto::session::{Change, Session, SubscriptionId};
use tickwire_proto::v1;

use crate::market::{Fields, Happened, Market, Truth, fields_of, number_of};

/// What one subscription has read.
#[derive(Default)]
pub(crate) struct Reader {
    trades: bool,
    /// Whether its queue is so long that no state before an event is ever crowded out.
    is_roomy: bool,
    instruments: BTreeMap<String, Read>,
}

/// What was read of one instrument.
#[derive(Default)]
struct Read {
    /// Life and place of the state that was shown last.
    shown: Option<(u32, usize)>,
    events: Run,
    trades: Run,
    /// Nothing broke the flow since the state that was shown last, so that extremes cover exactly what came since, and events have
    /// the state before them.
    is_smooth: bool,
}

/// Events by number: each once and in order, unless a gap was told.
#[derive(Debug, Default)]
struct Run {
    last: Option<u64>,
    gaps: Vec<(u64, u64)>,
    /// A loss of unknown extent was told.
    is_broken: bool,
}

impl Run {
    fn read(&mut self, number: u64, truth: &[Happened], life: u32) -> Result<(), String> {
        if let Some(last) = self.last {
            if number <= last {
                return Err(format!("event {number} came after {last}"));
            }
            self.miss(last + 1..number, truth, life)?;
        }
        // A gap may be told before events that are older than it.
        let seq = truth.get(number as usize - 1).map_or(0, |event| event.seq);
        self.gaps.retain(|(_, to)| *to > seq);
        (self.last, self.is_broken) = (Some(number), false);
        Ok(())
    }

    /// Whatever is missing was told to be.
    fn miss(&self, numbers: std::ops::Range<u64>, truth: &[Happened], life: u32) -> Result<(), String> {
        let told = |seq: u64| self.gaps.iter().any(|(from, to)| *from < seq && seq < *to);
        for number in numbers.filter(|_| !self.is_broken) {
            let Some(event) = truth.get(number as usize - 1) else { continue };
            if event.life == life && !told(event.seq) {
                return Err(format!("event {number} at {} is missing after {:?}, gaps {:?}", event.seq, self.last, self.gaps));
            }
        }
        Ok(())
    }
}

impl Reader {
    pub(crate) fn new(trades: bool, is_roomy: bool) -> Self {
        Self { trades, is_roomy, ..Self::default() }
    }

    /// Reads at most `most` changes.
    pub(crate) fn read(
        &mut self,
        session: &mut Session,
        id: SubscriptionId,
        most: usize,
        market: &Market,
        is_calm: bool,
    ) -> Result<(), String> {
        if !is_calm {
            self.instruments.values_mut().for_each(|read| read.is_smooth = false);
        }
        for _ in 0..most {
            let Some(change) = session.next_change(id) else { return Ok(()) };
            let symbol = change.symbol().to_string();
            let truth = market.instruments.iter().find(|truth| truth.symbol == symbol).ok_or(format!("no instrument {symbol}"))?;
            let (trades, is_roomy) = (self.trades, self.is_roomy);
            let read = self.instruments.entry(symbol.clone()).or_default();
            read.is_smooth &= is_roomy;
            read.take(change, truth, trades, is_calm).map_err(|error| format!("{symbol}: {error}"))?;
        }
        Ok(())
    }

    /// The session said that events of any instrument may be missing.
    pub(crate) fn break_off(&mut self) {
        for read in self.instruments.values_mut() {
            (read.events.is_broken, read.trades.is_broken, read.is_smooth) = (true, true, false);
            // Positions begin again, also if a node lags behind in the new log.
            read.shown = None;
        }
    }

    /// In the end nothing may be missing.
    pub(crate) fn end(&self, truth: &Truth, life: u32) -> Result<(), String> {
        let Some(read) = self.instruments.get(&truth.symbol) else {
            let is_known = !truth.now(life).is_empty();
            return if is_known { Err(format!("{}: nothing was ever read", truth.symbol)) } else { Ok(()) };
        };
        let shown = read.shown.map(|(life, index)| (life, truth.states[index].fields.clone()));
        let (shown_life, shown) = shown.unwrap_or_default();
        if (shown_life, &shown) != (life, &truth.now(life)) && !(truth.now(life).is_empty()) {
            return Err(format!("{}: ended with {shown:?} of life {shown_life}, the truth is {:?}", truth.symbol, truth.now(life)));
        }
        let missing = |run: &Run, all: &[Happened]| match run.last {
            Some(last) => run.miss(last + 1..all.len() as u64 + 1, all, life),
            None => Ok(()),
        };
        missing(&read.events, &truth.events)?;
        if self.trades { missing(&read.trades, &truth.trades) } else { Ok(()) }
    }
}

impl Read {
    fn take(&mut self, change: Change, truth: &Truth, trades: bool, is_calm: bool) -> Result<(), String> {
        match change {
            Change::Gap { from, to, .. } => {
                if to <= from {
                    return Err(format!("a gap from {from} to {to}"));
                }
                self.events.gaps.push((from, to));
                self.trades.gaps.push((from, to));
                self.is_smooth = false;
            }
            Change::State(instrument) => {
                let before = self.shown;
                let at = self.show(instrument.seq, &fields_of(&instrument.image), truth)?;
                self.judge_extremes(before, at, instrument.image.quote.as_ref(), truth)?;
                self.is_smooth = is_calm;
            }
            Change::Event { update, instrument, .. } => {
                let body = update.body.as_ref().ok_or("an event without a body")?;
                let (number, is_trade) = number_of(body).ok_or(format!("{body:?} is no event"))?;
                let (run, all) = if is_trade { (&mut self.trades, &truth.trades) } else { (&mut self.events, &truth.events) };
                let happened =
                    (number as usize).checked_sub(1).and_then(|index| all.get(index)).ok_or(format!("event {number} never was"))?;
                if happened.body != *body || happened.seq != update.seq {
                    return Err(format!("event {number} at {} is {:?}, not {body:?}", happened.seq, happened.body));
                }
                if is_trade && !trades {
                    return Err("a trade for a subscription without trades".into());
                }
                run.read(number, all, happened.life)?;
                if is_trade {
                    return Ok(());
                }
                if self.is_smooth {
                    self.judge_before(happened, truth)?;
                }
                self.show(instrument.seq, &fields_of(&instrument.image), truth)?;
                self.is_smooth = is_calm;
            }
            other => return Err(format!("{other:?}")),
        }
        Ok(())
    }

    /// What is shown was true at its position, and is not older than what was shown before.
    fn show(&mut self, seq: u64, fields: &Fields, truth: &Truth) -> Result<(u32, usize), String> {
        let (life, shown) = self.shown.unwrap_or((1, 0));
        if fields.is_empty() {
            // Nothing is known: a new life, or nothing happened yet.
            return Ok((life, shown));
        }
        let Some(at) = truth.find(life, seq, fields) else {
            // While a connection begins, events are given again upon older values, and values of an earlier life stay for a while.
            if !self.is_smooth && truth.knows(fields) {
                return Ok((life, shown));
            }
            return Err(format!("{fields:?} at {seq} never was, in life {life} or later"));
        };
        if self.shown.is_some_and(|shown| at < shown && truth.states[shown.1].seq > seq) {
            return Err(format!("went back from {:?} to {at:?} ({seq})", self.shown));
        }
        self.shown = Some(at);
        Ok(at)
    }

    /// The state before an event was shown before it.
    fn judge_before(&self, event: &Happened, truth: &Truth) -> Result<(), String> {
        let Some((life, shown)) = self.shown.filter(|(life, _)| *life == event.life) else { return Ok(()) };
        let between = truth.states.get(shown + 1..event.index).unwrap_or_default();
        match between.iter().find(|state| !state.trade && state.fields != truth.states[shown].fields) {
            Some(state) => Err(format!("the event at {} of life {life} came before the state at {}", event.seq, state.seq)),
            None => Ok(()),
        }
    }

    fn judge_extremes(
        &self,
        before: Option<(u32, usize)>,
        at: (u32, usize),
        quote: Option<&v1::Quote>,
        truth: &Truth,
    ) -> Result<(), String> {
        let (Some((life, from)), Some(quote), true) = (before, quote, self.is_smooth) else { return Ok(()) };
        if life != at.0 || from >= at.1 {
            return Ok(());
        }
        let lasts = || truth.states[from + 1..=at.1].iter().filter_map(|state| state.last);
        let (low, high) = (lasts().min(), lasts().max());
        for (name, told, is) in [("low", quote.interval_low, low), ("high", quote.interval_high, high)] {
            if told.is_some() && told != is {
                return Err(format!("the interval's {name} is {is:?}, not {told:?}"));
            }
            if told.is_none() && low != high {
                return Err(format!("the interval's {name} is {is:?} and was not told"));
            }
        }
        Ok(())
    }
}
