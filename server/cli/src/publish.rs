//! `tickwire publish`: lines of CSV or JSON to RabbitMQ, with everything that a good feed does.

mod csv;
mod input;
mod json;
mod line;
mod time;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use clap::ValueEnum;
use tickwire::publish::{PublishError, Publisher};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep_until;

use self::csv::Columns;
use self::input::Input;
use self::json::Lines;
use self::line::{Refusal, Said, What};
use self::time::Unit;
use crate::broker::BrokerFlags;
use crate::pace::{Pace, Speed, parse_rate, parse_speed};
use crate::progress::Progress;
use crate::runtime::block_on;
use crate::simulate::parse_duration;

/// Flags of `tickwire publish`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Publish {
    /// File to read; standard input if absent or `-`
    file: Option<PathBuf>,
    #[command(flatten)]
    broker: BrokerFlags,
    /// The exchange to publish to
    #[arg(long, default_value = "tickwire.feed")]
    exchange: String,
    /// Stands before every routing key, for servers that are configured to remove it
    #[arg(long, value_name = "PREFIX", default_value = "")]
    routing_prefix: String,
    /// Name of the publisher in its messages
    #[arg(long, default_value = "publish")]
    name: String,
    /// What the lines are [default: csv for files that end in .csv, else json]
    #[arg(long)]
    format: Option<Format>,
    /// Between two values of a CSV line
    #[arg(long, value_name = "CHARACTER", default_value_t = ',')]
    delimiter: char,
    /// The body that CSV columns without a dot belong to: quote, trade, bar, status or score
    #[arg(long, default_value = "quote")]
    body: String,
    /// What a CSV column stands for, such as `bid=BidPrice`; may be given again
    #[arg(long = "column", value_name = "FIELD=COLUMN")]
    columns: Vec<String>,
    /// Leave CSV columns out that stand for nothing, instead of ending
    #[arg(long)]
    ignore_columns: bool,
    /// Column or member with the symbol
    #[arg(long, value_name = "NAME", default_value = "symbol")]
    symbol: String,
    /// Stands before every symbol, such as `stock.`
    #[arg(long, value_name = "PREFIX", default_value = "")]
    symbol_prefix: String,
    /// Column or member with the time of the event
    #[arg(long, value_name = "NAME", default_value = "ts_event_us")]
    time: String,
    /// What times are counted in since 1970, or written as [default: us]
    #[arg(long, value_name = "UNIT")]
    time_unit: Option<Unit>,
    /// Say that everything happens when it is published, instead of when it did
    #[arg(long)]
    now: bool,
    /// How fast: 1x as it was, 10x, 0.5x, or max [default: 1x if the first line has a time, else max]
    #[arg(long, value_name = "FACTOR", value_parser = parse_speed, conflicts_with = "rate")]
    speed: Option<Speed>,
    /// How fast: this many lines a second, whatever their times
    #[arg(long, value_name = "LINES", value_parser = parse_rate)]
    rate: Option<f64>,
    /// Give signs of life under this routing key, such as `stock.alive`
    #[arg(long, value_name = "KEY")]
    alive: Option<String>,
    /// How often to give a sign of life
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "1s")]
    alive_every: Duration,
    /// End at the first line that cannot be published (exit code 1), instead of counting it and going on
    #[arg(long)]
    strict: bool,
    /// No progress lines
    #[arg(long)]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A header, then values; an empty value says nothing, `null` that it is unknown.
    Csv,
    /// A feed message in each line, with its symbol.
    Json,
}

/// How lines are read.
enum Reader {
    Json(Lines),
    Csv(Option<Columns>),
}

/// What became of the lines.
#[derive(Default)]
struct Tally {
    /// Handed to the publisher.
    good: u64,
    /// By code.
    refused: BTreeMap<&'static str, u64>,
}

