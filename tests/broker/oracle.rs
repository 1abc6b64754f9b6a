//! Prices that prove themselves: every field of a quote follows from its instrument and its version.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tickwire::publish::{Publisher, PublisherState};
use tickwire::v1::{Quote, Update, update::Body};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// The quote of instrument `index` at `version`, in mantissas at scales 2 and 0.
pub(crate) fn quote(index: i64, version: i64) -> Quote {
    let last = version * SYMBOLS + index;
    Quote { bid: Some(last - 1), ask: Some(last + 1), last: Some(last), volume: Some(version), ..Default::default() }
}

/// The version of a quote of `symbol`.
///
/// # Errors
/// It is no quote that was ever published.
pub(crate) fn version(symbol: &str, seen: &Quote) -> Result<i64, String> {
    let index: i64 = symbol.trim_start_matches("stock.S").parse().map_err(|_| format!("{symbol} is not ours"))?;
    let version = seen.volume.ok_or_else(|| format!("{symbol} has no volume: {seen:?}"))?;
    let told = Quote { bid: seen.bid, ask: seen.ask, last: seen.last, volume: seen.volume, ..Default::default() };
    if told == quote(index, version) { Ok(version) } else { Err(format!("{symbol} is torn: {told:?}")) }
}

/// A feed that publishes version after version through the kit until it is ended.
pub(crate) struct Feed {
    publisher: Publisher,
    go_on: Arc<AtomicBool>,
    narrowed: Arc<AtomicBool>,
    task: JoinHandle<HashMap<String, i64>>,
}

impl Feed {
    pub(crate) fn start(url: &str) -> Self {
        let publisher = Publisher::builder(url).name("oracle").alive("stock.alive", Duration::from_millis(500)).start().unwrap();
        let (go_on, narrowed) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
        let task = tokio::spawn(publish(publisher.clone(), go_on.clone(), narrowed.clone()));
        Self { publisher, go_on, narrowed, task }
    }

    /// From now on, half of the instruments say nothing more: what they said last has to arrive, and nothing makes up for it.
    pub(crate) fn narrow(&self) {
        self.narrowed.store(true, Ordering::Relaxed);
    }

    /// What the publisher is doing.
    pub(crate) fn states(&self) -> watch::Receiver<PublisherState> {
        self.publisher.states()
    }

    /// Stops changing prices, waits until everything is in the log, and returns the last version of every instrument. Signs of life go
    /// on until the publisher that is returned as well is dropped.
    pub(crate) async fn end(self) -> (HashMap<String, i64>, Publisher) {
        self.go_on.store(false, Ordering::Relaxed);
        (self.task.await.unwrap(), self.publisher)
    }
}

async fn publish(publisher: Publisher, go_on: Arc<AtomicBool>, narrowed: Arc<AtomicBool>) -> HashMap<String, i64> {
    let mut last = HashMap::new();
    let mut turn = 0;
    while go_on.load(Ordering::Relaxed) {
        for _ in 0..UPDATES_A_TURN {
            let (index, version) = (turn % SYMBOLS, turn / SYMBOLS + 1);
            turn += 1;
            if index % 2 == 1 && narrowed.load(Ordering::Relaxed) {
                continue;
            }
            let symbol = format!("stock.S{index}");
            let update = Update { ts_event_us: unix_us(), body: Some(Body::Quote(quote(index, version))), ..Default::default() };
            publisher.update(&symbol, update).await.unwrap();
            last.insert(symbol, version);
        }
        sleep(Duration::from_millis(5)).await;
    }
    publisher.flush().await.unwrap();
    last
}

fn unix_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64
}

/// Instruments of the feed.
pub(crate) const SYMBOLS: i64 = 40;
/// At 5 ms a turn: about 2,000 updates a second.
const UPDATES_A_TURN: usize = 10;
