//! Every metric, declared in one place.

/// All counters of this process.
#[derive(Debug, Default)]
pub struct Metrics {}
