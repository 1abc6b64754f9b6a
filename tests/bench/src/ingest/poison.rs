//! A message in a thousand that cannot be used, for a minute at full speed: each is set aside, and the rest is not slowed.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

use super::Options;
use super::figure::Figure;
use super::load::{Load, Outgoing, Pace, waiting};
use super::market::single;
use super::node::Node;
use super::place::Place;
use crate::progress;

/// Clean and poisoned in turns of 10 s, each at its own server, so that a machine that changes its speed meanwhile counts less.
pub(super) async fn run(place: &Place, _options: &Options) -> Result<Vec<Figure>> {
    let (mut clean, mut poisoned) = (Feed::open(place, None).await?, Feed::open(place, Some(EVERY)).await?);
    for turn in 1..=TURNS {
        clean.turn().await?;
        poisoned.turn().await?;
        progress(&format!("poison, turn {turn} of {TURNS}: {:.0} messages/s clean, {:.0} poisoned", clean.per_s(), poisoned.per_s()));
    }
    let refused = poisoned.refused();
    let dead = dead(place, &poisoned.names, refused).await?;
    Ok(vec![
        Figure::at_least("throughput with 1 poison message in 1,000, over clean", 0.9, poisoned.per_s() / clean.per_s(), "×"),
        Figure::plain("  clean", clean.per_s(), "messages/s"),
        Figure::plain("  poisoned", poisoned.per_s(), "messages/s"),
        Figure::at_most(format!("  of {refused} poison messages, not in tickwire.dead"), 0.0, refused.abs_diff(dead) as f64, ""),
        Figure::at_most("  reconnects", 0.0, poisoned.node.count("broker_failures").await? as f64, ""),
    ])
}

/// A publisher at full speed, and the server that follows it.
struct Feed {
    names: String,
    node: Node,
    load: Load,
    /// Every so many messages one cannot be used.
    poison: Option<u64>,
    count: u64,
    took: Duration,
}

impl Feed {
    async fn open(place: &Place, poison: Option<u64>) -> Result<Self> {
        let names = place.names();
        let mut node = place.node(&names)?;
        node.open().await?;
        let load = place.load(&names).await?;
        Ok(Self { names, node, load, poison, count: 0, took: Duration::ZERO })
    }

    /// One turn, until its last message was taken.
    async fn turn(&mut self) -> Result<()> {
        let (before, poison, began) = (self.count, self.poison, Instant::now());
        self.count += self.load.publish_for(TURN, Pace::Full, |number| message(before + number, poison)).await?;
        self.node.counted("feed_messages", self.count, LOOK_EVERY).await?;
        self.took += began.elapsed();
        check(&self.node, self.count, self.refused()).await
    }

    fn refused(&self) -> u64 {
        self.poison.map_or(0, |every| self.count / every)
    }

    fn per_s(&self) -> f64 {
        self.count as f64 / self.took.as_secs_f64()
    }
}

/// Message `number`; the last of every `poison` cannot be used.
fn message(number: u64, poison: Option<u64>) -> Outgoing {
    let good = single(number);
    let is_poison = poison.is_some_and(|every| number % every == every - 1);
    // The beginning of a field, and never its end: no protobuf message.
    if is_poison { Outgoing { body: vec![0xff; good.body.len()], ..good } } else { good }
}

async fn check(node: &Node, count: u64, refused: u64) -> Result<()> {
    let (updates, poison) = (node.count("feed_updates").await?, node.count("feed_poison").await?);
    if (updates, poison) != (count - refused, refused) {
        bail!("of {count} messages with {refused} poison ones, {updates} were taken and {poison} refused");
    }
    Ok(())
}

/// Dead letters, once they are all there or time is up.
async fn dead(place: &Place, names: &str, wanted: u64) -> Result<u64> {
    let (queue, give_up) = (format!("{names}tickwire.dead"), Instant::now() + DEAD_WITHIN);
    loop {
        let found = waiting(&place.broker.url(), &queue).await?;
        if found >= wanted || Instant::now() >= give_up {
            return Ok(found);
        }
        sleep(LOOK_EVERY).await;
    }
}

/// One in so many is poison.
const EVERY: u64 = 1_000;
/// A minute of each, together.
const TURNS: u32 = 6;
const TURN: Duration = Duration::from_secs(10);
/// Time for the last dead letters.
const DEAD_WITHIN: Duration = Duration::from_secs(10);
/// Between two looks at how far the server is.
const LOOK_EVERY: Duration = Duration::from_millis(50);
