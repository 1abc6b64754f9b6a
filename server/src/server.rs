//! A whole server: starts its parts in order, and ends them in order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use tickwire_core::engine::EngineConfig;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::accept::{self, Admission, Door, Reception, Usher};
use crate::auth::Gate;
use crate::config::{Config, DrainConfig};
use crate::grpc::GrpcSide;
use crate::http::{Api, HttpSide};
use crate::ingest;
use crate::shard::Shards;
use crate::telemetry::Metrics;
use crate::tls::Tls;

/// A running server.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    tls: Option<Arc<Tls>>,
    drain: DrainConfig,
    shards: Shards,
    http: HttpSide,
    threads: Vec<JoinHandle<()>>,
    /// Cancelled by the owner: leave.
    stop: CancellationToken,
    /// Cancelled by us: the feed ends, and the door closes.
    ended: CancellationToken,
}

impl Server {
    /// Binds the listener, starts shards and ingest, and serves in the background.
    ///
    /// # Errors
    /// The address cannot be bound, or the system refuses a thread.
    pub async fn start(config: Config, stop: CancellationToken) -> anyhow::Result<Self> {
        let listener = accept::bind(config.listen, config.limits.notsent_lowat_bytes)
            .with_context(|| format!("cannot listen on {} (key listen)", config.listen))?;
        let address = listener.local_addr()?;
        let tls = config.tls.clone().map(Tls::load).transpose()?.map(Arc::new);
        let gate = Gate::new(config.auth.clone());
        let (shards, mut threads) = Shards::start(config.shards, &engine_config(&config), &gate, config.limits.message_bytes_max)?;
        let (metrics, ended) = (Arc::new(Metrics::default()), CancellationToken::new());
        let (readiness, feed) = ingest::start(config.feed, config.node.clone(), shards.clone(), metrics.clone(), ended.clone())?;
        threads.push(feed);
        let api = Api {
            gate: gate.clone(),
            shards: shards.clone(),
            readiness,
            leaving: stop.clone(),
            metrics: config.metrics.then_some(metrics),
            page: config.page,
        };
        let limits = &config.limits;
        let admission = Admission::new(limits.connections_max, limits.connections_per_ip_max);
        let reception = Arc::new(Reception::new(config.node, limits.items_max, gate, admission, shards.clone(), stop.clone()));
        let grpc = GrpcSide::new(reception.clone(), api.readiness.clone(), limits.message_bytes_max)?;
        let usher = Arc::new(Usher::new(config.origins, reception));
        let http = HttpSide::new(api, grpc, usher.clone());
        let door = Door {
            head_within: limits.head_within,
            tls: tls.clone(),
            usher,
            http: http.clone(),
            explanations: Arc::new(Semaphore::new(accept::EXPLANATIONS_MAX)),
        };
        tokio::spawn(Arc::new(door).stay_open(listener, ended.clone()));
        info!(%address, shards = config.shards, "listening");
        Ok(Self { address, tls, drain: config.drain, shards, http, threads, stop, ended })
    }

    /// Where it listens; the port is the real one when the configuration said 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens, as an address of HTTP.
    pub fn url(&self) -> String {
        format!("{}://{}", if self.tls.is_some() { "https" } else { "http" }, self.address)
    }

    /// What to call when certificates are to be read again. New connections get what is read; if it cannot be used, they get what they
    /// got before, and the log says why.
    pub fn certificates(&self) -> impl Fn() + Send + 'static {
        let tls = self.tls.clone();
        move || match tls.as_deref().map(Tls::reload) {
            None => info!("there are no certificates to read again: tls.cert is not set"),
            Some(Ok(())) => info!("certificate and key were read again"),
            Some(Err(error)) => warn!(%error, "the new certificate cannot be used; the old one stays in use"),
        }
    }

    /// Waits until `stop` was cancelled and the drain has ended: everyone was told Goodbye, and has left or run out of time.
    ///
    /// Health checks are answered meanwhile (`/readyz` with 503), new sessions are refused.
    pub async fn stopped(self) {
        self.stop.cancelled().await;
        let DrainConfig { within, retry_after, spread } = self.drain;
        info!(connections = self.shards.connections(), "draining");
        self.shards.drain(retry_after, spread, within).await;
        let left_behind = self.shards.connections();
        self.http.emptied(LAST_WORDS_WITHIN).await;
        self.ended.cancel();
        self.shards.stop().await;
        let threads = self.threads;
        let _ = tokio::task::spawn_blocking(move || threads.into_iter().for_each(|thread| drop(thread.join()))).await;
        info!(left_behind, "ended");
    }
}

/// Time for the last words of calls to leave with their connections, which may be kept open by others.
const LAST_WORDS_WITHIN: Duration = Duration::from_millis(500);

fn engine_config(config: &Config) -> EngineConfig {
    let limits = &config.limits;
    EngineConfig {
        node: config.node.clone(),
        message_bytes_max: limits.message_bytes_max as u32,
        subscriptions_max: limits.subscriptions_max,
        items_max: limits.items_max,
        commands_per_s: limits.commands_per_s,
        commands_burst: limits.commands_burst,
        hello_within: limits.hello_within,
        conflate_ms_default: config.conflate_ms_default,
        conflate_ms_min: config.conflate_ms_min,
        rate_rules: config.feed.rates.clone(),
        paced: config.paced,
        heartbeat: config.heartbeat,
        stalled_max: limits.stalled_max,
        events_kept: limits.events_kept,
        events_waiting_max: limits.events_waiting_max,
        credit_bytes_max: limits.credit_bytes_max,
    }
}
