//! Tickwire's schema, wire types, codec and client session.
//!
//! Everything here is pure: time, randomness and bytes come in as arguments, decisions go out as values. The crate is `no_std` with
//! `alloc`, so a clock, a socket or a thread does not even compile in it.
#![no_std]

extern crate alloc;

pub mod code;
pub mod decimal;
pub mod image;
pub mod json;
#[doc(hidden)]
pub mod planted;
pub mod session;
pub mod symbol;
pub mod time;
mod view;
pub mod wire;

/// Messages of the schema `tickwire.v1`, generated from `proto/tickwire/v1/`.
#[allow(missing_docs, clippy::all, unreachable_pub)]
pub mod v1 {
    include!("generated/tickwire.v1.rs");
}

pub use code::Retry;
pub use decimal::{Price, Scale};
pub use symbol::{Pattern, Symbol};
pub use time::Moment;
