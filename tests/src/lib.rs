//! What several of the whole-system test programs share.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod authority;

pub use authority::Authority;
