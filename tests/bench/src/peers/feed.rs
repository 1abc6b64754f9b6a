//! What the peers are fed with: the steady market, each update by itself at its time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tickwire_load::Stamp;

use super::peer::Publisher;
use crate::floor::Market;

/// A feed under way, on a thread of its own. A server that takes messages slowly slows it.
pub(super) struct Feed {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<std::io::Result<f64>>,
}

impl Feed {
    /// Publishes `rate` updates a second of `market` instruments in turn.
    pub(super) fn start(mut publisher: Box<dyn Publisher>, market: u32, rate: u32) -> Result<Self> {
        let ended = Arc::new(AtomicBool::new(false));
        let end = ended.clone();
        let publish = move || {
            let (mut market, start, mut published) = (Market::new(market, rate), Instant::now(), 0_u32);
            while !end.load(Ordering::Relaxed) {
                std::thread::sleep(market.due().saturating_duration_since(Instant::now()).min(NAP_MAX));
                while market.due() <= Instant::now() && !end.load(Ordering::Relaxed) {
                    let index = market.step(Stamp::now());
                    publisher.publish(index, market.record(index))?;
                    market.settle();
                    published += 1;
                }
            }
            Ok(f64::from(published) / start.elapsed().as_secs_f64())
        };
        let thread = std::thread::Builder::new().name("feed".into()).spawn(publish).context("no thread for the feed")?;
        Ok(Self { ended, thread })
    }

    /// Ends it. Returns how many updates a second it published.
    ///
    /// # Errors
    /// The server did not take them.
    pub(super) fn end(self) -> Result<f64> {
        self.ended.store(true, Ordering::Relaxed);
        match self.thread.join() {
            Ok(published) => published.context("the feed could not go on publishing"),
            Err(_) => bail!("the feed panicked"),
        }
    }
}

/// The longest sleep, so that the end is noticed.
const NAP_MAX: Duration = Duration::from_millis(20);
