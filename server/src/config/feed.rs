//! The settings of the feed side.

use super::check::Checker;
use crate::ingest::{FeedConfig, FeedSourceConfig};

/// Checks everything below `feed`.
pub(super) fn check(checker: &mut Checker<'_>) -> FeedConfig {
    let source = if checker.text("feed.source") == "simulated" {
        let (symbols, rate) = (checker.number("feed.simulated.steady_symbols") as u32, checker.number("feed.simulated.steady_rate") as u32);
        if (symbols == 0) != (rate == 0) {
            checker.problem("feed.simulated.steady_rate", "and steady_symbols go together: both 0, or both more");
        }
        FeedSourceConfig::Simulated { seed: checker.number("feed.simulated.seed"), steady: (symbols > 0).then_some((symbols, rate)) }
    } else {
        let url = checker.text("feed.amqp.url");
        if !url.starts_with("amqp://") && !url.starts_with("amqps://") {
            checker.problem("feed.amqp.url", "does not start with amqp:// or amqps://");
        }
        FeedSourceConfig::Amqp { url }
    };
    FeedConfig { source }
}
