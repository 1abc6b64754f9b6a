//! Tickwire's browser SDK: the client session, behind a border that is crossed by numbers, texts and bytes only.
//!
//! JavaScript owns what belongs to it — sockets, timers, page events, callbacks — and every decision is the session's. [`Core`] takes
//! inputs, and [`Core::poll`] says what to do until it says [`Step::Wait`]. Changes cross as one JSON text per batch: parsing that once is
//! several times faster than building objects property by property from here.

mod core;
mod json;
mod render;

pub use crate::core::{Core, Step};
