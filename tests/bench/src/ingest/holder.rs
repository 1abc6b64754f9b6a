//! A client of the Rust SDK that judges all it is told.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tickwire::v1::FeedHealth;
use tickwire::{Change, Client, Event};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::oracle::prove;

/// A client that holds a whole market.
pub(super) struct Holder {
    seen: watch::Receiver<Seen>,
    task: JoinHandle<()>,
}

/// What it has been told.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Newest version of each symbol; 0: none.
    pub(super) versions: Vec<i64>,
    /// Symbols that have a version.
    pub(super) known: usize,
    /// When the last state came.
    pub(super) last: Option<Instant>,
    /// Every health of the feed, and when it was told.
    pub(super) healths: Vec<(FeedHealth, Instant)>,
    /// Gaps told.
    pub(super) gaps: u64,
    /// States that were never published.
    pub(super) corrupt: u64,
    /// States older than one told before.
    pub(super) backward: u64,
    /// The first of both kinds, in words.
    pub(super) fault: Option<String>,
    /// Another log was told.
    pub(super) resets: u64,
}

impl Seen {
    fn take(&mut self, change: Change) {
        match change {
            Change::State(instrument) => {
                // A state without fields says that a new log does not know the instrument yet.
                let Some(quote) = instrument.image.quote.filter(|quote| *quote != Default::default()) else { return };
                match prove(self.versions.len(), instrument.symbol.as_str(), &quote) {
                    Ok((index, version)) => self.note(index, version),
                    Err(error) => {
                        self.corrupt += 1;
                        self.fault.get_or_insert(error.to_string());
                    }
                }
                self.last = Some(Instant::now());
            }
            Change::Gap { .. } => self.gaps += 1,
            _ => {}
        }
    }

    fn note(&mut self, index: usize, version: i64) {
        let Some(held) = self.versions.get_mut(index) else { return };
        self.known += usize::from(*held == 0);
        if version < *held {
            self.backward += 1;
            self.fault.get_or_insert(format!("stock.S{index} goes back from {held} to {version}"));
        }
        *held = version;
    }

    /// The health told last.
    pub(super) fn health(&self) -> Option<FeedHealth> {
        self.healths.last().map(|(health, _)| *health)
    }

    /// When `health` was first told after `since`.
    pub(super) fn told(&self, health: FeedHealth, since: Instant) -> Option<Instant> {
        self.healths.iter().find(|(told, at)| *told == health && *at >= since).map(|(_, at)| *at)
    }

    /// Symbols of which it holds another version than `last`.
    pub(super) fn missing(&self, last: &[i64]) -> usize {
        self.versions.iter().zip(last).filter(|(held, last)| held != last).count()
    }
}

impl Holder {
    /// Subscribes to all of a market of `symbols`.
    pub(super) async fn open(url: &str, symbols: usize) -> Result<Self> {
        let builder = Client::builder(url).conflation(Duration::ZERO).backoff(Duration::from_millis(50), Duration::from_secs(1));
        let client = builder.connect_lazily().await?;
        let (mut events, mut changes) = (client.events(), client.subscribe(["stock.#"]).await?);
        let (tell, seen) = watch::channel(Seen { versions: vec![0; symbols], ..Default::default() });
        let task = tokio::spawn(async move {
            let _stays = client;
            loop {
                tokio::select! {
                    Some(event) = events.next() => match event {
                        Event::Feed(feed) => tell.send_modify(|seen| seen.healths.push((feed.health(), Instant::now()))),
                        Event::Error(error) if !error.epoch.is_empty() => tell.send_modify(|seen| seen.resets += 1),
                        _ => {}
                    },
                    Some(change) = changes.next() => tell.send_modify(|seen| seen.take(change)),
                    else => return,
                }
            }
        });
        Ok(Self { seen, task })
    }

    /// Waits until what it was told is as wanted.
    ///
    /// # Errors
    /// It is not within `within`; says what was told instead.
    pub(super) async fn wait(&mut self, what: &str, within: Duration, wanted: impl FnMut(&Seen) -> bool) -> Result<watch::Ref<'_, Seen>> {
        let met = timeout(within, self.seen.wait_for(wanted)).await.map(|met| met.is_ok());
        match met {
            Ok(true) => {}
            Ok(false) => bail!("the client has ended"),
            Err(_) => {
                let Seen { known, healths, corrupt, backward, fault, .. } = &*self.seen.borrow();
                bail!(
                    "the client does not see that {what}: it knows {known} symbols, was told {:?}, {corrupt} corrupt, {backward} backward {}",
                    healths.last(),
                    fault.as_deref().unwrap_or_default()
                )
            }
        }
        Ok(self.seen.borrow())
    }

    /// What it has been told so far.
    pub(super) fn seen(&self) -> watch::Ref<'_, Seen> {
        self.seen.borrow()
    }

    /// Waits for a state that came after now.
    pub(super) async fn next_state(&mut self, within: Duration) -> Result<Instant> {
        let since = Instant::now();
        let seen = self.wait("a price changes", within, |seen| seen.last.is_some_and(|last| last > since)).await?;
        seen.last.context("a price has changed")
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.task.abort();
    }
}
