//! The built-in market as a source: the same bytes as on RabbitMQ, without RabbitMQ.

use std::collections::VecDeque;
use std::time::Duration;

use prost::Message as _;
use tickwire_core::intake::Poison;
use tickwire_simulator::{Market, Publication};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::clock::Clock;
use super::source::{FeedSource, LogMessage, SourceEvent};

/// Steps a market on the wall clock.
#[derive(Debug)]
pub(crate) struct Simulated {
    market: Market,
    clock: Clock,
    steps: Interval,
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
        let mut steps = interval(STEP);
        steps.set_missed_tick_behavior(MissedTickBehavior::Skip);
        // A market that starts anew is a new log, so its epoch is its start.
        let epoch = (unix_us / 1_000).to_string();
        let mut source =
            Self { market, clock, steps, seq: 0, ahead: VecDeque::from([SourceEvent::Connected, SourceEvent::Reset { epoch }]) };
        let opening = source.number(opening);
        source.ahead.extend((!opening.is_empty()).then_some(SourceEvent::Messages(opening)));
        source.ahead.push_back(SourceEvent::CaughtUp);
        source
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
            self.steps.tick().await;
            let publications = self.market.step(self.clock.unix_us());
            if !publications.is_empty() {
                return SourceEvent::Messages(self.number(publications));
            }
        }
    }

    fn refuse(&mut self, _: &LogMessage, _: &[Poison]) {}
}

/// Time between two steps of the market.
const STEP: Duration = Duration::from_millis(10);
const CONTENT_TYPE: &str = "application/x-protobuf";
