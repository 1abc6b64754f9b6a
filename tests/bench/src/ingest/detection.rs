//! A server that comes back to a log that is not what it left: how long until it knows?

use std::time::Instant;

use anyhow::{Result, ensure};

use super::Options;
use super::figure::{Figure, percentile};
use super::hand::{Hand, LOG};
use super::node::LOOK_EVERY;
use super::oracle::{Market, Pace};
use super::place::Place;
use crate::progress;

/// Each kind of log that is not what it was.
pub(super) async fn run(place: &Place, options: &Options) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for fault in Fault::ALL {
        let times = measure(place, fault, options.rounds).await?;
        figures.push(Figure::at_most(format!("start of a server to {}, longest", fault.found()), 6_000.0, percentile(&times, 1.0), "ms"));
    }
    Ok(figures)
}

/// What happened to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// It no longer has the server's place.
    Truncated,
    /// It is another one, which has other messages at the server's place.
    Recreated,
    /// It is another one, and empty.
    Empty,
    /// It is another one, and ends before the server's place.
    Beyond,
}

impl Fault {
    const ALL: [Self; 4] = [Self::Truncated, Self::Recreated, Self::Empty, Self::Beyond];

    fn counter(self) -> &'static str {
        if self == Self::Truncated { "log_truncations" } else { "log_resets" }
    }

    fn found(self) -> &'static str {
        match self {
            Self::Truncated => "a log found truncated",
            Self::Recreated => "another log found by its messages",
            Self::Empty => "an empty log found to be another one",
            Self::Beyond => "a log found to end before the server's place",
        }
    }
}

/// Damages the log `rounds` times while no server runs, and returns how many milliseconds after its start each server knew.
async fn measure(place: &Place, fault: Fault, rounds: u32) -> Result<Vec<f64>> {
    let (url, mut times) = (place.broker.url(), Vec::new());
    for round in 1..=rounds {
        let names = place.names();
        let mut node = place.node_at(&url, &names, if fault == Fault::Truncated { SMALL_LOG } else { "" })?;
        node.open().await?;
        let market = Market::open(&url, &names, Pace { symbols: 100, updates_per_s: 1_000, batch: 1 })?;
        // The place of a server that starts is that of the newest checkpoint.
        node.counted("checkpoints_written", 1, LOOK_EVERY).await?;
        market.pause().await?;
        let published = market.publisher.stats().messages as usize;
        market.end().await?;
        node.kill()?;
        let hand = Hand::open(&url, &names).await?;
        match fault {
            // Three times what the log keeps.
            Fault::Truncated => hand.publish(30, 200_000).await?,
            Fault::Recreated | Fault::Empty | Fault::Beyond => {
                hand.delete(LOG).await?;
                hand.declare_log().await?;
                let count = match fault {
                    Fault::Recreated => 2 * published + 100,
                    Fault::Beyond => 10,
                    _ => 0,
                };
                hand.publish(count, 0).await?;
            }
        }
        let began = Instant::now();
        node.start()?;
        node.counted(fault.counter(), 1, LOOK_EVERY).await?;
        let took = began.elapsed().as_secs_f64() * 1e3;
        node.ready().await?;
        ensure!(node.count(fault.counter()).await? == 1, "the server found more than one fault");
        progress(&format!("detection, {}, round {round}: {took:.0} ms", fault.found()));
        times.push(took);
    }
    Ok(times)
}

const SMALL_LOG: &str = "max_length_bytes = 2000000\nsegment_bytes = 1000000\n";
