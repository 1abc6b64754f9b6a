//! The whole state of one instrument, and how updates change it: one place for the book of a server and the table of a client.

use alloc::vec::Vec;

use crate::v1;

/// The newest values of one instrument, by kind of body.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Image {
    /// Prices, if it has any.
    pub quote: Option<v1::Quote>,
    /// What the market says, if anything was said.
    pub status: Option<v1::Status>,
    /// The match, for events.
    pub score: Option<v1::Score>,
    /// Outcomes, for sports markets.
    pub odds: Option<v1::Odds>,
    /// The newest bar of each length, shortest first. At most [`BARS_MAX`].
    pub bars: Vec<v1::Bar>,
}

impl Image {
    /// Applies a delta or an image (`IMAGE` replaces the whole body of its kind). Trades change nothing here. Idempotent.
    ///
    /// The caller guards by `seq`.
    pub fn apply(&mut self, update: &v1::Update) {
        let _ = update;
        unimplemented!()
    }
}

/// Bar lengths per instrument. A further length replaces nothing and is refused.
pub const BARS_MAX: usize = 16;
