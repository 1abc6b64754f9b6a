//! `tickwire demo`.

use std::process::ExitCode;

use crate::serve;
use crate::settings::ConfigFlags;

/// Flags of `tickwire demo`.
#[derive(clap::Args)]
pub(crate) struct Demo {
    #[command(flatten)]
    config: ConfigFlags,
    /// Seed of the market: same seed, same day
    #[arg(long)]
    seed: Option<String>,
    /// For measurements: SYMBOLSxRATE, such as 10x1000, instead of the lively market
    #[arg(long, value_name = "SYMBOLSxRATE")]
    steady: Option<String>,
    /// Let others than this machine connect, without a token
    #[arg(long)]
    allow_remote: bool,
}

impl Demo {
    /// Runs the command.
    pub(crate) fn run(self) -> ExitCode {
        let mut overrides = self.config.overrides();
        let own = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        overrides.defaults.extend(DEFAULTS.map(own));
        overrides.keys.extend(self.seed.map(|seed| ("feed.simulated.seed".to_owned(), seed)));
        if let Some(steady) = &self.steady {
            let (symbols, rate) = steady.split_once('x').unwrap_or((steady, ""));
            overrides.keys.extend([("feed.simulated.steady_symbols", symbols), ("feed.simulated.steady_rate", rate)].map(own));
        }
        if self.allow_remote {
            overrides.keys.push(own(("auth.anonymous.allow_remote", "true")));
        }
        serve::run(&overrides)
    }
}

/// What `demo` changes in the table of defaults.
const DEFAULTS: [(&str, &str); 10] = [
    ("feed.source", "simulated"),
    ("page", "true"),
    ("auth.anonymous.symbols", "#"),
    ("limits.connections_per_ip_max", "0"),
    ("feed.rules[0].feed", "stock"),
    ("feed.rules[0].pattern", "stock.#"),
    ("feed.rules[1].feed", "crypto"),
    ("feed.rules[1].pattern", "crypto.#"),
    ("feed.rules[2].feed", "soccer"),
    ("feed.rules[2].pattern", "soccer.#"),
];
