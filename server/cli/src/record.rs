//! `tickwire record`: the log, or a market without a broker, into a file.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use prost::Message as _;
use tickwire_server::ingest::{LogNews, RecordFrom, follow_log};
use tickwire_server::recording::{Reader, Recorded, Writer};
use tickwire_simulator::Market;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::broker::BrokerFlags;
use crate::progress::Progress;
use crate::runtime::block_on;
use crate::simulate::parse_duration;
use crate::when::When;

/// Flags of `tickwire record`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Record {
    /// File to write; it must not exist, unless it is appended to
    file: PathBuf,
    #[command(flatten)]
    broker: BrokerFlags,
    /// Stands before the names at the broker, as `feed.amqp.names_prefix` of the server
    #[arg(long, value_name = "PREFIX", default_value = "")]
    names_prefix: String,
    /// Where to begin: `first` (all that the log has), `next`, or a time such as 2026-11-24T14:30:00Z
    #[arg(long, value_name = "PLACE", default_value = "next", value_parser = parse_from, conflicts_with = "append")]
    from: From,
    /// Go on behind the last message of the file, at the same log
    #[arg(long)]
    append: bool,
    /// End when everything is recorded that was in the log at the start
    #[arg(long)]
    until_end: bool,
    /// End after this time, for instance 30s or 10m; of a simulated market: how much of its time
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    duration: Option<Duration>,
    /// Record the simulated market of this seed instead, without a broker, from 2026-01-05T14:30:00Z on
    #[arg(long, value_name = "SEED", requires = "duration", conflicts_with_all = ["append", "until_end"])]
    simulated: Option<u64>,
    /// Of a simulated market: keep only the first so much of each so much, for instance 1s/15m
    #[arg(long, value_name = "KEEP/EVERY", requires = "simulated", value_parser = parse_sample)]
    sample: Option<(Duration, Duration)>,
    /// No progress lines
    #[arg(long)]
    quiet: bool,
}

/// Where to begin.
#[derive(Clone, Debug, PartialEq)]
enum From {
    First,
    Next,
    Time(u64),
}

