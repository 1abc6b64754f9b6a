//! TCP and TLS.

use std::fmt;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::endpoint::Endpoint;
use crate::error::{ConnectError, TransportError};

/// A byte stream that may be encrypted, with a read buffer: what is read beyond a response head stays in it.
pub(super) type Socket = BufReader<Box<dyn Io>>;

/// A plain or an encrypted stream.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin + fmt::Debug {}
impl Io for TcpStream {}
impl Io for tokio_rustls::client::TlsStream<TcpStream> {}

/// Connects to `endpoint`.
pub(super) async fn dial(endpoint: &Endpoint, tls: Option<&Tls>) -> Result<Socket, TransportError> {
    let tcp = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await?;
    // A subscribe is one small write that nothing follows: it must not wait for an acknowledgement.
    tcp.set_nodelay(true)?;
    let io: Box<dyn Io> = match tls.filter(|_| endpoint.secure) {
        Some(tls) => {
            let name = ServerName::try_from(endpoint.host.clone()).map_err(|_| TransportError::HostName(endpoint.host.clone()))?;
            Box::new(tls.connector.connect(name, tcp).await?)
        }
        None if endpoint.secure => return Err(TransportError::NoRootCertificates),
        None => Box::new(tcp),
    };
    Ok(BufReader::new(io))
}

/// Whom to trust. Made once per client.
#[derive(Clone)]
pub(crate) struct Tls {
    connector: TlsConnector,
}

impl Tls {
    /// Trusts the certificates in `pem`, or this machine's roots if there are none. Reads files: call it where blocking is fine.
    pub(crate) fn load(pem: Option<&[u8]>) -> Result<Self, ConnectError> {
        let mut roots = RootCertStore::empty();
        match pem {
            Some(pem) => {
                for certificate in CertificateDer::pem_slice_iter(pem) {
                    let certificate = certificate.map_err(|error| ConnectError::RootCertificates(error.to_string()))?;
                    roots.add(certificate).map_err(|error| ConnectError::RootCertificates(error.to_string()))?;
                }
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        if roots.is_empty() {
            return Err(ConnectError::RootCertificates("there are none".to_owned()));
        }
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| ConnectError::RootCertificates(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { connector: TlsConnector::from(Arc::new(config)) })
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}
