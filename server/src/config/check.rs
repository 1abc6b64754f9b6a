//! From what was written to settings that are ready to use.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tickwire_proto::Pattern;

use super::keys::{self, Kind};
use super::raw::{RawConfig, Value, Written};
use super::{AuthConfig, Config, DrainConfig, Limits, LogConfig, Problem, feed};
use crate::auth::{Algorithm, KeyConfig};
use crate::files;
use crate::tls::{self, TlsError, TlsFiles};

/// Checks everything. The result is to be used only if nothing was added to `problems`.
pub(super) fn check(raw: &RawConfig, environment: &[(String, String)], problems: &mut Vec<Problem>) -> Config {
    let mut checker = Checker { raw, problems };
    let listen = checker.address("listen");
    let auth = checker.auth(environment, listen);
    Config {
        listen,
        tls: checker.tls(),
        node: Some(checker.text("node")).filter(|name| !name.is_empty()).unwrap_or_else(host_name),
        shards: match checker.number("shards") as usize {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            shards => shards,
        },
        page: checker.flag("page"),
        metrics: match checker.text("metrics").as_str() {
            "auto" => listen.ip().is_loopback(),
            choice => choice == "on",
        },
        log: LogConfig { json: checker.text("log.format") == "json", filter: checker.log_filter() },
        auth,
        origins: checker.origins(),
        limits: checker.limits(),
        conflate_ms_default: checker.number("conflate.default_ms") as u32,
        conflate_ms_min: checker.number("conflate.min_ms") as u32,
        paced: checker.flag("conflate.paced"),
        heartbeat: checker.millis("heartbeat_ms"),
        drain: DrainConfig {
            within: checker.millis("drain.within_ms"),
            retry_after: checker.millis("drain.retry_after_ms"),
            spread: checker.millis("drain.spread_ms"),
        },
        feed: feed::check(&mut checker),
    }
}

/// Reads keys by their kind, and notes what is wrong.
pub(super) struct Checker<'a> {
    raw: &'a RawConfig,
    problems: &'a mut Vec<Problem>,
}

