//! A server beside a broker, and what is asked of both.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tickwire_rig::{Broker, Tickwire};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

/// A broker and a server that always listens at the same address.
pub(crate) struct House {
    pub(crate) broker: Broker,
    pub(crate) server: Option<Tickwire>,
    pub(crate) address: SocketAddr,
    folder: TempDir,
}

impl House {
    /// Both run, and the server is ready.
    pub(crate) async fn open() -> Self {
        let mut house = Self::open_without_server();
        house.start_server();
        house.ready(200).await;
        house
    }

    /// Both run, the server with the configuration of an example.
    pub(crate) async fn of_example(config: &str) -> Self {
        let mut house = Self::open_without_server();
        std::fs::copy(root().join("examples").join(config), house.folder.path().join("tickwire.toml")).unwrap();
        house.start_server();
        house.ready(200).await;
        house
    }

    /// The broker runs.
    pub(crate) fn open_without_server() -> Self {
        Self::with_broker("")
    }

    /// The broker runs, with further lines of `rabbitmq.conf`.
    pub(crate) fn with_broker(settings: &str) -> Self {
        Self::of(|folder| Broker::start_with(folder, settings))
    }

    /// A broker without streams runs.
    pub(crate) fn without_streams() -> Self {
        Self::of(Broker::without_streams)
    }

    fn of(start: impl FnOnce(&Path) -> anyhow::Result<Broker>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let broker = start(folder.path()).unwrap();
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = free.local_addr().unwrap();
        std::fs::write(folder.path().join("tickwire.toml"), CONFIG).unwrap();
        Self { broker, server: None, address, folder }
    }

    /// Adds to the configuration of servers that start from now on.
    pub(crate) fn configure(&self, more: &str) {
        std::fs::write(self.folder.path().join("tickwire.toml"), format!("{CONFIG}{more}")).unwrap();
    }

    pub(crate) fn start_server(&mut self) {
        let url = self.broker.url();
        self.start_server_at(&[&url]);
    }

    /// Starts a server that is given these addresses of brokers.
    pub(crate) fn start_server_at(&mut self, urls: &[&str]) {
        let config = self.folder.path().join("tickwire.toml").display().to_string();
        let listen = self.address.to_string();
        let mut arguments = vec!["serve", "--listen", &listen, "--config", &config];
        arguments.extend(urls.iter().flat_map(|url| ["--amqp", url]));
        self.server = Some(Tickwire::start(&arguments).unwrap());
    }

    /// What the server logged so far.
    pub(crate) fn log(&self) -> String {
        self.server.as_ref().map(Tickwire::log).unwrap_or_default()
    }

    /// Ends the server at once; its clients lose their connections.
    pub(crate) fn kill_server(&mut self) {
        self.server.take().unwrap().kill().unwrap();
    }

    /// Waits until `/readyz` answers with `status`.
    pub(crate) async fn ready(&self, status: u16) {
        let by = Instant::now() + WITHIN;
        loop {
            let answer = get(self.address, "/readyz").await.unwrap_or_default();
            if answer.starts_with(&format!("HTTP/1.1 {status}")) {
                return;
            }
            let log = self.log();
            assert!(Instant::now() < by, "/readyz answers {answer:?} instead of {status}; the server's log:\n{log}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the server has logged something with `text` in it.
    pub(crate) async fn logged(&self, text: &str) {
        let by = Instant::now() + WITHIN;
        while !self.log().contains(text) {
            assert!(Instant::now() < by, "no {text:?} in the server's log:\n{}", self.log());
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Runs a publisher of the examples to its end; `lines` are its standard input.
pub(crate) fn publish(house: &House, script: &str, arguments: &[&str], lines: &str) {
    let mut publisher = Command::new(python())
        .arg(root().join("examples").join(script))
        .args(["--amqp", &house.broker.url()])
        .args(arguments)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut publisher.stdin.take().unwrap(), lines.as_bytes()).unwrap();
    assert!(publisher.wait().unwrap().success());
}

/// A Python with pika, made once below `target/`.
pub(crate) fn python() -> PathBuf {
    tickwire_rig::python(&root().join("target/python")).unwrap()
}

/// The top folder of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// The whole answer to one request.
pub(crate) async fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut socket = TcpStream::connect(address).await?;
    socket.write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await?;
    Ok(answer)
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
/// Time for anything to happen, on a loaded machine.
pub(crate) const WITHIN: Duration = Duration::from_secs(60);
