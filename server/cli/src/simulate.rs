//! `tickwire simulate`: publishes a market to RabbitMQ, with everything that a good feed does.

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use tickwire::publish::Publisher;
use tickwire::v1::{FeedMessage, update::Body};
use tickwire_simulator::{Market, Publication};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use crate::broker::BrokerFlags;
use crate::progress::Progress;
use crate::runtime::block_on;

/// Flags of `tickwire simulate`.
#[derive(clap::Args)]
pub(crate) struct Simulate {
    #[command(flatten)]
    broker: BrokerFlags,
    /// The exchange to publish to.
    #[arg(long, default_value = "tickwire.feed")]
    exchange: String,
    /// Same seed, same market.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How fast the market's time runs, 0.1 to 100.
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR", value_parser = parse_rate)]
    rate: f64,
    /// Instead of the market: this many symbols (`bench.S0` ...) at this many updates a second in all, for instance 500x10000.
    #[arg(long, value_name = "SYMBOLSxRATE", value_parser = parse_steady)]
    steady: Option<(u32, u32)>,
    /// End after this time, for instance 500ms, 30s or 10m.
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    duration: Option<Duration>,
    /// No progress lines.
    #[arg(long)]
    quiet: bool,
}

impl Simulate {
    /// Runs the command.
    pub(crate) fn run(self) -> ExitCode {
        let progress = Progress::start("simulate", self.quiet);
        match block_on(self.publish(progress)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                progress.say(&format!("{error:#}"));
                ExitCode::FAILURE
            }
        }
    }

    async fn publish(&self, progress: Progress) -> Result<()> {
        let publisher = self.broker.publisher().name("simulator").exchange(&self.exchange).start()?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let stop = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                () = sleep_for(self.duration) => {}
            }
        };
        tokio::select! {
            ended = self.run_market(&publisher) => ended?,
            () = progress.watch(&publisher) => {}
            () = stop => {}
        }
        progress.finish(&publisher).await
    }

    async fn run_market(&self, publisher: &Publisher) -> Result<()> {
        let start_us = unix_us();
        let mut market = match self.steady {
            Some((symbols, updates_per_s)) => Market::steady(symbols, updates_per_s, start_us),
            None => Market::new(self.seed, start_us),
        };
        publish_all(publisher, market.opening()).await?;
        let mut steps = interval(STEP);
        steps.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut stepped_us = start_us;
        loop {
            steps.tick().await;
            let now_us = start_us + (unix_us().saturating_sub(start_us) as f64 * self.rate) as u64;
            while stepped_us < now_us {
                stepped_us = now_us.min(stepped_us + STEP_US_MAX);
                let publications = market.step(stepped_us).into_iter().map(|publication| self.in_real_time(start_us, publication));
                publish_all(publisher, publications).await?;
            }
        }
    }

    /// A market whose time runs faster still says when things happened by our clock.
    fn in_real_time(&self, start_us: u64, mut publication: Publication) -> Publication {
        if self.rate != 1.0 {
            let real = |us: u64| start_us + (us.saturating_sub(start_us) as f64 / self.rate) as u64;
            let message = &mut publication.message;
            message.ts_publish_us = real(message.ts_publish_us);
            for update in &mut message.updates {
                update.ts_event_us = real(update.ts_event_us);
                if let Some(Body::Quote(quote)) = &mut update.body {
                    quote.last_ts_us = quote.last_ts_us.map(real);
                }
            }
        }
        publication
    }
}

/// A message with updates alone may share a message with others; announcements and signs of life go alone.
async fn publish_all(publisher: &Publisher, publications: impl IntoIterator<Item = Publication>) -> Result<()> {
    for Publication { symbol, message } in publications {
        match message {
            FeedMessage { info: None, alive: None, updates, .. } => {
                for update in updates {
                    publisher.update(&symbol, update).await?;
                }
            }
            message => publisher.message(&symbol, message).await?,
        }
    }
    Ok(())
}

async fn sleep_for(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}

pub(crate) fn unix_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "is not a number".to_owned())?;
    if (0.1..=100.0).contains(&rate) { Ok(rate) } else { Err("is not between 0.1 and 100".to_owned()) }
}

fn parse_steady(text: &str) -> Result<(u32, u32), String> {
    let parsed = text.split_once('x').and_then(|(symbols, rate)| Some((symbols.parse().ok()?, rate.parse().ok()?)));
    parsed.ok_or_else(|| "is not of the form SYMBOLSxRATE, such as 500x10000".to_owned())
}

pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let amount: u64 = digits.parse().map_err(|_| "is not a number with a unit, such as 30s".to_owned())?;
    match &text[digits.len()..] {
        "ms" => Ok(Duration::from_millis(amount)),
        "s" => Ok(Duration::from_secs(amount)),
        "m" => Ok(Duration::from_secs(amount.saturating_mul(60))),
        "h" => Ok(Duration::from_secs(amount.saturating_mul(3_600))),
        _ => Err("needs a unit: ms, s, m or h".to_owned()),
    }
}

/// Between two steps of the market.
const STEP: Duration = Duration::from_millis(10);
/// Market time in one step. After an outage the market catches up in steps of this size, so that they fit into memory.
const STEP_US_MAX: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_its_flags() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("10m"), Ok(Duration::from_secs(600)));
        assert!(parse_duration("10").is_err() && parse_duration("s").is_err() && parse_duration("-1s").is_err());
        assert_eq!(parse_steady("500x10000"), Ok((500, 10_000)));
        assert!(parse_steady("500").is_err() && parse_steady("x").is_err());
        assert!(parse_rate("0").is_err() && parse_rate("nan").is_err() && parse_rate("2.5").is_ok());
    }
}
