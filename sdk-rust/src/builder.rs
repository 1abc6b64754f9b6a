//! How a client is set up.

use std::sync::Arc;
use std::time::Duration;

use tickwire_proto::session::{Session, SessionConfig};
use tickwire_proto::wire::Encoding;
use tokio::sync::oneshot;

use crate::client::{Client, Handle};
use crate::driver::Driver;
use crate::endpoint::{Endpoint, UrlError};
use crate::error::ConnectError;
use crate::shared::Shared;
use crate::token::{Token, TokenProvider};
use crate::transport::{Route, Tls, Transport};

/// Settings of a client that is not connected yet. Made by [`Client::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until connect() is awaited"]
pub struct Builder {
    url: String,
    token: Option<Token>,
    provider: Option<TokenProvider>,
    conflation: Duration,
    heartbeat: Duration,
    transport: Transport,
    encoding: Encoding,
    backoff: (Duration, Duration),
    insecure: bool,
    root_certificates: Option<Arc<[u8]>>,
    frame_bytes_max: usize,
}

impl Builder {
    pub(crate) fn new(url: &str) -> Self {
        let defaults = SessionConfig::default();
        Self {
            url: url.to_owned(),
            token: None,
            provider: None,
            conflation: Duration::ZERO,
            heartbeat: Duration::from_millis(u64::from(defaults.heartbeat_ms)),
            transport: Transport::default(),
            encoding: Encoding::Protobuf,
            backoff: (defaults.backoff_min, defaults.backoff_max),
            insecure: false,
            root_certificates: None,
            frame_bytes_max: FRAME_BYTES_MAX,
        }
    }

    /// The bearer token of the first connection, and of all others unless there is a [`token_provider`](Self::token_provider).
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(Token::new(token.into()));
        self
    }

    /// Where new tokens come from: asked at the start if no token was given, at 80 % of a token's life, and when the server says that
    /// the token has expired. A call that fails or takes longer than 30 s counts as no token and is made again later.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), tickwire::ConnectError> {
    /// async fn fetch() -> Result<String, std::io::Error> {
    ///     tokio::fs::read_to_string("/run/secrets/tickwire").await
    /// }
    /// let client = tickwire::Client::builder("wss://ticks.example/v1/ws").token_provider(fetch).connect().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn token_provider<F, Fut, E>(mut self, provider: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.provider = Some(TokenProvider::new(provider));
        self
    }

    /// Shortest time between two records of one instrument. Zero, the default, is every change that the link can take. The server
    /// rounds up to one of its rate classes (0, 50, 100, 250, 500, 1000, 2000, 5000 ms) and may impose more.
    pub fn conflation(mut self, interval: Duration) -> Self {
        self.conflation = interval;
        self
    }

    /// The longest silence of a healthy connection: 500 ms to 30 s, 5 s by default. After twice that and 500 ms the data counts as old,
    /// and the client reconnects.
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.heartbeat = interval;
        self
    }

    /// How frames travel: [`Transport::WebSocket`] by default.
    pub fn transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// How frames are written on a WebSocket: [`Encoding::Protobuf`] by default. SSE is always JSON.
    pub fn encoding(mut self, encoding: Encoding) -> Self {
        self.encoding = encoding;
        self
    }

    /// Ceilings of the wait before the first and the last of a row of tries: 250 ms and 30 s by default. The wait itself is random.
    pub fn backoff(mut self, first: Duration, last: Duration) -> Self {
        self.backoff = (first, last);
        self
    }

    /// Allows `ws://` and `http://` to other machines. Token and data then travel in the clear.
    pub fn allow_insecure(mut self) -> Self {
        self.insecure = true;
        self
    }

    /// Trusts these certificates (PEM) in place of the machine's own roots.
    pub fn root_certificates_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.root_certificates = Some(pem.into().into());
        self
    }

    /// The largest message taken from the server, in bytes: 4 MiB by default. A larger one ends the connection.
    pub fn frame_bytes_max(mut self, bytes: usize) -> Self {
        self.frame_bytes_max = bytes;
        self
    }

    /// Connects, and waits for the server's welcome. Afterwards the client reconnects by itself, for ever, unless the server refuses it
    /// for good.
    ///
    /// Over SSE there is nothing to ask for before the first subscription, so the client is returned at once, as by
    /// [`connect_lazily`](Self::connect_lazily).
    ///
    /// # Errors
    /// The settings are wrong, or the first try failed; [`ConnectError::retry`] says whether another may succeed.
    ///
    /// # Cancel safety
    /// Dropping the future drops the connection.
    pub async fn connect(self) -> Result<Client, ConnectError> {
        if self.transport == Transport::Sse {
            return self.connect_lazily().await;
        }
        let (welcome, welcomed) = oneshot::channel();
        let client = self.start(Some(welcome)).await?;
        match welcomed.await {
            Ok(outcome) => outcome.map(|()| client),
            // The runtime is shutting down.
            Err(_) => Err(ConnectError::Closed { reason: String::new() }),
        }
    }

    /// Returns a client that connects in the background and tries until it succeeds. Subscriptions may be made at once;
    /// [`Client::events`] and [`Client::state`] tell how it goes.
    ///
    /// # Errors
    /// The settings are wrong.
    pub async fn connect_lazily(self) -> Result<Client, ConnectError> {
        self.start(None).await
    }

    async fn start(self, welcome: Option<oneshot::Sender<Result<(), ConnectError>>>) -> Result<Client, ConnectError> {
        let endpoint = Endpoint::parse(&self.url).map_err(|source| ConnectError::Url { url: redacted(&self.url, source), source })?;
        if !endpoint.secure && !endpoint.is_loopback() && !self.insecure {
            return Err(ConnectError::Insecure { url: endpoint.to_string() });
        }
        let tls = match endpoint.secure {
            true => Some(load_tls(self.root_certificates).await?),
            false => None,
        };
        let two_way = self.transport == Transport::WebSocket;
        let encoding = if two_way { self.encoding } else { Encoding::Json };
        let config = SessionConfig {
            encoding,
            two_way,
            sdk: crate::SDK.to_owned(),
            conflate_ms: Some(millis(self.conflation)),
            heartbeat_ms: millis(self.heartbeat).clamp(HEARTBEAT_MS_MIN, HEARTBEAT_MS_MAX),
            token: self.token.map(|token| token.reveal().to_owned()),
            refresh: self.provider.is_some(),
            backoff_min: self.backoff.0,
            backoff_max: self.backoff.1,
            ..SessionConfig::default()
        };
        let shared = Shared::new(Session::new(config, seed()));
        let handle = Handle::new(shared.clone(), endpoint.to_string());
        let route = Route { endpoint, transport: self.transport, encoding, tls, frame_bytes_max: self.frame_bytes_max };
        tokio::spawn(Driver::new(shared, route, self.provider, welcome).run());
        Ok(Client::new(handle))
    }
}

