//! A feed that falls silent in the middle of its prices: when do clients know?

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tickwire::v1::FeedHealth;
use tokio::time::sleep;

use super::Options;
use super::figure::{Figure, percentile};
use super::holder::Holder;
use super::oracle::{Market, Pace};
use super::place::Place;
use crate::progress;

/// Feeds with a sign of life every second, one after the other.
pub(super) async fn run(place: &Place, options: &Options) -> Result<Vec<Figure>> {
    let times = measure(place, SILENCES * options.rounds).await?;
    Ok(vec![Figure::at_most(
        format!("last message of a feed to STALE at a client, longest of {}", times.len()),
        3_500.0,
        percentile(&times, 1.0),
        "ms",
    )])
}

/// Mutes a feed `rounds` times, and returns how many milliseconds after its last price a client was told.
async fn measure(place: &Place, rounds: u32) -> Result<Vec<f64>> {
    let (url, names, pace) = (place.broker.url(), place.names(), Pace { symbols: 100, updates_per_s: 1_000, batch: 1 });
    let mut node = place.node(&names)?;
    node.open().await?;
    let mut holder = Holder::open(&node.http(), pace.symbols).await?;
    let mut times = Vec::new();
    for round in 1..=rounds {
        let began = Instant::now();
        let market = Market::open(&url, &names, pace)?;
        holder
            .wait("the feed is live", PATIENCE, |seen| {
                seen.last.is_some_and(|last| last > began) && seen.health() == Some(FeedHealth::Live)
            })
            .await?;
        // Not in step with the signs of life.
        sleep(UNDER_LOAD + Duration::from_millis(137) * (round % 8)).await;
        market.end().await?;
        let seen = holder.wait("the feed is stale", PATIENCE, |seen| seen.health() == Some(FeedHealth::Stale)).await?;
        let (last, stale) = (seen.last.context("prices came")?, seen.told(FeedHealth::Stale, began).context("it was told")?);
        let took = (stale - last).as_secs_f64() * 1e3;
        progress(&format!("mute, silence {round} of {rounds}: {took:.0} ms"));
        times.push(took);
    }
    Ok(times)
}

/// In each round.
const SILENCES: u32 = 3;
/// Of prices and signs of life before the silence.
const UNDER_LOAD: Duration = Duration::from_millis(1_500);
/// For anything to happen.
const PATIENCE: Duration = Duration::from_secs(60);
