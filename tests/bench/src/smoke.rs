//! The figures that every change can watch: CPU per delivered update, and memory per idle connection.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tickwire_load::workload::{self, Host, Settings};
use tickwire_load::{Figures, Progress, Server, Wire, median};

use crate::{print, progress};

/// Runs everything, three rounds of each, and prints the medians.
///
/// # Errors
/// A server does not start, a client is refused or cut, or an update is lost: a figure without it would be better than the server
/// deserves.
pub(crate) fn run(program: &Path, json: Option<&Path>) -> Result<()> {
    let mut fanouts: Vec<(u32, Vec<Figures>)> = CONFLATE_MS.iter().map(|&rate| (rate, Vec::new())).collect();
    for round in 1..=ROUNDS {
        for (conflate_ms, measured) in &mut fanouts {
            progress(&format!(
                "round {round} of {ROUNDS}: {CONNECTIONS} connections × {SYMBOLS} symbols, {UPDATES_PER_S} updates/s, conflation {conflate_ms} ms"
            ));
            measured.push(measure(&fanout(program, *conflate_ms))?);
        }
    }
    progress(&format!("{IDLE_CONNECTIONS} idle connections × {IDLE_SYMBOLS} symbols"));
    let idle = measure(&idle(program))?.server.context("the server is ours")?.rss_bytes_per_connection;

    print(&format!(
        "{CONNECTIONS} connections × {SYMBOLS} symbols at {UPDATES_PER_S} updates/s, medians of {ROUNDS} rounds of {} s",
        WINDOW.as_secs()
    ));
    print("conflation | delivered/s | CPU µs per delivered | CPU µs per published | server CPU | bytes per delivered");
    let mut rows = Vec::new();
    for (conflate_ms, measured) in &fanouts {
        // Of a server of our own all of them are known.
        let middle = |figure: fn(&Figures) -> Option<f64>| median(measured.iter().filter_map(figure).collect());
        let delivered_per_s = middle(|figures| Some(figures.delivered_per_s()));
        let (delivered, published) = (middle(Figures::cpu_us_per_delivered), middle(Figures::cpu_us_per_published));
        let (share, bytes) = (middle(Figures::cpu_share), middle(|figures| Some(figures.bytes_per_delivered())));
        print(&format!(
            "{conflate_ms:>7} ms | {delivered_per_s:>11.0} | {delivered:>20.2} | {published:>20.2} | {:>8.1} % | {bytes:>19.1}",
            100.0 * share
        ));
        rows.push(serde_json::json!({
            "conflate_ms": conflate_ms,
            "delivered_per_s": delivered_per_s,
            "cpu_us_per_delivered": delivered,
            "cpu_us_per_published": published,
            "cpu_share": share,
            "bytes_per_delivered": bytes,
        }));
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

fn measure(settings: &Settings) -> Result<Figures> {
    let figures = workload::fanout(settings, &mut Progress::silent())?;
    if !figures.faults().is_none() {
        bail!("something was lost or wrong:\n{}", figures.text());
    }
    if figures.tally.records == 0 {
        bail!("nothing was delivered");
    }
    Ok(figures)
}

fn fanout(program: &Path, conflate_ms: u32) -> Settings {
    settings(program, (SYMBOLS, UPDATES_PER_S), CONNECTIONS, conflate_ms, WINDOW)
}

fn idle(program: &Path) -> Settings {
    settings(program, (IDLE_SYMBOLS, IDLE_UPDATES_PER_S), IDLE_CONNECTIONS, IDLE_CONFLATE_MS, IDLE_WINDOW)
}

fn settings(program: &Path, (market, updates_per_s): (u32, u32), connections: u32, conflate_ms: u32, duration: Duration) -> Settings {
    Settings {
        host: Host::Own { program: program.to_owned(), args: Server::demo(market, updates_per_s, connections, &[]), market, updates_per_s },
        connections,
        symbols: Vec::new(),
        per_connection: None,
        wire: Wire::Protobuf,
        conflate_ms,
        token: None,
        ca: None,
        warm_up: WARM_UP,
        duration,
    }
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
/// After which the memory of idle connections is read: a record has come to each.
const IDLE_WINDOW: Duration = Duration::from_secs(6);
