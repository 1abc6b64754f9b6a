//! The laws of the wire and of merging: what holds for every message and every order. `docs/testing.md` lists them all.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod encoding;
mod merging;
#[allow(dead_code, reason = "the codec's tests use the rest")]
#[path = "../codec/messages.rs"]
mod messages;
#[path = "../codec/splicing.rs"]
mod splicing;
