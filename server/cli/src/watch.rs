//! `tickwire watch`: live values in a terminal, or as JSON lines for other programs.

mod json;
mod lines;
mod table;
mod terminal;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tickwire::{Client, ConnectError, ErrorCode, Event, State, SubscribeOptions, Subscription, Transport};

/// Flags of `tickwire watch`.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Watch {
    /// The server: http, https, ws or wss
    #[arg(long, default_value = "http://127.0.0.1:7447", env = "TICKWIRE_URL")]
    url: String,
    /// Print one JSON object per change
    #[arg(long)]
    json: bool,
    /// Shortest time between two changes of an instrument, milliseconds
    #[arg(long, value_name = "MS", default_value_t = 0)]
    conflate: u32,
    /// Print single trades as well
    #[arg(long)]
    trades: bool,
    /// File with the bearer token; read again when the token has to be renewed
    #[arg(long, value_name = "FILE", conflicts_with = "token_env")]
    token_file: Option<PathBuf>,
    /// Environment variable with the bearer token
    #[arg(long, value_name = "NAME")]
    token_env: Option<String>,
    /// Server-sent events in place of a WebSocket
    #[arg(long)]
    sse: bool,
    /// Allow unencrypted connections to other machines
    #[arg(long)]
    insecure: bool,
    /// Symbols and patterns, such as stock.AAPL or 'crypto.*'
    #[arg(required = true, value_name = "SYMBOL")]
    symbols: Vec<String>,
}

/// What is watched.
struct Watched {
    client: Client,
    subscription: Subscription,
    url: String,
    /// Symbols and patterns asked for: if all are refused there is nothing to watch.
    asked: usize,
}

impl Watch {
    /// Runs the command.
    pub(crate) fn run(self) -> ExitCode {
        // Two threads: a terminal or pipe that takes nothing must not keep the client from reading.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let outcome = match runtime {
            Ok(runtime) => {
                let outcome = runtime.block_on(self.watch());
                // A write to a pipe that nobody reads would be waited for.
                runtime.shutdown_background();
                outcome
            }
            Err(error) => Err(error.into()),
        };
        match outcome {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain(&format!("tickwire watch: {error:#}"));
                ExitCode::FAILURE
            }
        }
    }

    async fn watch(self) -> Result<()> {
        let (client, mut symbols) = (self.client().await?, self.symbols);
        // Made before the subscription, so that no refusal is missed.
        let events = client.events();
        symbols.sort();
        symbols.dedup();
        let options = SubscribeOptions { conflate_ms: Some(self.conflate), trades: self.trades };
        let subscription = client.subscribe_with(&symbols, options).await?;
        let watched = Watched { client: client.clone(), subscription, url: self.url, asked: symbols.len() };
        let outcome = if self.json {
            lines::run(watched, events, |client, change| json::line(change, change.instrument().and_then(|one| client.age(one)))).await
        } else if std::io::stdout().is_terminal() && std::io::stdin().is_terminal() {
            terminal::run(watched, events).await
        } else {
            lines::run(watched, events, |_, change| change.to_string()).await
        };
        client.close().await;
        outcome
    }

    /// A client that goes on trying: the server may come later.
    async fn client(&self) -> Result<Client> {
        let mut builder = Client::builder(&self.url).conflation(Duration::from_millis(u64::from(self.conflate)));
        if self.sse {
            builder = builder.transport(Transport::Sse);
        }
        if self.insecure {
            builder = builder.allow_insecure();
        }
        if let Some(name) = &self.token_env {
            builder = builder.token(std::env::var(name).with_context(|| format!("environment variable {name}"))?.trim());
        }
        if let Some(file) = &self.token_file {
            let first = std::fs::read_to_string(file).with_context(|| format!("token file {}", file.display()))?;
            let file = file.clone();
            let again = move || {
                let file = file.clone();
                async move { tokio::fs::read_to_string(file).await.map(|token| token.trim().to_owned()) }
            };
            builder = builder.token(first.trim()).token_provider(again);
        }
        match builder.connect_lazily().await {
            Err(ConnectError::Insecure { url }) => bail!("{url} is not encrypted and not on this machine: use https:// or give --insecure"),
            client => Ok(client?),
        }
    }
}

impl Watched {
    /// What an event means for going on: an error if there is nothing left to watch.
    fn judge(&self, event: &Event) -> Result<()> {
        match event {
            Event::State { state: State::Closed, code, reason } => {
                let code = code.map(|code| format!(" {}", code.name())).unwrap_or_default();
                bail!("the server ended it:{code} {}", printable(reason))
            }
            Event::Refused { .. } if self.subscription.refused().len() >= self.asked => {
                let refused = self.subscription.refused();
                let refused: Vec<_> = refused.iter().map(|(symbol, code)| refusal(symbol, *code)).collect();
                bail!("nothing to watch: {}", refused.join(", "))
            }
            _ => Ok(()),
        }
    }
}

/// One line about an event, for people; `None` if it is not worth one.
fn describe(event: &Event) -> Option<String> {
    let text = match event {
        // On the way to something that is worth a line.
        Event::State { state: State::Syncing | State::Idle | State::Connecting, .. } => return None,
        Event::State { state, reason, .. } if reason.is_empty() => format!("{state:?}").to_lowercase(),
        Event::State { state, reason, .. } => format!("{}: {reason}", format!("{state:?}").to_lowercase()),
        Event::Feed(feed) if feed.reason.is_empty() => format!("feed {} is {}", feed.feed, feed.health().as_str_name()),
        Event::Feed(feed) => format!("feed {} is {}: {}", feed.feed, feed.health().as_str_name(), feed.reason),
        Event::Refused { symbol, code, .. } => format!("refused: {}", refusal(symbol, *code)),
        Event::Notice(notice) => format!("{}: {}", notice.kind().as_str_name(), notice.text),
        Event::Error(error) => format!("{}: {}", error.code().name(), error.text),
        _ => return None,
    };
    Some(printable(&text))
}

fn refusal(symbol: &str, code: ErrorCode) -> String {
    format!("{symbol} {}", code.name())
}

/// Text from the network, without the characters that would steer a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{FFFD}' } else { letter }).collect()
}

/// Says something beside the data.
#[expect(clippy::print_stderr, reason = "that is where a command line tool says what is not data")]
fn complain(line: &str) {
    eprintln!("{line}");
}

const AFTER_HELP: &str = "\
JSON lines (--json). Prices and quantities are decimal strings, 64-bit integers are strings, times are microseconds since 1970 UTC.
  {\"change\":\"state\",\"symbol\":\"stock.AAPL\",\"seq\":\"7\",\"ts_event_us\":\"…\",\"merged\":3,\"age_ms\":12,\"quote\":{\"bid\":\"187.42\"}}
      the newest state, whole: quote, status, score, odds, bars, as far as known; merged: inputs that it stands for beyond the first
  {\"change\":\"event\",\"symbol\":\"stock.AAPL\",\"seq\":\"9\",\"ts_event_us\":\"…\",\"age_ms\":12,\"status\":{\"phase\":\"HALTED\"}}
      what is never merged away: status, final score, settlement, correction, closed bar; trades with --trades
  {\"change\":\"gap\",\"symbol\":\"stock.AAPL\",\"from\":\"9\",\"to\":\"17\"}
      events between these positions were lost

Exit code: 0 when you end it (Ctrl-C, or the reader of a pipe goes away), 1 when the server refuses it or every symbol.";
