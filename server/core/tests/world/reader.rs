//! An application: reads when it likes, and holds what it reads against the truth.

use std::time::Duration;

use tickwire_proto::Moment;
use tickwire_proto::session::{Change, Session, SubscriptionId};
use tickwire_proto::v1;

use crate::fields::{Fields, fields_of, number_of};
use crate::market::Market;
use crate::run::Run;
use crate::truth::{Happened, Truth};

/// What one subscription has read.
pub(crate) struct Reader {
    trades: bool,
    /// Whether its queue is so long that no state before an event is ever crowded out.
    is_roomy: bool,
    /// By the number of the instrument in the market.
    instruments: Vec<Option<Read>>,
}

/// What may be expected of a reading.
#[derive(Clone, Copy)]
pub(crate) struct Mood<'a> {
    pub(crate) now: Moment,
    /// Nothing has been in the way of the flow since then. `None`: something is.
    pub(crate) calm_since: Option<Moment>,
    /// Shortest time between two states of each instrument, while all is calm. Empty: the link is slow, so records come in heaps, with
    /// values that are newer than the inputs that they count.
    pub(crate) intervals: &'a [Duration],
    /// Connections are paced: a first change at once, and the beat that follows, may be closer than that.
    pub(crate) paced: bool,
}

/// What was read of one instrument.
#[derive(Default)]
struct Read {
    /// Life and place of the state that was shown last.
    shown: Option<(u32, usize)>,
    events: Run,
    trades: Run,
    /// When the newest state was shown, if nothing broke the flow since: extremes cover exactly what came since, and events have the
    /// state before them.
    flows_since: Option<Moment>,
    /// When the newest state was shown that counts for its pace, and how much too early it was: right only before an event.
    paced_at: Option<Moment>,
    early: Option<Duration>,
    /// The same of the state before it.
    paced_before: Option<Moment>,
}

impl Reader {
    pub(crate) fn new(trades: bool, is_roomy: bool) -> Self {
        Self { trades, is_roomy, instruments: Vec::new() }
    }

    /// Reads at most `most` changes.
    pub(crate) fn read(
        &mut self,
        session: &mut Session,
        id: SubscriptionId,
        most: usize,
        market: &Market,
        mood: Mood<'_>,
    ) -> Result<(), String> {
        for _ in 0..most {
            let Some(change) = session.next_change(id) else { return Ok(()) };
            let symbol = change.symbol().as_str();
            let n = market.find(symbol).ok_or_else(|| format!("no instrument {symbol}"))?;
            if self.instruments.len() <= n {
                self.instruments.resize_with(n + 1, || None);
            }
            let (trades, interval) = (self.trades, mood.intervals.get(n).copied());
            let read = self.instruments[n].get_or_insert_default();
            let is_calm = mood.calm_since.filter(|_| self.is_roomy);
            // What was shown before the last trouble is not what came right before this.
            read.flows_since = read.flows_since.filter(|at| is_calm.is_some_and(|since| since <= *at));
            read.take(change, &market.instruments[n], trades, mood, interval)
                .map_err(|error| format!("{}: {error}", market.instruments[n].symbol))?;
        }
        Ok(())
    }

    /// The session said that events of any instrument may be missing.
    pub(crate) fn break_off(&mut self) {
        for read in self.instruments.iter_mut().flatten() {
            read.events.break_off();
            read.trades.break_off();
            read.flows_since = None;
            // Positions begin again, also if a node lags behind in the new log.
            read.shown = None;
        }
    }

    /// In the end nothing may be missing.
    pub(crate) fn end(&self, n: usize, truth: &Truth, life: u32) -> Result<(), String> {
        let Some(now) = truth.now(life).filter(|now| !now.is_empty()) else { return Ok(()) };
        let Some(read) = self.instruments.get(n).and_then(Option::as_ref) else {
            return Err(format!("{}: nothing was ever read", truth.symbol));
        };
        let shown = read.shown.map(|(life, index)| (life, &truth.states[index].fields));
        if shown != Some((life, now)) {
            return Err(format!("{}: ended with {shown:?}, the truth is {now:?}", truth.symbol));
        }
        read.events.end(&truth.events, life)?;
        if self.trades { read.trades.end(&truth.trades, life) } else { Ok(()) }
    }
}

