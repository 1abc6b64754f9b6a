//! The settings of the feed side.

use std::path::Path;
use std::time::Duration;

use jiff::tz::TimeZone;
use tickwire_core::engine::RateRule;
use tickwire_core::health::{FeedRule, TradingHours};
use tickwire_core::intake::{IntakeConfig, Mapping, MappingSpec, Plausible, TimeUnit};
use tickwire_proto::Pattern;
use tickwire_proto::decimal::Decimal;

use super::check::Checker;
use crate::ingest::{
    AmqpConfig, BrokerTls, BrokerTlsError, BrokerUrl, Brokers, FeedConfig, FeedSourceConfig, Mode, Topology, default_intake,
};
use crate::recording::Reader;

/// Checks everything below `feed`.
pub(super) fn check(checker: &mut Checker<'_>) -> FeedConfig {
    let simulated = simulated(checker);
    let amqp = amqp(checker);
    let recorded = recorded(checker);
    let source = match checker.text("feed.source").as_str() {
        "simulated" => Some(simulated),
        "recorded" => recorded,
        _ => amqp.map(FeedSourceConfig::Amqp),
    };
    // Without a source there is a problem, and the configuration is not used.
    let source = source.unwrap_or(FeedSourceConfig::Simulated { seed: 0, steady: None });
    let (intake, rates) = intake(checker);
    FeedConfig { source, intake, rates }
}

fn simulated(checker: &mut Checker<'_>) -> FeedSourceConfig {
    let (symbols, rate) = (checker.number("feed.simulated.steady_symbols") as u32, checker.number("feed.simulated.steady_rate") as u32);
    if (symbols == 0) != (rate == 0) {
        checker.problem("feed.simulated.steady_rate", "and steady_symbols go together: both 0, or both more");
    }
    FeedSourceConfig::Simulated { seed: checker.number("feed.simulated.seed"), steady: (symbols > 0).then_some((symbols, rate)) }
}

fn recorded(checker: &mut Checker<'_>) -> Option<FeedSourceConfig> {
    let (file, speed) = (checker.text_or_none("feed.recorded.file"), checker.number("feed.recorded.speed") as u32);
    if checker.text("feed.source") != "recorded" {
        return None;
    }
    let Some(file) = file else {
        checker.problem("feed.recorded.file", "is missing; name a file that `tickwire record` made");
        return None;
    };
    if let Err(error) = Reader::open(Path::new(&file)) {
        checker.problem("feed.recorded.file", format!("{file} {error}"));
    }
    Some(FeedSourceConfig::Recorded { file: file.into(), speed })
}

fn amqp(checker: &mut Checker<'_>) -> Option<AmqpConfig> {
    let topology = if checker.text("feed.amqp.topology") == "managed" { Topology::Managed } else { Topology::Declared };
    let prefix = checker.text("feed.amqp.names_prefix");
    if prefix.len() > PREFIX_BYTES_MAX {
        checker.problem("feed.amqp.names_prefix", format!("is longer than {PREFIX_BYTES_MAX} bytes"));
    }
    let mode = match checker.text("feed.amqp.mode").as_str() {
        "stream" => Mode::Stream,
        "queue" => Mode::Queue,
        _ => Mode::Auto,
    };
    let queue_length = checker.number("feed.amqp.queue_length") as u32;
    let config = AmqpConfig::new(brokers(checker)?);
    let (log_bytes_max, segment_bytes) = (checker.number("feed.amqp.max_length_bytes"), checker.number("feed.amqp.segment_bytes"));
    let log_age_max = Duration::from_secs(checker.number("feed.amqp.max_age_s"));
    Some(AmqpConfig { prefix, topology, mode, queue_length, log_bytes_max, log_age_max, segment_bytes, ..config })
}

fn brokers(checker: &mut Checker<'_>) -> Option<Brokers> {
    let mut urls = Vec::new();
    let texts = checker.texts("feed.amqp.url");
    for text in &texts {
        match BrokerUrl::parse(text) {
            Ok(url) => urls.push(url),
            Err(error) => checker.problem("feed.amqp.url", error.to_string()),
        }
    }
    if texts.is_empty() || texts.len() > BROKERS_MAX {
        checker.problem("feed.amqp.url", format!("has {} addresses, not 1 to {BROKERS_MAX}", texts.len()));
    }
    let tls = BrokerTls {
        ca: checker.text_or_none("feed.amqp.tls.ca").map(Into::into),
        identity: checker.identity("feed.amqp.tls.cert", "feed.amqp.tls.key"),
    };
    if urls.iter().any(BrokerUrl::is_encrypted) {
        check_tls(checker, &tls);
    } else if tls != BrokerTls::default() {
        checker.problem("feed.amqp.tls", "is of no use: no address in feed.amqp.url begins with amqps://");
    }
    Brokers::new(urls, tls)
}

fn check_tls(checker: &mut Checker<'_>, tls: &BrokerTls) {
    let Err(error) = tls.check() else { return };
    let key = match error {
        BrokerTlsError::Certificate { .. } => "feed.amqp.tls.cert",
        BrokerTlsError::Key { .. } => "feed.amqp.tls.key",
        _ => "feed.amqp.tls.ca",
    };
    checker.problem(key, error.to_string());
}

