//! Flags that name configuration, shared by `serve`, `demo` and `config`, and the `tickwire config` command.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use tickwire_server::config::{Config, Overrides, Problem};

/// Flags that name configuration. Flags win over the environment (`TICKWIRE_…`), and that wins over the file.
#[derive(clap::Args)]
pub(crate) struct ConfigFlags {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE", env = "TICKWIRE_CONFIG")]
    config: Option<PathBuf>,
    /// Where clients connect [default: 127.0.0.1:7447]; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<String>,
    /// Threads that serve clients [default: one for each core]
    #[arg(long, value_name = "N")]
    shards: Option<String>,
    /// How log lines are written to stderr: text or json
    #[arg(long, value_name = "FORMAT")]
    log: Option<String>,
    /// Sets any key, such as `--set limits.connections_per_ip_max=0`; may be given again
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl ConfigFlags {
    /// What these flags say.
    pub(crate) fn overrides(self) -> Overrides {
        let mut keys = Vec::new();
        for pair in &self.set {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            keys.push((key.to_owned(), value.to_owned()));
        }
        for (key, value) in [("listen", self.listen), ("shards", self.shards), ("log.format", self.log)] {
            keys.extend(value.map(|value| (key.to_owned(), value)));
        }
        Overrides { file: self.config, keys, defaults: Vec::new() }
    }
}

/// What `--amqp` says.
pub(crate) fn brokers(urls: &[String]) -> Option<(String, String)> {
    (!urls.is_empty()).then(|| ("feed.amqp.url".to_owned(), urls.join(",")))
}

/// Flags of `tickwire config`.
#[derive(clap::Args)]
pub(crate) struct Settings {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Say "ok", or list every problem with its key and place (exit code 2)
    Check(Checked),
    /// Print every key with its effective value and where it comes from; secrets print as …
    Print(Checked),
    /// Print the table of all keys as Markdown
    Docs,
}

#[derive(clap::Args)]
struct Checked {
    #[command(flatten)]
    config: ConfigFlags,
    /// The broker, as for `serve`
    #[arg(long, value_name = "URL")]
    amqp: Vec<String>,
}

impl Checked {
    fn overrides(self) -> Overrides {
        let mut overrides = self.config.overrides();
        overrides.keys.extend(brokers(&self.amqp));
        overrides
    }
}

impl Settings {
    /// Runs the command.
    pub(crate) fn run(self) -> ExitCode {
        let result = match self.action {
            Action::Check(checked) => Config::load(&checked.overrides(), &environment()).map(|_| "ok\n".to_owned()),
            Action::Print(checked) => Config::print(&checked.overrides(), &environment()),
            Action::Docs => Ok(Config::documentation()),
        };
        match result {
            Ok(text) => {
                print(&text);
                ExitCode::SUCCESS
            }
            Err(problems) => refuse(&problems),
        }
    }
}

/// Variables of this process that are text.
pub(crate) fn environment() -> Vec<(String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect()
}

/// Lists the problems; exit code 2.
pub(crate) fn refuse(problems: &[Problem]) -> ExitCode {
    #[expect(clippy::print_stderr, reason = "the answer of a command to its caller")]
    for problem in problems {
        eprintln!("configuration: {problem}");
    }
    ExitCode::from(2)
}

/// Writes to stdout. A reader that has gone away is no error of ours.
pub(crate) fn print(text: &str) {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
