//! A server that is stopped for a while under load: what piles up in it, and how long until it has read what it missed.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::time::sleep;

use super::Options;
use super::figure::{Figure, median, percentile};
use super::oracle::{Market, Pace};
use super::place::Place;
use crate::progress;

/// Ten seconds, again and again.
pub(super) async fn run(place: &Place, options: &Options) -> Result<Vec<Figure>> {
    let (stops, grown_bytes_max) = measure(place, options.rounds).await?;
    let of = |figure: fn(&Stop) -> f64| stops.iter().map(figure).collect::<Vec<_>>();
    let grown = percentile(&of(|stop| stop.grown_bytes as f64 / 1e6), 1.0);
    Ok(vec![
        Figure::at_most(
            "server stopped for 10 s at 10,000 messages/s: growth of its memory, largest",
            grown_bytes_max as f64 / 1e6,
            grown,
            "MB",
        ),
        Figure::at_most("  until it has caught up", 10_000.0, median(&of(|stop| stop.caught_up.as_secs_f64() * 1e3)), "ms"),
        Figure::plain("  messages that it had missed", median(&of(|stop| stop.behind as f64)), ""),
    ])
}

/// One stop.
#[derive(Clone, Copy, Debug)]
struct Stop {
    /// By how much its memory grew, at the most.
    grown_bytes: u64,
    /// Until it had read what was published so far.
    caught_up: Duration,
    /// Messages that it had to read for that.
    behind: u64,
}

/// Stops a server `rounds` times; says also by how many bytes it may grow.
async fn measure(place: &Place, rounds: u32) -> Result<(Vec<Stop>, u64)> {
    let names = place.names();
    let mut node = place.node(&names)?;
    node.open().await?;
    let market = Market::open(&place.broker.url(), &names, PACE)?;
    let meter = node.meter()?;
    // To write a checkpoint and to hear of it takes memory that is used again.
    node.counted("checkpoints_written", CHECKPOINTS, LOOK_EVERY).await?;
    let published = || market.publisher.stats().confirmed;
    let grown_bytes_max = PREFETCH * market.message_bytes() as u64 + GROWTH_BYTES;
    let mut stops = Vec::new();
    for round in 1..=rounds {
        sleep(UNDER_LOAD).await;
        let before = meter.resident_bytes()?;
        node.signal("STOP")?;
        let taken_from = published();
        sleep(STOPPED).await;
        let behind = published() - taken_from;
        node.signal("CONT")?;
        let (began, mut most) = (Instant::now(), before);
        let caught_up = loop {
            let taken = node.count("feed_messages").await?;
            most = most.max(meter.resident_bytes()?);
            if taken + LAG_MAX >= published() {
                break began.elapsed();
            }
            ensure!(began.elapsed() < PATIENCE, "the server does not catch up: it has read {taken} of {}", published());
            sleep(LOOK_EVERY).await;
        };
        ensure!(node.count("broker_failures").await? == 0, "the broker gave the server up");
        let stop = Stop { grown_bytes: most - before, caught_up, behind };
        progress(&format!("stopped, round {round}: {stop:?}"));
        stops.push(stop);
    }
    market.end().await?;
    Ok((stops, grown_bytes_max))
}

/// Each update is a message of its own.
const PACE: Pace = Pace { symbols: 10_000, updates_per_s: 10_000, batch: 1 };
const STOPPED: Duration = Duration::from_secs(10);
/// Messages that the broker delivers without an acknowledgement.
const PREFETCH: u64 = 1_000;
/// What else may grow.
const GROWTH_BYTES: u64 = 10_000_000;
/// Before the first stop.
const CHECKPOINTS: u64 = 2;
/// A server that is so few messages behind has caught up.
const LAG_MAX: u64 = 1_000;
/// Of undisturbed load before a stop.
const UNDER_LOAD: Duration = Duration::from_secs(5);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// For the server to catch up.
const PATIENCE: Duration = Duration::from_secs(120);
