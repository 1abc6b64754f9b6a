//! A football match with its market: goals, cards, suspensions, VAR, half-time, the final whistle, settlement, and then the next match.
//!
//! Match time runs [`PACE`] times as fast as the clock, so that a viewer sees goals.

use tickwire_proto::v1::{self, AssetClass, TradingPhase, UpdateFlag, update::Body};

use crate::catalogue::Pairing;
use crate::outbox::{Outbox, delta, image, status};
use crate::random::Random;

mod chances;
mod market;

use market::Market;

/// One pairing, match after match.
#[derive(Debug)]
pub(crate) struct Fixture {
    pairing: &'static Pairing,
    random: Random,
    stage: Stage,
    /// Played seconds, 0 to 5,400.
    clock_s: u32,
    home: Side,
    away: Side,
    market: Market,
}

#[derive(Debug, Default)]
struct Side {
    goals: u32,
    yellows: i64,
    reds: i64,
    corners: i64,
}

/// What comes next.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// The teams are announced.
    PreMatch,
    Playing,
    /// The market is suspended, and the referee looks at the goal.
    Goal {
        of_home: bool,
    },
    HalfTime,
    /// The result stands, the market has to be settled.
    FullTime,
    Settled,
}

impl Fixture {
    /// A match that is in its `minute`-th minute, still without goals.
    pub(crate) fn new(pairing: &'static Pairing, random: Random, minute: u32) -> Self {
        let [home, away] = [Side::default(), Side::default()];
        Self { pairing, random, stage: Stage::Playing, clock_s: minute * 60, home, away, market: Market::default() }
    }

    /// Announces match and market with their whole state.
    pub(crate) fn open(&mut self, now_us: u64, out: &mut Outbox) {
        let pairing = self.pairing;
        let event = v1::InstrumentInfo {
            symbol: pairing.symbol.into(),
            asset_class: AssetClass::SportEvent as i32,
            display_name: alloc::format!("{} – {}", pairing.home, pairing.away),
            ..Default::default()
        };
        let score = image(now_us, Body::Score(self.score(true)));
        out.announce(now_us, event, [score, status(now_us, TradingPhase::Open, "", None)].into());
        let market = v1::InstrumentInfo {
            symbol: pairing.market.into(),
            asset_class: AssetClass::SportMarket as i32,
            price_scale: 2,
            quantity_scale: 2,
            currency: "GBP".into(),
            display_name: alloc::format!("{} – {}: match odds", pairing.home, pairing.away),
            outcome_names: [(1, pairing.home.into()), (2, "Draw".into()), (3, pairing.away.into())].into(),
            ..Default::default()
        };
        let odds = image(now_us, Body::Odds(self.odds()));
        out.announce(now_us, market, [odds, status(now_us, TradingPhase::Open, "", None)].into());
    }

    /// Something happens; returns when the next thing does.
    pub(crate) fn act(&mut self, now_us: u64, out: &mut Outbox) -> u64 {
        let (stage, wait_us) = match self.stage {
            Stage::PreMatch => self.kick_off(now_us, out),
            Stage::Playing => self.play(now_us, out),
            Stage::Goal { of_home } => self.decide_goal(now_us, of_home, out),
            Stage::HalfTime => self.second_half(now_us, out),
            Stage::FullTime => self.settle(now_us, out),
            Stage::Settled => self.start_over(now_us, out),
        };
        self.stage = stage;
        now_us + wait_us
    }

    fn kick_off(&mut self, now_us: u64, out: &mut Outbox) -> (Stage, u64) {
        self.say_score(now_us, true, out);
        out.publish(now_us, self.pairing.symbol, [status(now_us, TradingPhase::Open, "kick-off", None)].into());
        self.say_market(now_us, TradingPhase::Open, "kick-off", out);
        (Stage::Playing, STEP_US)
    }

    fn play(&mut self, now_us: u64, out: &mut Outbox) -> (Stage, u64) {
        self.clock_s += STEP_CLOCK_S;
        if self.clock_s == HALF_S {
            self.say_score(now_us, false, out);
            out.publish(now_us, self.pairing.symbol, [status(now_us, TradingPhase::Open, "half-time", None)].into());
            return (Stage::HalfTime, HALF_TIME_US);
        }
        if self.clock_s >= 2 * HALF_S {
            return self.end(now_us, out);
        }
        for of_home in [true, false] {
            let milligoals = if of_home { self.pairing.home_milligoals } else { self.pairing.away_milligoals };
            if self.random.below(STEPS * 1_000) < milligoals {
                return self.goal(now_us, of_home, out);
            }
        }
        self.count_small_things();
        self.say_score(now_us, true, out);
        self.say_odds(now_us, out);
        (Stage::Playing, STEP_US)
    }

    fn goal(&mut self, now_us: u64, of_home: bool, out: &mut Outbox) -> (Stage, u64) {
        // The market stops before the goal is known, as a bookmaker would have it.
        self.say_market(now_us, TradingPhase::Suspended, "goal", out);
        self.side(of_home).goals += 1;
        let goal = v1::Update { flags: UpdateFlag::Event as u32, ..delta(now_us, Body::Score(self.score(true))) };
        out.publish(now_us, self.pairing.symbol, [goal].into());
        (Stage::Goal { of_home }, VAR_US)
    }

    fn decide_goal(&mut self, now_us: u64, of_home: bool, out: &mut Outbox) -> (Stage, u64) {
        let is_taken_back = self.random.once_in(VAR_ONCE_IN);
        if is_taken_back {
            let side = self.side(of_home);
            side.goals = side.goals.saturating_sub(1);
            let correction = UpdateFlag::Correction as u32;
            let score = v1::Update { flags: correction, ..delta(now_us, Body::Score(self.score(true))) };
            out.publish(now_us, self.pairing.symbol, [score].into());
        }
        self.say_odds(now_us, out);
        self.say_market(now_us, TradingPhase::Open, if is_taken_back { "goal disallowed" } else { "goal stands" }, out);
        (Stage::Playing, STEP_US)
    }

