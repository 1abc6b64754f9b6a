//! A broker that is killed and restarted again and again under load: how long until a client is told prices once more, and whether anything
//! was lost, went back, or was torn.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tickwire::publish::PublisherState;
use tickwire::v1::FeedHealth;
use tickwire_rig::Broker;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::Options;
use super::figure::{Figure, median, percentile};
use super::holder::Holder;
use super::oracle::{Market, Pace};
use super::place::Place;
use crate::progress;

/// Kills, one after the other.
pub(super) async fn run(place: &Place, options: &Options) -> Result<Vec<Figure>> {
    let Kills { kills, corrupt, backward } = measure(place, options.kills).await?;
    let ms = |of: fn(&Kill) -> Duration| kills.iter().map(|kill| of(kill).as_secs_f64() * 1e3).collect::<Vec<_>>();
    let first = ms(|kill| kill.first);
    let lost: usize = kills.iter().map(|kill| kill.lost).sum();
    Ok(vec![
        Figure::at_most(
            format!("broker's port open to first price at a client, p50 of {} kills", kills.len()),
            1_500.0,
            percentile(&first, 0.5),
            "ms",
        ),
        Figure::at_most("  the same, p99", 2_500.0, percentile(&first, 0.99), "ms"),
        Figure::plain("  until the publisher is connected, median", median(&ms(|kill| kill.publisher)), "ms"),
        Figure::plain("  until the server reads the log, median", median(&ms(|kill| kill.server)), "ms"),
        Figure::plain("  until clients are told that the feed is live, median", median(&ms(|kill| kill.live)), "ms"),
        Figure::plain("  from the kill to the open port, median", median(&ms(|kill| kill.away)), "ms"),
        Figure::at_most("  symbols whose last price was lost", 0.0, lost as f64, ""),
        Figure::at_most("  prices that went back", 0.0, backward as f64, ""),
        Figure::at_most("  prices that were never published", 0.0, corrupt as f64, ""),
    ])
}

/// One kill. All times but the first count from the broker's open port.
#[derive(Clone, Copy, Debug)]
struct Kill {
    /// From the kill to the open port.
    away: Duration,
    /// Until the publisher is connected.
    publisher: Duration,
    /// Until the server reads the log, as a client is told.
    server: Duration,
    /// Until a client is told a price.
    first: Duration,
    /// Until a client has been told that the feed is live.
    live: Duration,
    /// Symbols of which the client does not hold the last version in the end.
    lost: usize,
}

/// All kills, and what was wrong over all of them.
#[derive(Debug)]
struct Kills {
    kills: Vec<Kill>,
    corrupt: u64,
    backward: u64,
}

/// Kills a broker of its own `rounds` times.
async fn measure(place: &Place, rounds: u32) -> Result<Kills> {
    let mut broker = place.broker("")?;
    let mut node = place.node_at(&broker.url(), "", "")?;
    node.open().await?;
    let market = Market::open(&broker.url(), "", PACE)?;
    let mut holder = Holder::open(&node.http(), PACE.symbols).await?;
    holder.wait("all symbols have a price", PATIENCE, |seen| seen.known == PACE.symbols).await?;
    let mut kills = Vec::new();
    for round in 1..=rounds {
        sleep(UNDER_LOAD).await;
        let kill = kill(&mut broker, &market, &mut holder).await?;
        progress(&format!("kill {round} of {rounds}: {kill:?}"));
        kills.push(kill);
    }
    let (corrupt, backward) = (holder.seen().corrupt, holder.seen().backward);
    market.end().await?;
    Ok(Kills { kills, corrupt, backward })
}

/// One kill. From then on half of the symbols say nothing more until all is judged.
async fn kill(broker: &mut Broker, market: &Market, holder: &mut Holder) -> Result<Kill> {
    let killed = Instant::now();
    broker.kill()?;
    market.narrow();
    holder.wait("the feed is down", PATIENCE, |seen| seen.told(FeedHealth::Down, killed).is_some()).await?;
    broker.start_again()?;
    let mut states = market.states();
    let opened = open_port(broker.port()).await?;
    let publishing = async {
        let publishes = states.wait_for(|state| *state == PublisherState::Publishing);
        timeout(PATIENCE, publishes).await.context("the publisher does not come back")??;
        anyhow::Ok(Instant::now())
    };
    // What the server had read before the kill was told before that the feed is down.
    let (publisher, first) = tokio::join!(publishing, holder.next_state(PATIENCE));
    let (publisher, first) = (publisher?, first?);
    let seen = holder.wait("the feed is live", PATIENCE, |seen| seen.told(FeedHealth::Live, opened).is_some()).await?;
    let server = seen.told(FeedHealth::Recovering, opened).context("the server has read the log again")?;
    let live = seen.told(FeedHealth::Live, opened).context("the feed is live")?;
    drop(seen);
    sleep(UNDER_LOAD).await;
    let last = market.pause().await?;
    // Whether it has all is judged below.
    let _ = holder.wait("all is there", SETTLED_WITHIN, |seen| seen.missing(&last) == 0).await;
    let lost = holder.seen().missing(&last);
    market.go_on();
    let since = |at: Instant| at.saturating_duration_since(opened);
    Ok(Kill { away: opened - killed, publisher: since(publisher), server: since(server), first: since(first), live: since(live), lost })
}

/// Waits until a port takes connections.
async fn open_port(port: u16) -> Result<Instant> {
    let give_up = Instant::now() + PATIENCE;
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        ensure!(Instant::now() < give_up, "the broker does not come back");
        sleep(LOOK_EVERY).await;
    }
    Ok(Instant::now())
}

/// Each update is a message of its own.
const PACE: Pace = Pace { symbols: 10_000, updates_per_s: 5_000, batch: 1 };
/// Of undisturbed load before a kill, and after one.
const UNDER_LOAD: Duration = Duration::from_secs(2);
/// Between two looks at a port that is closed.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// For anything to happen.
const PATIENCE: Duration = Duration::from_secs(60);
/// For everything that was published to be held. What is not is lost.
const SETTLED_WITHIN: Duration = Duration::from_secs(30);
