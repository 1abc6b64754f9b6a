//! Encrypted connections. Certificate and key are of `localhost` and 127.0.0.1, were made for this test, and protect nothing.

use std::sync::Arc;

use tickwire::{Client, ConnectError, Transport, TransportError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::join;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::server::within;

const CERTIFICATE: &[u8] = include_bytes!("tls/certificate.pem");
const KEY: &[u8] = include_bytes!("tls/key.pem");

/// Takes one encrypted connection, answers its request with a teapot, and returns the request's head; `None` if there was no trust.
async fn teapot(listener: &TcpListener) -> Option<String> {
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from_pem_slice(CERTIFICATE).unwrap()], PrivateKeyDer::from_pem_slice(KEY).unwrap());
    let (tcp, _) = listener.accept().await.unwrap();
    let mut stream = TlsAcceptor::from(Arc::new(config.unwrap())).accept(tcp).await.ok()?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    stream.write_all(b"HTTP/1.1 418 I'm a teapot\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    stream.shutdown().await.unwrap();
    Some(String::from_utf8(head).unwrap())
}

#[tokio::test]
async fn a_trusted_server_is_spoken_to_over_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for host in ["localhost", "127.0.0.1"] {
        let connecting = Client::builder(format!("wss://{host}:{port}")).root_certificates_pem(CERTIFICATE).connect();
        let (connected, head) = within(async { join!(connecting, teapot(&listener)) }).await;
        let Err(ConnectError::Unreachable { source: TransportError::Status { status: 418, .. }, .. }) = connected else {
            panic!("{connected:?}");
        };
        assert!(head.unwrap().contains(&format!("\r\nHost: {host}:{port}\r\n")));
    }
}

#[tokio::test]
async fn a_stranger_is_told_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    // Trust in the machine's own roots does not cover a certificate that signed itself.
    let client = Client::builder(&url).token("secret").transport(Transport::Sse).connect().await;
    match client {
        Ok(client) => {
            let mut events = client.events();
            let _quotes = client.subscribe(["s1"]).await.unwrap();
            assert_eq!(within(teapot(&listener)).await, None);
            let reason = within(async {
                loop {
                    if let Some(tickwire::Event::State { state: tickwire::State::Backoff, reason, .. }) = events.next().await {
                        break reason;
                    }
                }
            });
            assert!(reason.await.contains("certificate"), "the reason names the certificate");
        }
        // A machine without any roots trusts nobody, which it says before it connects.
        Err(error) => assert!(matches!(error, ConnectError::RootCertificates(_)), "{error}"),
    }
}
