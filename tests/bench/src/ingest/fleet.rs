//! Many servers that start at once, with a past to read.

use std::time::Instant;

use anyhow::{Result, ensure};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::Options;
use super::figure::{Figure, median};
use super::hand::{CHECKPOINT, Hand};
use super::oracle::{Market, Pace};
use super::place::Place;
use super::restart::checkpoint_of;
use crate::progress;

/// Eight servers, a minute of prices behind a checkpoint.
pub(super) async fn run(place: &Place, options: &Options) -> Result<Vec<Figure>> {
    let (url, names) = (place.broker.url(), place.names());
    checkpoint_of(place, &names, PACE.symbols).await?;
    let market = Market::open(&url, &names, PACE)?;
    // No faster than it would be: a log that was written slowly is slow to read.
    progress(&format!("fleet: publishes for {} s", options.past.as_secs()));
    sleep(options.past).await;
    market.pause().await?;
    let published = market.publisher.stats().messages;
    market.end().await?;
    let hand = Hand::open(&url, &names).await?;
    let checkpoint = hand.checkpoints().await?;
    let (mut times, mut cpu) = (Vec::new(), Vec::new());
    for round in 1..=options.rounds {
        // Those before may have written a newer one.
        hand.delete(CHECKPOINT).await?;
        hand.declare(CHECKPOINT).await?;
        hand.put_checkpoints(&checkpoint).await?;
        let (time, used) = start(place, &names, published).await?;
        progress(&format!("fleet, round {round}: {time:.0} ms, {used:.1} s of CPU"));
        times.push(time);
        cpu.push(used);
    }
    let name = format!("{NODES} servers started at once, {} s of 5,000 updates/s behind: all ready", options.past.as_secs());
    Ok(vec![Figure::at_most(name, 5_000.0, median(&times), "ms"), Figure::plain("  CPU of the servers until then", median(&cpu), "s")])
}

/// Starts all at once, and returns the milliseconds until the last was ready, and the seconds of CPU that all took.
async fn start(place: &Place, names: &str, published: u64) -> Result<(f64, f64)> {
    let nodes = (0..NODES).map(|_| place.node(names)).collect::<Result<Vec<_>>>()?;
    let began = Instant::now();
    let mut starting = JoinSet::new();
    for mut node in nodes {
        starting.spawn(async move {
            // To start is to wait until it listens, for which all need a thread.
            let node = tokio::task::spawn_blocking(move || node.start().map(|()| node)).await??;
            node.ready().await?;
            anyhow::Ok((node, Instant::now()))
        });
    }
    let (mut running, mut last) = (Vec::new(), began);
    while let Some(started) = starting.join_next().await {
        let (node, ready) = started??;
        last = last.max(ready);
        running.push(node);
    }
    let mut cpu = 0.0;
    for node in &running {
        cpu += node.meter()?.cpu()?.as_secs_f64();
    }
    for node in &running {
        let read = node.count("feed_messages").await?;
        ensure!(read >= published, "a server read {read} of {published} messages\n{}", node.log());
        node.check_calm().await?;
    }
    Ok(((last - began).as_secs_f64() * 1e3, cpu))
}

const NODES: usize = 8;
/// As the publisher kit does it.
const PACE: Pace = Pace { symbols: 10_000, updates_per_s: 5_000, batch: 50 };
