//! Whom a publisher trusts to be the broker, and who it says it is: TLS of `amqps://`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lapin::tcp::RustlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Files that are read for every connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct BrokerTls {
    /// PEM: whom to trust, and nobody else. `None`: the roots of this machine.
    pub(super) ca: Option<PathBuf>,
    /// PEM: certificate and key, for brokers that ask.
    pub(super) identity: Option<(PathBuf, PathBuf)>,
}

impl BrokerTls {
    /// Reads the files.
    ///
    /// # Errors
    /// Says which of them cannot be used, and why.
    pub(super) fn read(&self) -> Result<RustlsConnector, String> {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(self.roots()?);
        let config = match &self.identity {
            None => config.with_no_client_auth(),
            Some((cert, key)) => {
                let chain = chain(cert).map_err(|text| format!("certificate {}: {text}", cert.display()))?;
                let wrong_key = |text: String| format!("key {}: {text}", key.display());
                let private = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong_key(error.to_string()))?;
                let fits = config.with_client_auth_cert(chain, private);
                fits.map_err(|error| wrong_key(format!("does not go with the certificate: {error}")))?
            }
        };
        Ok(config.into())
    }

    fn roots(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        let Some(ca) = &self.ca else {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            return if roots.is_empty() { Err("this machine has no roots: name those of the broker".to_owned()) } else { Ok(roots) };
        };
        let wrong = |text: String| format!("roots {}: {text}", ca.display());
        for certificate in chain(ca).map_err(wrong)? {
            roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
        }
        Ok(roots)
    }
}

/// The certificates of a file, at least one.
fn chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = read.map_err(|error| error.to_string())?;
    if chain.is_empty() { Err("there is no certificate in it".to_owned()) } else { Ok(chain) }
}
