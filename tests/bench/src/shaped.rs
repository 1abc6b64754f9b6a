//! How old is what a client holds on a narrow link, with four times the data that fits: directly, and behind NGINX.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::{Value, json};
use tickwire::{Change, Client, Encoding, Instrument, Transport};
use tickwire_load::{Server, median};
use tickwire_rig::{End, NarrowLink, Nginx};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::{print, progress};

/// What is measured, and where.
#[derive(Args)]
pub(crate) struct Shaped {
    /// The `tickwire` program.
    #[arg(long, value_name = "PROGRAM")]
    server: PathBuf,
    /// What the link carries towards the client, headers included
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(32..=1_000_000))]
    kbit: u32,
    /// Updates a second, over all instruments [default: four times what the link carries]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Instruments
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    symbols: u32,
    /// How sockets find their pace, as Linux names it; nearly all servers have this one
    #[arg(long, default_value = "cubic")]
    congestion: String,
    /// Sets a key of the server's configuration; may be given again
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Only ways whose name contains this, such as `nginx` or `protobuf`
    #[arg(long, default_value = "")]
    only: String,
    /// Rounds; medians are printed
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Seconds of each
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    duration: u64,
    /// Also write the figures as JSON to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Shaped {
    /// Measures every way and prints the table.
    ///
    /// # Errors
    /// Namespaces cannot be made, something does not start, or an update is lost.
    pub(crate) fn run(&self) -> Result<()> {
        leave_on_signals()?;
        let mut rows = Vec::new();
        for way in WAYS.iter().filter(|way| way.name().to_lowercase().contains(&self.only.to_lowercase())) {
            let mut rounds = Vec::new();
            for round in 1..=self.rounds {
                progress(&format!("{}, round {round} of {}", way.name(), self.rounds));
                let link = NarrowLink::new(self.kbit * 1_000, Some(&self.congestion))?;
                rounds.push(self.measure(&link, *way)?);
            }
            rows.push((way.name(), middle(&rounds)));
        }
        let rate = self.rate();
        print(&format!(
            "{} kbit/s ({}), {} instruments, {rate} updates/s, medians of {} rounds of {} s{}",
            self.kbit,
            self.congestion,
            self.symbols,
            self.rounds,
            self.duration,
            self.set.iter().map(|pair| format!(", {pair}")).collect::<String>()
        ));
        print("way                      | median age | p90      | p99      | longest   | link used for data | link used | updates/s");
        for (name, row) in &rows {
            let Row { p50, p90, p99, longest, data, link, updates_per_s } = row;
            print(&format!(
                "{name:<24} | {p50:>7.0} ms | {p90:>5.0} ms | {p99:>5.0} ms | {longest:>6.0} ms | {:>16.1} % | {:>7.1} % | {updates_per_s:>9.0}",
                data * 100.0,
                link * 100.0
            ));
        }
        if let Some(path) = &self.json {
            let rows: Vec<Value> = rows.iter().map(|(name, row)| row.json(name)).collect();
            let figures = json!({ "kbit_per_s": self.kbit, "congestion": self.congestion, "symbols": self.symbols, "updates_per_s": rate,
                "settings": self.set, "rounds": self.rounds, "seconds": self.duration, "ways": rows });
            std::fs::write(path, format!("{figures:#}\n")).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    /// One way, once, with a server of its own.
    fn measure(&self, link: &NarrowLink, way: Way) -> Result<Row> {
        let listen = SocketAddr::from((End::Server.address(), SERVER_PORT));
        let (listens, steady) = (listen.to_string(), format!("{}x{}", self.symbols, self.rate()));
        let mut args = link.words(End::Server, &self.server);
        let program = args.remove(0);
        args.extend(["demo", "--allow-remote", "--listen", &listens, "--steady", &steady].map(str::to_owned));
        args.extend(self.set.iter().flat_map(|pair| ["--set".to_owned(), pair.clone()]));
        let server = Server::start(Path::new(&program), &args)?;
        let nginx = way.behind_nginx.then(|| Nginx::start(link, server.address)).transpose()?;
        let port = if nginx.is_some() { Nginx::PORT } else { SERVER_PORT };
        let url = format!("http://{}:{port}", End::Server.address());
        let talks = || -> Result<Row> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(self.watch(link, way, &url))
        };
        link.run(End::Client, talks)?.with_context(|| format!("{}: {}", way.name(), nginx.as_ref().map_or(String::new(), Nginx::log)))
    }

    /// What a client of the Rust SDK holds, looked at every 10 ms.
    async fn watch(&self, link: &NarrowLink, way: Way, url: &str) -> Result<Row> {
        let builder = Client::builder(url).allow_insecure().conflation(Duration::ZERO).encoding(way.encoding).transport(way.transport);
        let client = timeout(PATIENCE, builder.connect()).await.context("no connection")??;
        let mut all = client.subscribe(["bench.*"]).await?;
        let symbols: Vec<String> = (0..self.symbols).map(|n| format!("bench.S{n}")).collect();
        let (mut looks, mut ages, mut versions) = (interval(LOOK_EVERY), Vec::new(), HashMap::new());
        looks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let warm = Instant::now() + WARM_UP;
        let mut begun = None;
        let end = warm + Duration::from_secs(self.duration);
        while Instant::now() < end {
            if LEAVES.load(Ordering::Relaxed) {
                bail!("interrupted");
            }
            tokio::select! {
                change = all.next() => match change.context("the client has ended")? {
                    Change::State(instrument) => account(&mut versions, &instrument)?,
                    other => bail!("{other} in a market without events"),
                },
                _ = looks.tick() => if Instant::now() >= warm {
                    if begun.is_none() {
                        begun = Some((Instant::now(), client.stats(), link.carried()?));
                    }
                    let now_us = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros() as u64;
                    for symbol in &symbols {
                        let held = client.latest(symbol).with_context(|| format!("{symbol} has not come"))?;
                        ages.push(now_us.saturating_sub(held.ts_event_us) as f64 / 1_000.0);
                    }
                },
            }
        }
        let (at, before, carried) = begun.context("nothing was measured")?;
        let (after, seconds) = (client.stats(), at.elapsed().as_secs_f64());
        if after.connects > 1 {
            bail!("the connection broke");
        }
        ages.sort_by(f64::total_cmp);
        let age = |share: f64| ages[((ages.len() - 1) as f64 * share) as usize];
        let capacity = f64::from(link.bytes_per_s()) * seconds;
        Ok(Row {
            p50: age(0.5),
            p90: age(0.9),
            p99: age(0.99),
            longest: age(1.0),
            data: (after.bytes - before.bytes) as f64 / capacity,
            link: (link.carried()? - carried) as f64 / capacity,
            updates_per_s: (after.records - before.records) as f64 / seconds,
        })
    }

    fn rate(&self) -> u32 {
        self.rate.unwrap_or(self.kbit * 1_000 / 8 * OVERLOAD / RECORD_BYTES)
    }
}

