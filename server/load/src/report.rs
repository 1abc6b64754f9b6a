//! Figures of one measurement, as text and as JSON.

use std::fmt::Write as _;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::{Faults, Tally};

/// What was asked for, and what was measured.
#[derive(Clone, Debug)]
pub struct Figures {
    /// In a few words: the workload, and which of its rows.
    pub name: String,
    /// Connections.
    pub connections: u32,
    /// Symbols or patterns of each.
    pub symbols: u32,
    /// As on the command line.
    pub encoding: &'static str,
    /// Rate asked for.
    pub conflate_ms: u32,
    /// What was counted in `span`.
    pub tally: Tally,
    /// How long it was counted.
    pub span: Duration,
    /// Updates that the feed published in `span`, if that is known.
    pub published: Option<f64>,
    /// Of the server's process.
    pub server: Option<ServerFigures>,
    /// From dialling until the snapshot was complete, milliseconds.
    pub ready_ms: Percentiles,
}

/// What the server used.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerFigures {
    /// CPU time, all threads.
    pub cpu: Duration,
    /// Resident memory at the end.
    pub rss_bytes: u64,
    /// What the connections added to it, each.
    pub rss_bytes_per_connection: f64,
}

/// Of one distribution, milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Percentiles {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

impl Percentiles {
    /// Of microseconds.
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1_000.0;
        Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: histogram.max() as f64 / 1_000.0 }
    }

    fn json(self) -> Value {
        json!({ "p50": self.p50, "p90": self.p90, "p99": self.p99, "p99_9": self.p999, "max": self.max })
    }

    fn line(self) -> String {
        let Self { p50, p90, p99, p999, max } = self;
        format!("p50 {p50:.1} ms, p90 {p90:.1}, p99 {p99:.1}, p99.9 {p999:.1}, longest {max:.1}")
    }
}

impl Figures {
    /// Updates that arrived, in a second.
    pub fn delivered_per_s(&self) -> f64 {
        self.tally.records as f64 / self.span.as_secs_f64()
    }

    /// Server CPU, microseconds for each update that arrived.
    pub fn cpu_us_per_delivered(&self) -> Option<f64> {
        let server = self.server.filter(|_| self.tally.records > 0)?;
        Some(server.cpu.as_secs_f64() * 1e6 / self.tally.records as f64)
    }

    /// Server CPU, microseconds for each update of the feed.
    pub fn cpu_us_per_published(&self) -> Option<f64> {
        let published = self.published.filter(|published| *published > 0.0)?;
        Some(self.server?.cpu.as_secs_f64() * 1e6 / published)
    }

    /// Share of one core that the server used.
    pub fn cpu_share(&self) -> Option<f64> {
        Some(self.server?.cpu.as_secs_f64() / self.span.as_secs_f64())
    }

    /// Bytes for each update that arrived, framing and heartbeats included.
    pub fn bytes_per_delivered(&self) -> f64 {
        self.tally.bytes as f64 / self.tally.records.max(1) as f64
    }

    /// Updates in one message.
    pub fn records_per_frame(&self) -> f64 {
        self.tally.records as f64 / self.tally.frames.max(1) as f64
    }

    /// What was wrong.
    pub fn faults(&self) -> &Faults {
        &self.tally.faults
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let tally = &self.tally;
        let faults = &tally.faults;
        json!({
            "name": self.name,
            "connections": self.connections,
            "symbols_per_connection": self.symbols,
            "encoding": self.encoding,
            "conflate_ms": self.conflate_ms,
            "seconds": self.span.as_secs_f64(),
            "delivered": tally.records,
            "delivered_per_s": self.delivered_per_s(),
            "images": tally.images,
            "merged": tally.merged,
            "published": self.published,
            "records_per_message": self.records_per_frame(),
            "bytes_per_delivered": self.bytes_per_delivered(),
            "latency_ms": (!tally.latency.is_empty()).then(|| Percentiles::of(&tally.latency).json()),
            "age_ms": (!tally.age.is_empty()).then(|| Percentiles::of(&tally.age).json()),
            "ready_ms": self.ready_ms.json(),
            "lost": faults.lost,
            "disordered": faults.disordered,
            "wrong": faults.wrong,
            "refused": faults.refused,
            "cut": faults.cut,
            "first_fault": faults.first,
            "checked_messages": tally.checked,
            "slow_notices": tally.slow_notices,
            "server": self.server.map(|server| json!({
                "cpu_share": self.cpu_share(),
                "cpu_us_per_delivered": self.cpu_us_per_delivered(),
                "cpu_us_per_published": self.cpu_us_per_published(),
                "rss_bytes": server.rss_bytes,
                "rss_bytes_per_connection": server.rss_bytes_per_connection,
            })),
        })
    }

    /// For people.
    pub fn text(&self) -> String {
        let (mut out, tally, faults) = (String::new(), &self.tally, &self.tally.faults);
        let Self { name, connections, symbols, encoding, conflate_ms, .. } = self;
        let seconds = self.span.as_secs_f64();
        // Writing to a String does not fail.
        let mut line = |label: &str, text: String| {
            let _ = writeln!(out, "  {label:<14} {text}");
        };
        if tally.records > 0 {
            let (records, bytes) = (self.records_per_frame(), self.bytes_per_delivered());
            line("delivered", format!("{:.0}/s ({records:.1} updates in a message, {bytes:.1} bytes each)", self.delivered_per_s()));
            line("latency", Percentiles::of(&tally.latency).line());
        }
        if !tally.age.is_empty() {
            line("age of values", Percentiles::of(&tally.age).line());
        }
        line("ready after", self.ready_ms.line());
        if let Some(server) = self.server {
            let mut text = format!("{:.1} % of a core", self.cpu_share().unwrap_or(0.0) * 100.0);
            let per = [("delivered", self.cpu_us_per_delivered()), ("published", self.cpu_us_per_published())];
            for (what, us) in per.into_iter().filter_map(|(what, us)| Some((what, us?))) {
                let _ = write!(text, ", {us:.2} µs for each update {what}");
            }
            line("server CPU", text);
            let (all, each) = (server.rss_bytes as f64 / 1_048_576.0, server.rss_bytes_per_connection);
            line("server memory", format!("{all:.1} MiB, {each:.0} bytes for each connection"));
        }
        let Faults { lost, disordered, wrong, refused, cut, first } = faults;
        line(
            "faults",
            format!(
                "{lost} lost, {disordered} out of order, {wrong} wrong ({} messages compared), {refused} refused, {cut} cut",
                tally.checked
            ),
        );
        if let Some(first) = first {
            line("", format!("the first: {first}"));
        }
        if tally.slow_notices > 0 {
            line("slow", format!("the server told {} times that a client is slow", tally.slow_notices));
        }
        format!("{name}: {connections} connections × {symbols} symbols, {encoding}, conflation {conflate_ms} ms, {seconds:.1} s\n{out}")
    }
}

/// The middle one; of an even number the upper.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
