//! What a message of 60 bytes costs: the server's whole CPU beside that of a bare consumer of the same log.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::Options;
use super::bare::Bare;
use super::figure::{Figure, median};
use super::load::Pace;
use super::market::single as message;
use super::place::Place;
use crate::progress;

/// CPU for each message at two paces, in interleaved rounds.
pub(super) async fn run(place: &Place, options: &Options) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (name, pace, count) in [("full speed", Pace::Full, 60_000), ("5,000/s", Pace::PerSecond(5_000), 20_000)] {
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        for round in 1..=options.rounds {
            ours.push(server(place, pace, count).await?);
            bare.push(consumer(place, pace, count).await?);
            progress(&format!(
                "single, {name}, round {round}: {:.2} µs, a bare consumer {:.2} µs",
                ours[ours.len() - 1],
                bare[bare.len() - 1]
            ));
        }
        let (ours, bare) = (median(&ours), median(&bare));
        figures.push(Figure::at_most(format!("CPU per 60-byte message over a bare consumer's, {name}"), 1.5, ours / bare, "×"));
        figures.push(Figure::plain(format!("  server, {name}"), ours, "µs"));
        figures.push(Figure::plain(format!("  bare consumer, {name}"), bare, "µs"));
    }
    Ok(figures)
}

/// Microseconds of a server with two shards and no clients.
async fn server(place: &Place, pace: Pace, count: u64) -> Result<f64> {
    let names = place.names();
    let mut node = place.node(&names)?;
    node.open().await?;
    let load = place.load(&names).await?;
    load.publish(WARM_UP, pace, message).await?;
    node.counted("feed_updates", WARM_UP, LOOK_EVERY).await?;
    let meter = node.meter()?;
    let before = meter.cpu()?;
    load.publish(count, pace, |number| message(WARM_UP + number)).await?;
    let updates = node.counted("feed_updates", WARM_UP + count, LOOK_EVERY).await?;
    let used = meter.cpu()? - before;
    ensure!(updates == WARM_UP + count, "{updates} updates were accepted of {}", WARM_UP + count);
    node.check_calm().await?;
    Ok(used.as_secs_f64() * 1e6 / count as f64)
}

/// Microseconds of a consumer that does nothing with what comes.
async fn consumer(place: &Place, pace: Pace, count: u64) -> Result<f64> {
    let names = place.names();
    // It makes the log.
    let mut node = place.node(&names)?;
    node.open().await?;
    node.kill()?;
    let load = place.load(&names).await?;
    let mut bare = Bare::start(&place.broker.url(), &names)?;
    bare.expect(WARM_UP)?;
    load.publish(WARM_UP, pace, message).await?;
    bare.done()?;
    let meter = bare.meter()?;
    let before = meter.cpu()?;
    bare.expect(count)?;
    load.publish(count, pace, |number| message(WARM_UP + number)).await?;
    bare.done()?;
    Ok((meter.cpu()? - before).as_secs_f64() * 1e6 / count as f64)
}

/// Before anything is counted: the server has met every instrument, and pages are in memory.
const WARM_UP: u64 = 5_000;
/// Between two looks at how far the server is; each costs it some tens of microseconds.
const LOOK_EVERY: Duration = Duration::from_millis(50);
