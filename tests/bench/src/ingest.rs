//! From RabbitMQ into the book: what it costs beside a bare consumer, how fast it is, and how soon it is back after a fault.
//!
//! One private RabbitMQ for all figures, a server process of its own for each. A figure that misses its target is printed as missed; what
//! fails or counts wrong values ends the program with an error.

mod bare;
mod batches;
mod catch_up;
mod detection;
mod figure;
mod fleet;
mod hand;
mod holder;
mod kills;
mod latency;
mod load;
mod market;
mod mute;
mod node;
mod oracle;
mod place;
mod poison;
mod quiet;
mod restart;
mod single;
mod stopped;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use serde_json::json;

pub(crate) use self::bare::Consume;
use self::figure::Figure;
use self::place::Place;
use crate::{print, progress};

/// Flags of the measurement.
#[derive(Args)]
pub(crate) struct Ingest {
    /// The `tickwire` program
    #[arg(long, value_name = "PROGRAM")]
    server: PathBuf,
    /// Only these groups of figures, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    only: Vec<Group>,
    /// Rounds of what is measured in rounds; medians are printed
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=15))]
    rounds: u8,
    /// Kills of the broker
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u8).range(1..))]
    kills: u8,
    /// Seconds of the past that servers which start together find in the log
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=600))]
    past: u64,
    /// Also write the figures as JSON to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Figures that are measured together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Group {
    /// CPU for a message of 60 bytes, beside a bare consumer
    Single,
    /// Updates a second, alone and in batches
    Batches,
    /// How fast a past is read
    CatchUp,
    /// From publishing to a client's socket, at a low rate
    Latency,
    /// A message in a thousand that cannot be used
    Poison,
    /// A silence longer than the broker bears unacknowledged messages
    Quiet,
    /// A broker that is killed and restarted under load
    Kills,
    /// A server that starts from a checkpoint of 100,000 symbols
    Restart,
    /// A feed that falls silent
    Mute,
    /// A log that is not the one that the server has left
    Detection,
    /// Eight servers that start at once
    Fleet,
    /// A server that is stopped for ten seconds
    Stopped,
}

impl Group {
    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    async fn run(self, place: &Place, options: &Options) -> Result<Vec<Figure>> {
        match self {
            Self::Single => single::run(place, options).await,
            Self::Batches => batches::run(place, options).await,
            Self::CatchUp => catch_up::run(place, options).await,
            Self::Latency => latency::run(place, options).await,
            Self::Poison => poison::run(place, options).await,
            Self::Quiet => quiet::run(place, options).await,
            Self::Kills => kills::run(place, options).await,
            Self::Restart => restart::run(place, options).await,
            Self::Mute => mute::run(place, options).await,
            Self::Detection => detection::run(place, options).await,
            Self::Fleet => fleet::run(place, options).await,
            Self::Stopped => stopped::run(place, options).await,
        }
    }
}

/// What all groups go by.
#[derive(Clone, Copy, Debug)]
struct Options {
    /// Of what is measured in rounds.
    rounds: u32,
    /// Of the broker.
    kills: u32,
    /// What servers that start together find in the log.
    past: Duration,
}

impl Ingest {
    /// Measures the groups one after the other, and prints the table.
    ///
    /// # Errors
    /// RabbitMQ does not start, or a group failed; what the others measured is printed before.
    pub(crate) fn run(&self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let (figures, failures) = runtime.block_on(self.measure())?;
        figure::table(&figures).iter().for_each(|line| print(line));
        if let Some(path) = &self.json {
            let figures: Vec<_> = figures.iter().map(Figure::json).collect();
            let text = format!("{:#}\n", json!({ "rounds": self.rounds, "figures": figures }));
            std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        if !failures.is_empty() {
            bail!("not everything could be measured:\n{}", failures.join("\n"));
        }
        Ok(())
    }

    async fn measure(&self) -> Result<(Vec<Figure>, Vec<String>)> {
        progress("starting a private RabbitMQ");
        let place = Place::open(&self.server)?;
        let options = Options { rounds: u32::from(self.rounds), kills: u32::from(self.kills), past: Duration::from_secs(self.past) };
        let (mut figures, mut failures) = (Vec::new(), Vec::new());
        for group in Group::value_variants().iter().filter(|group| self.only.is_empty() || self.only.contains(group)) {
            progress(&format!("{}: begins", group.name()));
            match group.run(&place, &options).await {
                Ok(measured) => {
                    measured.iter().for_each(|figure| progress(&format!("{}: {}", group.name(), figure.line())));
                    figures.extend(measured);
                }
                Err(error) => {
                    let failure = format!("{}: {error:#}", group.name());
                    progress(&failure);
                    failures.push(failure);
                }
            }
        }
        Ok((figures, failures))
    }
}
