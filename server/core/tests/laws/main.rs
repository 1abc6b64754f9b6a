//! The laws of the feed side and of the engine: what holds for every stream. `docs/testing.md` lists them all.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod extremes;
mod intake;

use tickwire_core::intake::IntakeConfig;
use tickwire_proto::Scale;

/// An intake with nothing but limits.
fn intake_config() -> IntakeConfig {
    IntakeConfig {
        routing_prefix: String::new(),
        price_scale: Scale::default(),
        quantity_scale: Scale::default(),
        body_bytes_max: 1 << 20,
        updates_max: 1_000,
        instruments_max: 10,
        rules: Vec::new(),
        mappings: Vec::new(),
    }
}
