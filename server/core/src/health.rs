//! Feed health: tells quiet from mute, by rules per feed, on the monotonic clock.
//!
//! ```text
//! DOWN ──recovering──► RECOVERING ──caught up──► LIVE ◄──► DELAYED     any ──down──► DOWN
//!                                                  ▲ └─────┬────┘
//!                                                  └─heard─┴─silence──► STALE
//! ```
//!
//! A quiet feed sends signs of life; a mute one sends nothing. Silence counts from the last of either, data or sign, and may last as long
//! as the rule says or `MISSED_MAX` announced intervals, whichever is shorter. What is heard while catching up is old and counts for
//! nothing but the announced interval.
//!
//! A feed with trading hours may be as silent and as late as it likes outside of them: it is LIVE, with the reason "closed until …".
//! Silence counts from the opening on.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use tickwire_proto::Pattern;
use tickwire_proto::time::Moment;
use tickwire_proto::v1::{self, FeedHealth};

mod hours;

pub use hours::{DAYS_AHEAD, Hours, HoursError, TradingHours};

use crate::intake::Plausible;

/// The rules of one feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedRule {
    /// Name of the feed.
    pub feed: String,
    /// Symbols of the feed, as a pattern; the first rule that matches a symbol names its feed.
    pub pattern: Pattern,
    /// STALE after this silence. `None`: only announced signs of life count.
    pub silence_max: Option<Duration>,
    /// DELAYED when data is older than this on arrival.
    pub age_max: Option<Duration>,
    /// When silence and age mean something. `None`: always.
    pub hours: Option<TradingHours>,
    /// Instruments of the feed (200,000). A new one beyond is poison.
    pub instruments_max: usize,
    /// How symbols of the feed begin; one that does not is poison. Empty: as they like.
    pub namespace: String,
    /// What its prices may be. What is not plausible is poison.
    pub plausible: Plausible,
}

impl FeedRule {
    /// A rule that names the feed of some symbols, and limits nothing but their number.
    pub fn new(feed: &str, pattern: Pattern) -> Self {
        Self {
            feed: feed.to_string(),
            pattern,
            silence_max: None,
            age_max: None,
            hours: None,
            instruments_max: INSTRUMENTS_MAX,
            namespace: String::new(),
            plausible: Plausible::default(),
        }
    }
}

/// Health of every feed. `handle`-like calls change it; [`Monitor::poll`] gives the transitions.
#[derive(Debug)]
pub struct Monitor {
    log: Log,
    /// One per feed; several rules may name the same.
    feeds: Vec<Feed>,
}

/// Whether the log can be read at all.
#[derive(Clone, Debug)]
enum Log {
    Down { reason: String },
    Recovering,
    Reached,
}

#[derive(Debug)]
struct Feed {
    name: String,
    silence_max: Option<Duration>,
    age_max: Option<Duration>,
    hours: Option<TradingHours>,
    /// What the hours said last. Always open without hours.
    session: Hours,
    /// When to ask them again. `None` without hours.
    ask_at: Option<Moment>,
    /// When the feed was last heard, the log was caught up with, or the market opened.
    heard_at: Moment,
    /// When the next sign of life is due after the last one, as announced.
    interval: Option<Duration>,
    age: Age,
    last_seq: u64,
    /// As it was told last; at first as it will be told.
    told: v1::FeedState,
    /// Whether the first state was told.
    is_told: bool,
}

/// Whether data arrives in time. Leaving a state takes several arrivals, so that one old record does not make a feed flap.
#[derive(Clone, Copy, Debug)]
enum Age {
    InTime { late: u32 },
    Late { since: Moment, in_time: u32 },
}

impl Monitor {
    /// Every feed starts as DOWN ("not connected yet").
    pub fn new(rules: Vec<FeedRule>, now: Moment, unix_us: u64) -> Self {
        let mut feeds: Vec<Feed> = Vec::new();
        for rule in rules {
            // The first rule of a feed sets its limits, as the first rule that matches names a symbol's feed.
            if feeds.iter().all(|feed| feed.name != rule.feed) {
                feeds.push(Feed::new(rule, now));
            }
        }
        feeds.iter_mut().for_each(|feed| feed.keep_hours(now, unix_us));
        let log = Log::Down { reason: "not connected yet".to_string() };
        feeds.iter_mut().for_each(|feed| feed.told = feed.state(now, &log, unix_us));
        Self { log, feeds }
    }

