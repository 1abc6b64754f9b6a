//! A server that always listens at the same address, and what is asked of it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tickwire_rig::{Tickwire, get, metric};
use tokio::time::{Instant, sleep};

use super::house::WITHIN;

/// A server for one broker and one set of names there, which runs or not.
pub(crate) struct Node {
    pub(crate) server: Option<Tickwire>,
    pub(crate) address: SocketAddr,
    url: String,
    names: String,
    folder: TempDir,
}

impl Node {
    /// Does not run yet. `names` stand before the names at the broker.
    pub(crate) fn at(url: &str, names: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = free.local_addr().unwrap();
        let node = Self { server: None, address, url: url.to_owned(), names: names.to_owned(), folder };
        node.configure("");
        node
    }

    /// Runs, and is ready.
    pub(crate) async fn open(url: &str, names: &str) -> Self {
        let mut node = Self::at(url, names);
        node.start_server();
        node.ready(200).await;
        node
    }

    /// Adds to the configuration of servers that start from now on.
    pub(crate) fn configure(&self, more: &str) {
        let names = match self.names.as_str() {
            "" => String::new(),
            names => format!("[feed.amqp]\nnames_prefix = \"{names}\"\n"),
        };
        std::fs::write(self.config(), format!("{CONFIG}{names}{more}")).unwrap();
    }

    /// Takes the configuration of servers that start from now on from a file.
    pub(crate) fn configure_like(&self, file: &Path) {
        std::fs::copy(file, self.config()).unwrap();
    }

    pub(crate) fn start_server(&mut self) {
        let url = self.url.clone();
        self.start_server_at(&[&url]);
    }

    /// Starts a server that is given these addresses of brokers.
    pub(crate) fn start_server_at(&mut self, urls: &[&str]) {
        let (listen, config) = (self.address.to_string(), self.config().display().to_string());
        let mut arguments = vec!["serve", "--listen", &listen, "--config", &config];
        arguments.extend(urls.iter().flat_map(|url| ["--amqp", url]));
        self.server = Some(Tickwire::start(&arguments).unwrap());
    }

    /// Ends the server at once; its clients lose their connections.
    pub(crate) fn kill_server(&mut self) {
        self.server.take().unwrap().kill().unwrap();
    }

    /// Sends the server a signal, such as `STOP`.
    pub(crate) fn signal(&self, name: &str) {
        self.server.as_ref().unwrap().signal(name).unwrap();
    }

    /// What the server has logged.
    pub(crate) fn log(&self) -> String {
        self.server.as_ref().map(Tickwire::log).unwrap_or_default()
    }

    /// Waits until `/readyz` answers with `status`, and returns the answer.
    pub(crate) async fn ready(&self, status: u16) -> String {
        self.wait_for("/readyz", |answer| answer.starts_with(&format!("HTTP/1.1 {status}"))).await
    }

    /// Waits until the server has logged something with `text` in it.
    pub(crate) async fn logged(&self, text: &str) {
        let by = Instant::now() + WITHIN;
        while !self.log().contains(text) {
            assert!(Instant::now() < by, "no {text:?} in the server's log:\n{}", self.log());
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until a counter has reached `least`, and returns its value.
    pub(crate) async fn counted(&self, name: &str, least: u64) -> u64 {
        let value = |text: &str| metric(text, name).filter(|value| *value >= least);
        value(&self.wait_for("/metrics", |text| value(text).is_some()).await).unwrap()
    }

    /// The value of a counter now; 0 while it has not counted.
    pub(crate) async fn count(&self, name: &str) -> u64 {
        metric(&get(self.address, "/metrics").await.unwrap(), name).unwrap_or_default()
    }

    /// Waits until the answer for `path` is as wanted.
    pub(crate) async fn wait_for(&self, path: &str, wanted: impl Fn(&str) -> bool) -> String {
        let by = Instant::now() + WITHIN;
        loop {
            let answer = get(self.address, path).await.unwrap_or_default();
            if wanted(&answer) {
                return answer;
            }
            assert!(Instant::now() < by, "{path} answers {answer:?}; the server's log:\n{}", self.log());
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn config(&self) -> std::path::PathBuf {
        self.folder.path().join("tickwire.toml")
    }
}

/// Anyone on this machine may read; the feed of the tests sends a sign of life every half second.
const CONFIG: &str = r##"
[auth.anonymous]
symbols = ["#"]

[limits]
connections_per_ip_max = 0

[[feed.rules]]
feed = "stock"
pattern = "stock.#"
silence_ms = 2000
"##;
