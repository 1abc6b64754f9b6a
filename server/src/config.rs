//! Configuration, in two lives: as the operator wrote it, then as checked. File < environment (`TICKWIRE_…`) < flags.
//!
//! Everything wrong is found at once, each problem with its key and where it was written.

mod check;
mod feed;
pub mod keys;
mod print;
mod raw;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tickwire_proto::Pattern;

use crate::auth::KeyConfig;
use crate::ingest::FeedConfig;
use crate::tls::TlsFiles;
use raw::RawConfig;

/// Checked settings, ready to use.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Certificate and key, if connections are encrypted.
    pub tls: Option<TlsFiles>,
    /// Name of this node in sessions and logs.
    pub node: String,
    /// Threads that serve clients.
    pub shards: usize,
    /// Whether the demo page is served at `/`.
    pub page: bool,
    /// Whether `/metrics` is served.
    pub metrics: bool,
    /// How log lines are written.
    pub log: LogConfig,
    /// Who may subscribe to what.
    pub auth: AuthConfig,
    /// Origins of pages that may connect, besides the node's own host.
    pub origins: Vec<String>,
    /// Bounds on what clients may ask for.
    pub limits: Limits,
    /// Default rate of clients that ask for none.
    pub conflate_ms_default: u32,
    /// Fastest rate that is granted.
    pub conflate_ms_min: u32,
    /// Whether a first change waits for the next beat where its connection was told prices since the last one.
    pub paced: bool,
    /// Longest silence of a connection whose client asks for none.
    pub heartbeat: Duration,
    /// How the node leaves.
    pub drain: DrainConfig,
    /// Feeds and where they come from.
    pub feed: FeedConfig,
}

/// How log lines are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// One JSON object on each line, instead of text.
    pub json: bool,
    /// What is logged, in the syntax of `tracing_subscriber::EnvFilter`.
    pub filter: String,
}

/// Who may subscribe to what.
#[derive(Clone, Debug, Default)]
pub struct AuthConfig {
    /// What clients without a token may subscribe to; empty = a token is needed.
    pub anonymous: Vec<Pattern>,
    /// If set, tokens must name it in `aud`.
    pub audience: Option<String>,
    /// If set, tokens must name it in `iss`.
    pub issuer: Option<String>,
    /// Keys that verify tokens.
    pub keys: Vec<KeyConfig>,
}

/// Bounds on what clients may ask for. The keys below `limits` say what happens beyond each.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table of keys documents each")]
pub struct Limits {
    pub connections_max: usize,
    /// `None`: no limit.
    pub connections_per_ip_max: Option<u32>,
    pub message_bytes_max: usize,
    pub subscriptions_max: u32,
    pub items_max: usize,
    pub commands_per_s: u32,
    pub commands_burst: u32,
    pub head_within: Duration,
    pub hello_within: Duration,
    pub stalled_max: Duration,
    pub events_kept: usize,
    pub events_waiting_max: usize,
    /// 0: no credit.
    pub credit_bytes_max: u32,
    /// `None`: the system's default.
    pub notsent_lowat_bytes: Option<u32>,
}

/// How the node leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrainConfig {
    /// Time to leave politely.
    pub within: Duration,
    /// When clients are told to come back.
    pub retry_after: Duration,
    /// Over how long they are spread then.
    pub spread: Duration,
}

/// What flags say; the strongest source.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--config`.
    pub file: Option<PathBuf>,
    /// `--listen`, as `listen`; `--amqp`, as `feed.amqp.url`; and any other key by its dotted name.
    pub keys: Vec<(String, String)>,
    /// What the command changes in the table of defaults (`demo` has a feed of its own); weaker than any other source.
    pub defaults: Vec<(String, String)>,
}

impl Config {
    /// Reads file, environment and flags, and checks everything.
    ///
    /// # Errors
    /// Every problem at once, each with its key and where it was written.
    pub fn load(overrides: &Overrides, environment: &[(String, String)]) -> Result<Self, Vec<Problem>> {
        let (raw, mut problems) = read(overrides, environment);
        let config = check::check(&raw, environment, &mut problems);
        if problems.is_empty() { Ok(config) } else { Err(problems) }
    }

