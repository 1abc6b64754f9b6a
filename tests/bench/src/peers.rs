//! Tickwire beside its floor and beside other servers, on one machine in one run: the table of ratios.

mod feed;
mod mosquitto;
mod nats;
mod nchan;
mod node;
mod peer;
mod sockudo;
mod subscriber;
mod table;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tickwire_load::workload::{self, Host, Settings, spread};
use tickwire_load::{Conversation, Figures, Group, Meter, Pace, Probe, Progress, Sample, Server, Wire, allow_descriptors};

use feed::Feed;
use peer::{Peer, Tools};

/// Flags of the comparison.
#[derive(clap::Args)]
pub(crate) struct Peers {
    /// The `tickwire` program
    #[arg(long, value_name = "PROGRAM")]
    server: PathBuf,
    /// Where servers of others were installed that are not on the path
    #[arg(long, value_name = "FOLDER")]
    tools: PathBuf,
    /// Only these, separated by commas: workloads (a, b, c) and parts of servers' names (floor, tickwire, nats, …)
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    only: Vec<String>,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// Rounds; the median is printed
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=15))]
    rounds: u8,
    /// Multiplies the updates a second of all workloads: below 1 for a machine that cannot take them
    #[arg(long, default_value_t = 1.0, value_parser = scale)]
    scale: f64,
    /// Also write the figures as JSON to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What all are measured with.
#[derive(Clone, Copy, Debug)]
struct Workload {
    name: &'static str,
    connections: u32,
    /// Instruments, and how many of them each connection takes.
    market: u32,
    each: u32,
    /// Updates a second, over all instruments.
    rate: u32,
}

/// One row of the table.
struct Subject {
    name: String,
    conflate_ms: u32,
    kind: Kind,
}

enum Kind {
    Tickwire,
    /// Tickwire with `conflate.paced`.
    Paced,
    /// With so many threads, as Tickwire has shards.
    Floor,
    Peer(Box<dyn Peer>),
}

/// What a subject did in a workload, round by round; or why it is missing.
type Outcome = Result<Vec<Figures>, String>;

