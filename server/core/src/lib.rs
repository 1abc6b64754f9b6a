//! Tickwire's engine: book, lanes, outboxes, server session and feed health.
//!
//! Pure: bytes, time and tokens come in as arguments, decisions go out as values or through a [`Sink`](engine::Sink). One [`Engine`]
//! serves the connections of one shard, with a replica of the book of its own.
#![no_std]

extern crate alloc;

pub mod access;
pub mod batch;
pub mod bucket;
pub mod checkpoint;
pub mod engine;
pub mod health;
pub mod intake;
mod scales;
pub mod watch;

pub use batch::{Batch, Entry, InstrumentId};
pub use engine::Engine;