    /// The effective configuration as TOML: every key with its value, and its origin as a comment. Secrets print as `…`.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn print(overrides: &Overrides, environment: &[(String, String)]) -> Result<String, Vec<Problem>> {
        let (raw, mut problems) = read(overrides, environment);
        check::check(&raw, environment, &mut problems);
        if problems.is_empty() { Ok(print::toml(&raw)) } else { Err(problems) }
    }

    /// The table of keys for the documentation, as Markdown.
    pub fn documentation() -> String {
        print::markdown()
    }
}

fn read(overrides: &Overrides, environment: &[(String, String)]) -> (RawConfig, Vec<Problem>) {
    let (mut raw, mut problems) = (RawConfig::default(), Vec::new());
    for (key, text) in &overrides.defaults {
        raw.read_text(key, text, "default of this command".to_owned(), &mut problems);
    }
    if let Some(file) = &overrides.file {
        raw.read_file(file, &mut problems);
    }
    raw.read_environment(environment, &mut problems);
    for (key, text) in &overrides.keys {
        raw.read_text(key, text, "command line".to_owned(), &mut problems);
    }
    (raw, problems)
}

/// One thing wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Dotted key, such as `auth.jwt.keys[0].file`.
    pub key: String,
    /// Where it was written: file with line, environment variable, or flag.
    pub origin: String,
    /// What is wrong and what would be right.
    pub text: String,
}