    /// The log was reached; the node is catching up with it.
    pub fn recovering(&mut self, now: Moment) {
        self.log = Log::Recovering;
        self.feeds.iter_mut().for_each(|feed| feed.start_over(now));
    }

    /// The node has caught up with the log.
    pub fn caught_up(&mut self, now: Moment) {
        self.log = Log::Reached;
        self.feeds.iter_mut().for_each(|feed| feed.start_over(now));
    }

    /// The log cannot be reached.
    pub fn down(&mut self, now: Moment, reason: &str) {
        self.log = Log::Down { reason: printable(reason) };
        self.feeds.iter_mut().for_each(|feed| feed.start_over(now));
    }

    /// Data of `feed` arrived at position `seq`, `age` old.
    pub fn heard(&mut self, now: Moment, feed: &str, seq: u64, age: Option<Duration>) {
        let is_live = matches!(self.log, Log::Reached);
        if let Some(feed) = self.feeds.iter_mut().find(|known| known.name == feed) {
            feed.heard(now, seq);
            if let (true, Some(age), Some(age_max)) = (is_live && feed.session.is_open, age, feed.age_max) {
                feed.age = feed.age.after(now, age, age_max);
            }
        }
    }

    /// A sign of life of `feed` arrived; the next is due within `interval`.
    pub fn alive(&mut self, now: Moment, feed: &str, seq: u64, interval: Option<Duration>) {
        if let Some(feed) = self.feeds.iter_mut().find(|known| known.name == feed) {
            feed.heard(now, seq);
            feed.interval = interval.or(feed.interval);
        }
    }

    /// Transitions since the last call, newest state per feed; the first call gives every feed. `unix_us` stamps `since_us`.
    pub fn poll(&mut self, now: Moment, unix_us: u64) -> Vec<v1::FeedState> {
        let log = &self.log;
        self.feeds.iter_mut().for_each(|feed| feed.keep_hours(now, unix_us));
        self.feeds.iter_mut().filter_map(|feed| feed.transition(now, log, unix_us)).collect()
    }

    /// When [`Monitor::poll`] has to be called at the latest: when the first feed that is heard now would become STALE, or a market opens
    /// or closes.
    pub fn deadline(&self) -> Option<Moment> {
        if !matches!(self.log, Log::Reached) {
            return None;
        }
        let stale = self.feeds.iter().filter(|feed| feed.told.health() != FeedHealth::Stale).filter_map(Feed::stale_at);
        stale.chain(self.feeds.iter().filter_map(|feed| feed.ask_at)).min()
    }

    /// Every feed's state, as of the last [`Monitor::poll`].
    pub fn states(&self) -> Vec<v1::FeedState> {
        self.feeds.iter().map(|feed| v1::FeedState { last_seq: feed.last_seq, ..feed.told.clone() }).collect()
    }
}

impl Feed {
    fn new(rule: FeedRule, now: Moment) -> Self {
        Self {
            name: rule.feed,
            silence_max: rule.silence_max,
            age_max: rule.age_max,
            hours: rule.hours,
            session: Hours { is_open: true, until_us: None },
            ask_at: None,
            heard_at: now,
            interval: None,
            age: Age::InTime { late: 0 },
            last_seq: 0,
            told: v1::FeedState::default(),
            is_told: false,
        }
    }

    /// Silence and ages count from here.
    fn start_over(&mut self, now: Moment) {
        self.heard_at = now;
        self.age = Age::InTime { late: 0 };
    }

    /// Asks the hours when it is time to. At an opening, silence and ages count from there.
    fn keep_hours(&mut self, now: Moment, unix_us: u64) {
        let Some(hours) = &self.hours else { return };
        if self.ask_at.is_some_and(|at| now < at) {
            return;
        }
        let session = hours.at(unix_us);
        if core::mem::replace(&mut self.session, session).is_open != session.is_open {
            self.start_over(now);
        }
        let until = session.until_us.map_or(ASK_HOURS_WITHIN, |until_us| Duration::from_micros(until_us.saturating_sub(unix_us)));
        self.ask_at = Some(now + until.min(ASK_HOURS_WITHIN));
    }

    fn heard(&mut self, now: Moment, seq: u64) {
        self.heard_at = now;
        self.last_seq = seq;
    }

