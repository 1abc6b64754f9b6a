//! The feed side: reads the log, decodes it once, and hands every shard the same batches.
//!
//! A `FeedSource` knows where messages come from and keeps its place there; the `Feeder` turns them into batches,
//! watches the health of the feeds and says when the book is complete.

mod amqp;
mod catch_up;
mod clock;
mod feeder;
mod inflate;
mod recorded;
mod simulated;
mod source;

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use tickwire_core::engine::RateRule;
use tickwire_core::health::FeedRule;
use tickwire_core::intake::IntakeConfig;
use tickwire_proto::{Pattern, Scale};
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::amqp::Amqp;
pub(crate) use self::amqp::BrokerTlsError;
pub use self::amqp::{
    AmqpConfig, BrokerTls, BrokerUrl, BrokerUrlError, Brokers, DeadError, DeadLetters, LETTERS_MAX, Letter, LogError, LogNews, Mode,
    RecordFrom, Topology, follow_log,
};
pub use self::catch_up::Progress;
use self::clock::Clock;
use self::feeder::Feeder;
pub(crate) use self::inflate::inflate;
use self::recorded::RecordedLog;
use self::simulated::Simulated;
use crate::shard::Shards;
use crate::telemetry::Metrics;
use crate::thread;
pub use crate::tls::TlsFiles;

/// Checked settings of the feed side.
#[derive(Clone, Debug)]
pub struct FeedConfig {
    /// Where updates come from.
    pub source: FeedSourceConfig,
    /// Limits, scales and the rules that name feeds.
    pub intake: IntakeConfig,
    /// Fastest rates of the instruments that the same rules name.
    pub rates: Vec<RateRule>,
}

/// Where updates come from.
#[derive(Clone, Debug)]
pub enum FeedSourceConfig {
    /// The built-in market, in process. No broker.
    Simulated {
        /// Same seed, same day.
        seed: u64,
        /// For measurements: this many symbols at this many updates a second, instead of the lively market.
        steady: Option<(u32, u32)>,
    },
    /// A recording. No broker.
    Recorded {
        /// The file that `tickwire record` made.
        file: std::path::PathBuf,
        /// So many times as fast as it was.
        speed: u32,
    },
    /// RabbitMQ.
    Amqp(AmqpConfig),
}

/// Whether this node serves the newest data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// The log cannot be reached; says why.
    NotReady(String),
    /// It can be reached, and not all of it has been taken.
    CatchingUp(Progress),
    /// Caught up with the log.
    Ready,
}

impl Readiness {
    /// Why this node is not ready, for people.
    pub fn reason(&self) -> Option<String> {
        match self {
            Self::NotReady(reason) => Some(reason.clone()),
            Self::CatchingUp(progress) => Some(progress.to_string()),
            Self::Ready => None,
        }
    }
}

/// Starts the feed task, on a thread of its own. It runs until `stop`, reconnects for ever, and tells every client what it knows about its
/// feeds.
///
/// # Errors
/// The system refuses the thread or what it waits with.
pub fn start(
    config: FeedConfig,
    node: String,
    shards: Shards,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) -> io::Result<(watch::Receiver<Readiness>, JoinHandle<()>)> {
    let (readiness, watched) = watch::channel(Readiness::NotReady("not connected to the log yet".to_owned()));
    // One thread for the tasks that hand messages on to each other: nobody has to be woken for that.
    let runtime = Builder::new_current_thread().enable_all().event_interval(POLLS_PER_LOOK).build()?;
    let thread = thread::spawn("feed".to_owned(), move || {
        runtime.block_on(feed(config, node, shards, metrics, readiness, stop));
    })?;
    Ok((watched, thread))
}

async fn feed(
    config: FeedConfig,
    node: String,
    shards: Shards,
    metrics: Arc<Metrics>,
    readiness: watch::Sender<Readiness>,
    stop: CancellationToken,
) {
    let clock = Clock::start();
    let feeder = Feeder::new(config.intake, shards, metrics.clone(), clock, readiness);
    match config.source {
        FeedSourceConfig::Simulated { seed, steady } => feeder.run(Simulated::new(seed, steady, clock), stop).await,
        FeedSourceConfig::Recorded { file, speed } => feeder.run(RecordedLog::start(file, speed, clock), stop).await,
        FeedSourceConfig::Amqp(amqp) => feeder.run(Amqp::start(amqp, node, clock, metrics), stop).await,
    }
}

/// The intake of a feed that nobody configured: limits of the design, and one feed named `feed` for every symbol.
pub fn default_intake() -> IntakeConfig {
    IntakeConfig {
        routing_prefix: String::new(),
        price_scale: DEFAULT_PRICE_SCALE,
        quantity_scale: Scale::default(),
        body_bytes_max: BODY_BYTES_MAX,
        updates_max: UPDATES_MAX,
        instruments_max: INSTRUMENTS_MAX,
        rules: vec![FeedRule::new("feed", every_symbol())],
        mappings: Vec::new(),
    }
}

fn every_symbol() -> Pattern {
    Pattern::parse("#").expect("`#` is a pattern")
}

/// Steps of tasks between two looks at the sockets: what reads them waits in a thread of its own, and is woken from here.
const POLLS_PER_LOOK: u32 = 2;
/// Scale of prices in protobuf messages of instruments that nobody announced.
const DEFAULT_PRICE_SCALE: Scale = match Scale::new(2) {
    Ok(scale) => scale,
    Err(_) => panic!("2 is a scale"),
};
/// Bytes in a feed message. A larger one is poison.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// Updates in a feed message. A message with more is poison.
pub const UPDATES_MAX: usize = 1_000;
/// Instruments on a node, of all feeds. A message that names one more is poison.
pub const INSTRUMENTS_MAX: usize = 1_000_000;
