//! Flags that say where the broker is, shared by all commands that talk to one.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use tickwire::publish::{Publisher, PublisherBuilder};
use tickwire_server::ingest::{BrokerTls, BrokerUrl, Brokers, TlsFiles};

/// Where the broker is, and how it is trusted.
#[derive(clap::Args)]
pub(crate) struct BrokerFlags {
    /// The broker; given again, or with commas: nodes of a cluster, tried in turn
    #[arg(
        long,
        value_name = "URL",
        default_value = "amqp://127.0.0.1:5672/%2f",
        env = "TICKWIRE_AMQP",
        hide_env_values = true,
        value_delimiter = ','
    )]
    amqp: Vec<String>,
    /// File with the roots (PEM) that a broker at amqps:// is trusted by, and by no others [default: those of this machine]
    #[arg(long, value_name = "FILE", env = "TICKWIRE_AMQP_CA")]
    amqp_ca: Option<PathBuf>,
    /// File with the certificate (PEM) that we show to a broker that asks
    #[arg(long, value_name = "FILE", env = "TICKWIRE_AMQP_CERT", requires = "amqp_key")]
    amqp_cert: Option<PathBuf>,
    /// File with its private key (PEM)
    #[arg(long, value_name = "FILE", env = "TICKWIRE_AMQP_KEY", requires = "amqp_cert")]
    amqp_key: Option<PathBuf>,
}

impl BrokerFlags {
    /// A publisher for them.
    pub(crate) fn publisher(&self) -> PublisherBuilder {
        let (first, more) = self.amqp.split_first().map_or(("", &[][..]), |(first, more)| (first.as_str(), more));
        let mut builder = more.iter().fold(Publisher::builder(first.trim()), |builder, url| builder.or_at(url.trim()));
        if let Some(ca) = &self.amqp_ca {
            builder = builder.ca_file(ca);
        }
        if let Some((cert, key)) = self.identity() {
            builder = builder.identity_files(cert, key);
        }
        builder
    }

    /// The same, to read.
    ///
    /// # Errors
    /// One of them is no address, or nothing would be encrypted although there are files.
    pub(crate) fn brokers(&self) -> Result<Brokers> {
        let urls: Result<Vec<_>, _> = self.amqp.iter().map(|url| BrokerUrl::parse(url.trim())).collect();
        let urls = urls.context("--amqp")?;
        let identity = self.identity().map(|(cert, key)| TlsFiles { cert: cert.clone(), key: key.clone() });
        let tls = BrokerTls { ca: self.amqp_ca.clone(), identity };
        if tls != BrokerTls::default() && !urls.iter().any(BrokerUrl::is_encrypted) {
            bail!("--amqp-ca and --amqp-cert are of no use: no address begins with amqps://");
        }
        Brokers::new(urls, tls).context("--amqp")
    }

    fn identity(&self) -> Option<(&PathBuf, &PathBuf)> {
        self.amqp_cert.as_ref().zip(self.amqp_key.as_ref())
    }
}