    fn second_half(&mut self, now_us: u64, out: &mut Outbox) -> (Stage, u64) {
        self.clock_s += STEP_CLOCK_S;
        self.say_score(now_us, true, out);
        out.publish(now_us, self.pairing.symbol, [status(now_us, TradingPhase::Open, "second half", None)].into());
        (Stage::Playing, STEP_US)
    }

    fn end(&mut self, now_us: u64, out: &mut Outbox) -> (Stage, u64) {
        self.say_market(now_us, TradingPhase::Closed, "full time", out);
        let score = v1::Score { r#final: Some(true), ..self.score(false) };
        let updates = [delta(now_us, Body::Score(score)), status(now_us, TradingPhase::Closed, "full time", None)];
        out.publish(now_us, self.pairing.symbol, updates.into());
        (Stage::FullTime, SETTLE_US)
    }

    fn settle(&mut self, now_us: u64, out: &mut Outbox) -> (Stage, u64) {
        let results = self.market.results(self.home.goals, self.away.goals);
        let updates = [delta(now_us, Body::Odds(results)), status(now_us, TradingPhase::Settled, "settled", None)];
        out.publish(now_us, self.pairing.market, updates.into());
        (Stage::Settled, NEXT_MATCH_US)
    }

    /// The same teams meet again: images, so that nothing of the old match is left.
    fn start_over(&mut self, now_us: u64, out: &mut Outbox) -> (Stage, u64) {
        (self.home, self.away, self.market) = (Side::default(), Side::default(), Market::default());
        self.clock_s = 0;
        let pre_match = status(now_us, TradingPhase::PreOpen, "next match", Some(now_us + PRE_MATCH_US));
        let score = v1::Score { r#final: Some(false), ..self.score(false) };
        out.publish(now_us, self.pairing.symbol, [image(now_us, Body::Score(score)), pre_match.clone()].into());
        let odds = image(now_us, Body::Odds(self.odds()));
        out.publish(now_us, self.pairing.market, [odds, pre_match].into());
        (Stage::PreMatch, PRE_MATCH_US)
    }

    fn count_small_things(&mut self) {
        let of_home = self.random.once_in(2);
        let (corner, yellow, red) = (self.random.once_in(36), self.random.once_in(90), self.random.once_in(2_000));
        let side = self.side(of_home);
        side.corners += i64::from(corner);
        side.yellows += i64::from(yellow);
        side.reds += i64::from(red);
    }

    fn say_score(&self, now_us: u64, is_running: bool, out: &mut Outbox) {
        out.publish(now_us, self.pairing.symbol, [delta(now_us, Body::Score(self.score(is_running)))].into());
    }

    fn say_odds(&mut self, now_us: u64, out: &mut Outbox) {
        let odds = self.odds();
        out.publish(now_us, self.pairing.market, [delta(now_us, Body::Odds(odds))].into());
    }

    fn say_market(&self, now_us: u64, phase: TradingPhase, reason: &str, out: &mut Outbox) {
        out.publish(now_us, self.pairing.market, [status(now_us, phase, reason, None)].into());
    }

    fn score(&self, is_running: bool) -> v1::Score {
        let counts = [
            ("corners", self.home.corners, self.away.corners),
            ("red_cards", self.home.reds, self.away.reds),
            ("yellow_cards", self.home.yellows, self.away.yellows),
        ];
        let extra =
            counts.iter().flat_map(|(name, home, away)| [(alloc::format!("home_{name}"), *home), (alloc::format!("away_{name}"), *away)]);
        v1::Score {
            home: Some(self.home.goals),
            away: Some(self.away.goals),
            period: Some(if self.clock_s <= HALF_S { 1 } else { 2 }),
            clock_s: Some(self.clock_s),
            clock_running: Some(is_running),
            in_play: Some(is_running),
            r#final: None,
            extra: extra.collect(),
        }
    }

    fn odds(&mut self) -> v1::Odds {
        let left = u64::from((2 * HALF_S).saturating_sub(self.clock_s));
        let rest = |milligoals: u64| milligoals * left / u64::from(2 * HALF_S);
        let goals = [rest(self.pairing.home_milligoals), rest(self.pairing.away_milligoals)];
        let shares = chances::of_result(self.home.goals, self.away.goals, goals);
        self.market.odds(shares, &mut self.random)
    }

    fn side(&mut self, is_home: bool) -> &mut Side {
        if is_home { &mut self.home } else { &mut self.away }
    }
}

/// Match seconds per second.
const PACE: u64 = 30;
/// Time between two looks at a match.
const STEP_US: u64 = 500_000;
/// The same in match time.
const STEP_CLOCK_S: u32 = (STEP_US * PACE / 1_000_000) as u32;
/// Length of a half in match time.
const HALF_S: u32 = 2_700;
/// Looks at one match.
const STEPS: u64 = 2 * HALF_S as u64 / STEP_CLOCK_S as u64;
/// How long the referee looks at a goal.
const VAR_US: u64 = 3_000_000;
/// Goals for one that is taken back.
const VAR_ONCE_IN: u64 = 6;
const HALF_TIME_US: u64 = 8_000_000;
/// From the final whistle to the settlement.
const SETTLE_US: u64 = 4_000_000;
/// From the settlement to the next match's announcement.
const NEXT_MATCH_US: u64 = 8_000_000;
/// From there to kick-off.
const PRE_MATCH_US: u64 = 6_000_000;
