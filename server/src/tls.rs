//! TLS 1.2 and 1.3: the certificate of this node, read again when the operator asks for it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use thiserror::Error;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::NoServerSessionStorage;
use tokio_rustls::rustls::{ServerConfig, version};

use crate::files;

/// Where certificate and key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM: the certificate of this node first, then those between it and a root.
    pub cert: PathBuf,
    /// PEM: its private key.
    pub key: PathBuf,
}

/// Encrypts new connections with the newest good certificate.
#[derive(Debug)]
pub(crate) struct Tls {
    files: TlsFiles,
    /// Read once for each handshake, which costs a thousand times as much.
    current: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// They cannot be used.
    pub(crate) fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let current = RwLock::new(Arc::new(read(&files)?));
        Ok(Self { files, current })
    }

    /// Reads the files again. Connections that stand keep what they have.
    ///
    /// # Errors
    /// They cannot be used; the certificate that was in use stays in use.
    pub(crate) fn reload(&self) -> Result<(), TlsError> {
        let config = Arc::new(read(&self.files)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    /// Makes the handshake of one connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// Why certificate and key cannot be used.
#[derive(Debug, Error)]
pub(crate) enum TlsError {
    #[error("certificate {}: {text}", file.display())]
    Certificate { file: PathBuf, text: String },
    #[error("key {}: {text}", file.display())]
    Key { file: PathBuf, text: String },
}

/// Checks that the files can be used.
pub(crate) fn check(files: &TlsFiles) -> Result<(), TlsError> {
    read(files).map(drop)
}

fn read(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let certificate = |text: String| TlsError::Certificate { file: files.cert.clone(), text };
    let key = |text: String| TlsError::Key { file: files.key.clone(), text };
    let chain = chain(&files.cert).map_err(certificate)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .map_err(|error| key(error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, private_key(&files.key).map_err(key)?)
        .map_err(|error| key(format!("does not go with the certificate: {error}")))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Clients that come back bring what we need to know of them, so that nothing is kept here for those who do not.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = ring::Ticketer::new().map_err(|error| key(error.to_string()))?;
    Ok(config)
}

/// The certificates of a file, at least one.
pub(crate) fn chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = files::read(file)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|error| format!("is not PEM: {error}"))?;
    if chain.is_empty() { Err("holds no certificate in PEM".to_owned()) } else { Ok(chain) }
}

/// The private key of a file.
pub(crate) fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, String> {
    files::read(file).and_then(|pem| PrivateKeyDer::from_pem_slice(&pem).map_err(|_| "holds no private key in PEM".to_owned()))
}
