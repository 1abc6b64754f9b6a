//! Where figures are measured: a private RabbitMQ and servers beside it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;
use tempfile::TempDir;
use tickwire_rig::Broker;

use super::load::Load;
use super::node::Node;

/// What every group measures with.
pub(super) struct Place {
    /// For all groups whose faults leave it whole: each takes names of its own.
    pub(super) broker: Broker,
    program: PathBuf,
    taken: AtomicU32,
    folder: TempDir,
}

impl Place {
    /// Starts the broker.
    pub(super) fn open(program: &Path) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let broker = Broker::start(folder.path())?;
        Ok(Self { broker, program: program.to_owned(), taken: AtomicU32::new(0), folder })
    }

    /// A further broker, with further lines of `rabbitmq.conf`.
    pub(super) fn broker(&self, settings: &str) -> Result<Broker> {
        Broker::start_with(self.folder.path(), settings)
    }

    /// What stands before the names at a broker of somebody who shares it with nobody.
    pub(super) fn names(&self) -> String {
        format!("bench{}.", self.taken.fetch_add(1, Ordering::Relaxed))
    }

    /// A server that does not run yet, at the broker of all.
    pub(super) fn node(&self, names: &str) -> Result<Node> {
        self.node_at(&self.broker.url(), names, "")
    }

    /// A server that does not run yet, at any broker. `more` ends its configuration: keys of `[feed.amqp]`, and then further tables.
    pub(super) fn node_at(&self, url: &str, names: &str, more: &str) -> Result<Node> {
        let config = self.folder.path().join(format!("tickwire-{}.toml", self.taken.fetch_add(1, Ordering::Relaxed)));
        Node::new(&self.program, config, url, names, more)
    }

    /// A publisher at the broker of all. A server has to have run with these names: it makes the exchange and the log.
    pub(super) async fn load(&self, names: &str) -> Result<Load> {
        Load::open(&self.broker.url(), names).await
    }
}
