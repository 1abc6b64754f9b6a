//! What a client has seen: its newest prices, the health of the feeds, and everything that was wrong.

use std::collections::HashMap;

use tickwire::v1::{FeedHealth, Quote, Status};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::honesty::Honesty;
use super::house::WITHIN;
use super::oracle;
use super::story::Story;

/// A client's picture, kept up by its task.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    pub(crate) quotes: HashMap<String, Quote>,
    pub(crate) versions: HashMap<String, i64>,
    /// Of the feed `stock`, without repeats.
    pub(crate) health: Vec<FeedHealth>,
    pub(crate) connections: u32,
    /// Of instruments with numbered events.
    stories: HashMap<String, Story>,
    honesty: Honesty,
    /// Of the log, and how often it changed.
    epoch: Option<String>,
    logs: u32,
    pub(crate) faults: Vec<String>,
}

impl View {
    /// A quote came. With `prove`, it has to be one of the oracle's, and not older than what was seen before, on any connection. One
    /// without fields says that a new log does not know it yet.
    pub(crate) fn quote(&mut self, symbol: &str, quote: Quote, prove: bool) {
        if symbol == oracle::CLOCK {
            if let Some(volume) = quote.volume {
                self.honesty.clock(quote.last.filter(|_| volume > 0));
            }
            return;
        }
        if prove && quote != Quote::default() {
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

    /// A status came, which is a numbered event of the oracle, or nothing that a new log knows.
    pub(crate) fn status(&mut self, symbol: &str, seq: u64, status: &Status, is_image: bool) {
        let Ok(number) = status.reason.parse::<i64>() else { return };
        let newest = self.versions.entry(symbol.to_owned()).or_default();
        *newest = number.max(*newest);
        if let Err(fault) = self.stories.entry(symbol.to_owned()).or_default().see(self.logs, seq, number, is_image) {
            self.faults.push(format!("{symbol}: {fault}"));
        }
    }

    /// The server told a loss of events.
    pub(crate) fn gap(&mut self, symbol: &str, from: u64, to: u64) {
        self.stories.entry(symbol.to_owned()).or_default().gap(self.logs, from, to);
    }

    /// The server named its log. A node that cannot say yet which it is gives images, as for another one.
    pub(crate) fn epoch(&mut self, epoch: &str) {
        if self.epoch.as_deref() != Some(epoch) {
            self.logs += u32::from(self.epoch.is_some());
            self.epoch = Some(epoch.to_owned());
        }
    }

    /// What came before cannot be compared with what follows.
    pub(crate) fn another_log(&mut self) {
        self.logs += 1;
    }

    /// A frame was read to its end.
    pub(crate) fn frame(&mut self) {
        self.honesty.frame(Instant::now(), oracle::unix_us() as i64 / 1_000, self.health.last() == Some(&FeedHealth::Live));
    }

    /// Gaps that were told for instruments with events.
    pub(crate) fn gaps(&self) -> usize {
        self.stories.values().map(Story::gaps).sum()
    }

    /// Lives of the log after the first.
    pub(crate) fn logs(&self) -> u32 {
        self.logs
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
    // Without what is long.
    let seen = || View { quotes: HashMap::new(), stories: HashMap::new(), ..view.borrow().clone() };
    assert!(met == Ok(true), "{what}: {:?}", seen());
}

/// Waits until the view has the last version of everything, and holds that nothing was ever wrong.
pub(crate) async fn wait_for_versions(view: &mut watch::Receiver<View>, who: &str, last: &HashMap<String, i64>) {
    wait_until(view, &format!("{who} sees the last versions {last:?}"), |view| view.versions == *last).await;
    assert_eq!(view.borrow().faults, Vec::<String>::new(), "{who}");
    assert_eq!(view.borrow().honesty.fault(), None, "{who}");
    let losses =
        |(symbol, story): (&String, &Story)| story.silent_losses().into_iter().map(|loss| format!("{symbol}: {loss}")).collect::<Vec<_>>();
    assert_eq!(view.borrow().stories.iter().flat_map(losses).collect::<Vec<_>>(), Vec::<String>::new(), "{who}");
}

/// Whether `part` appears in `health` in this order, with anything between.
pub(crate) fn passed_through(health: &[FeedHealth], part: &[FeedHealth]) -> bool {
    let mut rest = health.iter();
    part.iter().all(|wanted| rest.any(|seen| seen == wanted))
}
