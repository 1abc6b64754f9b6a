//! `tickwire dead`: the messages that the server refused, and a second chance for them.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use serde_json::json;
use tickwire_server::ingest::{DeadLetters, LETTERS_MAX, Letter};

use crate::broker::BrokerFlags;
use crate::printable::printable;
use crate::runtime::block_on;

/// Flags of `tickwire dead`.
#[derive(clap::Args)]
pub(crate) struct Dead {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List the refused messages, oldest first
    List(List),
    /// Show one of them with its body
    Show(Show),
    /// Publish refused messages once more, when their cause is mended, and take them off the queue
    Replay(Replay),
}

#[derive(clap::Args)]
struct At {
    #[command(flatten)]
    broker: BrokerFlags,
    /// Stands before the names at the broker, as `feed.amqp.names_prefix` of the server
    #[arg(long, default_value = "")]
    names_prefix: String,
}

#[derive(clap::Args)]
struct List {
    #[command(flatten)]
    at: At,
    /// Only those with this reason, such as bad_value
    #[arg(long)]
    reason: Option<String>,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = LETTERS_MAX)]
    limit: u16,
    /// One JSON object on each line
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Show {
    #[command(flatten)]
    at: At,
    /// Its position in the log, as `list` shows it
    offset: u64,
}

#[derive(clap::Args)]
struct Replay {
    #[command(flatten)]
    at: At,
    /// Positions in the log, as `list` shows them
    #[arg(required_unless_present_any = ["reason", "all"])]
    offsets: Vec<u64>,
    /// All with this reason
    #[arg(long, conflicts_with = "offsets")]
    reason: Option<String>,
    /// All of them
    #[arg(long, conflicts_with_all = ["offsets", "reason"])]
    all: bool,
}

impl Dead {
    /// Runs the command.
    pub(crate) fn run(self) -> ExitCode {
        match block_on(self.act()) {
            Ok(()) => ExitCode::SUCCESS,
            // Whoever reads us has seen enough.
            Err(error) if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) => {
                ExitCode::SUCCESS
            }
            Err(error) => {
                say(&format!("{error:#}"));
                ExitCode::FAILURE
            }
        }
    }

    async fn act(self) -> Result<()> {
        match self.action {
            Action::List(list) => list.run().await,
            Action::Show(show) => show.run().await,
            Action::Replay(replay) => replay.run().await,
        }
    }
}

impl At {
    async fn open(&self) -> Result<DeadLetters> {
        DeadLetters::open(self.broker.brokers()?, &self.names_prefix).await.context("cannot read the refused messages")
    }
}

impl List {
    async fn run(self) -> Result<()> {
        let dead = self.at.open().await?;
        let letters = dead.letters();
        let chosen = letters.iter().filter(|letter| self.reason.as_ref().is_none_or(|reason| letter.reason == *reason));
        let mut out = io::stdout().lock();
        if !self.json {
            writeln!(out, "{:>12}  {:<18}  {:<32}  {:>7}  DETAIL", "OFFSET", "REASON", "ROUTING KEY", "BYTES")?;
        }
        for letter in chosen.take(self.limit.into()) {
            let Letter { offset, reason, detail, routing_key, body, is_cut, .. } = letter;
            if self.json {
                let line = json!({ "offset": offset, "reason": reason, "routing_key": routing_key, "bytes": body.len(), "cut": is_cut, "detail": detail });
                writeln!(out, "{line}")?;
            } else {
                let (key, detail, more) = (printable(routing_key), printable(detail), if *is_cut { "+" } else { "" });
                writeln!(out, "{offset:>12}  {reason:<18}  {key:<32}  {:>6}{more:1}  {detail}", body.len())?;
            }
        }
        drop(out);
        dead.close().await?;
        Ok(())
    }
}

impl Show {
    async fn run(self) -> Result<()> {
        let dead = self.at.open().await?;
        let letters = dead.letters();
        let Some(letter) = letters.iter().find(|letter| letter.offset == self.offset) else {
            bail!("no refused message has the offset {}; `tickwire dead list` shows those that are there", self.offset);
        };
        let mut out = io::stdout().lock();
        let none = || "(none)".to_owned();
        for (name, value) in [
            ("offset", letter.offset.to_string()),
            ("reason", letter.reason.clone()),
            ("detail", printable(&letter.detail)),
            ("routing key", printable(&letter.routing_key)),
            ("content type", letter.content_type.as_deref().map_or_else(none, printable)),
            ("content encoding", letter.content_encoding.as_deref().map_or_else(none, printable)),
            ("bytes", format!("{}{}", letter.body.len(), if letter.is_cut { " (cut)" } else { "" })),
        ] {
            writeln!(out, "{name:>16}: {value}")?;
        }
        writeln!(out)?;
        match std::str::from_utf8(&letter.body) {
            Ok(text) if !text.chars().any(|letter| letter.is_control() && !letter.is_whitespace()) => writeln!(out, "{text}")?,
            _ => write_hex(&mut out, &letter.body)?,
        }
        drop(out);
        dead.close().await?;
        Ok(())
    }
}

impl Replay {
    async fn run(self) -> Result<()> {
        let mut dead = self.at.open().await?;
        let chosen = |letter: &Letter| {
            self.all || self.reason.as_ref().is_some_and(|reason| letter.reason == *reason) || self.offsets.contains(&letter.offset)
        };
        let (wanted, cut) = {
            let letters = dead.letters();
            let missing: Vec<String> =
                self.offsets.iter().filter(|offset| !letters.iter().any(|letter| letter.offset == **offset)).map(u64::to_string).collect();
            if !missing.is_empty() {
                bail!("no refused message has the offset {}; nothing was published", missing.join(", "));
            }
            let wanted = letters.iter().filter(|letter| chosen(letter));
            (wanted.clone().count(), wanted.filter(|letter| letter.is_cut).count())
        };
        let published = dead.replay(chosen).await.context("not all were published; those that were are off the queue")?;
        say(&format!(
            "published {published} of {wanted} messages{}",
            if cut > 0 { format!("; {cut} are cut and stay") } else { String::new() }
        ));
        dead.close().await?;
        Ok(())
    }
}

/// Sixteen bytes on a line, as `xxd` shows them.
fn write_hex(out: &mut impl Write, body: &[u8]) -> io::Result<()> {
    for (n, row) in body.chunks(16).enumerate() {
        let hex: String = row.iter().map(|byte| format!("{byte:02x} ")).collect();
        let text: String = row.iter().map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' }).collect();
        writeln!(out, "{:08x}  {hex:<48} {text}", n * 16)?;
    }
    Ok(())
}

#[expect(clippy::print_stderr, reason = "what a command says of itself belongs on the terminal")]
fn say(line: &str) {
    eprintln!("dead: {line}");
}
