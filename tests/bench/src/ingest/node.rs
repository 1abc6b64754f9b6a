//! A server process that is measured, always at the same address, and what is asked of it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tickwire_load::Meter;
use tickwire_rig::{Tickwire, get, metric};
use tokio::time::{Instant, sleep};

/// A server for one broker and one set of names there, which runs or not.
pub(super) struct Node {
    pub(super) address: SocketAddr,
    server: Option<Tickwire>,
    program: PathBuf,
    config: PathBuf,
    url: String,
}

impl Node {
    pub(super) fn new(program: &Path, config: PathBuf, url: &str, names: &str, more: &str) -> Result<Self> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        std::fs::write(&config, format!("{CONFIG}[feed.amqp]\nnames_prefix = \"{names}\"\n{more}"))?;
        Ok(Self { address, server: None, program: program.to_owned(), config, url: url.to_owned() })
    }

    /// Starts it; returns when it listens.
    pub(super) fn start(&mut self) -> Result<()> {
        let (listen, config) = (self.address.to_string(), self.config.display().to_string());
        let words = ["serve", "--listen", &listen, "--shards", "2", "--config", &config, "--amqp", &self.url];
        self.server = Some(Tickwire::start_program(&self.program, &words)?);
        Ok(())
    }

    /// Starts it, and waits until it is ready.
    pub(super) async fn open(&mut self) -> Result<()> {
        self.start()?;
        self.ready().await
    }

    /// Ends it at once.
    pub(super) fn kill(&mut self) -> Result<()> {
        self.server.take().context("the server does not run")?.kill()
    }

    /// Sends it a signal, such as `STOP`.
    pub(super) fn signal(&self, name: &str) -> Result<()> {
        self.running()?.signal(name)
    }

    /// Its address for clients.
    pub(super) fn http(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it has logged.
    pub(super) fn log(&self) -> String {
        self.server.as_ref().map(Tickwire::log).unwrap_or_default()
    }

    /// Reads its CPU time and memory.
    pub(super) fn meter(&self) -> Result<Meter> {
        Meter::new(vec![self.running()?.pid()])
    }

    /// Waits until `/readyz` answers 200.
    pub(super) async fn ready(&self) -> Result<()> {
        self.ready_within(LOOK_EVERY).await
    }

    /// The same, looking every `every`: looks cost time as well where many wait on few cores.
    pub(super) async fn ready_within(&self, every: Duration) -> Result<()> {
        self.wait_for("/readyz", every, |answer| answer.starts_with("HTTP/1.1 200").then_some(())).await
    }

    /// The value of a counter now, summed over its labels; 0 while it has not counted.
    pub(super) async fn count(&self, name: &str) -> Result<u64> {
        let name = if name.ends_with("_total") { name.to_owned() } else { format!("{name}_total") };
        Ok(metric(&get(self.address, "/metrics").await?, &name).unwrap_or(0))
    }

    /// Waits until a counter has reached `least`, looking every `every`, and returns its value.
    pub(super) async fn counted(&self, name: &str, least: u64, every: Duration) -> Result<u64> {
        let name = format!("{name}_total");
        self.wait_for("/metrics", every, |text| metric(text, &name).filter(|value| *value >= least)).await
    }

    /// Asks for `path` every `every` until `wanted` finds something in the answer.
    pub(super) async fn wait_for<T>(&self, path: &str, every: Duration, wanted: impl Fn(&str) -> Option<T>) -> Result<T> {
        let give_up = Instant::now() + WITHIN;
        loop {
            let answer = get(self.address, path).await.unwrap_or_default();
            if let Some(found) = wanted(&answer) {
                return Ok(found);
            }
            if Instant::now() >= give_up {
                bail!("{path} of the server answers after {WITHIN:?}:\n{answer}\nits log:\n{}", self.log());
            }
            sleep(every).await;
        }
    }

    /// Whether the connections to the broker held and nothing was refused since it was started.
    pub(super) async fn check_calm(&self) -> Result<()> {
        for name in ["broker_failures", "feed_poison", "log_resets", "log_truncations"] {
            let count = self.count(name).await?;
            ensure!(count == 0, "{name} is {count}; the server's log:\n{}", self.log());
        }
        Ok(())
    }

    fn running(&self) -> Result<&Tickwire> {
        self.server.as_ref().context("the server does not run")
    }
}

/// Anyone on this machine may read a whole market.
const CONFIG: &str = r##"
[auth.anonymous]
symbols = ["#"]

[limits]
connections_per_ip_max = 0
subscriptions_max = 200000

"##;
/// Time for anything that is waited for.
const WITHIN: Duration = Duration::from_secs(120);
/// Between two looks at what comes soon.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(5);
