//! A market that proves itself: every field of a quote follows from its symbol and its version.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Error, Result};
use tickwire::publish::{Publisher, PublisherState};
use tickwire::v1::{FeedMessage, Quote, Update, update::Body};
use tickwire_simulator::proven_quote;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

/// The quote of symbol `index` of `symbols` at `version`, in mantissas at scales 2 and 0.
pub(super) fn quote(symbols: usize, index: usize, version: i64) -> Quote {
    proven_quote(symbols as i64, index as i64, version)
}

/// Symbol and version of a quote.
///
/// # Errors
/// It was never published.
pub(super) fn prove(symbols: usize, symbol: &str, seen: &Quote) -> Result<(usize, i64)> {
    let (index, version) = tickwire_simulator::prove(symbols as i64, symbol, seen).map_err(Error::msg)?;
    Ok((usize::try_from(index)?, version))
}

/// How a market publishes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) symbols: usize,
    /// Updates a second.
    pub(super) updates_per_s: usize,
    /// Updates in a message.
    pub(super) batch: usize,
}

/// A market that publishes version after version until it ends.
pub(super) struct Market {
    pub(super) publisher: Publisher,
    pace: Pace,
    wish: watch::Sender<Wish>,
    turns: JoinHandle<Result<()>>,
    versions: Arc<Mutex<Vec<i64>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    GoOn,
    Narrow,
    Pause,
    End,
}

impl Market {
    /// Publishes to the exchange of `names` from now on, with a sign of life every second.
    pub(super) fn open(url: &str, names: &str, pace: Pace) -> Result<Self> {
        let builder = Publisher::builder(url).name("market").exchange(&format!("{names}tickwire.feed"));
        let publisher = builder.alive("stock.alive", ALIVE_EVERY).start()?;
        let versions = Arc::new(Mutex::new(vec![0; pace.symbols]));
        let (wish, wishes) = watch::channel(Wish::GoOn);
        let turns = Turns { publisher: publisher.clone(), pace, wishes, versions: versions.clone(), turn: 0 };
        Ok(Self { publisher, pace, wish, turns: tokio::spawn(turns.run()), versions })
    }

    /// From now on, half of the symbols say nothing more: what they said last has to arrive, and nothing makes up for it.
    pub(super) fn narrow(&self) {
        self.wish.send_replace(Wish::Narrow);
    }

    /// All symbols change again.
    pub(super) fn go_on(&self) {
        self.wish.send_replace(Wish::GoOn);
    }

    /// From now on there are signs of life only. Returns when everything else is stored, with the last version of every symbol.
    pub(super) async fn pause(&self) -> Result<Vec<i64>> {
        self.wish.send_replace(Wish::Pause);
        // The turn that is under way holds the versions while it publishes them; those behind it publish nothing.
        tokio::time::sleep(3 * TURN).await;
        self.publisher.flush().await?;
        Ok(lock(&self.versions).clone())
    }

    /// What the publisher is doing.
    pub(super) fn states(&self) -> watch::Receiver<PublisherState> {
        self.publisher.states()
    }

    /// Bytes of one of its messages, without what AMQP adds.
    pub(super) fn message_bytes(&self) -> usize {
        use prost::Message as _;
        let updates = (0..self.pace.batch).map(|index| update(self.pace.symbols, index, 1_000, self.pace.batch > 1)).collect();
        FeedMessage { updates, publisher: "market".to_owned(), publisher_seq: 1_000_000, ts_publish_us: unix_us(), ..Default::default() }
            .encoded_len()
    }

    /// Falls silent for good; what was published is still stored.
    pub(super) async fn end(self) -> Result<()> {
        self.wish.send_replace(Wish::End);
        self.turns.await?
    }
}

struct Turns {
    publisher: Publisher,
    pace: Pace,
    wishes: watch::Receiver<Wish>,
    versions: Arc<Mutex<Vec<i64>>>,
    turn: usize,
}

impl Turns {
    async fn run(mut self) -> Result<()> {
        let mut ticks = interval(TURN);
        // What could not be published while the broker was away is not made up for.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut owed = 0;
        loop {
            ticks.tick().await;
            let wish = *self.wishes.borrow();
            match wish {
                Wish::End => return Ok(()),
                Wish::Pause => continue,
                Wish::GoOn | Wish::Narrow => {}
            }
            owed += self.pace.updates_per_s * TURN.as_millis() as usize;
            while owed >= self.pace.batch * 1_000 && *self.wishes.borrow() == wish {
                owed -= self.pace.batch * 1_000;
                self.publish(wish == Wish::Narrow).await?;
            }
        }
    }

    async fn publish(&mut self, narrow: bool) -> Result<()> {
        let Pace { symbols, batch, .. } = self.pace;
        let mut updates = Vec::with_capacity(batch);
        while updates.len() < batch {
            let index = self.turn % symbols;
            self.turn += 1;
            if narrow && index % 2 == 1 {
                continue;
            }
            let version = {
                let mut versions = lock(&self.versions);
                versions[index] += 1;
                versions[index]
            };
            updates.push(update(symbols, index, version, batch > 1));
        }
        let key = format!("stock.S{}", (self.turn - 1) % symbols);
        Ok(self.publisher.message(&key, FeedMessage { updates, ..Default::default() }).await?)
    }
}

fn update(symbols: usize, index: usize, version: i64, is_named: bool) -> Update {
    let symbol = if is_named { format!("stock.S{index}") } else { String::new() };
    Update { symbol, ts_event_us: unix_us(), body: Some(Body::Quote(quote(symbols, index, version))), ..Default::default() }
}

fn lock(versions: &Mutex<Vec<i64>>) -> MutexGuard<'_, Vec<i64>> {
    versions.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unix_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

/// Between two turns.
const TURN: Duration = Duration::from_millis(5);
/// Between two signs of life.
const ALIVE_EVERY: Duration = Duration::from_secs(1);
