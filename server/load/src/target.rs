//! Where the server is.

use std::net::{SocketAddr, ToSocketAddrs};

use anyhow::{Context, Result, bail};

/// An address to connect to, and how the server is called in requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where to connect.
    pub address: SocketAddr,
    /// For the `Host` header.
    pub host: String,
}

impl Target {
    /// Reads `http://HOST:PORT` or `ws://HOST:PORT`.
    ///
    /// # Errors
    /// Another scheme (the load generator does not encrypt), or a host that is not known.
    pub fn parse(url: &str) -> Result<Self> {
        let rest = match url.split_once("://") {
            Some(("http" | "ws", rest)) => rest,
            Some(("https" | "wss", _)) => {
                bail!("{url}: the load generator does not encrypt; give it an http:// address, in front of which no TLS stands")
            }
            _ => bail!("{url}: not an address like http://127.0.0.1:7447"),
        };
        let host = rest.split('/').next().unwrap_or(rest);
        let with_port =
            if host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) { host.to_owned() } else { format!("{host}:80") };
        let address = with_port
            .to_socket_addrs()
            .with_context(|| format!("{host}: not a known host"))?
            .next()
            .with_context(|| format!("{host}: has no address"))?;
        Ok(Self { address, host: host.to_owned() })
    }
}

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Self {
        Self { address, host: address.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let target = Target::parse("http://127.0.0.1:7447/").unwrap();
        assert_eq!((target.address, target.host.as_str()), ("127.0.0.1:7447".parse().unwrap(), "127.0.0.1:7447"));
        assert_eq!(Target::parse("ws://127.0.0.1").unwrap().address.port(), 80);
        for (url, why) in [("https://127.0.0.1", "does not encrypt"), ("127.0.0.1:7447", "not an address"), ("http://:x", "known host")] {
            assert!(format!("{:#}", Target::parse(url).unwrap_err()).contains(why), "{url}");
        }
    }
}
