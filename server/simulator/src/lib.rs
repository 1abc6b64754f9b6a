//! A seeded market of stocks, crypto and football: the same seed gives the same day.
//!
//! Pure: [`Market::step`] takes the time and gives messages with their routing keys, ready to be published or applied.
#![no_std]

extern crate alloc;

use alloc::string::String;
use alloc::vec::Vec;

use tickwire_proto::v1;

/// A lively market.
#[derive(Debug)]
pub struct Market {}

/// One message of the market.
#[derive(Clone, Debug, PartialEq)]
pub struct Publication {
    /// Routing key: the symbol.
    pub symbol: String,
    /// The body.
    pub message: v1::FeedMessage,
}

impl Market {
    /// A market at its opening, at the time of day `unix_us`.
    pub fn new(seed: u64, unix_us: u64) -> Self {
        let _ = (seed, unix_us);
        unimplemented!()
    }

    /// For measurements: `symbols` instruments `bench.S0` ..., `updates_per_s` quotes a second in turn, one update in a message.
    pub fn steady(symbols: u32, updates_per_s: u32, unix_us: u64) -> Self {
        let _ = (symbols, updates_per_s, unix_us);
        unimplemented!()
    }

    /// Announcements of all instruments, with a first image of each.
    pub fn opening(&mut self) -> Vec<Publication> {
        unimplemented!()
    }

    /// Everything that happens up to `unix_us`, in order.
    pub fn step(&mut self, unix_us: u64) -> Vec<Publication> {
        let _ = unix_us;
        unimplemented!()
    }
}
