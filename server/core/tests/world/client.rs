//! A client: a session, what its application wants and reads, and a mind that changes.

use std::time::Duration;

use tickwire_core::engine::{ConnectionKey, RATE_CLASSES_MS};
use tickwire_proto::session::{Input, Item, Session, SessionConfig, SubscribeOptions, SubscriptionId};
use tickwire_proto::wire::Encoding;
use tickwire_proto::{Moment, Pattern};

use crate::everybody::LEISURE_MS;
use crate::market::Market;
use crate::network::Wire;
use crate::node::{RULED, Terms, pattern};
use crate::random::Random;
use crate::reader::{Mood, Reader};
use crate::truth::Truth;
use crate::world::{SETTLED_AFTER, Verdict};

pub(crate) struct Client {
    pub(crate) session: Session,
    pub(crate) encoding: Encoding,
    pub(crate) two_way: bool,
    /// Its clock starts at another time than the world's.
    pub(crate) clock: Duration,
    /// What its tokens begin with: good ones, or such as grant slow rates only.
    pub(crate) standing: &'static str,
    pub(crate) wire: Option<ConnectionKey>,
    pub(crate) opens_at: Option<Moment>,
    /// By its own clock.
    pub(crate) deadline: Option<Moment>,
    pub(crate) heard: Option<Heard>,
    pub(crate) subscriptions: Vec<Subscription>,
    pub(crate) paused: bool,
    pub(crate) is_lazy: bool,
    /// It was told so, and not yet that it is over.
    pub(crate) is_slow: bool,
    pub(crate) events_max: usize,
    /// The newest request for a token: when it is answered, and how.
    pub(crate) token: Option<(u32, Moment, String)>,
    /// When it last changed its mind, or something happened to it.
    pub(crate) changed_at: Moment,
    /// It is among those that are driven next.
    pub(crate) is_touched: bool,
    /// What is known of each instrument of the market; empty if it has to be found out.
    dues: Vec<Due>,
    /// The shortest times, as readers want them.
    intervals: Vec<Duration>,
    terms: Terms,
}

pub(crate) struct Subscription {
    pub(crate) id: SubscriptionId,
    pub(crate) pattern: Pattern,
    conflate_ms: Option<u32>,
    /// The node did not know the symbol when it was asked; it is asked again on the next connection.
    pub(crate) is_refused: bool,
    pub(crate) reader: Reader,
}

/// The newest frame that came.
#[derive(Clone, Copy)]
pub(crate) struct Heard {
    pub(crate) at: Moment,
    pub(crate) written_at: Moment,
    /// Whether the feed was well when it was written.
    pub(crate) was_fed: bool,
}

/// How often a client is told of an instrument.
#[derive(Clone, Copy, Default)]
struct Due {
    /// At least so often. `None`: not covered.
    slowest: Option<Duration>,
    /// At most so often.
    fastest: Duration,
}

impl Client {
    pub(crate) fn new(n: u64, random: &mut Random, terms: Terms) -> Self {
        let kinds = [(true, Encoding::Protobuf), (true, Encoding::Protobuf), (true, Encoding::Json), (false, Encoding::Json)];
        let (two_way, encoding) = random.pick(&kinds);
        let events_max = if terms.small { 1 + random.below(8) as usize } else { 256 };
        let standing = if random.one_in(4) { "leisure" } else { "good" };
        let refresh = n % 2 == 0;
        let token = (!refresh).then(|| format!("{standing}-0"));
        let config = SessionConfig { encoding, two_way, events_max, heartbeat_ms: HEARTBEAT_MS, token, refresh, ..Default::default() };
        let mut session = Session::new(config, random.next());
        let clock = Duration::from_millis(random.below(1_000_000));
        session.handle(Moment::ZERO + clock, Input::Connect);
        Self {
            session,
            encoding,
            two_way,
            clock,
            standing,
            wire: None,
            opens_at: None,
            deadline: None,
            heard: None,
            subscriptions: Vec::new(),
            paused: false,
            is_lazy: random.one_in(3),
            is_slow: false,
            events_max,
            token: None,
            changed_at: Moment::ZERO,
            is_touched: false,
            dues: Vec::new(),
            intervals: Vec::new(),
            terms,
        }
    }

    pub(crate) fn handle(&mut self, now: Moment, input: Input<'_>) {
        self.session.handle(now + self.clock, input);
    }

    pub(crate) fn subscribe(&mut self, now: Moment, target: &str, options: SubscribeOptions) {
        let id = self.session.subscribe(now + self.clock, &[Item { target: target.into() }], options);
        let reader = Reader::new(options.trades, !self.terms.small);
        self.subscriptions.push(Subscription { id, pattern: pattern(target), conflate_ms: options.conflate_ms, is_refused: false, reader });
        self.unsettle(now);
    }