impl Problem {
    /// A problem with `key`, written at `origin`.
    pub fn new(key: &str, origin: String, text: String) -> Self {
        Self { key: key.to_owned(), origin, text }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.key, self.text, self.origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::FeedSourceConfig;

    fn load(file: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Config, Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.toml");
        std::fs::write(&path, file).unwrap();
        let own = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Vec<_>>();
        let overrides = Overrides { file: Some(path), keys: own(flags), defaults: Vec::new() };
        let shown = format!("{}/", folder.path().display());
        Config::load(&overrides, &own(environment))
            .map_err(|problems| problems.iter().map(|problem| problem.to_string().replace(&shown, "")).collect())
    }

    const OPEN: &str = "auth.anonymous.symbols = [\"#\"]\n";

    #[test]
    fn flags_win_over_the_environment_and_that_over_the_file() {
        let file = format!("{OPEN}shards = 1\nconflate.default_ms = 50\nheartbeat_ms = 600\n");
        let config = load(&file, &[("TICKWIRE_SHARDS", "2"), ("TICKWIRE_CONFLATE__DEFAULT_MS", "100")], &[("shards", "3")]).unwrap();
        assert_eq!((config.shards, config.conflate_ms_default, config.heartbeat), (3, 100, Duration::from_millis(600)));
    }

    #[test]
    fn every_problem_is_listed_with_its_place() {
        let problems = load(
            "listen = \"nowhere\"\nlimts.connections_max = 1\n[limits]\nconnections_max = 0\n[feed]\nsource = \"kafka\"\n[[auth.jwt.keys]]\nalg = \"none\"\n",
            &[("TICKWIRE_SHARDS", "many")],
            &[("page", "yes")],
        )
        .unwrap_err();
        for expected in [
            "limts.connections_max is not a known key; did you mean limits.connections_max? (t.toml:2)",
            "page is not true or false (command line)",
            "listen is not ADDRESS:PORT, such as 127.0.0.1:7447 (t.toml:1)",
            "limits.connections_max is not a whole number from 1 to 10000000 (t.toml:4)",
            "feed.source is not one of amqp, simulated, recorded (t.toml:6)",
            "auth.jwt.keys[0].alg is not one of HS256, ES256, EdDSA (t.toml:8)",
            "shards is not a whole number from 0 to 256 (environment variable TICKWIRE_SHARDS)",
        ] {
            assert!(problems.iter().any(|problem| problem == expected), "missing: {expected}\nin: {problems:#?}");
        }
    }

    #[test]
    fn a_mapping_is_checked_with_its_place() {
        let file = format!("{OPEN}[[feed.mappings]]\npattern = \"md.#\"\nbody = \"quote\"\nfields = [\"bid=/b\"]\ntime_unit = \"days\"\n");
        let problems = load(&file, &[], &[]).unwrap_err();
        assert_eq!(problems, ["feed.mappings[0].time_unit is not one of s, ms, us, ns, rfc3339 (t.toml:6)"]);
        let right = file.replace("days", "us");
        assert_eq!(load(&right, &[], &[]).unwrap().feed.intake.mappings.len(), 1);
        let problems = load(&right.replace("bid=/b", "price=/b"), &[], &[]).unwrap_err();
        assert!(problems[0].starts_with("feed.mappings[0].fields has \"price\", but the body has bid"), "{problems:?}");
    }

    #[test]
    fn a_feed_rule_is_checked_with_its_place() {
        let file = format!(
            "{OPEN}[[feed.rules]]\nfeed = \"nyse\"\npattern = \"nyse.#\"\nhours = [\"Mon-Fri 09:30-16:00\"]\nholidays = [\"2026-12-25\"]\n\
             timezone = \"America/New_York\"\nnamespace = \"nyse.\"\nprice_min = \"0.01\"\njump_percent_max = 20\ncrossed = false\n"
        );
        let rule = load(&file, &[], &[]).unwrap().feed.intake.rules.remove(0);
        let hours = rule.hours.unwrap();
        assert!(hours.at(1_767_709_800_000_000).is_open && !hours.at(1_767_709_799_000_000).is_open, "14:30 in winter in New York");
        assert!(rule.plausible.refuses_crossed && rule.plausible.jump_percent_max == Some(20) && rule.instruments_max == 200_000);
        let wrong = file.replace("09:30", "9:30").replace("12-25", "13-25").replace("New_York", "Atlantis").replace("0.01", "cheap");
        let problems = load(&wrong, &[], &[]).unwrap_err();
        for expected in [
            "feed.rules[0].timezone \"America/Atlantis\" is no time zone, such as America/New_York (t.toml:7)",
            "feed.rules[0].hours has \"Mon-Fri 9:30-16:00\" is not of the form Mon-Fri 09:30-16:00 (t.toml:5)",
            "feed.rules[0].price_min \"cheap\" is no decimal, such as 0.01 (t.toml:9)",
        ] {
            assert!(problems.iter().any(|problem| problem == expected), "missing: {expected}\nin: {problems:#?}");
        }
        assert!(problems.iter().any(|problem| problem.starts_with("feed.rules[0].holidays has ")), "{problems:#?}");
        let lonely = load(&format!("{OPEN}feed.rules = [{{feed = \"a\", pattern = \"#\", timezone = \"UTC\"}}]\n"), &[], &[]).unwrap_err();
        assert!(lonely[0].starts_with("feed.rules[0].timezone says nothing without hours"), "{lonely:?}");
    }

    #[test]
    fn anonymous_access_beyond_loopback_has_to_be_meant() {
        let open = format!("{OPEN}listen = \"0.0.0.0:0\"\n");
        assert!(load(&open, &[], &[]).unwrap_err()[0].starts_with("auth.anonymous.symbols "));
        assert!(load(&open, &[], &[("auth.anonymous.allow_remote", "true")]).is_ok());
    }

    #[test]
    fn certificates_are_checked_before_they_are_needed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(path("empty.pem"), "").unwrap();
        std::fs::write(path("large.pem"), vec![b'-'; 2 << 20]).unwrap();
        let check = |cert: &str, key: &str| load(OPEN, &[], &[("tls.cert", cert), ("tls.key", key)]).unwrap_err().remove(0);
        assert!(check(&path("empty.pem"), "").starts_with("tls.key is missing"));
        assert!(check("", &path("empty.pem")).starts_with("tls.cert is missing"));
        assert!(check(&path("none.pem"), &path("empty.pem")).starts_with("tls.cert certificate "));
        assert!(check(&path("empty.pem"), &path("empty.pem")).contains("holds no certificate in PEM"));
        assert!(check(&path("large.pem"), &path("empty.pem")).contains("is larger than 1048576 bytes"));
    }

