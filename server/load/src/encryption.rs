//! Whom the load generator trusts to be the server at `https://`.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// TLS of all connections of a crowd. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Encryption {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Encryption {
    /// For a server called `name`, which the roots in the file `ca` (PEM) vouch for; without one, those of this machine.
    ///
    /// # Errors
    /// Not a name, or there are no roots that can be used.
    pub fn new(name: &str, ca: Option<&Path>) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        match ca {
            None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
            Some(ca) => {
                let unusable = || format!("roots {}: not PEM with certificates", ca.display());
                for certificate in CertificateDer::pem_file_iter(ca).with_context(unusable)? {
                    roots.add(certificate.with_context(unusable)?).with_context(unusable)?;
                }
            }
        }
        if roots.is_empty() {
            bail!("there are no roots that could vouch for the server: name them with --ca");
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions()?;
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        // Each connection is that of another client: none has been here before.
        config.resumption = Resumption::disabled();
        let name = ServerName::try_from(name.to_owned()).with_context(|| format!("{name:?} is no name of a server"))?;
        Ok(Self { config: Arc::new(config), name })
    }

    /// One connection.
    pub(crate) fn begin(&self) -> Result<ClientConnection> {
        Ok(ClientConnection::new(self.config.clone(), self.name.clone())?)
    }
}