impl Peers {
    /// Measures everything, and prints the table.
    ///
    /// # Errors
    /// Nothing can be measured. A server that cannot be is named in the table, with the reason.
    pub(crate) fn run(&self) -> Result<()> {
        let (workloads, subjects) = self.chosen()?;
        let most = workloads.iter().map(|workload| workload.connections).max().unwrap_or(0);
        let mut progress = Progress::new("bench");
        if let Some(done) = allow_descriptors(2 * most)? {
            progress.step(&done);
        }
        let folder = std::env::temp_dir().join(format!("tickwire-peers-{}", std::process::id()));
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let mut outcomes: Vec<Vec<Outcome>> = workloads.iter().map(|_| subjects.iter().map(|_| Ok(Vec::new())).collect()).collect();
        for round in 1..=self.rounds {
            for (workload, row) in workloads.iter().zip(&mut outcomes) {
                for (subject, outcome) in subjects.iter().zip(row) {
                    // Who failed once would fail again, and take its time.
                    let Ok(figures) = outcome else { continue };
                    progress.step(&format!("round {round} of {}, workload {}, {}", self.rounds, workload.name, subject.name));
                    match self.measure(workload, subject, &folder) {
                        Ok(measured) => figures.push(measured),
                        Err(error) => {
                            progress.step(&format!("{}: {error:#}", subject.name));
                            *outcome = Err(format!("{error:#}"));
                        }
                    }
                }
            }
        }
        progress.clear();
        // What servers wrote there is of no use to anybody.
        let _ = std::fs::remove_dir_all(&folder);
        let table = table::Table { workloads: &workloads, subjects: &subjects, outcomes: &outcomes, seconds: self.seconds };
        table.print(self.rounds);
        if let Some(path) = &self.json {
            std::fs::write(path, format!("{:#}\n", table.json())).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    fn chosen(&self) -> Result<(Vec<Workload>, Vec<Subject>)> {
        let only: Vec<String> = self.only.iter().map(|name| name.to_lowercase()).collect();
        let (letters, names): (Vec<&String>, Vec<&String>) = only.iter().partition(|name| name.len() == 1);
        let workloads = WORKLOADS
            .into_iter()
            .map(|workload| Workload { rate: (f64::from(workload.rate) * self.scale).max(1.0) as u32, ..workload })
            .filter(|workload| letters.is_empty() || letters.iter().any(|letter| workload.name.eq_ignore_ascii_case(letter)))
            .collect::<Vec<_>>();
        let mut subjects = Vec::new();
        for conflate_ms in [0, 100] {
            for (name, kind) in [("floor", Kind::Floor), ("Tickwire", Kind::Tickwire)] {
                subjects.push(Subject { name: format!("{name}, {conflate_ms} ms"), conflate_ms, kind });
            }
        }
        subjects.push(Subject { name: "Tickwire, 100 ms, paced".to_owned(), conflate_ms: 100, kind: Kind::Paced });
        let peers: [Box<dyn Peer>; 6] = [
            Box::new(nats::Nats),
            Box::new(node::Node::WS),
            Box::new(node::Node::UWS),
            Box::new(mosquitto::Mosquitto),
            Box::new(nchan::Nchan),
            Box::new(sockudo::Sockudo),
        ];
        subjects.extend(peers.map(|peer| Subject { name: peer.name().to_owned(), conflate_ms: 0, kind: Kind::Peer(peer) }));
        subjects.retain(|subject| names.is_empty() || names.iter().any(|name| subject.name.to_lowercase().contains(name.as_str())));
        if workloads.is_empty() || subjects.is_empty() {
            bail!(
                "--only leaves nothing: workloads are a, b and c; servers are floor, tickwire, nats, node ws, uwebsockets, mosquitto, nchan and sockudo"
            );
        }
        Ok((workloads, subjects))
    }

    fn measure(&self, workload: &Workload, subject: &Subject, folder: &Path) -> Result<Figures> {
        let (program, args) = match &subject.kind {
            Kind::Tickwire => (self.server.clone(), workload.demo(&[])),
            Kind::Paced => (self.server.clone(), workload.demo(&["conflate.paced=true".to_owned()])),
            Kind::Floor => (std::env::current_exe().context("this program has no path")?, workload.floor(subject.conflate_ms)),
            Kind::Peer(peer) => return self.measure_peer(workload, peer.as_ref(), folder),
        };
        let settings = Settings {
            host: Host::Own { program, args, market: workload.market, updates_per_s: workload.rate },
            connections: workload.connections,
            symbols: Vec::new(),
            per_connection: Some(workload.each),
            wire: Wire::Protobuf,
            conflate_ms: subject.conflate_ms,
            token: None,
            ca: None,
            warm_up: workload.warm_up(),
            duration: Duration::from_secs(self.seconds),
        };
        workload::fanout(&settings, &mut Progress::silent())
    }

    fn measure_peer(&self, workload: &Workload, peer: &dyn Peer, folder: &Path) -> Result<Figures> {
        let running = peer.start(&Tools(self.tools.clone()), folder)?;
        let meter = Meter::new(running.pids())?;
        let host = running.subscribe.to_string();
        let converse = |n: u32| -> Box<dyn Conversation> {
            let indices: Vec<usize> = spread(n, workload.market as usize, workload.each as usize).collect();
            peer.subscriber(host.clone(), &indices)
        };
        let feed = Mutex::new(None);
        let start_feed = || -> Result<()> {
            let started = Feed::start(peer.publisher(&running)?, workload.market, workload.rate)?;
            *feed.lock().unwrap_or_else(PoisonError::into_inner) = Some(started);
            Ok(())
        };
        let probe = Probe {
            address: running.subscribe,
            encryption: None,
            meter: Some(&meter),
            converse: &converse,
            connections: workload.connections,
            gathered: Some(&start_feed),
            warm_up: workload.warm_up(),
            duration: Duration::from_secs(self.seconds),
        };
        let empty = probe.empty(&mut Progress::silent())?;
        let group = Group { connections: workload.connections, pace: Pace::Free, at_once: GATHER_AT_ONCE };
        let Sample { connections, tally, span, server, ready_ms } = probe.measure(&group, empty, &mut Progress::silent())?;
        // What the feed managed to publish, scaled from its whole life to what was counted.
        let feed = feed.into_inner().unwrap_or_else(PoisonError::into_inner).context("the feed has started")?;
        let published = feed.end()? * span.as_secs_f64();
        Ok(Figures {
            name: peer.name().to_owned(),
            connections,
            symbols: workload.each,
            encoding: "protobuf",
            conflate_ms: 0,
            tally,
            span,
            published: Some(published),
            server,
            ready_ms,
        })
    }
}

impl Workload {
    fn demo(&self, set: &[String]) -> Vec<String> {
        Server::demo(self.market, self.rate, self.connections, set)
    }

    fn floor(&self, tick: u32) -> Vec<String> {
        let flags = [("--market", self.market), ("--rate", self.rate), ("--tick", tick)];
        let words = flags.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value.to_string()]);
        std::iter::once("floor".to_owned()).chain(words).collect()
    }

    /// Before a measurement begins: long enough for each instrument to change, since what comes first of it is not counted.
    fn warm_up(&self) -> Duration {
        WARM_UP.max(Duration::from_secs_f64(1.2 * f64::from(self.market) / f64::from(self.rate)))
    }

    /// Updates that everyone together should be given in a second, without conflation.
    fn deliveries_per_s(&self) -> f64 {
        f64::from(self.connections) * f64::from(self.each) * f64::from(self.rate) / f64::from(self.market)
    }
}

fn scale(text: &str) -> Result<f64, String> {
    let scale: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.01..=10.0).contains(&scale) { Ok(scale) } else { Err("not between 0.01 and 10".to_owned()) }
}

const WORKLOADS: [Workload; 3] = [
    Workload { name: "A", connections: 100, market: 10, each: 10, rate: 1_000 },
    Workload { name: "B", connections: 1_000, market: 500, each: 20, rate: 1_250 },
    Workload { name: "C", connections: 5_000, market: 1, each: 1, rate: 50 },
];
/// Before a measurement begins, at least.
const WARM_UP: Duration = Duration::from_secs(1);
/// Connections on their way at a time.
const GATHER_AT_ONCE: usize = 64;
