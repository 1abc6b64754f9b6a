//! `tickwire serve`, and how a server runs in this process until it is told to leave.

use std::process::ExitCode;

use tickwire_server::Server;
use tickwire_server::config::{Config, Overrides};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::settings::{ConfigFlags, brokers, environment, print, refuse};

/// Flags of `tickwire serve`.
#[derive(clap::Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    config: ConfigFlags,
    /// The broker [default: amqp://127.0.0.1:5672/%2f]; given again, or with commas: nodes of a cluster, tried in turn
    #[arg(long, value_name = "URL")]
    amqp: Vec<String>,
}

impl Serve {
    /// Runs the command.
    pub(crate) fn run(self) -> ExitCode {
        let mut overrides = self.config.overrides();
        overrides.keys.extend(brokers(&self.amqp));
        run(&overrides)
    }
}

/// Checks the configuration, serves until SIGTERM or SIGINT, and leaves politely. A second signal ends the process at once.
pub(crate) fn run(overrides: &Overrides) -> ExitCode {
    let config = match Config::load(overrides, &environment()) {
        Ok(config) => config,
        Err(problems) => return refuse(&problems),
    };
    tickwire_server::telemetry::start_logs(&config.log);
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(RUNTIME_THREADS).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            error!(%error, "the runtime does not start");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(serve(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = CancellationToken::new();
    let server = Server::start(config, stop.clone()).await?;
    print(&format!("listening on {}\n", server.url()));
    let (mut hangup, read_certificates) = (signal(SignalKind::hangup())?, server.certificates());
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            read_certificates();
        }
    });
    let asked = async {
        tokio::select! { _ = terminate.recv() => "SIGTERM", _ = interrupt.recv() => "SIGINT" }
    };
    let ended = server.stopped();
    tokio::pin!(ended);
    tokio::select! {
        signal = asked => info!(signal, "leaving"),
        () = &mut ended => anyhow::bail!("the server ended by itself"),
    }
    stop.cancel();
    tokio::select! {
        () = ended => Ok(()),
        _ = terminate.recv() => anyhow::bail!("ended at once by a second signal"),
        _ = interrupt.recv() => anyhow::bail!("ended at once by a second signal"),
    }
}

/// Threads for everything that is not a shard: accepting, HTTP, the feed.
const RUNTIME_THREADS: usize = 2;