    /// The state to tell, if it is another one than before.
    fn transition(&mut self, now: Moment, log: &Log, unix_us: u64) -> Option<v1::FeedState> {
        let mut state = self.state(now, log, unix_us);
        if self.told.health == state.health {
            if self.is_told && self.told.reason == state.reason {
                return None;
            }
            state.since_us = self.told.since_us;
        }
        self.is_told = true;
        self.told = state.clone();
        Some(state)
    }

    fn state(&self, now: Moment, log: &Log, unix_us: u64) -> v1::FeedState {
        let (health, reason) = match (log, self.age) {
            (Log::Down { reason }, _) => (FeedHealth::Down, reason.clone()),
            (Log::Recovering, _) => (FeedHealth::Recovering, "catching up with the log".to_string()),
            (Log::Reached, _) if !self.session.is_open => (FeedHealth::Live, self.closed()),
            (Log::Reached, _) if self.stale_at().is_some_and(|at| now >= at) => (FeedHealth::Stale, self.silence()),
            (Log::Reached, Age::Late { .. }) => {
                (FeedHealth::Delayed, format!("data is more than {:?} old on arrival", self.age_max.unwrap_or_default()))
            }
            (Log::Reached, Age::InTime { .. }) => (FeedHealth::Live, String::new()),
        };
        v1::FeedState { feed: self.name.clone(), health: health as i32, reason, since_us: unix_us, last_seq: self.last_seq }
    }

    fn stale_at(&self) -> Option<Moment> {
        self.silence_limit().filter(|_| self.session.is_open).map(|limit| self.heard_at + limit)
    }

    fn closed(&self) -> String {
        match self.session.until_us {
            Some(until_us) => format!("closed until {}", hours::shown(until_us)),
            None => format!("closed for more than {DAYS_AHEAD} days"),
        }
    }

    fn silence_limit(&self) -> Option<Duration> {
        let missed = self.interval.map(|interval| interval.saturating_mul(MISSED_MAX));
        match (self.silence_max, missed) {
            (Some(rule), Some(missed)) => Some(rule.min(missed)),
            (rule, missed) => rule.or(missed),
        }
    }

    fn silence(&self) -> String {
        format!("nothing heard for {:?}", self.silence_limit().unwrap_or_default())
    }
}

impl Age {
    /// After an arrival that is `age` old. In time again means clearly in time: younger than three quarters of the limit.
    fn after(self, now: Moment, age: Duration, age_max: Duration) -> Self {
        match self {
            Self::InTime { .. } if age <= age_max => Self::InTime { late: 0 },
            Self::InTime { late } if late + 1 < ARRIVALS_TO_TURN => Self::InTime { late: late + 1 },
            Self::InTime { .. } => Self::Late { since: now, in_time: 0 },
            Self::Late { since, .. } if age > age_max * 3 / 4 => Self::Late { since, in_time: 0 },
            Self::Late { since, in_time } if in_time + 1 < ARRIVALS_TO_TURN || now.since(since) < DELAYED_MIN => {
                Self::Late { since, in_time: in_time.saturating_add(1) }
            }
            Self::Late { .. } => Self::InTime { late: 0 },
        }
    }
}

/// What may be shown to people: no control characters, no more than the schema allows.
fn printable(reason: &str) -> String {
    let mut text = String::new();
    for character in reason.chars().map(|character| if character.is_control() { ' ' } else { character }) {
        if text.len() + character.len_utf8() > REASON_BYTES_MAX {
            break;
        }
        text.push(character);
    }
    text
}

/// Instruments of a feed, unless its rule says otherwise.
const INSTRUMENTS_MAX: usize = 200_000;
/// The hours are asked at least so often: the time of day may be set.
const ASK_HOURS_WITHIN: Duration = Duration::from_secs(30);
/// Announced signs of life that may be missing. After that the feed is STALE: 3 s at intervals of 1 s.
const MISSED_MAX: u32 = 3;
/// Arrivals in a row that turn LIVE into DELAYED, and back.
const ARRIVALS_TO_TURN: u32 = 3;
/// DELAYED lasts at least this long, so that it can be read.
const DELAYED_MIN: Duration = Duration::from_secs(2);
/// Bytes of a reason. What is longer is cut.
const REASON_BYTES_MAX: usize = 256;

#[cfg(test)]
mod tests;
