//! Both encodings against each other, against prost and serde_json, and against the golden vectors.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod feeds;
mod frames;
mod messages;
mod properties;
mod splicing;
mod vectors;
