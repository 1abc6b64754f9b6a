//! A seeded market of stocks, crypto and football: the same seed gives the same day.
//!
//! Pure: [`Market::step`] takes the time and gives messages with their routing keys, ready to be published or applied. How the time is
//! cut into steps makes no difference, and there is no floating point number in it, so a seed means the same on every machine.
#![no_std]

extern crate alloc;

use alloc::collections::BinaryHeap;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Reverse;

use tickwire_proto::v1;

mod catalogue;
mod fixture;
mod listing;
mod outbox;
mod proof;
mod random;
mod steady;
mod walk;

use catalogue::{ALIVE_INTERVAL_MS, CRYPTOS, FEEDS, PAIRINGS, STOCKS};
use fixture::Fixture;
use listing::Listing;
use outbox::Outbox;
use random::Random;
use steady::Steady;

pub use proof::{prove, proven_quote};
pub use steady::steady_price;

/// A lively market.
#[derive(Debug)]
pub struct Market {
    start_us: u64,
    actors: Vec<Actor>,
    /// Who acts next: time, then place in `actors`, so that the order is the same on every machine.
    agenda: BinaryHeap<Reverse<(u64, usize)>>,
    out: Outbox,
}

/// One message of the market.
#[derive(Clone, Debug, PartialEq)]
pub struct Publication {
    /// Routing key: the symbol.
    pub symbol: String,
    /// The body.
    pub message: v1::FeedMessage,
}

/// Whoever has something to say. Each has randomness of its own.
#[derive(Debug)]
enum Actor {
    Listing(alloc::boxed::Box<Listing>),
    Fixture(alloc::boxed::Box<Fixture>),
    Steady(Steady),
    /// The sign of life of a feed.
    Alive(&'static str),
}

impl Market {
    /// A market at its opening, at the time of day `unix_us`.
    pub fn new(seed: u64, unix_us: u64) -> Self {
        let mut market = Self::empty(unix_us);
        for feed in FEEDS {
            market.join(Actor::Alive(feed), unix_us);
        }
        for (number, spec) in (1..).zip(STOCKS.iter().chain(&CRYPTOS)) {
            let mut random = Random::of(seed, number);
            // Not all at once: the first updates spread over the first quarter of a second.
            let first_us = unix_us + 1 + random.below(FIRST_WITHIN_US);
            market.join(Actor::Listing(Listing::new(spec, random, unix_us).into()), first_us);
        }
        for (number, pairing) in (0_u32..).zip(&PAIRINGS) {
            let mut random = Random::of(seed, 1_000 + u64::from(number));
            let first_us = unix_us + 1 + random.below(FIRST_WITHIN_US);
            // The matches are at different minutes, so that there is always one that ends soon.
            market.join(Actor::Fixture(Fixture::new(pairing, random, number * MINUTES_APART).into()), first_us);
        }
        market
    }

    /// For measurements: `symbols` instruments `bench.S0` ..., `updates_per_s` quotes a second in turn, one update in a message.
    ///
    /// The `n`-th update of a symbol (from 1; the opening is 0) has `trades` = n and `last` = [`steady_price`].
    pub fn steady(symbols: u32, updates_per_s: u32, unix_us: u64) -> Self {
        let mut market = Self::empty(unix_us);
        market.join(Actor::Alive("bench.alive"), unix_us);
        let steady = Steady::new(symbols, updates_per_s, unix_us);
        let due_us = steady.due();
        market.actors.push(Actor::Steady(steady));
        market.agenda.extend(due_us.map(|due_us| Reverse((due_us, 1))));
        market
    }

    /// Announcements of all instruments, with a first image of each.
    pub fn opening(&mut self) -> Vec<Publication> {
        for actor in &mut self.actors {
            match actor {
                Actor::Listing(listing) => listing.open(self.start_us, &mut self.out),
                Actor::Fixture(fixture) => fixture.open(self.start_us, &mut self.out),
                Actor::Steady(steady) => steady.open(self.start_us, &mut self.out),
                Actor::Alive(_) => {}
            }
        }
        self.out.take()
    }

    /// Everything that happens up to `unix_us`, in order. At most [`PUBLICATIONS_MAX`] messages; the rest comes with the next step.
    pub fn step(&mut self, unix_us: u64) -> Vec<Publication> {
        while let Some(&Reverse((due_us, index))) = self.agenda.peek() {
            if due_us > unix_us || self.out.len() >= PUBLICATIONS_MAX {
                break;
            }
            self.agenda.pop();
            let next_us = match &mut self.actors[index] {
                Actor::Listing(listing) => Some(listing.act(due_us, &mut self.out)),
                Actor::Fixture(fixture) => Some(fixture.act(due_us, &mut self.out)),
                Actor::Steady(steady) => {
                    steady.act(due_us, &mut self.out);
                    steady.due()
                }
                Actor::Alive(symbol) => {
                    self.out.alive(due_us, symbol, ALIVE_INTERVAL_MS);
                    Some(due_us + u64::from(ALIVE_INTERVAL_MS) * 1_000)
                }
            };
            self.agenda.extend(next_us.map(|next_us| Reverse((next_us, index))));
        }
        self.out.take()
    }

    /// When something happens next. `None`: never.
    pub fn due_us(&self) -> Option<u64> {
        self.agenda.peek().map(|Reverse((due_us, _))| *due_us)
    }

    fn empty(start_us: u64) -> Self {
        Self { start_us, actors: Vec::new(), agenda: BinaryHeap::new(), out: Outbox::default() }
    }

    fn join(&mut self, actor: Actor, first_us: u64) {
        self.agenda.push(Reverse((first_us, self.actors.len())));
        self.actors.push(actor);
    }
}

/// Messages of one step. After a long pause (a suspended laptop) the market catches up in several steps.
pub const PUBLICATIONS_MAX: usize = 50_000;
/// First updates come within this.
const FIRST_WITHIN_US: u64 = 250_000;
/// Match minutes between the matches at the opening.
const MINUTES_APART: u32 = 8;

#[cfg(test)]
mod tests;
