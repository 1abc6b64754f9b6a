//! What applications read: the newest state of an instrument, and what changed. How it reads is in `view.rs`.

use alloc::sync::Arc;

use crate::image::Image;
use crate::symbol::Symbol;
use crate::v1;

/// Everything known about one instrument, newest values only.
#[derive(Clone, Debug, PartialEq)]
pub struct Instrument {
    /// Its name.
    pub symbol: Symbol,
    /// What is known apart from prices.
    pub info: Arc<v1::InstrumentInfo>,
    /// Its newest values. In a [`Change::State`], `interval_high` and `interval_low` are the extremes of `last` over everything that
    /// was merged into this change, by the server or here; unset if nothing was.
    pub image: Image,
    /// Position of the newest record. Single trades do not count.
    pub seq: u64,
    /// When its newest record happened, microseconds since 1970 UTC by the server's clock.
    pub ts_event_us: u64,
    /// Inputs merged into the newest record, beyond the first; in a [`Change::State`], into everything since the previous one.
    pub merged: u32,
}

/// What [`Session::next_change`](super::Session::next_change) gives: always the newest state, never a backlog.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[expect(clippy::large_enum_variant, reason = "one at a time is handed over by value; none is stored")]
pub enum Change {
    /// The state of an instrument changed. The whole newest state comes along.
    State(Instrument),
    /// Something that is never conflated: a halt, a final score, a settlement, a correction, a closed bar, a single trade.
    Event {
        /// Which instrument.
        symbol: Symbol,
        /// What happened.
        update: v1::Update,
        /// The state of the instrument after it.
        instrument: Instrument,
    },
    /// Events of this instrument were lost between two positions.
    Gap {
        /// Which instrument.
        symbol: Symbol,
        /// Last position before the loss.
        from: u64,
        /// First position after it.
        to: u64,
    },
}
