//! Many servers that start at once, with a past to read.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tickwire_load::Meter;
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
    let mut starts = Vec::new();
    for round in 1..=options.rounds {
        // Those before may have written a newer one.
        hand.delete(CHECKPOINT).await?;
        hand.declare(CHECKPOINT).await?;
        hand.put_checkpoints(&checkpoint).await?;
        let start = start(place, &names, published).await?;
        progress(&format!("fleet, round {round}: {start:.2?}"));
        starts.push(start);
    }
    let of = |figure: fn(&Start) -> Duration| median(&starts.iter().map(|start| figure(start).as_secs_f64()).collect::<Vec<_>>());
    let name = format!("{NODES} servers started at once, {} s of 5,000 updates/s behind: all ready", options.past.as_secs());
    Ok(vec![
        Figure::at_most(name, 5_000.0, of(|start| start.ready) * 1e3, "ms"),
        Figure::plain("  CPU of the servers until then", of(|start| start.servers), "s"),
        Figure::plain("  CPU of the broker until then", of(|start| start.broker), "s"),
    ])
}

/// One start of all.
#[derive(Clone, Copy, Debug)]
struct Start {
    /// Until the last was ready.
    ready: Duration,
    /// CPU of all servers until then.
    servers: Duration,
    /// CPU of the broker until then.
    broker: Duration,
}

/// Starts all at once.
async fn start(place: &Place, names: &str, published: u64) -> Result<Start> {
    let broker = Meter::new(vec![place.broker.pid()?])?;
    let nodes = (0..NODES).map(|_| place.node(names)).collect::<Result<Vec<_>>>()?;
    let (began, before) = (Instant::now(), broker.cpu()?);
    let mut starting = JoinSet::new();
    for mut node in nodes {
        starting.spawn(async move {
            // To start is to wait until it listens, for which all need a thread.
            let node = tokio::task::spawn_blocking(move || node.start().map(|()| node)).await??;
            node.ready_within(LOOK_EVERY).await?;
            anyhow::Ok((node, Instant::now()))
        });
    }
    let (mut running, mut last) = (Vec::new(), began);
    while let Some(started) = starting.join_next().await {
        let (node, ready) = started??;
        last = last.max(ready);
        running.push(node);
    }
    let broker = broker.cpu()?.saturating_sub(before);
    let mut servers = Duration::ZERO;
    for node in &running {
        servers += node.meter()?.cpu()?;
    }
    for node in &running {
        let read = node.count("feed_messages").await?;
        ensure!(read >= published, "a server read {read} of {published} messages\n{}", node.log());
        node.check_calm().await?;
    }
    Ok(Start { ready: last - began, servers, broker })
}

const NODES: usize = 8;
/// Between two looks whether a server is ready. Every 5 ms, eight that wait would spend a sixth of the two cores on answers.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// As the publisher kit does it.
const PACE: Pace = Pace { symbols: 10_000, updates_per_s: 5_000, batch: 50 };
