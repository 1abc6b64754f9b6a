//! The figures that every change can watch: CPU per delivered update, and memory per idle connection.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::task::JoinSet;

use crate::client::{Client, Tally};
use crate::process::{cpu_time, resident_bytes};
use crate::server::Server;
use crate::{print, progress};

/// Runs everything, three rounds of each, and prints the medians.
///
/// # Errors
/// A server does not start, or a client is refused or cut.
pub(crate) async fn run(program: &Path, json: Option<&Path>) -> Result<()> {
    let mut fanouts: Vec<(u32, Vec<Fanout>)> = CONFLATE_MS.iter().map(|&rate| (rate, Vec::new())).collect();
    for round in 1..=ROUNDS {
        for (conflate_ms, measured) in &mut fanouts {
            progress(&format!(
                "round {round} of {ROUNDS}: {CONNECTIONS} connections × {SYMBOLS} symbols, {UPDATES_PER_S} updates/s, conflation {conflate_ms} ms"
            ));
            measured.push(fanout(program, *conflate_ms).await?);
        }
    }
    progress(&format!("{IDLE_CONNECTIONS} idle connections × {IDLE_SYMBOLS} symbols"));
    let idle = idle(program).await?;

    print(&format!(
        "{CONNECTIONS} connections × {SYMBOLS} symbols at {UPDATES_PER_S} updates/s, medians of {ROUNDS} rounds of {} s",
        WINDOW.as_secs()
    ));
    print("conflation | delivered/s | CPU µs per delivered | CPU µs per published | server CPU | bytes per delivered");
    let mut rows = Vec::new();
    for (conflate_ms, measured) in &fanouts {
        let median = |figure: fn(&Fanout) -> f64| median(measured.iter().map(figure).collect());
        let row = serde_json::json!({
            "conflate_ms": conflate_ms,
            "delivered_per_s": median(Fanout::delivered_per_s),
            "cpu_us_per_delivered": median(Fanout::cpu_us_per_delivered),
            "cpu_us_per_published": median(Fanout::cpu_us_per_published),
            "cpu_share": median(Fanout::cpu_share),
            "bytes_per_delivered": median(Fanout::bytes_per_delivered),
        });
        print(&format!(
            "{conflate_ms:>7} ms | {:>11.0} | {:>20.2} | {:>20.2} | {:>8.1} % | {:>19.1}",
            median(Fanout::delivered_per_s),
            median(Fanout::cpu_us_per_delivered),
            median(Fanout::cpu_us_per_published),
            100.0 * median(Fanout::cpu_share),
            median(Fanout::bytes_per_delivered),
        ));
        rows.push(row);
    }
    print(&format!(
        "idle: {idle:.0} bytes of RSS per WebSocket connection with {IDLE_SYMBOLS} subscriptions, at {IDLE_CONNECTIONS} connections"
    ));
    if let Some(path) = json {
        let figures = serde_json::json!({ "fanout": rows, "idle_rss_bytes_per_connection": idle });
        std::fs::write(path, format!("{figures:#}\n")).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// What one round of fan-out measured.
struct Fanout {
    records: u64,
    bytes: u64,
    cpu: Duration,
    span: Duration,
}

impl Fanout {
    fn delivered_per_s(&self) -> f64 {
        self.records as f64 / self.span.as_secs_f64()
    }

    fn cpu_us_per_delivered(&self) -> f64 {
        self.cpu.as_micros() as f64 / self.records as f64
    }

    fn cpu_us_per_published(&self) -> f64 {
        self.cpu.as_micros() as f64 / (f64::from(UPDATES_PER_S) * self.span.as_secs_f64())
    }

    fn cpu_share(&self) -> f64 {
        self.cpu.as_secs_f64() / self.span.as_secs_f64()
    }

    fn bytes_per_delivered(&self) -> f64 {
        self.bytes as f64 / self.records as f64
    }
}

async fn fanout(program: &Path, conflate_ms: u32) -> Result<Fanout> {
    let server = Server::start(program, SYMBOLS, UPDATES_PER_S)?;
    let mut crowd = Crowd::gather(&server, CONNECTIONS, SYMBOLS, conflate_ms).await?;
    crowd.rest(WARM_UP).await?;
    let (tally, pid) = (Arc::clone(&crowd.tally), server.pid());
    let (cpu, start) = (cpu_time(pid)?, Instant::now());
    let (records, bytes) = (tally.records.load(Ordering::Relaxed), tally.bytes.load(Ordering::Relaxed));
    crowd.rest(WINDOW).await?;
    let measured = Fanout {
        records: tally.records.load(Ordering::Relaxed) - records,
        bytes: tally.bytes.load(Ordering::Relaxed) - bytes,
        cpu: cpu_time(pid)? - cpu,
        span: start.elapsed(),
    };
    if measured.records == 0 {
        bail!("nothing was delivered");
    }
    Ok(measured)
}

/// Bytes of RSS per connection.
async fn idle(program: &Path) -> Result<f64> {
    let server = Server::start(program, IDLE_SYMBOLS, IDLE_UPDATES_PER_S)?;
    // Everything that is allocated once is there after a first small crowd has come and gone.
    drop(Crowd::gather(&server, CONNECTIONS, IDLE_SYMBOLS, IDLE_CONFLATE_MS).await?);
    tokio::time::sleep(WARM_UP).await;
    let empty = resident_bytes(server.pid())?;
    let mut crowd = Crowd::gather(&server, IDLE_CONNECTIONS, IDLE_SYMBOLS, IDLE_CONFLATE_MS).await?;
    crowd.rest(WARM_UP).await?;
    let full = resident_bytes(server.pid())?;
    Ok(full.saturating_sub(empty) as f64 / f64::from(IDLE_CONNECTIONS))
}

/// Clients that count in the background until they drop.
struct Crowd {
    tally: Arc<Tally>,
    tasks: JoinSet<Result<()>>,
}

impl Crowd {
    /// Connects them, and waits until every snapshot is complete.
    async fn gather(server: &Server, connections: u32, symbols: u32, conflate_ms: u32) -> Result<Self> {
        let symbols: Vec<String> = (0..symbols).map(|n| format!("bench.S{n}")).collect();
        let mut crowd = Self { tally: Arc::default(), tasks: JoinSet::new() };
        for _ in 0..connections {
            let client = Client::connect(server.address, &symbols, conflate_ms).await?;
            let tally = Arc::clone(&crowd.tally);
            crowd.tasks.spawn(async move { client.count(&tally).await });
        }
        let give_up = Instant::now() + SNAPSHOT_WITHIN;
        while crowd.tally.complete.load(Ordering::Relaxed) < u64::from(connections) {
            if Instant::now() > give_up {
                bail!("only {} of {connections} snapshots came", crowd.tally.complete.load(Ordering::Relaxed));
            }
            crowd.rest(Duration::from_millis(20)).await?;
        }
        Ok(crowd)
    }

    /// Lets them count for `span`.
    ///
    /// # Errors
    /// One of them was cut: a figure without it would be a better figure than the server deserves.
    async fn rest(&mut self, span: Duration) -> Result<()> {
        tokio::time::sleep(span).await;
        match self.tasks.try_join_next() {
            None => Ok(()),
            Some(ended) => match ended? {
                Ok(()) => bail!("the server closed a connection"),
                Err(error) => Err(error.context("a connection was cut")),
            },
        }
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Rounds of each workload; the median is printed.
const ROUNDS: usize = 3;
const CONNECTIONS: u32 = 100;
const SYMBOLS: u32 = 10;
const UPDATES_PER_S: u32 = 1_000;
const CONFLATE_MS: [u32; 2] = [0, 100];
const IDLE_CONNECTIONS: u32 = 5_000;
const IDLE_SYMBOLS: u32 = 20;
/// Slow enough that the connections are idle nearly always.
const IDLE_UPDATES_PER_S: u32 = 1;
const IDLE_CONFLATE_MS: u32 = 5_000;
/// Before a measurement begins.
const WARM_UP: Duration = Duration::from_secs(2);
/// What is measured.
const WINDOW: Duration = Duration::from_secs(10);
/// Time for all snapshots of a crowd. After it, the bench fails.
const SNAPSHOT_WITHIN: Duration = Duration::from_secs(60);