impl Record {
    /// Runs the command.
    pub(crate) fn run(self) -> ExitCode {
        let progress = Progress::start("record", self.quiet);
        let result = match self.simulated {
            Some(seed) => self.simulate(seed, progress),
            None => block_on(self.record(progress)),
        };
        match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                progress.say(&format!("{error:#}"));
                ExitCode::FAILURE
            }
        }
    }

    async fn record(&self, progress: Progress) -> Result<()> {
        let brokers = self.broker.brokers()?;
        let (mut writer, from) = self.open(progress)?;
        let mut news = follow_log(brokers, &self.names_prefix, from);
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let over = async {
            match self.duration {
                Some(duration) => sleep(duration).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(over);
        let mut tick = interval(SAVE_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut messages, mut told, mut left_out) = (0_u64, Instant::now(), 0);
        // Whether the log is read now, and whether it ever was.
        let (mut is_away, mut was_read) = (false, false);
        let ended = loop {
            tokio::select! {
                found = news.recv() => match found {
                    Some(Ok(LogNews::Reading)) => {
                        if !std::mem::replace(&mut was_read, true) {
                            progress.tell("reads the log");
                        } else if is_away {
                            progress.say("the broker is back; goes on");
                        }
                        is_away = false;
                    }
                    Some(Ok(LogNews::Messages(found))) => {
                        messages += found.len() as u64;
                        found.into_iter().try_for_each(|message| writer.push(message)).context("cannot write")?;
                    }
                    Some(Ok(LogNews::Away(why))) => {
                        if !std::mem::replace(&mut is_away, true) {
                            progress.say(&format!("the broker is away: {why}; keeps trying"));
                        }
                    }
                    Some(Ok(LogNews::LeftOut(headers))) => {
                        if left_out == 0 {
                            progress.say("headers that are tables, lists or decimals are left out; their number follows in the end");
                        }
                        left_out += headers;
                    }
                    Some(Ok(LogNews::Lost { from, to })) => {
                        progress.say(&format!("lost: the log no longer has what came between the positions {from} and {to}"));
                    }
                    Some(Ok(LogNews::End)) if self.until_end => break Ok(true),
                    Some(Ok(LogNews::End)) => {}
                    Some(Err(error)) => break Err(error.into()),
                    None => break Ok(false),
                },
                _ = tick.tick() => {
                    writer.save().context("cannot write")?;
                    if told.elapsed() >= TELL_EVERY {
                        told = Instant::now();
                        progress.tell(&format!("{messages} messages, {} bytes", writer.bytes()));
                    }
                }
                _ = terminate.recv() => break Ok(false),
                _ = interrupt.recv() => break Ok(false),
                () = &mut over => break Ok(false),
            }
        };
        if left_out > 0 {
            progress.say(&format!("{left_out} headers were left out: they are tables, lists or decimals"));
        }
        let ended = ended.and_then(|is_all| {
            ensure!(is_all || was_read, "nothing was recorded: the log was never reached");
            ensure!(is_all || !self.until_end, "ended before all was recorded that was in the log at the start");
            Ok(())
        });
        if ended.is_err() && messages == 0 && !self.append {
            // Nothing was recorded: the next try finds the name free.
            drop(writer);
            std::fs::remove_file(&self.file).with_context(|| format!("cannot remove {}", self.file.display()))?;
            return ended;
        }
        self.finish(writer, messages, progress)?;
        ended
    }

    /// The file, and where to begin in the log.
    fn open(&self, progress: Progress) -> Result<(Writer, RecordFrom)> {
        let shown = self.file.display();
        if !self.append {
            let from = match self.from {
                From::First => RecordFrom::First,
                From::Next => RecordFrom::Next,
                From::Time(us) => RecordFrom::Time(us / 1_000_000),
            };
            return Ok((Writer::create(&self.file).with_context(|| format!("cannot make {shown}"))?, from));
        }
        let mut reader = Reader::open(&self.file).with_context(|| format!("cannot go on with {shown}"))?;
        if reader.cut_bytes() > 0 {
            progress.say(&format!("removes {} bytes at the end of {shown}, which are no whole block", reader.cut_bytes()));
        }
        let last = reader.last().with_context(|| format!("cannot go on with {shown}"))?;
        let writer = Writer::append(&self.file).with_context(|| format!("cannot go on with {shown}"))?;
        Ok((writer, last.map_or(RecordFrom::First, |last| RecordFrom::After(Box::new(last)))))
    }

    fn simulate(&self, seed: u64, progress: Progress) -> Result<()> {
        let Some(length) = self.duration else { bail!("--for is missing") };
        let mut writer = Writer::create(&self.file).with_context(|| format!("cannot make {}", self.file.display()))?;
        let mut market = Market::new(seed, OPENING_US);
        let (end_us, mut seq) = (OPENING_US + length.as_micros() as u64, 0);
        let mut publications = market.opening();
        loop {
            for publication in publications {
                seq += 1;
                let time_us = publication.message.ts_publish_us;
                let into_us = time_us.saturating_sub(OPENING_US);
                let keeps = self.sample.is_none_or(|(keep, every)| into_us % every.as_micros() as u64 <= keep.as_micros() as u64);
                if keeps {
                    let (content_type, body) = (Some("application/x-protobuf".to_owned()), publication.message.encode_to_vec());
                    writer.push(Recorded { seq, time_us, routing_key: publication.symbol, content_type, body, ..Default::default() })?;
                }
            }
            match market.due_us() {
                Some(due_us) if due_us <= end_us => publications = market.step((due_us + STEP_US).min(end_us)),
                _ => break,
            }
        }
        self.finish(writer, seq, progress)
    }

    fn finish(&self, writer: Writer, messages: u64, progress: Progress) -> Result<()> {
        writer.finish().context("cannot write")?;
        let bytes = std::fs::metadata(&self.file).map_or(0, |file| file.len());
        progress.tell(&format!("ended: {messages} messages came, {} has {bytes} bytes", self.file.display()));
        Ok(())
    }
}

fn parse_from(text: &str) -> Result<From, String> {
    match text {
        "first" => Ok(From::First),
        "next" => Ok(From::Next),
        _ => match text.parse()? {
            When::At(us) => Ok(From::Time(us)),
            When::After(_) => Err("is neither first, nor next, nor a time".to_owned()),
        },
    }
}

fn parse_sample(text: &str) -> Result<(Duration, Duration), String> {
    let (keep, every) = text.split_once('/').ok_or_else(|| "is not of the form KEEP/EVERY, such as 1s/15m".to_owned())?;
    let (keep, every) = (parse_duration(keep)?, parse_duration(every)?);
    if keep <= every && !every.is_zero() { Ok((keep, every)) } else { Err("keeps more than there is".to_owned()) }
}

/// When a recorded market opens: 2026-01-05T14:30:00Z, a Monday.
const OPENING_US: u64 = 1_767_623_400_000_000;
/// Market time in one step.
const STEP_US: u64 = 1_000_000;
/// At most this much is lost when the recorder is killed.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// Between two progress lines.
const TELL_EVERY: Duration = Duration::from_secs(5);
const EXAMPLES: &str = "\
Examples:
  tickwire record day.twrec                                     what comes from now on, until Ctrl-C
  tickwire record hour.twrec --from first --until-end           all that the log has
  tickwire record day.twrec --append                            go on where the recorder ended or was killed
  tickwire record market.twrec --simulated 1 --for 10m          the simulated market, without a broker

Exit codes: 0 it ended as it was asked to, 1 it failed, never reached the log, or with --until-end ended before all was recorded.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_its_flags() {
        assert_eq!(parse_from("2026-01-05T14:30:00Z"), Ok(From::Time(OPENING_US)));
        assert!(parse_from("last").is_err() && parse_from("+1m").is_err());
        assert_eq!(parse_sample("1s/15m"), Ok((Duration::from_secs(1), Duration::from_secs(900))));
        assert!(parse_sample("2s/1s").is_err() && parse_sample("0s/0s").is_err() && parse_sample("1s").is_err());
    }
}
