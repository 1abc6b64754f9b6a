//! A silence longer than the broker bears unacknowledged deliveries: 30 s of it, and a `consumer_timeout` of 5 s.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures_util::StreamExt as _;
use lapin::options::{BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Connection, ConnectionProperties};
use tokio::time::{Instant, sleep, timeout};

use super::Options;
use super::figure::Figure;
use super::load::{Load, Pace};
use super::market::single;
use super::place::Place;
use crate::progress;

/// Connections that the server loses; and for comparison, how long a consumer keeps its channel that acknowledges nothing.
pub(super) async fn run(place: &Place, _options: &Options) -> Result<Vec<Figure>> {
    let broker = place.broker("consumer_timeout = 5000\n")?;
    // The broker looks at its channels once a minute otherwise.
    broker.control(&["eval", "application:set_env(rabbit, channel_tick_interval, 1000)."])?;
    let names = place.names();
    let mut node = place.node_at(&broker.url(), &names, "")?;
    node.open().await?;
    let load = Load::open(&broker.url(), &names).await?;
    let connection = Connection::connect(&broker.url(), ConnectionProperties::default()).await?;
    let negligent = tokio::spawn(neglect(connection, format!("{names}tickwire.feed.log")));
    load.publish(MESSAGES, Pace::Full, single).await?;
    node.counted("feed_updates", MESSAGES, LOOK_EVERY).await?;
    let began = Instant::now();
    progress(&format!("quiet: {} s of silence", SILENCE.as_secs()));
    sleep(SILENCE).await;
    load.publish(MESSAGES, Pace::Full, |number| single(MESSAGES + number)).await?;
    node.counted("feed_updates", 2 * MESSAGES, LOOK_EVERY).await?;
    let ended = timeout(SILENCE, negligent).await.context("the broker keeps channels on which nothing is acknowledged")???;
    Ok(vec![
        Figure::at_most("connections lost in 30 s of silence, consumer_timeout 5 s", 0.0, node.count("broker_failures").await? as f64, ""),
        Figure::plain("  a consumer that acknowledges nothing is cut off after", (ended - began).as_secs_f64(), "s"),
    ])
}

/// Reads and acknowledges nothing until the broker has enough of it: when that was.
async fn neglect(connection: Connection, log: String) -> Result<Instant> {
    let channel = connection.create_channel().await?;
    channel.basic_qos(1_000, BasicQosOptions::default()).await?;
    let mut arguments = FieldTable::default();
    arguments.insert("x-stream-offset".into(), AMQPValue::LongString("first".into()));
    let options = BasicConsumeOptions::default();
    let mut deliveries = channel.basic_consume(ShortString::try_new(log)?, "".into(), options, arguments).await?;
    let mut count = 0;
    while let Some(Ok(_)) = deliveries.next().await {
        count += 1;
    }
    ensure!(count > 0, "nothing came to be acknowledged");
    Ok(Instant::now())
}

const MESSAGES: u64 = 100;
const SILENCE: Duration = Duration::from_secs(30);
/// Between two looks at how far the server is.
const LOOK_EVERY: Duration = Duration::from_millis(20);
