//! A private RabbitMQ node: own name, ports and data folder, started, paused, killed and removed by its owner.

use std::path::Path;

use anyhow::Result;

/// A RabbitMQ node that belongs to the one who started it. Dropping it stops the node and removes its data.
#[derive(Debug)]
pub struct Broker {}

impl Broker {
    /// Starts a node with its data below `folder`, on free ports, and waits until it takes connections (at most 60 s).
    ///
    /// # Errors
    /// RabbitMQ is not installed, or does not start; says where its log is.
    pub fn start(folder: &Path) -> Result<Self> {
        let _ = folder;
        unimplemented!()
    }

    /// `amqp://guest:guest@127.0.0.1:PORT/%2f`
    pub fn url(&self) -> String {
        unimplemented!()
    }

    /// Ends the node at once, as a crash would (`kill -9`). Its data stays.
    pub fn kill(&mut self) -> Result<()> {
        unimplemented!()
    }

    /// Starts the node again on the same ports and data, and waits until it takes connections.
    pub fn restart(&mut self) -> Result<()> {
        unimplemented!()
    }
}
