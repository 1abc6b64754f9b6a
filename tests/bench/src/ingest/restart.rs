//! A server with many symbols that starts from a checkpoint.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::Options;
use super::figure::{Figure, median};
use super::hand::{CHECKPOINT, Hand};
use super::holder::Holder;
use super::node::LOOK_EVERY;
use super::oracle::{Market, Pace};
use super::place::Place;
use crate::progress;

/// Starts with one checkpoint at the broker, and with as many as it keeps.
pub(super) async fn run(place: &Place, options: &Options) -> Result<Vec<Figure>> {
    let names = place.names();
    checkpoint_of(place, &names, SYMBOLS).await?;
    let alone = measure(place, &names, options.rounds).await?;
    let hand = Hand::open(&place.broker.url(), &names).await?;
    let parts = hand.checkpoints().await?;
    hand.put_checkpoints(std::iter::repeat_n(&parts, REPEATS).flatten()).await?;
    let behind_others = measure(place, &names, options.rounds).await?;
    Ok(vec![
        Figure::at_most("start from a checkpoint of 100,000 symbols to ready", 2_000.0, median(&alone), "ms"),
        Figure::at_most("  the same, if the broker has kept 50 MB of checkpoints", 2_000.0, median(&behind_others), "ms"),
    ])
}

/// Starts a server `rounds` times, and returns how many milliseconds each took to be ready.
async fn measure(place: &Place, names: &str, rounds: u32) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    for round in 1..=rounds {
        let mut node = place.node(names)?;
        let began = Instant::now();
        node.open().await?;
        let took = began.elapsed();
        progress(&format!("restart, round {round}: {} ms, {} ms of CPU", took.as_millis(), node.meter()?.cpu()?.as_millis()));
        let read = node.count("feed_messages").await?;
        ensure!(read <= REPLAYED_MAX, "the server read {read} messages: it did not start from the checkpoint\n{}", node.log());
        if round == 1 {
            let mut holder = Holder::open(&node.http(), SYMBOLS).await?;
            let seen = holder.wait("all symbols are there", PATIENCE, |seen| seen.known == SYMBOLS).await?;
            ensure!(seen.corrupt == 0, "{:?}", seen.fault);
        }
        times.push(took.as_secs_f64() * 1e3);
    }
    Ok(times)
}

/// Leaves a checkpoint of a whole market, and no server.
pub(super) async fn checkpoint_of(place: &Place, names: &str, symbols: usize) -> Result<()> {
    let mut node = place.node(names)?;
    node.open().await?;
    let url = place.broker.url();
    let market = Market::open(&url, names, Pace { symbols, updates_per_s: symbols.max(10_000), batch: 100 })?;
    let mut holder = Holder::open(&node.http(), symbols).await?;
    holder.wait("all symbols have a price", PATIENCE, |seen| seen.known == symbols).await?;
    market.pause().await?;
    market.end().await?;
    drop(holder);
    node.kill()?;
    // A server that finds no checkpoint writes one within two seconds, instead of after a minute.
    Hand::open(&url, names).await?.delete(CHECKPOINT).await?;
    node.open().await?;
    node.counted("checkpoints_written", 1, LOOK_EVERY).await?;
    Ok(())
}

const SYMBOLS: usize = 100_000;
/// Of a checkpoint of 100,000 symbols: more than the 50 MB that the broker keeps.
const REPEATS: usize = 20;
/// Messages that may come behind a checkpoint of a market that is silent.
const REPLAYED_MAX: u64 = 10;
/// For anything to happen.
const PATIENCE: Duration = Duration::from_secs(120);
