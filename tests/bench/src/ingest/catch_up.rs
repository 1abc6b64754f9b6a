//! How fast a server reads a past, beside how fast it follows a publisher at full speed. Single messages of 60 bytes.

use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::time::{Instant, sleep};

use super::Options;
use super::figure::{Figure, median};
use super::load::Pace;
use super::market::single;
use super::node::Node;
use super::place::Place;
use crate::progress;

/// Both in interleaved rounds.
pub(super) async fn run(place: &Place, options: &Options) -> Result<Vec<Figure>> {
    let (mut live, mut past) = (Vec::new(), Vec::new());
    for round in 1..=options.rounds {
        live.push(live_per_s(place).await?);
        past.push(past_per_s(place).await?);
        let (live, past) = (live[live.len() - 1], past[past.len() - 1]);
        progress(&format!("catch-up, round {round}: {live:.0} messages/s live, {past:.0} of a past"));
    }
    let (live, past) = (median(&live), median(&past));
    Ok(vec![
        Figure::at_least("catch-up over the live full-speed rate", 1.3, past / live, "×"),
        Figure::plain("  live at full speed", live, "messages/s"),
        Figure::plain("  catch-up", past, "messages/s"),
    ])
}

/// From the first message published until the last one was taken.
async fn live_per_s(place: &Place) -> Result<f64> {
    let names = place.names();
    let mut node = place.node(&names)?;
    node.open().await?;
    let load = place.load(&names).await?;
    let began = Instant::now();
    load.publish(LIVE_MESSAGES, Pace::Full, single).await?;
    node.counted("feed_updates", LIVE_MESSAGES, LOOK_EVERY).await?;
    let took = began.elapsed();
    node.check_calm().await?;
    Ok(LIVE_MESSAGES as f64 / took.as_secs_f64())
}

/// Of messages that were published while no server ran: no checkpoint shortens the way. Counted from the first look at which some had been
/// taken, so that connecting does not count.
async fn past_per_s(place: &Place) -> Result<f64> {
    let names = place.names();
    let mut node = place.node(&names)?;
    // It makes the log.
    node.open().await?;
    node.kill()?;
    place.load(&names).await?.publish(PAST_MESSAGES, Pace::Full, single).await?;
    node.start()?;
    let first = first_count(&node).await?;
    let began = Instant::now();
    let last = node.counted("feed_updates", PAST_MESSAGES, LOOK_EVERY).await?;
    let took = began.elapsed();
    ensure!(last == PAST_MESSAGES, "{last} updates were taken of {PAST_MESSAGES}");
    ensure!(first <= PAST_MESSAGES / 2, "the server was faster than the look at it: {first} messages at once");
    node.ready().await?;
    node.check_calm().await?;
    Ok((last - first) as f64 / took.as_secs_f64())
}

async fn first_count(node: &Node) -> Result<u64> {
    loop {
        let count = node.count("feed_updates").await?;
        if count > 0 {
            return Ok(count);
        }
        sleep(LOOK_EVERY).await;
    }
}

const LIVE_MESSAGES: u64 = 60_000;
const PAST_MESSAGES: u64 = 200_000;
/// Between two looks at how far the server is.
const LOOK_EVERY: Duration = Duration::from_millis(10);
