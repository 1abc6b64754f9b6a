//! The laws of the feed side and of the engine: what holds for every stream. `docs/testing.md` lists them all.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod extremes;
mod intake;
