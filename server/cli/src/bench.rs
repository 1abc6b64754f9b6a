//! `tickwire bench`: load for a server, and figures of it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};
use tickwire_load::workload::{self, Host, Settings};
use tickwire_load::{Figures, Progress, Server, Target, Wire};

use crate::settings::print;

/// Flags of `tickwire bench`.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Bench {
    #[command(subcommand)]
    workload: Workload,
    #[command(flatten)]
    load: Load,
}

#[derive(Subcommand, Clone, Copy)]
enum Workload {
    /// Everyone reads as fast as data comes [100 connections × 10 symbols, 1,000 updates/s, no conflation]
    Fanout,
    /// The same without conflation, at 100 ms and at 1 s, one after the other (or at the one rate of --conflate)
    Conflate,
    /// Connections with hardly anything to do: memory for each [5,000 × 20 symbols, 1 update/s, 5 s]
    Idle,
    /// Everyone connects at once, as after a restart: time until all snapshots are complete [5,000 × 20 symbols]
    Storm,
    /// A tenth of the connections reads slowly: what they get, and whether the others notice [100 × 10 symbols, 5,000 updates/s]
    Slow {
        /// Bytes that a slow connection reads in a second
        #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(100..))]
        slow_bytes: u32,
    },
}

/// Flags that all workloads have.
#[derive(clap::Args)]
struct Load {
    /// The server: http, https, ws or wss
    #[arg(long, global = true, default_value = "http://127.0.0.1:7447", env = "TICKWIRE_URL")]
    url: String,
    /// Process of that server, to measure its CPU and memory; may be given again
    #[arg(long, global = true, value_name = "PID")]
    pid: Vec<u32>,
    /// Start a server of its own with a steady market in its place, on a free port
    #[arg(long, global = true, conflicts_with = "pid")]
    serve: bool,
    /// Of --serve: instruments of the market, bench.S0 ...
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    market: Option<u32>,
    /// Of --serve: updates a second, over all instruments
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Of --serve: sets a key of its configuration, such as `--set shards=1`; may be given again
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Connections
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    connections: Option<u32>,
    /// Symbols and patterns, separated by commas [default: all]
    #[arg(long, global = true, value_name = "SYMBOL,…", value_delimiter = ',')]
    symbols: Vec<String>,
    /// How many of them each connection takes, evenly spread [default: all that are named]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    per_connection: Option<u32>,
    /// Rate asked for, milliseconds
    #[arg(long, global = true, value_name = "MS")]
    conflate: Option<u32>,
    /// How frames travel
    #[arg(long, global = true, value_enum, default_value_t = Encoding::Protobuf)]
    encoding: Encoding,
    /// Seconds that are counted
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    duration: u64,
    /// Seconds before counting begins
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=600))]
    warm_up: u64,
    /// File with the roots (PEM) that a server at https:// is trusted by, and by no others [default: those of this machine]
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// File with the bearer token
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Also write the figures as JSON; `-`: to stdout, in place of the text
    #[arg(long, global = true, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// How frames travel.
#[derive(Clone, Copy, ValueEnum)]
enum Encoding {
    /// WebSocket, protobuf
    Protobuf,
    /// WebSocket, JSON
    Json,
    /// Server-sent events
    Sse,
}

/// What a workload takes where no flag says otherwise.
struct Usual {
    connections: u32,
    market: u32,
    per_connection: u32,
    rate: u32,
    conflate_ms: u32,
}