    pub(crate) fn unsubscribe(&mut self, now: Moment, index: usize) {
        let gone = self.subscriptions.remove(index);
        self.session.unsubscribe(now + self.clock, gone.id);
        self.unsettle(now);
    }

    pub(crate) fn change_rate(&mut self, now: Moment, index: usize, conflate_ms: Option<u32>) {
        self.subscriptions[index].conflate_ms = conflate_ms;
        self.session.set_conflation(now + self.clock, self.subscriptions[index].id, conflate_ms);
        self.unsettle(now);
    }

    /// It connects anew, and wants everything again.
    pub(crate) fn reconnect(&mut self) {
        self.subscriptions.iter_mut().for_each(|subscription| subscription.is_refused = false);
    }

    /// What is on its way may be of before.
    pub(crate) fn unsettle(&mut self, now: Moment) {
        self.changed_at = now;
        self.dues.clear();
    }

    /// When it has to be driven.
    pub(crate) fn due(&self) -> Option<Moment> {
        let deadline = self.deadline.map(|at| at - self.clock);
        [deadline, self.opens_at, self.token.as_ref().map(|(_, at, _)| *at)].into_iter().flatten().min()
    }

    /// How long after its node a client on a good link may know of an instrument's news; `None` if it does not want it.
    pub(crate) fn late_max(&mut self, n: usize, market: &Market) -> Option<Duration> {
        self.find_dues(market);
        self.dues[n].slowest
    }

    /// All of these times, each once.
    pub(crate) fn late_maxes(&mut self, market: &Market) -> Vec<Duration> {
        self.find_dues(market);
        let mut all: Vec<Duration> = self.dues.iter().filter_map(|due| due.slowest).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The application reads at most `most` changes of each subscription. `wire`: its connection.
    pub(crate) fn read(&mut self, now: Moment, wire: Option<&Wire>, most: usize, market: &Market) -> Verdict {
        self.find_dues(market);
        let is_busy = self.paused || self.is_lazy;
        let settled_at = wire.map(|wire| wire.rough_at.max(self.changed_at) + SETTLED_AFTER + wire.drains_within());
        let calm_since = settled_at.filter(|at| !is_busy && *at < now);
        let intervals: &[Duration] = if wire.is_some_and(|wire| !wire.is_slow()) { &self.intervals } else { &[] };
        let mood = Mood { now, calm_since, intervals, paced: self.terms.paced };
        for subscription in &mut self.subscriptions {
            let verdict = subscription.reader.read(&mut self.session, subscription.id, most, market, mood);
            verdict.map_err(|error| format!("({}) {error}", subscription.pattern.as_str()))?;
        }
        Ok(())
    }

    fn find_dues(&mut self, market: &Market) {
        if self.dues.len() == market.instruments.len() {
            return;
        }
        let (two_way, standing, terms) = (self.two_way, self.standing, self.terms);
        let ruled = pattern(RULED);
        let due_of = |truth: &Truth| {
            let rule_ms = if ruled.matches(&truth.name) { terms.ruled_ms } else { 0 };
            let token_ms = if standing == "leisure" { LEISURE_MS } else { 0 };
            let granted = |asked: &Subscription| granted_ms(asked.conflate_ms.unwrap_or(250), rule_ms.max(token_ms));
            let covering = || self.subscriptions.iter().filter(|one| one.pattern.matches(&truth.name) && !one.is_refused);
            // A symbol may have a rate of its own beside its patterns, so the slowest counts here.
            let slowest = covering().map(granted).max().map(|ms| Duration::from_millis(u64::from(ms) * 9 / 8 + 450));
            // One request of a one-way client has one rate: the fastest that is wanted.
            let fastest = if two_way { covering().map(granted).min() } else { self.subscriptions.iter().map(granted).min() };
            Due { slowest, fastest: Duration::from_millis(fastest.unwrap_or(0).into()) }
        };
        self.dues = market.instruments.iter().map(due_of).collect();
        self.intervals = self.dues.iter().map(|due| due.fastest).collect();
    }
}

/// The rate class that a request gets.
fn granted_ms(asked_ms: u32, min_ms: u32) -> u32 {
    let wanted = asked_ms.max(min_ms);
    RATE_CLASSES_MS.into_iter().find(|class| *class >= wanted).unwrap_or(5_000)
}

/// Heartbeat that clients ask for.
const HEARTBEAT_MS: u32 = 1_000;