/// Root certificates are files, which are read off the runtime's threads.
async fn load_tls(pem: Option<Arc<[u8]>>) -> Result<Tls, ConnectError> {
    let loading = tokio::task::spawn_blocking(move || Tls::load(pem.as_deref()));
    loading.await.unwrap_or_else(|error| Err(ConnectError::RootCertificates(error.to_string())))
}

/// What may be shown of a URL that was refused: not its credentials.
fn redacted(url: &str, error: UrlError) -> String {
    match error {
        UrlError::Credentials | UrlError::Query => "…".to_owned(),
        _ => url.to_owned(),
    }
}

/// Milliseconds, rounded up: asking for less would be asking for more data.
pub(crate) fn millis(interval: Duration) -> u32 {
    u32::try_from(interval.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX)
}

/// Randomness for the jitter of backoff.
fn seed() -> u64 {
    // Without a source of randomness (which no platform of ours lacks) the address of a local still differs between processes.
    getrandom::u64().unwrap_or_else(|_| std::ptr::from_ref(&()) as u64)
}

/// Bytes of one message from the server.
const FRAME_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Heartbeats that servers grant, milliseconds.
const HEARTBEAT_MS_MIN: u32 = 500;
const HEARTBEAT_MS_MAX: u32 = 30_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_never_shown() {
        let builder = Builder::new("wss://ticks.example").token("secret").token_provider(async || Ok::<_, std::io::Error>("secret".into()));
        let shown = format!("{builder:?}");
        assert!(!shown.contains("secret"), "{shown}");
    }

    #[test]
    fn intervals_round_up_to_milliseconds() {
        for (micros, expected) in [(0, 0), (1, 1), (1_000, 1), (1_001, 2), (u64::MAX, u32::MAX)] {
            assert_eq!(millis(Duration::from_micros(micros)), expected);
        }
    }

    #[tokio::test]
    async fn unencrypted_connections_to_other_machines_are_refused() {
        let refused = Builder::new("ws://ticks.example").connect().await;
        assert!(matches!(refused, Err(ConnectError::Insecure { url }) if url == "http://ticks.example"));
        let refused = Builder::new("https://me:secret@ticks.example").connect().await.err().map(|error| error.to_string());
        assert_eq!(refused.as_deref(), Some("url \"…\" must not carry credentials: give a token instead"));
    }
}
