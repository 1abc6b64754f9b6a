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
    /// Play a file that `tickwire record` made, instead of the market
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seed", "steady"])]
    recording: Option<String>,
    /// How many times as fast as it was
    #[arg(long, value_name = "FACTOR", requires = "recording")]
    speed: Option<String>,
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
            overrides.defaults.extend(rule(0, "bench"));
        } else {
            overrides.defaults.extend(["stock", "crypto", "soccer"].iter().enumerate().flat_map(|(n, feed)| rule(n, feed)));
        }
        if let Some(file) = self.recording {
            overrides.keys.extend([own(("feed.source", "recorded")), ("feed.recorded.file".to_owned(), file)]);
            overrides.keys.extend(self.speed.map(|speed| ("feed.recorded.speed".to_owned(), speed)));
        }
        if self.allow_remote {
            overrides.keys.push(own(("auth.anonymous.allow_remote", "true")));
        }
        serve::run(&overrides)
    }
}

/// A feed of the built-in market. It sends a sign of life every second: three missed ones make it STALE.
fn rule(n: usize, feed: &str) -> [(String, String); 3] {
    let key = |name: &str| format!("feed.rules[{n}].{name}");
    [(key("feed"), feed.to_owned()), (key("pattern"), format!("{feed}.#")), (key("silence_ms"), "3000".to_owned())]
}

/// What `demo` changes in the table of defaults.
const DEFAULTS: [(&str, &str); 4] =
    [("feed.source", "simulated"), ("page", "true"), ("auth.anonymous.symbols", "#"), ("limits.connections_per_ip_max", "0")];
