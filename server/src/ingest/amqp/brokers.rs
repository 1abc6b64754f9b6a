//! The brokers that have the log: nodes of one cluster, tried in turn.

use std::fmt;

use lapin::Connection;

use super::broker_tls::BrokerTls;
use super::broker_url::BrokerUrl;
use super::failure::Failure;
use super::link::connect;

/// Addresses of brokers, and how they are trusted. A clone keeps a place of its own.
#[derive(Clone, Debug)]
pub struct Brokers {
    /// Never empty.
    urls: Vec<BrokerUrl>,
    tls: BrokerTls,
    /// The one to try first.
    at: usize,
}

impl Brokers {
    /// One broker that is trusted as this machine trusts anybody.
    pub fn one(url: BrokerUrl) -> Self {
        Self { urls: vec![url], tls: BrokerTls::default(), at: 0 }
    }

    /// Several nodes of one cluster, in the order in which they are tried. `None` if there are none.
    pub fn new(urls: Vec<BrokerUrl>, tls: BrokerTls) -> Option<Self> {
        (!urls.is_empty()).then_some(Self { urls, tls, at: 0 })
    }

    /// Connects to the first that takes us, and stays with it from then on. Tries every one once.
    ///
    /// # Errors
    /// None did; says of each why not. If one of them is away, they count as away: it may come back by itself.
    pub(crate) async fn connect(&mut self, name: &str) -> Result<Connection, Failure> {
        let (mut said, mut refusal) = (Vec::new(), None);
        let mut is_away = false;
        for _ in 0..self.urls.len() {
            match connect(self.current(), &self.tls, name).await {
                Ok(connection) => return Ok(connection),
                Err(failure) => {
                    match failure {
                        Failure::Refused { code, .. } => refusal = Some(code),
                        _ => is_away = true,
                    }
                    said.push(failure.at(self.current()).to_string());
                }
            }
            self.pass_on();
        }
        let said = said.join("; ");
        Err(match refusal {
            Some(code) if !is_away => Failure::Refused { code, text: said },
            _ => Failure::Away(said),
        })
    }

    /// Tries the next one first: a node may take connections and still have no log, as one that is cut off from its cluster.
    pub(crate) fn pass_on(&mut self) {
        self.at = (self.at + 1) % self.urls.len();
    }

    /// The one in use, or to be tried next.
    pub(crate) fn current(&self) -> &BrokerUrl {
        &self.urls[self.at]
    }
}

impl fmt::Display for Brokers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, url) in self.urls.iter().enumerate() {
            write!(f, "{}{url}", if n > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brokers(urls: &[&str]) -> Brokers {
        Brokers::new(urls.iter().map(|url| BrokerUrl::parse(url).unwrap()).collect(), BrokerTls::default()).unwrap()
    }

    #[tokio::test]
    async fn says_of_whom_it_was_refused() {
        // Nobody listens on port 1.
        let mut brokers = brokers(&["amqp://a:s3cret@127.0.0.1:1/%2f", "amqp://b:s3cret@127.0.0.1:1/%2f"]);
        let failure = brokers.connect("test").await.unwrap_err().to_string();
        let (first, second) = failure.split_once("; ").unwrap();
        assert!(first.starts_with("amqp://a:…@127.0.0.1:1/%2f: ") && second.starts_with("amqp://b:…@127.0.0.1:1/%2f: "), "{failure}");
        assert_eq!(brokers.current().to_string(), "amqp://a:…@127.0.0.1:1/%2f", "once around");
    }

    #[test]
    fn goes_on_with_the_next() {
        let mut brokers = brokers(&["amqp://a@h", "amqp://b@h"]);
        brokers.pass_on();
        assert_eq!(brokers.current(), &BrokerUrl::parse("amqp://b@h").unwrap());
        brokers.pass_on();
        assert_eq!(brokers.current(), &BrokerUrl::parse("amqp://a@h").unwrap());
        assert!(Brokers::new(Vec::new(), BrokerTls::default()).is_none());
    }
}