/// Holds a state against the one before: none of the updates in between may be missing.
fn account(versions: &mut HashMap<String, u64>, instrument: &Instrument) -> Result<()> {
    let version = instrument.image.quote.and_then(|quote| quote.trades).context("a steady instrument counts its updates")?;
    let before = versions.insert(instrument.symbol.to_string(), version);
    match before.map(|before| before + 1 + u64::from(instrument.merged)) {
        Some(expected) if expected != version => bail!("{instrument} is update {version} and not {expected}"),
        _ => Ok(()),
    }
}

/// How data comes to the client.
#[derive(Clone, Copy)]
struct Way {
    behind_nginx: bool,
    transport: Transport,
    encoding: Encoding,
}

impl Way {
    fn name(self) -> String {
        let front = if self.behind_nginx { "NGINX" } else { "direct" };
        let what = match (self.transport, self.encoding) {
            (Transport::Sse, _) => "event stream",
            (_, Encoding::Json) => "WebSocket, JSON",
            _ => "WebSocket",
        };
        format!("{front}, {what}")
    }
}

/// What was seen.
#[derive(Clone, Copy)]
struct Row {
    /// Ages of the values held, milliseconds.
    p50: f64,
    p90: f64,
    p99: f64,
    longest: f64,
    /// Bytes of frames, as a share of what the link carries, headers included.
    data: f64,
    /// All bytes, headers included.
    link: f64,
    updates_per_s: f64,
}

impl Row {
    fn json(&self, name: &str) -> Value {
        json!({ "way": name, "age_ms": { "p50": self.p50, "p90": self.p90, "p99": self.p99, "max": self.longest },
            "share_for_data": self.data, "share_used": self.link, "updates_per_s": self.updates_per_s })
    }
}

fn middle(rows: &[Row]) -> Row {
    let of = |figure: fn(&Row) -> f64| median(rows.iter().map(figure).collect());
    Row {
        p50: of(|row| row.p50),
        p90: of(|row| row.p90),
        p99: of(|row| row.p99),
        longest: of(|row| row.longest),
        data: of(|row| row.data),
        link: of(|row| row.link),
        updates_per_s: of(|row| row.updates_per_s),
    }
}

/// Lets the measurement end by itself when it is interrupted, so that namespaces and servers go with it.
fn leave_on_signals() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let Ok(mut term) = signal(SignalKind::terminate()) else { return };
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = term.recv() => {}
            }
            LEAVES.store(true, Ordering::Relaxed);
        });
    });
    Ok(())
}

static LEAVES: AtomicBool = AtomicBool::new(false);
const WAYS: [Way; 5] = [
    Way { behind_nginx: false, transport: Transport::WebSocket, encoding: Encoding::Protobuf },
    Way { behind_nginx: true, transport: Transport::WebSocket, encoding: Encoding::Protobuf },
    Way { behind_nginx: true, transport: Transport::WebSocket, encoding: Encoding::Json },
    Way { behind_nginx: false, transport: Transport::Sse, encoding: Encoding::Json },
    Way { behind_nginx: true, transport: Transport::Sse, encoding: Encoding::Json },
];
const SERVER_PORT: u16 = 7_447;
/// Updates are so many times what the link carries.
const OVERLOAD: u32 = 4;
/// Of a record of the steady market, with the head of its frame.
const RECORD_BYTES: u32 = 50;
/// Before looking begins: the first window is wide.
const WARM_UP: Duration = Duration::from_secs(5);
/// How often is looked.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Time to connect.
const PATIENCE: Duration = Duration::from_secs(20);