impl Bench {
    /// Runs the command.
    pub(crate) fn run(self) -> ExitCode {
        match self.measure() {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                complain(&format!("tickwire bench: {error:#}"));
                ExitCode::from(2)
            }
        }
    }

    /// Measures and prints. Returns whether nothing was wrong.
    fn measure(&self) -> Result<bool> {
        let mut settings = self.settings()?;
        let mut progress = Progress::new("bench");
        let all = match self.workload {
            Workload::Fanout | Workload::Idle => vec![workload::fanout(&settings, &mut progress)?],
            Workload::Storm => vec![workload::storm(&settings, &mut progress)?],
            Workload::Slow { slow_bytes } => workload::slow(&settings, slow_bytes, &mut progress)?,
            Workload::Conflate => {
                let rates = self.load.conflate.map_or(CONFLATE_MS.to_vec(), |rate| vec![rate]);
                let mut all = Vec::new();
                for conflate_ms in rates {
                    settings.conflate_ms = conflate_ms;
                    all.push(workload::fanout(&settings, &mut progress)?);
                }
                all
            }
        };
        progress.clear();
        let named = all.into_iter().map(|figures| self.named(figures)).collect::<Vec<_>>();
        self.tell(&named)?;
        Ok(named.iter().all(|figures| figures.faults().is_none()))
    }

    fn named(&self, mut figures: Figures) -> Figures {
        match self.workload {
            Workload::Idle => "idle".clone_into(&mut figures.name),
            Workload::Conflate => "conflate".clone_into(&mut figures.name),
            Workload::Fanout | Workload::Storm | Workload::Slow { .. } => {}
        }
        figures
    }

    fn tell(&self, all: &[Figures]) -> Result<()> {
        let text = || all.iter().map(Figures::text).collect::<Vec<_>>().join("\n");
        let Some(path) = &self.load.json else {
            print(&text());
            return Ok(());
        };
        let figures: Vec<Value> = all.iter().map(Figures::json).collect();
        let json = format!("{:#}\n", json!({ "workload": self.workload.name(), "measurements": figures }));
        if path.as_os_str() == "-" {
            print(&json);
            return Ok(());
        }
        print(&text());
        std::fs::write(path, json).with_context(|| format!("cannot write {}", path.display()))
    }

    fn settings(&self) -> Result<Settings> {
        let (load, usual) = (&self.load, self.workload.usual());
        if !load.serve && (load.rate.is_some() || load.market.is_some() || !load.set.is_empty()) {
            bail!("--rate, --market and --set belong to --serve: another server has the market it has");
        }
        let host = if load.serve {
            let (market, updates_per_s) = (load.market.unwrap_or(usual.market), load.rate.unwrap_or(usual.rate));
            let args = Server::demo(market, updates_per_s, load.connections.unwrap_or(usual.connections), &load.set);
            Host::Own { program: std::env::current_exe().context("this program has no path")?, args, market, updates_per_s }
        } else {
            Host::Running { target: Target::parse(&load.url, load.ca.as_deref())?, pids: load.pid.clone() }
        };
        let token = load.token_file.as_ref().map(|file| {
            let token = std::fs::read_to_string(file).with_context(|| format!("token file {}", file.display()))?;
            Ok::<_, anyhow::Error>(token.trim().to_owned())
        });
        let chosen = load.serve && load.symbols.is_empty();
        Ok(Settings {
            host,
            connections: load.connections.unwrap_or(usual.connections),
            symbols: load.symbols.clone(),
            per_connection: load.per_connection.or(chosen.then_some(usual.per_connection)),
            wire: match load.encoding {
                Encoding::Protobuf => Wire::Protobuf,
                Encoding::Json => Wire::Json,
                Encoding::Sse => Wire::Sse,
            },
            conflate_ms: load.conflate.unwrap_or(usual.conflate_ms),
            token: token.transpose()?,
            ca: load.ca.clone(),
            warm_up: Duration::from_secs(load.warm_up),
            duration: Duration::from_secs(load.duration),
        })
    }
}

impl Workload {
    const fn name(self) -> &'static str {
        match self {
            Self::Fanout => "fanout",
            Self::Conflate => "conflate",
            Self::Idle => "idle",
            Self::Storm => "storm",
            Self::Slow { .. } => "slow",
        }
    }

    const fn usual(self) -> Usual {
        match self {
            Self::Fanout | Self::Conflate => Usual { connections: 100, market: 10, per_connection: 10, rate: 1_000, conflate_ms: 0 },
            Self::Slow { .. } => Usual { connections: 100, market: 10, per_connection: 10, rate: 5_000, conflate_ms: 0 },
            Self::Idle => Usual { connections: 5_000, market: 20, per_connection: 20, rate: 1, conflate_ms: 5_000 },
            Self::Storm => Usual { connections: 5_000, market: 500, per_connection: 20, rate: 100, conflate_ms: 1_000 },
        }
    }
}

/// Says something beside the figures.
#[expect(clippy::print_stderr, reason = "that is where a command line tool says what is not data")]
fn complain(line: &str) {
    eprintln!("{line}");
}

/// What `conflate` compares.
const CONFLATE_MS: [u32; 3] = [0, 100, 1_000];

const AFTER_HELP: &str = "\
Latency is from the event's own time stamp to this process, so the clocks of both machines have to agree. Age is how old the values are that
a client holds, looked at ten times a second. With --serve every update is accounted for: delivered, or merged into one that was. With
another server, messages without a hole in their count and positions that never go back are what is checked. Bytes are those inside of TLS.

Connections come from one thread, so figures of a server on this machine include what this program takes away from it.

Exit code: 0 when nothing was wrong, 1 when updates were lost, out of order or wrong, or connections refused or cut, 2 when nothing could be
measured.";
