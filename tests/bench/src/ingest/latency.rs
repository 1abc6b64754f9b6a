//! From publishing to a client's socket at 20 updates a second, without conflation, beside a bare consumer of the same log.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::StreamExt as _;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Connection, ConnectionProperties, Consumer};
use prost::Message as _;
use tickwire::{Change, Client, Subscription};
use tickwire_proto::v1::{FeedMessage, Quote, Update, update::Body};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::Options;
use super::figure::{Figure, percentile};
use super::load::Outgoing;
use super::place::Place;
use crate::progress;

/// When something happened to each update, by its number.
type Times = Arc<Mutex<BTreeMap<i64, Instant>>>;

/// Half a minute, once: percentiles are over all updates.
pub(super) async fn run(place: &Place, _options: &Options) -> Result<Vec<Figure>> {
    let names = place.names();
    let mut node = place.node(&names)?;
    node.open().await?;
    let load = place.load(&names).await?;
    let (at_broker, at_client) = (Times::default(), Times::default());
    let connection = Connection::connect(&place.broker.url(), ConnectionProperties::default()).await?;
    let consumer = tokio::spawn(consume(bare(&connection, &names).await?, at_broker.clone()));
    load.publish_one(message(0)).await?;
    let client = Client::builder(format!("ws://{}", node.address)).allow_insecure().conflation(Duration::ZERO).connect().await?;
    let watcher = tokio::spawn(watch(client.subscribe([PATTERN]).await?, at_client.clone()));
    wait(&at_client, 0).await?;

    progress(&format!("latency: {UPDATES} updates, {} ms apart", EVERY.as_millis()));
    let mut published = Vec::new();
    let mut turns = interval(EVERY);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 1..=UPDATES {
        turns.tick().await;
        published.push((number, Instant::now()));
        load.publish_one(message(number)).await?;
    }
    wait(&at_broker, UPDATES).await?;
    wait(&at_client, UPDATES).await?;
    node.check_calm().await?;
    consumer.abort();
    watcher.abort();

    let (at_broker, at_client) = (taken(&at_broker), taken(&at_client));
    let (mut whole, mut delivery, mut ours) = (Vec::new(), Vec::new(), Vec::new());
    for (number, published) in published {
        let delivered = *at_broker.get(&number).with_context(|| format!("the bare consumer has not seen update {number}"))?;
        // What a slow reader was not shown by itself is shown with what came behind it.
        let (_, &shown) = at_client.range(number..).next().with_context(|| format!("the client has not seen update {number}"))?;
        whole.push(ms(published, shown));
        delivery.push(ms(published, delivered));
        ours.push(ms(delivered, shown));
    }
    Ok(vec![
        Figure::at_most("broker's delivery to a client's socket at 20/s, p50", 1.0, percentile(&ours, 0.5), "ms"),
        Figure::at_most("broker's delivery to a client's socket at 20/s, p99", 5.0, percentile(&ours, 0.99), "ms"),
        Figure::plain("  publish to a client's socket, p50", percentile(&whole, 0.5), "ms"),
        Figure::plain("  publish to a client's socket, p99", percentile(&whole, 0.99), "ms"),
        Figure::plain("  publish to a bare consumer, p50", percentile(&delivery, 0.5), "ms"),
        Figure::plain("  publish to a bare consumer, p99", percentile(&delivery, 0.99), "ms"),
    ])
}

async fn bare(connection: &Connection, names: &str) -> Result<Consumer> {
    let channel = connection.create_channel().await?;
    channel.basic_qos(1_000, BasicQosOptions::default()).await?;
    let mut arguments = FieldTable::default();
    arguments.insert("x-stream-offset".into(), AMQPValue::LongString("next".into()));
    let log = ShortString::try_new(format!("{names}tickwire.feed.log"))?;
    Ok(channel.basic_consume(log, "".into(), BasicConsumeOptions::default(), arguments).await?)
}

async fn consume(mut deliveries: Consumer, times: Times) -> Result<()> {
    while let Some(delivery) = deliveries.next().await {
        let (now, delivery) = (Instant::now(), delivery?);
        let message = FeedMessage::decode(delivery.data.as_slice())?;
        if let Some(Body::Quote(quote)) = message.updates.first().and_then(|update| update.body.as_ref()) {
            note(&times, quote, now);
        }
        delivery.ack(BasicAckOptions::default()).await?;
    }
    Ok(())
}

async fn watch(mut changes: Subscription, times: Times) {
    while let Some(change) = changes.next().await {
        let now = Instant::now();
        if let Change::State(instrument) = change
            && let Some(quote) = &instrument.image.quote
        {
            note(&times, quote, now);
        }
    }
}

fn note(times: &Times, quote: &Quote, now: Instant) {
    let number = quote.volume.unwrap_or(-1);
    times.lock().unwrap_or_else(PoisonError::into_inner).entry(number).or_insert(now);
}

async fn wait(times: &Times, number: i64) -> Result<()> {
    let seen = async {
        while !times.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&number) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(WITHIN, seen).await.with_context(|| format!("update {number} has not come"))
}

fn taken(times: &Times) -> BTreeMap<i64, Instant> {
    std::mem::take(&mut times.lock().unwrap_or_else(PoisonError::into_inner))
}

/// From one moment to another, which may lie before it: two sockets are read in any order.
fn ms(from: Instant, to: Instant) -> f64 {
    let forward = to.saturating_duration_since(from).as_secs_f64();
    (forward - from.saturating_duration_since(to).as_secs_f64()) * 1_000.0
}

fn message(number: i64) -> Outgoing {
    let quote = Quote { last: Some(18_742 + number % 10), volume: Some(number), ..Default::default() };
    let updates = vec![Update { body: Some(Body::Quote(quote)), ..Default::default() }];
    Outgoing { key: SYMBOL.to_owned(), body: FeedMessage { updates, ..Default::default() }.encode_to_vec() }
}

const SYMBOL: &str = "stock.LATENCY";
/// A pattern, since the server may not have met the instrument yet.
const PATTERN: &str = "stock.*";
/// Over half a minute: six beyond the 99th percentile.
const UPDATES: i64 = 600;
const EVERY: Duration = Duration::from_millis(50);
/// Time for an update to come.
const WITHIN: Duration = Duration::from_secs(30);
