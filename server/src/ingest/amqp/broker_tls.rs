//! Whom we trust to be the broker, and who we say we are: TLS of `amqps://`.

use std::path::PathBuf;
use std::sync::Arc;

use lapin::tcp::RustlsConnector;
use thiserror::Error;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, version};

use super::failure::Failure;
use crate::tls::{TlsFiles, chain, private_key};

/// Files that are read for every connection, so that renewed certificates need no restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerTls {
    /// PEM: whom to trust, and nobody else. `None`: the roots of this machine.
    pub ca: Option<PathBuf>,
    /// Who we are, for brokers that ask.
    pub identity: Option<TlsFiles>,
}

/// Why the files cannot be used.
#[derive(Debug, Error)]
pub(crate) enum BrokerTlsError {
    #[error("roots {}: {text}", file.display())]
    Ca { file: PathBuf, text: String },
    #[error("this machine has no roots that could be trusted; name those of the broker")]
    NoRoots,
    #[error("certificate {}: {text}", file.display())]
    Certificate { file: PathBuf, text: String },
    #[error("key {}: {text}", file.display())]
    Key { file: PathBuf, text: String },
    #[error("{0}")]
    Library(String),
}

impl BrokerTls {
    /// Checks that the files can be used.
    pub(crate) fn check(&self) -> Result<(), BrokerTlsError> {
        self.read().map(drop)
    }

    /// For one connection.
    ///
    /// # Errors
    /// The files cannot be used: somebody has to mend them.
    pub(crate) async fn connector(&self) -> Result<RustlsConnector, Failure> {
        let tls = self.clone();
        // Reading the roots of a machine takes some milliseconds.
        let read = tokio::task::spawn_blocking(move || tls.read()).await.map_err(|error| Failure::Away(error.to_string()))?;
        read.map(RustlsConnector::from).map_err(|error| Failure::mistrust(error.to_string()))
    }

    fn read(&self) -> Result<ClientConfig, BrokerTlsError> {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])
            .map_err(|error| BrokerTlsError::Library(error.to_string()))?
            .with_root_certificates(self.roots()?);
        let Some(TlsFiles { cert, key }) = &self.identity else { return Ok(config.with_no_client_auth()) };
        let chain = chain(cert).map_err(|text| BrokerTlsError::Certificate { file: cert.clone(), text })?;
        let wrong_key = |text| BrokerTlsError::Key { file: key.clone(), text };
        let private = private_key(key).map_err(wrong_key)?;
        config.with_client_auth_cert(chain, private).map_err(|error| wrong_key(format!("does not go with the certificate: {error}")))
    }

    fn roots(&self) -> Result<RootCertStore, BrokerTlsError> {
        let mut roots = RootCertStore::empty();
        let Some(ca) = &self.ca else {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            return if roots.is_empty() { Err(BrokerTlsError::NoRoots) } else { Ok(roots) };
        };
        let wrong = |text| BrokerTlsError::Ca { file: ca.clone(), text };
        for certificate in chain(ca).map_err(wrong)? {
            roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
        }
        Ok(roots)
    }
}
