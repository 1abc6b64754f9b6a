//! Prices that prove themselves: every field of a quote follows from its instrument and its version.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tickwire::publish::{Publisher, PublisherState};
use tickwire::v1::{FeedMessage, Quote, Status, TradingPhase, Update, update::Body};
use tickwire_simulator::{prove, proven_quote};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// The quote of instrument `index` at `version`, in mantissas at scales 2 and 0.
pub(crate) fn quote(index: i64, version: i64) -> Quote {
    proven_quote(SYMBOLS, index, version)
}

/// The version of a quote of `symbol`.
///
/// # Errors
/// It is no quote that was ever published.
pub(crate) fn version(symbol: &str, seen: &Quote) -> Result<i64, String> {
    prove(SYMBOLS, symbol, seen).map(|(_, version)| version)
}

/// How a feed publishes.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    /// Of the names at the broker.
    pub(crate) names: &'static str,
    /// Updates in a turn of 5 ms.
    pub(crate) a_turn: usize,
    /// Whether each update is a message of its own.
    pub(crate) alone: bool,
}

impl Default for Load {
    /// About 2,000 updates a second, as many in a message as the kit likes.
    fn default() -> Self {
        Self { names: "", a_turn: 10, alone: false }
    }
}

/// A feed that publishes version after version through the kit until it is ended: quotes, events that are numbered per instrument, and its own
/// clock, by which clients find out whether they are lied to.
pub(crate) struct Feed {
    publisher: Publisher,
    wish: watch::Sender<Wish>,
    task: JoinHandle<HashMap<String, i64>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    GoOn,
    Narrow,
    Pause,
    End,
}

impl Feed {
    pub(crate) fn start(url: &str) -> Self {
        Self::load(url, Load::default())
    }

    pub(crate) fn load(url: &str, load: Load) -> Self {
        Self::load_at(&[url], load)
    }

    /// Publishes to the first of several brokers that takes it.
    pub(crate) fn load_at(urls: &[&str], load: Load) -> Self {
        let builder = urls[1..].iter().fold(Publisher::builder(urls[0]), |builder, url| builder.or_at(url));
        let builder = builder.name("oracle").exchange(&format!("{}tickwire.feed", load.names));
        let publisher = builder.alive("stock.alive", Duration::from_millis(500)).start().unwrap();
        let (wish, wishes) = watch::channel(Wish::GoOn);
        let turns = Turns { publisher: publisher.clone(), load, wishes, last: HashMap::new(), clock_at: Instant::now() };
        let task = tokio::spawn(turns.run());
        Self { publisher, wish, task }
    }

    /// From now on, half of the instruments say nothing more: what they said last has to arrive, and nothing makes up for it.
    pub(crate) fn narrow(&self) {
        self.wish.send_replace(Wish::Narrow);
    }

    /// From now on there are signs of life and the clock only. Returns when everything else is stored.
    pub(crate) async fn pause(&self) {
        self.wish.send_replace(Wish::Pause);
        // A turn may be under way.
        sleep(3 * TURN).await;
        self.publisher.flush().await.unwrap();
    }

    /// Prices change again.
    pub(crate) fn go_on(&self) {
        self.wish.send_replace(Wish::GoOn);
    }

    /// What the publisher is doing.
    pub(crate) fn states(&self) -> watch::Receiver<PublisherState> {
        self.publisher.states()
    }

    /// Messages that were published so far.
    pub(crate) fn messages(&self) -> u64 {
        self.publisher.stats().messages
    }

    /// Stops changing prices, waits until everything is in the log, and returns the last version of every instrument. Signs of life go
    /// on until the publisher that is returned as well is dropped.
    pub(crate) async fn end(self) -> (HashMap<String, i64>, Publisher) {
        self.wish.send_replace(Wish::End);
        (self.task.await.unwrap(), self.publisher)
    }
}

struct Turns {
    publisher: Publisher,
    load: Load,
    wishes: watch::Receiver<Wish>,
    last: HashMap<String, i64>,
    /// When the clock is due.
    clock_at: Instant,
}

impl Turns {
    async fn run(mut self) -> HashMap<String, i64> {
        let mut turn = 0;
        loop {
            if self.clock_at <= Instant::now() {
                self.clock_at = Instant::now() + CLOCK_EVERY;
                self.tell_clock(true).await;
            }
            let wish = *self.wishes.borrow();
            match wish {
                Wish::End => break,
                Wish::Pause => {}
                Wish::GoOn | Wish::Narrow => {
                    for _ in 0..self.load.a_turn {
                        let (index, version) = (turn % SYMBOLS, turn / SYMBOLS + 1);
                        turn += 1;
                        if index % 2 == 1 && wish == Wish::Narrow {
                            continue;
                        }
                        self.publish(format!("stock.S{index}"), version, Body::Quote(quote(index, version))).await;
                        if index == 0 {
                            let (at, number) = (version % EVENT_SYMBOLS, version / EVENT_SYMBOLS + 1);
                            self.publish(format!("stock.E{at}"), number, Body::Status(event(number))).await;
                        }
                    }
                }
            }
            sleep(TURN).await;
        }
        self.tell_clock(false).await;
        self.publisher.flush().await.unwrap();
        self.last
    }

    async fn tell_clock(&self, runs: bool) {
        let reading = Quote { last: Some(unix_us() as i64 / 1_000), volume: Some(i64::from(runs)), ..Default::default() };
        self.publisher.update(CLOCK, Update { body: Some(Body::Quote(reading)), ..Default::default() }).await.unwrap();
    }

    async fn publish(&mut self, symbol: String, version: i64, body: Body) {
        let update = Update { ts_event_us: unix_us(), body: Some(body), ..Default::default() };
        if self.load.alone {
            self.publisher.message(&symbol, FeedMessage { updates: vec![update], ..Default::default() }).await.unwrap();
        } else {
            self.publisher.update(&symbol, update).await.unwrap();
        }
        self.last.insert(symbol, version);
    }
}

/// The event with a number.
fn event(number: i64) -> Status {
    let phase = if number % 2 == 0 { TradingPhase::Halted } else { TradingPhase::Open };
    Status { phase: phase as i32, reason: number.to_string(), ..Default::default() }
}

pub(crate) fn unix_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64
}

/// Instruments of the feed with quotes.
pub(crate) const SYMBOLS: i64 = 40;
/// Instruments of the feed with numbered events.
const EVENT_SYMBOLS: i64 = 4;
/// Instruments of the feed.
pub(crate) const INSTRUMENTS: usize = (SYMBOLS + EVENT_SYMBOLS) as usize;
/// The clock of the feed: milliseconds since 1970 as its last price, and whether it runs as its volume.
pub(crate) const CLOCK: &str = "stock.CLOCK";
const CLOCK_EVERY: Duration = Duration::from_millis(250);
/// Between two turns of the feed.
const TURN: Duration = Duration::from_millis(5);
