//! RabbitMQ as a source: the log is a stream, read over AMQP 0.9.1.

mod broker_url;

pub use self::broker_url::{BrokerUrl, BrokerUrlError};

/// Checked settings of the RabbitMQ source.
#[derive(Clone, Debug)]
pub struct AmqpConfig {
    /// Where the broker is.
    pub url: BrokerUrl,
    /// Stands before every name that Tickwire uses at the broker: `prod.` makes `prod.tickwire.feed`.
    pub prefix: String,
    /// Who makes exchanges and queues.
    pub topology: Topology,
}

impl AmqpConfig {
    /// The settled names, declared by the server.
    pub fn new(url: BrokerUrl) -> Self {
        Self { url, prefix: String::new(), topology: Topology::Declared }
    }
}

/// Who makes exchanges and queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Topology {
    /// The server declares what is missing, and warns about what is different.
    #[default]
    Declared,
    /// The operator: the server declares nothing.
    Managed,
}
