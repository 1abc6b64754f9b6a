//! What a client has seen: its newest prices, the health of the feeds, and everything that was wrong.

use std::collections::HashMap;

use tickwire::v1::{FeedHealth, Quote};
use tokio::sync::watch;
use tokio::time::timeout;

use super::house::WITHIN;
use super::oracle;

/// A client's picture, kept up by its task.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    pub(crate) quotes: HashMap<String, Quote>,
    pub(crate) versions: HashMap<String, i64>,
    /// Of the feed `stock`, without repeats.
    pub(crate) health: Vec<FeedHealth>,
    /// Losses that were told, over all instruments.
    pub(crate) gaps: u32,
    pub(crate) connections: u32,
    pub(crate) faults: Vec<String>,
}

impl View {
    /// A quote came. With `prove`, it has to be one of the oracle's, and not older than what was seen before, on any connection.
    pub(crate) fn quote(&mut self, symbol: &str, quote: Quote, prove: bool) {
        if prove {
            match oracle::version(symbol, &quote) {
                Ok(version) => {
                    let before = self.versions.insert(symbol.to_owned(), version).unwrap_or(0);
                    if version < before {
                        self.faults.push(format!("{symbol} goes back from {before} to {version}"));
                    }
                }
                Err(fault) => self.faults.push(fault),
            }
        }
        self.quotes.insert(symbol.to_owned(), quote);
    }

    pub(crate) fn health(&mut self, feed: &str, health: FeedHealth) {
        if feed == "stock" && self.health.last() != Some(&health) {
            self.health.push(health);
        }
    }
}

/// Waits until the view is as wanted.
pub(crate) async fn wait_until(view: &mut watch::Receiver<View>, what: &str, wanted: impl Fn(&View) -> bool) {
    let met = timeout(WITHIN, view.wait_for(wanted)).await.map(|met| met.is_ok());
    assert!(met == Ok(true), "{what}: {:?}", view.borrow());
}

/// Waits until the view has the last version of everything, and holds that nothing was ever wrong.
pub(crate) async fn wait_for_versions(view: &mut watch::Receiver<View>, who: &str, last: &HashMap<String, i64>) {
    wait_until(view, &format!("{who} sees the last versions {last:?}"), |view| view.versions == *last).await;
    assert_eq!(view.borrow().faults, Vec::<String>::new(), "{who}");
}

/// Whether `part` appears in `health` in this order, with anything between.
pub(crate) fn passed_through(health: &[FeedHealth], part: &[FeedHealth]) -> bool {
    let mut rest = health.iter();
    part.iter().all(|wanted| rest.any(|seen| seen == wanted))
}
