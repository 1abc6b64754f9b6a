//! A server beside a broker, and what is asked of both.

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use tempfile::TempDir;
use tickwire_rig::Broker;
pub(crate) use tickwire_rig::get;

use super::node::Node;

/// A broker, and a server beside it.
pub(crate) struct House {
    pub(crate) broker: Broker,
    node: Node,
    _folder: TempDir,
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
        house.configure_like(&root().join("examples").join(config));
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
        let node = Node::at(&broker.url(), "");
        Self { broker, node, _folder: folder }
    }
}

impl Deref for House {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

impl DerefMut for House {
    fn deref_mut(&mut self) -> &mut Node {
        &mut self.node
    }
}

/// A broker for tests whose faults leave it whole: each takes names of its own. It ends with this program.
pub(crate) fn shared() -> &'static Broker {
    static SHARED: OnceLock<Broker> = OnceLock::new();
    SHARED.get_or_init(|| Broker::start(&std::env::temp_dir()).unwrap())
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

/// Time for anything to happen, on a loaded machine.
pub(crate) const WITHIN: Duration = Duration::from_secs(60);
