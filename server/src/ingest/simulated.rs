//! The built-in market as a source: the same bytes as on RabbitMQ, without RabbitMQ.

use std::collections::VecDeque;
use std::time::Duration;

use prost::Message as _;
use tickwire_core::intake::Poison;
use tickwire_simulator::{Market, Publication};
use tokio::time::{Instant, sleep_until};

use super::clock::Clock;
use super::source::{FeedSource, LogMessage, SourceEvent};

/// Steps a market on the wall clock.
#[derive(Debug)]
pub(crate) struct Simulated {
    market: Market,
    clock: Clock,
    /// Time between two steps, at least.
    step: Duration,
    stepped_at: Instant,
    seq: u64,
    /// What has to be told before the market goes on. Four events at the start, then empty.
    ahead: VecDeque<SourceEvent>,
}

impl Simulated {
    /// A market that opens now: the lively one of `seed`, or `steady` symbols at a steady rate.
    pub(crate) fn new(seed: u64, steady: Option<(u32, u32)>, clock: Clock) -> Self {
        let unix_us = clock.unix_us();
        let mut market = match steady {
            Some((symbols, updates_per_s)) => Market::steady(symbols, updates_per_s, unix_us),
            None => Market::new(seed, unix_us),
        };
        let opening = market.opening();
        let (step, stepped_at) = (if steady.is_some() { STEADY_STEP } else { STEP }, Instant::now());
        // A market that starts anew is a new log, so its epoch is its start.
        let epoch = (unix_us / 1_000).to_string();
        let mut source =
            Self { market, clock, step, stepped_at, seq: 0, ahead: VecDeque::from([SourceEvent::Connected, SourceEvent::Reset { epoch }]) };
        let opening = source.number(opening);
        source.ahead.extend((!opening.is_empty()).then_some(SourceEvent::Messages(opening)));
        source.ahead.push_back(SourceEvent::CaughtUp);
        source
    }

    /// When the next thing happens, but not before the step is over. A market in which nothing happens any more is looked at now and then.
    fn next_step(&self) -> Instant {
        let due = self.market.due_us().map_or(STEP_MAX, |due_us| Duration::from_micros(due_us.saturating_sub(self.clock.unix_us())));
        (self.stepped_at + self.step).max(Instant::now() + due.min(STEP_MAX))
    }

    fn number(&mut self, publications: Vec<Publication>) -> Vec<LogMessage> {
        let messages = publications.into_iter().map(|publication| {
            self.seq += 1;
            LogMessage {
                seq: self.seq,
                routing_key: publication.symbol,
                content_type: Some(CONTENT_TYPE.to_owned()),
                content_encoding: None,
                body: publication.message.encode_to_vec(),
            }
        });
        messages.collect()
    }
}

impl FeedSource for Simulated {
    async fn next(&mut self) -> SourceEvent {
        if let Some(event) = self.ahead.pop_front() {
            return event;
        }
        loop {
            sleep_until(self.next_step()).await;
            self.stepped_at = Instant::now();
            let publications = self.market.step(self.clock.unix_us());
            if !publications.is_empty() {
                return SourceEvent::Messages(self.number(publications));
            }
        }
    }

    fn refuse(&mut self, _: &LogMessage, _: &[Poison]) {}
}

/// Time between two steps of the lively market.
const STEP: Duration = Duration::from_millis(10);
/// The same of the steady one: what it publishes at its times is not to arrive in batches, or writing them is what gets measured.
const STEADY_STEP: Duration = Duration::from_millis(1);
/// The longest sleep. The time of day may be set while a step sleeps.
const STEP_MAX: Duration = Duration::from_secs(1);
const CONTENT_TYPE: &str = "application/x-protobuf";