impl Publish {
    /// Runs the command.
    pub(crate) fn run(self) -> ExitCode {
        let progress = Progress::start("publish", self.quiet);
        match block_on(self.publish(progress)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                progress.say(&format!("{error:#}"));
                ExitCode::FAILURE
            }
        }
    }

    async fn publish(&self, progress: Progress) -> Result<()> {
        let reader = self.reader()?;
        let input = Input::open(self.file.as_deref())?;
        let mut builder = self.broker.publisher().name(&self.name).exchange(&self.exchange).routing_prefix(&self.routing_prefix);
        if let Some(alive) = &self.alive {
            builder = builder.alive(alive, self.alive_every);
        }
        let publisher = builder.start()?;
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let (mut tally, mut was_asked) = (Tally::default(), false);
        let ended = tokio::select! {
            ended = async {
                let read = self.read_all(input, reader, &publisher, progress, &mut tally).await;
                progress.settle(&publisher).await;
                read
            } => ended,
            () = progress.watch(&publisher) => Ok(()),
            () = asked(&mut terminate, &mut interrupt) => {
                was_asked = true;
                progress.tell(INTERRUPTED);
                Ok(())
            }
        };
        // What was good before a bad line is published all the same. Whoever asks twice does not want to wait.
        let finish = progress.finish(&publisher);
        tokio::pin!(finish);
        let finished = loop {
            tokio::select! {
                finished = &mut finish => break finished,
                () = asked(&mut terminate, &mut interrupt) => {
                    if std::mem::replace(&mut was_asked, true) {
                        break Err(anyhow!("interrupted again: {}", unconfirmed(&publisher)));
                    }
                    progress.tell(INTERRUPTED);
                }
            }
        };
        progress.tell(&tally.text(if finished.is_ok() { "published" } else { "read" }));
        ended.and(finished)
    }

    async fn read_all(
        &self,
        mut input: Input,
        mut reader: Reader,
        publisher: &Publisher,
        progress: Progress,
        tally: &mut Tally,
    ) -> Result<()> {
        let mut pace = match self.rate {
            Some(rate) => Some(Pace::of_rate(rate)),
            None => self.speed.map(Pace::of_speed),
        };
        while let Some((number, line)) = input.next().await? {
            let is_header = matches!(reader, Reader::Csv(None));
            let said = match line.and_then(|line| reader.read(self, &line)) {
                Ok(None) => continue,
                Ok(Some(said)) => said,
                Err(refusal) if is_header => bail!("line {number}: {refusal}"),
                Err(refusal) => {
                    self.refuse(number, &refusal, progress, tally)?;
                    continue;
                }
            };
            let default = if said.time_us.is_some() { Speed::Times(1.0) } else { Speed::Max };
            let pace = pace.get_or_insert_with(|| Pace::of_speed(default));
            if let Some(due) = pace.due(Instant::now(), said.time_us) {
                sleep_until(due.into()).await;
            }
            match self.send(publisher, said).await {
                Ok(()) => tally.good += 1,
                Err(PublishError::Closed) => bail!("the publisher has ended"),
                Err(error) => self.refuse(number, &error.into(), progress, tally)?,
            }
        }
        Ok(())
    }

    async fn send(&self, publisher: &Publisher, said: Said) -> Result<(), PublishError> {
        for (symbol, what) in said.all {
            match what {
                What::Update(update) => publisher.update_json(&symbol, &update.text(self.now)).await?,
                What::Message(message) => publisher.message(&symbol, *message).await?,
            }
        }
        Ok(())
    }

    /// Counts a line that cannot be published, and shows the first ones.
    fn refuse(&self, number: u64, refusal: &Refusal, progress: Progress, tally: &mut Tally) -> Result<()> {
        *tally.refused.entry(refusal.code).or_default() += 1;
        if self.strict {
            bail!("line {number}: {refusal}");
        }
        let refused = tally.refused();
        if refused <= REFUSALS_SHOWN_MAX {
            progress.say(&format!("line {number}: {refusal}"));
        }
        if refused == REFUSALS_SHOWN_MAX {
            progress.say("further lines that cannot be published are counted only");
        }
        Ok(())
    }

    fn reader(&self) -> Result<Reader> {
        let is_csv = self.file.as_ref().and_then(|file| file.extension()).is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
        match self.format.unwrap_or(if is_csv { Format::Csv } else { Format::Json }) {
            Format::Csv => {
                csv::check_settings(&self.csv())?;
                Ok(Reader::Csv(None))
            }
            Format::Json => Ok(Reader::Json(Lines {
                symbol: self.symbol.clone(),
                symbol_prefix: self.symbol_prefix.clone(),
                time: self.time.clone(),
                time_unit: self.time_unit.unwrap_or_default(),
            })),
        }
    }

    fn csv(&self) -> csv::Settings<'_> {
        csv::Settings {
            delimiter: self.delimiter,
            body: &self.body,
            columns: &self.columns,
            ignore: self.ignore_columns,
            symbol: &self.symbol,
            symbol_prefix: &self.symbol_prefix,
            time: &self.time,
            time_unit: self.time_unit.unwrap_or_default(),
        }
    }
}