fn intake(checker: &mut Checker<'_>) -> (IntakeConfig, Vec<RateRule>) {
    let mut intake = IntakeConfig { routing_prefix: checker.text("feed.amqp.routing_prefix"), ..default_intake() };
    let (rules, rates): (Vec<FeedRule>, _) = checker.positions("feed.rules").into_iter().filter_map(|n| rule(checker, n)).unzip();
    if !rules.is_empty() {
        intake.rules = rules;
    }
    let mappings = checker.positions("feed.mappings");
    if mappings.len() > MAPPINGS_MAX {
        checker.problem("feed.mappings", format!("are more than {MAPPINGS_MAX}"));
    }
    intake.mappings = mappings.into_iter().filter_map(|n| mapping(checker, n)).collect();
    (intake, rates)
}

fn mapping(checker: &mut Checker<'_>, n: usize) -> Option<Mapping> {
    let field = |name: &str| format!("feed.mappings[{n}].{name}");
    let spec = MappingSpec {
        pattern: checker.text(&field("pattern")),
        each: checker.text(&field("each")),
        when: checker.list(&field("when")),
        symbol: checker.text(&field("symbol")),
        body: checker.text(&field("body")),
        fields: checker.list(&field("fields")),
        values: checker.list(&field("values")),
        time: checker.text(&field("time")),
        time_unit: TimeUnit::named(&checker.text(&field("time_unit"))).unwrap_or_default(),
        image: checker.flag(&field("image")),
    };
    match Mapping::new(&spec) {
        Ok(mapping) => Some(mapping),
        Err(error) => {
            checker.problem(&field(error.field), error.text);
            None
        }
    }
}

fn rule(checker: &mut Checker<'_>, n: usize) -> Option<(FeedRule, RateRule)> {
    let field = |name: &str| format!("feed.rules[{n}].{name}");
    let feed = checker.text(&field("feed"));
    if feed.is_empty() || feed.len() > FEED_BYTES_MAX {
        checker.problem(&field("feed"), format!("needs a name of 1 to {FEED_BYTES_MAX} bytes"));
    }
    let mut span = |name: &str| Some(checker.millis(&field(name))).filter(|span| *span > Duration::ZERO);
    let (silence_max, age_max) = (span("silence_ms"), span("age_max_ms"));
    let conflate_ms_min = checker.number(&field("conflate_ms_min")) as u32;
    let hours = hours(checker, &field);
    let instruments_max = checker.number(&field("instruments_max")) as usize;
    let namespace = checker.text(&field("namespace"));
    if namespace.len() > FEED_BYTES_MAX || namespace.chars().any(char::is_control) {
        checker.problem(&field("namespace"), format!("is not the beginning of a symbol of at most {FEED_BYTES_MAX} bytes"));
    }
    let plausible = plausible(checker, &field);
    match Pattern::parse(&checker.text(&field("pattern"))) {
        Ok(pattern) => {
            let rate = RateRule { pattern: pattern.clone(), conflate_ms_min };
            Some((FeedRule { silence_max, age_max, hours, instruments_max, namespace, plausible, ..FeedRule::new(&feed, pattern) }, rate))
        }
        Err(error) => {
            checker.problem(&field("pattern"), error.to_string());
            None
        }
    }
}

/// The hours of a rule; `None` if it has none, or a problem.
fn hours(checker: &mut Checker<'_>, field: &dyn Fn(&str) -> String) -> Option<TradingHours> {
    let (sessions, holidays) = (checker.list(&field("hours")), checker.list(&field("holidays")));
    let name = checker.text(&field("timezone"));
    if sessions.is_empty() {
        for key in ["holidays", "timezone"] {
            if checker.is_written(&field(key)) {
                checker.problem(&field(key), "says nothing without hours");
            }
        }
        return None;
    }
    let zone = TimeZone::get(&name).unwrap_or_else(|_| {
        checker.problem(&field("timezone"), format!("{name:?} is no time zone, such as America/New_York"));
        TimeZone::UTC
    });
    let parse = |sessions: &[String], holidays: &[String]| TradingHours::parse(sessions, holidays, zone.clone());
    if let Err(error) = parse(&sessions, &[]) {
        checker.problem(&field("hours"), format!("has {error}"));
    }
    if let Err(error) = parse(&[], &holidays) {
        checker.problem(&field("holidays"), format!("has {error}"));
    }
    parse(&sessions, &holidays).ok()
}

fn plausible(checker: &mut Checker<'_>, field: &dyn Fn(&str) -> String) -> Plausible {
    let mut price = |name: &str| {
        let text = checker.text_or_none(&field(name))?;
        let price = Decimal::parse(&text).ok();
        if price.is_none() {
            checker.problem(&field(name), format!("{text:?} is no decimal, such as 0.01"));
        }
        price
    };
    let (price_min, price_max) = (price("price_min"), price("price_max"));
    let jump_percent_max = Some(checker.number(&field("jump_percent_max")) as u32).filter(|percent| *percent > 0);
    Plausible { price_min, price_max, jump_percent_max, refuses_crossed: !checker.flag(&field("crossed")) }
}

/// Bytes before the names at the broker, which may have 255 in all.
const PREFIX_BYTES_MAX: usize = 100;
/// Addresses of brokers: nodes of one cluster.
const BROKERS_MAX: usize = 16;
/// Mappings in all: each message is held against every one.
const MAPPINGS_MAX: usize = 64;
/// Bytes of a feed's name.
const FEED_BYTES_MAX: usize = 64;
