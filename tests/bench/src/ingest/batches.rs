//! Updates a second through the server into a book of 10,000 instruments: a message for each, and 50 in a message.

use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::time::Instant;

use super::Options;
use super::figure::{Figure, median};
use super::load::Pace;
use super::market::Market;
use super::place::Place;
use crate::progress;

/// Both at full speed, in interleaved rounds.
pub(super) async fn run(place: &Place, options: &Options) -> Result<Vec<Figure>> {
    let (mut alone, mut batched) = (Vec::new(), Vec::new());
    for round in 1..=options.rounds {
        alone.push(measure(place, 1, ALONE_MESSAGES).await?);
        batched.push(measure(place, BATCH, BATCHED_MESSAGES).await?);
        let [alone, batched] = [&alone, &batched].map(|all| all[all.len() - 1].per_s);
        progress(&format!("batches, round {round}: {alone:.0} updates/s alone, {batched:.0} in batches"));
    }
    let of = |all: &[Speed], figure: fn(&Speed) -> f64| median(&all.iter().map(figure).collect::<Vec<_>>());
    let (alone_per_s, batched_per_s) = (of(&alone, |speed| speed.per_s), of(&batched, |speed| speed.per_s));
    Ok(vec![
        Figure::at_least("updates/s with 50 in a message over those with one", 20.0, batched_per_s / alone_per_s, "×"),
        Figure::plain("  one in a message", alone_per_s, "updates/s"),
        Figure::plain("  server CPU for each", of(&alone, |speed| speed.cpu_us), "µs"),
        Figure::at_least("updates/s in batches into 10,000 symbols, 2 shards", 500_000.0, batched_per_s, "updates/s"),
        Figure::plain("  server CPU for each", of(&batched, |speed| speed.cpu_us), "µs"),
    ])
}

/// How fast updates came, and what each cost the server.
struct Speed {
    per_s: f64,
    cpu_us: f64,
}

/// From the first message published until every shard has applied the last one.
async fn measure(place: &Place, updates_each: u64, messages: u64) -> Result<Speed> {
    let names = place.names();
    let mut node = place.node(&names)?;
    node.open().await?;
    let load = place.load(&names).await?;
    let mut market = Market::new(SYMBOLS, updates_each);
    let warm_up = market.turn();
    load.publish(warm_up, Pace::Full, |number| market.message(number)).await?;
    node.counted("updates_applied", SHARDS * warm_up * updates_each, LOOK_EVERY).await?;

    let meter = node.meter()?;
    let (began, before) = (Instant::now(), meter.cpu()?);
    load.publish(messages, Pace::Full, |number| market.message(warm_up + number)).await?;
    let all = SHARDS * (warm_up + messages) * updates_each;
    let applied = node.counted("updates_applied", all, LOOK_EVERY).await?;
    let (took, used) = (began.elapsed(), meter.cpu()? - before);
    ensure!(applied == all, "{applied} updates were applied of {all}");
    node.check_calm().await?;
    let updates = (messages * updates_each) as f64;
    Ok(Speed { per_s: updates / took.as_secs_f64(), cpu_us: used.as_secs_f64() * 1e6 / updates })
}

const SYMBOLS: u64 = 10_000;
const SHARDS: u64 = 2;
const BATCH: u64 = 50;
const ALONE_MESSAGES: u64 = 60_000;
const BATCHED_MESSAGES: u64 = 30_000;
/// Between two looks at how far the shards are.
const LOOK_EVERY: Duration = Duration::from_millis(5);