impl Checker<'_> {
    /// Notes a problem with a key that was written, or that should have been.
    pub(super) fn problem(&mut self, key: &str, text: impl Into<String>) {
        let origin = match self.raw.get(key) {
            Some(written) => written.origin.clone(),
            None => self.raw.origin_below(key),
        };
        self.problems.push(Problem::new(key, origin, text.into()));
    }

    /// A text, or one word of a choice.
    pub(super) fn text(&mut self, key: &str) -> String {
        let known = known(key);
        match self.raw.get(key) {
            None => known.default.to_owned(),
            Some(Written { value: Value::Text(text), .. }) => {
                if let Kind::Choice(words) = known.kind
                    && !words.contains(&text.as_str())
                {
                    self.problem(key, format!("is not {}", known.kind.expected()));
                }
                text.clone()
            }
            Some(_) => self.wrong_kind(key, String::new()),
        }
    }

    /// A text, unless it is empty.
    pub(super) fn text_or_none(&mut self, key: &str) -> Option<String> {
        Some(self.text(key)).filter(|text| !text.is_empty())
    }

    /// A number within the bounds of its kind.
    pub(super) fn number(&mut self, key: &str) -> u64 {
        let known = known(key);
        let digits = match self.raw.get(key) {
            None => known.default,
            Some(Written { value: Value::Number(digits), .. }) => digits,
            Some(_) => return self.wrong_kind(key, 0),
        };
        let (min, max) = if let Kind::Number(min, max) = known.kind { (min, max) } else { (0, u64::MAX) };
        match digits.parse() {
            Ok(number) if (min..=max).contains(&number) => number,
            _ => self.wrong_kind(key, min),
        }
    }

    /// A number of milliseconds.
    pub(super) fn millis(&mut self, key: &str) -> Duration {
        Duration::from_millis(self.number(key))
    }

    /// A flag.
    pub(super) fn flag(&mut self, key: &str) -> bool {
        match self.raw.get(key) {
            None => known(key).default == "true",
            Some(Written { value: Value::Flag(flag), .. }) => *flag,
            Some(_) => self.wrong_kind(key, false),
        }
    }

    /// A list of texts.
    pub(super) fn list(&mut self, key: &str) -> Vec<String> {
        match self.raw.get(key) {
            None => Vec::new(),
            Some(Written { value: Value::List(texts), .. }) => texts.clone(),
            Some(_) => self.wrong_kind(key, Vec::new()),
        }
    }

    /// One text or several.
    pub(super) fn texts(&mut self, key: &str) -> Vec<String> {
        match self.raw.get(key) {
            Some(Written { value: Value::List(texts), .. }) => texts.clone(),
            _ => vec![self.text(key)],
        }
    }

    /// Positions of the tables of a list.
    pub(super) fn positions(&self, list: &str) -> Vec<usize> {
        self.raw.positions(list)
    }

    /// Whether a key was written anywhere.
    pub(super) fn is_written(&self, key: &str) -> bool {
        self.raw.get(key).is_some()
    }

    fn wrong_kind<T>(&mut self, key: &str, instead: T) -> T {
        self.problem(key, format!("is not {}", known(key).kind.expected()));
        instead
    }

    fn address(&mut self, key: &str) -> SocketAddr {
        let text = self.text(key);
        text.parse().unwrap_or_else(|_| self.wrong_kind(key, SocketAddr::from(([127, 0, 0, 1], 0))))
    }

    fn tls(&mut self) -> Option<TlsFiles> {
        let files = self.identity("tls.cert", "tls.key")?;
        match tls::check(&files) {
            Ok(()) => {}
            Err(error @ TlsError::Certificate { .. }) => self.problem("tls.cert", error.to_string()),
            Err(error @ TlsError::Key { .. }) => self.problem("tls.key", error.to_string()),
        }
        Some(files)
    }

    /// Two files that go together.
    pub(super) fn identity(&mut self, cert: &str, key: &str) -> Option<TlsFiles> {
        match (self.text_or_none(cert), self.text_or_none(key)) {
            (None, None) => None,
            (Some(cert), Some(key)) => Some(TlsFiles { cert: cert.into(), key: key.into() }),
            (Some(_), None) => {
                self.problem(key, "is missing; a certificate needs its key");
                None
            }
            (None, Some(_)) => {
                self.problem(cert, "is missing; a key needs its certificate");
                None
            }
        }
    }

    fn log_filter(&mut self) -> String {
        let filter = self.text("log.filter");
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&filter) {
            self.problem("log.filter", format!("is no filter: {error}"));
        }
        filter
    }

    fn origins(&mut self) -> Vec<String> {
        let origins = self.list("browser.origins");
        for origin in &origins {
            if !is_origin(origin) {
                self.problem("browser.origins", format!("has {origin:?}, which is not of the form https://host[:port] in lower case"));
            }
        }
        origins
    }

    fn limits(&mut self) -> Limits {
        Limits {
            connections_max: self.number("limits.connections_max") as usize,
            connections_per_ip_max: Some(self.number("limits.connections_per_ip_max") as u32).filter(|max| *max > 0),
            message_bytes_max: self.number("limits.message_bytes_max") as usize,
            subscriptions_max: self.number("limits.subscriptions_max") as u32,
            items_max: self.number("limits.items_max") as usize,
            commands_per_s: self.number("limits.commands_per_s") as u32,
            commands_burst: self.number("limits.commands_burst") as u32,
            head_within: self.millis("limits.head_within_ms"),
            hello_within: self.millis("limits.hello_within_ms"),
            stalled_max: self.millis("limits.stalled_max_ms"),
            events_kept: self.number("limits.events_kept") as usize,
            events_waiting_max: self.number("limits.events_waiting_max") as usize,
            credit_bytes_max: self.number("limits.credit_bytes_max") as u32,
            notsent_lowat_bytes: Some(self.number("limits.notsent_lowat_bytes") as u32).filter(|bytes| *bytes > 0),
        }
    }

    fn auth(&mut self, environment: &[(String, String)], listen: SocketAddr) -> AuthConfig {
        let anonymous = self.patterns("auth.anonymous.symbols");
        let allow_remote = self.flag("auth.anonymous.allow_remote");
        if !anonymous.is_empty() && !listen.ip().is_loopback() && !allow_remote {
            self.problem(
                "auth.anonymous.symbols",
                format!(
                    "gives everyone who reaches {listen} access without a token; listen on loopback, or confirm it by auth.anonymous.allow_remote = true"
                ),
            );
        }
        let positions = self.positions("auth.jwt.keys");
        let keys: Vec<KeyConfig> = positions.iter().filter_map(|n| self.key(*n, environment)).collect();
        if positions.is_empty() && anonymous.is_empty() {
            self.problem(
                "auth.jwt.keys",
                "is empty, so nobody could connect; add a key ([[auth.jwt.keys]] with alg and file), or allow anonymous access (auth.anonymous.symbols = [\"#\"])",
            );
        }
        AuthConfig { anonymous, audience: self.text_or_none("auth.jwt.audience"), issuer: self.text_or_none("auth.jwt.issuer"), keys }
    }

    fn patterns(&mut self, key: &str) -> Vec<Pattern> {
        let mut patterns = Vec::new();
        for text in self.list(key) {
            match Pattern::parse(&text) {
                Ok(pattern) => patterns.push(pattern),
                Err(error) => self.problem(key, format!("has {text:?}, which {error}")),
            }
        }
        patterns
    }

    fn key(&mut self, n: usize, environment: &[(String, String)]) -> Option<KeyConfig> {
        let field = |name: &str| format!("auth.jwt.keys[{n}].{name}");
        if !self.is_written(&field("alg")) {
            self.problem(&field("alg"), "is missing; HS256, ES256 or EdDSA");
        }
        let algorithm = Algorithm::parse(&self.text(&field("alg")));
        let kid = self.text_or_none(&field("kid"));
        if kid.as_ref().is_some_and(|kid| kid.len() > KID_BYTES_MAX) {
            self.problem(&field("kid"), format!("is longer than {KID_BYTES_MAX} bytes"));
        }
        let (file, variable) = (self.text_or_none(&field("file")), self.text_or_none(&field("env")));
        if let Some(variable) = &variable {
            // A variable that holds a key is no configuration key, whatever its name.
            let origin = format!("environment variable {variable}");
            self.problems.retain(|problem| problem.origin != origin);
        }
        let (source, bytes) = match (file, variable) {
            (Some(path), None) => (field("file"), files::read(Path::new(&path))),
            (None, Some(name)) => {
                let found = environment.iter().find(|(variable, _)| *variable == name).map(|(_, text)| text.clone().into_bytes());
                (field("env"), found.ok_or_else(|| format!("names {name}, which is not set")))
            }
            _ => {
                self.problem(&field("file"), "or env is needed, and only one of them");
                return None;
            }
        };
        match bytes.and_then(|bytes| algorithm.map(|algorithm| KeyConfig::new(algorithm, kid, &bytes)).transpose()) {
            Ok(key) => key,
            Err(text) => {
                self.problem(&source, text);
                None
            }
        }
    }
}

fn known(key: &str) -> &'static keys::Key {
    keys::find(key).expect("checks ask only for keys of the table; its tests read every one")
}

/// `scheme://host[:port]`, as browsers write it.
fn is_origin(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    host.is_some_and(|host| {
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-:[]".contains(&byte))
    })
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name.trim().chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).take(NODE_BYTES_MAX).collect();
    if name.is_empty() { "tickwire".to_owned() } else { name }
}

/// Bytes of a `kid`. A longer one is refused.
const KID_BYTES_MAX: usize = 128;
/// Bytes of a host name that becomes the node's name; the rest is cut.
const NODE_BYTES_MAX: usize = 64;