    #[test]
    fn brokers_are_one_or_several_and_their_files_are_checked() {
        let two = "feed.amqp.url = [\"amqp://a\", \"amqps://b/prices\"]\n";
        let FeedSourceConfig::Amqp(amqp) = load(&format!("{OPEN}{two}"), &[], &[]).unwrap().feed.source else { panic!("no broker") };
        assert_eq!(amqp.brokers.to_string(), "amqp://guest:…@a:5672/%2f, amqps://guest:…@b:5671/prices");
        let flags = [("feed.amqp.url", "amqp://c, amqp://d")];
        let FeedSourceConfig::Amqp(amqp) = load(&format!("{OPEN}{two}"), &[], &flags).unwrap().feed.source else { panic!("no broker") };
        assert_eq!(amqp.brokers.to_string(), "amqp://guest:…@c:5672/%2f, amqp://guest:…@d:5672/%2f");
        let problems = |more: &[(&str, &str)]| load(OPEN, &[], more).unwrap_err().join("\n");
        assert!(problems(&[("feed.amqp.url", "amqp://a,http://b")]).starts_with("feed.amqp.url is not of the form amqp://"));
        assert!(load(&format!("{OPEN}feed.amqp.url = []\n"), &[], &[]).unwrap_err()[0].contains("has 0 addresses"));
        assert!(problems(&[("feed.amqp.tls.ca", "/none.pem")]).starts_with("feed.amqp.tls is of no use"));
        let encrypted = ("feed.amqp.url", "amqps://a");
        assert!(problems(&[encrypted, ("feed.amqp.tls.ca", "/none.pem")]).starts_with("feed.amqp.tls.ca roots /none.pem: cannot be read"));
        assert!(problems(&[encrypted, ("feed.amqp.tls.key", "/none.pem")]).starts_with("feed.amqp.tls.cert is missing"));
        let (cert, key) = (("feed.amqp.tls.cert", "/none.pem"), ("feed.amqp.tls.key", "/none.pem"));
        assert!(problems(&[encrypted, cert, key]).starts_with("feed.amqp.tls.cert certificate /none.pem: cannot be read"));
    }

    #[test]
    fn somebody_has_to_be_able_to_connect() {
        assert!(load("", &[], &[]).unwrap_err()[0].starts_with("auth.jwt.keys "));
    }

    #[test]
    fn a_short_secret_is_refused_and_the_variable_with_a_key_is_no_key_of_ours() {
        let file = "[[auth.jwt.keys]]\nalg = \"HS256\"\nenv = \"TICKWIRE_JWT_SECRET\"\n";
        let short = load(file, &[("TICKWIRE_JWT_SECRET", "hunter2")], &[]).unwrap_err();
        assert_eq!(short, ["auth.jwt.keys[0].env names a secret of 7 bytes; HS256 needs 32 or more (t.toml:3)"]);
        assert!(load(file, &[("TICKWIRE_JWT_SECRET", "0123456789abcdef0123456789abcdef")], &[]).is_ok());
    }

    #[test]
    fn printing_keeps_secrets_and_says_where_values_come_from() {
        let overrides = Overrides {
            keys: vec![
                ("feed.amqp.url".into(), "amqp://me:hunter2@mq:5672/%2f".into()),
                ("auth.anonymous.symbols".into(), "stock.#,fx.*".into()),
            ],
            ..Overrides::default()
        };
        let text = Config::print(&overrides, &[]).unwrap();
        assert!(!text.contains("hunter2"), "{text}");
        assert!(text.contains("feed.amqp.url = \"amqp://me:…@mq:5672/%2f\" # command line"), "{text}");
        assert!(text.contains("auth.anonymous.symbols = [\"stock.#\", \"fx.*\"] # command line"), "{text}");
        assert!(text.contains("heartbeat_ms = 5000 # default"), "{text}");
        toml::from_str::<toml::Table>(&text).unwrap();
    }
}
