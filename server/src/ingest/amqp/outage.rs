//! What the log of this program says about a broker that is away.

use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use super::failure::Failure;

/// Says once that the broker is away, and again from time to time.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    since: Option<Instant>,
    said: Option<Instant>,
}

impl Outage {
    /// A connection failed.
    pub(crate) fn log(&mut self, failure: &Failure) {
        let since = *self.since.get_or_insert_with(Instant::now);
        if self.said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
            self.said = Some(Instant::now());
            match failure.advice() {
                Some(to_do) => warn!(to_do, cause = %failure, "the broker refuses the feed; tries again every 5 s until that is mended"),
                None => warn!(cause = %failure, for_s = since.elapsed().as_secs(), "the broker is away; keeps trying"),
            }
        }
    }

    /// The broker is there.
    pub(crate) fn over(&mut self) {
        *self = Self::default();
    }
}

/// Between two log lines about the same outage.
const SAY_EVERY: Duration = Duration::from_secs(10);