impl Reader {
    /// What a line says; nothing if it is empty, a comment, or the header.
    fn read(&mut self, publish: &Publish, line: &str) -> Result<Option<Said>, Refusal> {
        match self {
            _ if line.trim().is_empty() => Ok(None),
            Self::Json(lines) => lines.read(line).map(Some),
            Self::Csv(Some(columns)) => columns.read(line).map(Some),
            Self::Csv(header) => {
                *header = Some(Columns::read_header(line, &publish.csv())?);
                Ok(None)
            }
        }
    }
}

impl Tally {
    fn refused(&self) -> u64 {
        self.refused.values().sum()
    }

    /// `done` says what became of the good ones: they are published only if all are confirmed.
    fn text(&self, done: &str) -> String {
        let lines = |count: u64| if count == 1 { "1 line".to_owned() } else { format!("{count} lines") };
        let by_code: Vec<String> = self.refused.iter().map(|(code, count)| format!("{code} {count}")).collect();
        let by_code = if by_code.is_empty() { String::new() } else { format!(" ({})", by_code.join(", ")) };
        format!("{} {done}, {} refused{by_code}", lines(self.good), lines(self.refused()))
    }
}

/// How far the broker has answered for what was published.
fn unconfirmed(publisher: &Publisher) -> String {
    let stats = publisher.stats();
    // What was sent twice may be confirmed twice.
    format!("{} of {} messages are confirmed", stats.confirmed.min(stats.messages), stats.messages)
}

async fn asked(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

const INTERRUPTED: &str = "interrupted: waits for the last confirms";
/// Lines that cannot be published and are shown. Further ones are counted.
const REFUSALS_SHOWN_MAX: u64 = 20;
const EXAMPLES: &str = "\
Examples:
  tickwire publish day.csv --symbol-prefix stock. --time ts --time-unit ms --speed 10x
      day.csv:  symbol,ts,bid,ask,last,status.phase
                AAPL,1764000000000,187.42,187.44,187.43,OPEN
  tickwire publish ticks.csv --symbol Ticker --column bid=BidPx --column ask=AskPx --ignore-columns --rate 5000
  my-feed | tickwire publish --alive stock.alive
      a line:  {\"symbol\":\"stock.AAPL\",\"quote\":{\"bid\":\"187.42\",\"ask\":\"187.44\"}}
      or:      {\"updates\":[{\"symbol\":\"stock.AAPL\",\"quote\":{\"last\":\"187.43\"}}]}
      or:      {\"symbol\":\"stock.AAPL\",\"info\":{\"price_scale\":2,\"asset_class\":\"STOCK\"}}

A line that cannot be published is shown with its number and a code: bad_text, too_long, bad_json, bad_row, bad_time, no_symbol, bad_symbol,
bad_update; unknown_column and bad_header end the command.";