impl Read {
    fn take(&mut self, change: Change, truth: &Truth, trades: bool, mood: Mood<'_>, interval: Option<Duration>) -> Result<(), String> {
        let now = Some(mood.now).filter(|_| mood.calm_since.is_some());
        match change {
            Change::Gap { from, to, .. } => {
                if to <= from {
                    return Err(format!("a gap from {from} to {to}"));
                }
                self.events.note_gap(from, to);
                self.trades.note_gap(from, to);
                (self.flows_since, self.paced_at, self.paced_before, self.early) = (None, None, None, None);
            }
            Change::State(instrument) => {
                let before = self.shown;
                let at = self.show(instrument.seq, &fields_of(&instrument.image), truth)?;
                if let (Some(at), true) = (at, interval.is_some()) {
                    self.judge_extremes(before, at, instrument.image.quote.as_ref(), truth)?;
                }
                self.judge_pace()?;
                let before = if mood.paced { self.paced_before } else { self.paced_at }.filter(|_| self.flows_since.is_some());
                self.early = before.zip(interval).and_then(|(before, interval)| interval.checked_sub(mood.now.since(before)));
                self.early = self.early.filter(|early| *early > UNEVEN_MAX);
                // A first state is an image, and the change after it may follow at once.
                self.paced_before = self.flows_since.and(self.paced_at);
                self.paced_at = self.flows_since.and(now);
                self.flows_since = at.and(now);
            }
            Change::Event { update, instrument, .. } => {
                let body = update.body.as_ref().ok_or("an event without a body")?;
                let (number, is_trade) = number_of(body).ok_or_else(|| format!("{body:?} is no event"))?;
                let (run, all) = if is_trade { (&mut self.trades, &truth.trades) } else { (&mut self.events, &truth.events) };
                let happened = (number as usize).checked_sub(1).and_then(|index| all.get(index));
                let happened = happened.ok_or_else(|| format!("event {number} never was"))?;
                if happened.body != *body || happened.seq != update.seq {
                    return Err(format!("event {number} at {} is {:?}, not {body:?}", happened.seq, happened.body));
                }
                if is_trade && !trades {
                    return Err("a trade for a subscription without trades".into());
                }
                run.read(number, all, happened.life)?;
                (self.paced_at, self.paced_before) = (None, None);
                if is_trade {
                    return Ok(());
                }
                self.early = None;
                if self.flows_since.is_some() {
                    self.judge_before(happened, truth)?;
                }
                let at = self.show(instrument.seq, &fields_of(&instrument.image), truth)?;
                self.flows_since = at.and(now);
            }
            other => return Err(format!("{other:?}")),
        }
        Ok(())
    }

    /// What is shown was true at its position, and is not older than what was shown before.
    /// Returns where that is; `None` if nothing can be said of it.
    fn show(&mut self, seq: u64, fields: &Fields, truth: &Truth) -> Result<Option<(u32, usize)>, String> {
        let life = self.shown.map_or(1, |(life, _)| life);
        if fields.is_empty() {
            // Nothing is known: a new life, or nothing happened yet.
            return Ok(None);
        }
        let Some(at) = truth.find(life, seq, fields) else {
            // While a connection begins, events are given again upon older values, and values of an earlier life stay for a while.
            if self.flows_since.is_none() && truth.knows(fields) {
                return Ok(None);
            }
            return Err(format!("{fields:?} at {seq} never was, in life {life} or later"));
        };
        if self.shown.is_some_and(|shown| at < shown && truth.states[shown.1].seq > seq) {
            return Err(format!("went back from {:?} to {at:?} ({seq})", self.shown));
        }
        self.shown = Some(at);
        Ok(Some(at))
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
        let (Some((life, from)), Some(quote), true) = (before, quote, self.flows_since.is_some()) else { return Ok(()) };
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

    /// No instrument is told more often than was granted.
    fn judge_pace(&mut self) -> Result<(), String> {
        self.early.take().map_or(Ok(()), |early| Err(format!("a state came {early:?} too early, by the rate that was granted")))
    }
}

/// Bytes of other records between two of an instrument.
const UNEVEN_MAX: Duration = Duration::from_millis(5);
