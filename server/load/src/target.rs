//! Where the server is.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::Encryption;

/// An address to connect to, how the server is called in requests, and whether it is spoken to over TLS.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where to connect.
    pub address: SocketAddr,
    /// For the `Host` header.
    pub host: String,
    /// `None`: nothing is encrypted.
    pub encryption: Option<Encryption>,
}

impl Target {
    /// Reads `http://HOST:PORT`, or the same with `https`, `ws` or `wss`. An encrypted server is trusted by the roots in the file `ca` (PEM), without
    /// one by those of this machine.
    ///
    /// # Errors
    /// Another scheme, a host that is not known, or no roots.
    pub fn parse(url: &str, ca: Option<&Path>) -> Result<Self> {
        let (is_encrypted, rest) = match url.split_once("://") {
            Some(("http" | "ws", rest)) => (false, rest),
            Some(("https" | "wss", rest)) => (true, rest),
            _ => bail!("{url}: not an address like http://127.0.0.1:7447"),
        };
        let host = rest.split('/').next().unwrap_or(rest);
        let (name, with_port) = match host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()) {
            Some((name, _)) => (name, host.to_owned()),
            None => (host, format!("{host}:{}", if is_encrypted { 443 } else { 80 })),
        };
        let address = with_port
            .to_socket_addrs()
            .with_context(|| format!("{host}: not a known host"))?
            .next()
            .with_context(|| format!("{host}: has no address"))?;
        let name = name.trim_start_matches('[').trim_end_matches(']');
        let encryption = is_encrypted.then(|| Encryption::new(name, ca)).transpose()?;
        Ok(Self { address, host: host.to_owned(), encryption })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let target = Target::parse("http://127.0.0.1:7447/", None).unwrap();
        assert_eq!((target.address, target.host.as_str()), ("127.0.0.1:7447".parse().unwrap(), "127.0.0.1:7447"));
        assert!(target.encryption.is_none());
        assert_eq!(Target::parse("ws://127.0.0.1", None).unwrap().address.port(), 80);
        let missing = Some(Path::new("/nowhere/ca.pem"));
        for (url, why) in [("wss://[::1]", "roots /nowhere/ca.pem"), ("127.0.0.1:7447", "not an address"), ("http://:x", "known host")] {
            assert!(format!("{:#}", Target::parse(url, missing).unwrap_err()).contains(why), "{url}");
        }
    }
}
