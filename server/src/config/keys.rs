//! Every configuration key: its name, kind, default and meaning. Reading, checking, printing and the documentation follow this table.

use tickwire_core::intake::TimeUnit;

/// One key, or one key of every table in a list (`[]` in its name).
#[derive(Debug)]
pub struct Key {
    /// Dotted name, such as `limits.connections_max` or `auth.jwt.keys[].alg`.
    pub name: &'static str,
    /// What may be written.
    pub kind: Kind,
    /// What holds when nothing is written, spelled as in the environment.
    pub default: &'static str,
    /// What it is for, in one line.
    pub doc: &'static str,
}

/// What a value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A text that is printed as `…`.
    Secret,
    /// One or several URLs, whose passwords are printed as `…`; comma-separated in the environment and in flags.
    Urls,
    /// `true` or `false`.
    Flag,
    /// `ADDRESS:PORT`.
    Address,
    /// A whole number within bounds, both inclusive.
    Number(u64, u64),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list of texts; comma-separated in the environment and in flags.
    List,
}

impl Kind {
    /// For people: what would be right.
    pub fn expected(self) -> String {
        match self {
            Self::Text | Self::Secret => "a text".to_owned(),
            Self::Urls => "a URL, or a list of them".to_owned(),
            Self::Flag => "true or false".to_owned(),
            Self::Address => "ADDRESS:PORT, such as 127.0.0.1:7447".to_owned(),
            Self::Number(min, max) => format!("a whole number from {min} to {max}"),
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            Self::List => "a list of texts".to_owned(),
        }
    }
}

/// The key that governs `name`, whose list positions may be filled in (`feed.rules[3].feed`).
pub fn find(name: &str) -> Option<&'static Key> {
    let general = generalise(name);
    KEYS.iter().find(|key| key.name == general)
}

/// The key closest to a misspelt one, if any is close.
pub fn nearest(name: &str) -> Option<&'static str> {
    let general = generalise(name);
    let (distance, key) = KEYS.iter().map(|key| (edits(&general, key.name), key.name)).min()?;
    (distance <= EDITS_MAX).then_some(key)
}

/// `feed.rules[3].feed` → `feed.rules[].feed`.
fn generalise(name: &str) -> String {
    let mut general = String::with_capacity(name.len());
    let mut inside = false;
    for character in name.chars() {
        inside &= character != ']';
        if !inside {
            general.push(character);
        }
        inside |= character == '[';
    }
    general
}

/// Levenshtein distance.
fn edits(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.chars().count()).collect();
    for (n, a) in left.chars().enumerate() {
        let mut corner = row[0];
        row[0] = n + 1;
        for (m, b) in right.chars().enumerate() {
            let changed = corner + usize::from(a != b);
            corner = row[m + 1];
            row[m + 1] = changed.min(row[m] + 1).min(corner + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}

/// Typing mistakes that "did you mean" sees through.
const EDITS_MAX: usize = 4;

const fn key(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Key {
    Key { name, kind, default, doc }
}

/// The table.
pub const KEYS: &[Key] = &[
    key("listen", Kind::Address, "127.0.0.1:7447", "Where clients connect. Port 0 takes a free one."),
    key("tls.cert", Kind::Text, "", "File with the certificate chain (PEM). Connections are encrypted then. Read again on SIGHUP."),
    key("tls.key", Kind::Text, "", "File with the private key of the certificate (PEM)."),
    key("node", Kind::Text, "", "Name of this node in sessions and logs. Empty: the name of the host."),
    key("shards", Kind::Number(0, 256), "0", "Threads that serve clients. 0: one for each core."),
    key("page", Kind::Flag, "false", "Serve the demo page at `/`."),
    key(
        "metrics",
        Kind::Choice(&["auto", "on", "off"]),
        "auto",
        "Serve `/metrics` on the same port. `auto`: only when listening on loopback.",
    ),
    key("log.format", Kind::Choice(&["text", "json"]), "text", "How log lines are written to stderr."),
    key("log.filter", Kind::Text, "info", "What is logged, such as `info,tickwire_server=debug`."),
    key("auth.anonymous.symbols", Kind::List, "", "Patterns that clients without a token may subscribe to. Empty: a token is needed."),
    key(
        "auth.anonymous.allow_remote",
        Kind::Flag,
        "false",
        "Confirms that anonymous access is meant for everyone who can reach a `listen` address other than loopback.",
    ),
    key("auth.jwt.audience", Kind::Text, "", "If set, tokens must name it in `aud`."),
    key("auth.jwt.issuer", Kind::Text, "", "If set, tokens must name it in `iss`."),
    key("auth.jwt.keys[].alg", Kind::Choice(&["HS256", "ES256", "EdDSA"]), "", "The only algorithm that this key verifies."),
    key("auth.jwt.keys[].kid", Kind::Text, "", "If set, only tokens with this `kid` are verified by this key."),
    key(
        "auth.jwt.keys[].file",
        Kind::Text,
        "",
        "File of the key: a PEM public key, or for HS256 a secret of at least 32 bytes (a line end at its end is dropped).",
    ),
    key("auth.jwt.keys[].env", Kind::Text, "", "Environment variable with the key, instead of a file."),
    key(
        "browser.origins",
        Kind::List,
        "",
        "Origins of pages that may connect, such as `https://app.example`. The node's own host always may.",
    ),
    key(
        "limits.connections_max",
        Kind::Number(1, 10_000_000),
        "50000",
        "Sessions on this node. One more is refused with 503 (SERVER_FULL).",
    ),
    key(
        "limits.connections_per_ip_max",
        Kind::Number(0, 10_000_000),
        "100",
        "Connections from one address (IPv6: one /64). One more is refused with 503 (TOO_MANY_CONNECTIONS). 0: no limit, as behind a proxy.",
    ),
    key(
        "limits.message_bytes_max",
        Kind::Number(1_024, 16_777_216),
        "65536",
        "Bytes of one client message. A larger one ends the connection (MESSAGE_TOO_LARGE).",
    ),
    key("limits.subscriptions_max", Kind::Number(1, 1_000_000), "2000", "Instruments of one connection. More are refused, item by item."),
    key("limits.items_max", Kind::Number(1, 100_000), "1000", "Items in one Subscribe. More are a bad message."),
    key("limits.commands_per_s", Kind::Number(1, 10_000), "10", "Commands of one connection in a second."),
    key("limits.commands_burst", Kind::Number(1, 10_000), "40", "Commands of one connection at once. More end it (RATE_LIMITED)."),
    key(
        "limits.head_within_ms",
        Kind::Number(100, 600_000),
        "5000",
        "Time for a request head to arrive, milliseconds. A later one is cut.",
    ),
    key(
        "limits.hello_within_ms",
        Kind::Number(100, 600_000),
        "5000",
        "Time for Hello to arrive, milliseconds. A later one ends the connection (HELLO_TIMEOUT).",
    ),
    key(
        "limits.stalled_max_ms",
        Kind::Number(1_000, 600_000),
        "30000",
        "A client that takes nothing for so long is cut (SLOW_CONSUMER). Milliseconds.",
    ),
    key("limits.events_kept", Kind::Number(0, 10_000_000), "10000", "Events kept for clients that resume. Older ones become a Gap."),
    key("limits.events_waiting_max", Kind::Number(1, 1_000_000), "256", "Events that may wait for one slow client. More become a Gap."),
    key(
        "limits.credit_bytes_max",
        Kind::Number(0, 1_073_741_824),
        "4194304",
        "Bytes that a client which reports progress, or an event stream, may have under way at most; the window adapts below. 0: no such bound.",
    ),
    key(
        "limits.notsent_lowat_bytes",
        Kind::Number(0, 16_777_216),
        "16384",
        "TCP_NOTSENT_LOWAT: bytes that the kernel may hold back unsent for one client. 0: the system's.",
    ),
    key("conflate.default_ms", Kind::Number(0, 5_000), "250", "Rate of clients that ask for none, milliseconds."),
    key("conflate.min_ms", Kind::Number(0, 5_000), "0", "Fastest rate that is granted, milliseconds. 0: every change."),
    key(
        "conflate.paced",
        Kind::Flag,
        "false",
        "Whether a first change waits for the next beat of its rate where its connection was told prices since the last one. `false`: it leaves at once.",
    ),
    key("heartbeat_ms", Kind::Number(500, 30_000), "5000", "Longest silence of a connection whose client asks for none, milliseconds."),
    key("drain.within_ms", Kind::Number(0, 600_000), "10000", "Time to leave politely after SIGTERM, milliseconds."),
    key("drain.retry_after_ms", Kind::Number(0, 600_000), "500", "When clients are told to come back, milliseconds after Goodbye."),
    key("drain.spread_ms", Kind::Number(0, 600_000), "5000", "Over how long they are spread then, milliseconds."),
    key(
        "feed.source",
        Kind::Choice(&["amqp", "simulated", "recorded"]),
        "amqp",
        "Where updates come from: RabbitMQ, the built-in market, or a recording.",
    ),
    key(
        "feed.amqp.url",
        Kind::Urls,
        "amqp://127.0.0.1:5672/%2f",
        "The broker, `amqp://user:password@host:port/vhost`, or `amqps://` for TLS. Several are tried in turn.",
    ),
    key(
        "feed.amqp.tls.ca",
        Kind::Text,
        "",
        "File with the roots that a broker's certificate has to come from (PEM). Empty: those of this machine.",
    ),
    key("feed.amqp.tls.cert", Kind::Text, "", "File with the certificate chain that we show to brokers that ask (PEM)."),
    key("feed.amqp.tls.key", Kind::Text, "", "File with its private key (PEM)."),
    key("feed.amqp.names_prefix", Kind::Text, "", "Stands before the names of exchanges and queues: `prod.` makes `prod.tickwire.feed`."),
    key(
        "feed.amqp.routing_prefix",
        Kind::Text,
        "",
        "Removed from routing keys to get symbols, such as `prod.`; messages without it are set aside.",
    ),
    key(
        "feed.amqp.topology",
        Kind::Choice(&["auto", "managed"]),
        "auto",
        "Whether exchanges and queues are declared (auto), or expected to be there.",
    ),
    key(
        "feed.amqp.mode",
        Kind::Choice(&["auto", "stream", "queue"]),
        "auto",
        "What the log is: one stream for all nodes, or a queue for each node, which is weaker. `auto`: a queue if the broker has no streams.",
    ),
    key(
        "feed.amqp.queue_length",
        Kind::Number(100, 100_000_000),
        "100000",
        "Messages that wait for a node where the log is a queue (`x-max-length`). Beyond, the broker drops the oldest, which is a Gap.",
    ),
    key(
        "feed.amqp.max_length_bytes",
        Kind::Number(1_000_000, 1_000_000_000_000_000),
        "2000000000",
        "How large the log may grow (`x-max-length-bytes`).",
    ),
    key(
        "feed.amqp.max_age_s",
        Kind::Number(0, 31_536_000),
        "3600",
        "How old the log may grow, seconds (`x-max-age`). 0: as its size allows.",
    ),
    key(
        "feed.amqp.segment_bytes",
        Kind::Number(1_000_000, 3_000_000_000),
        "10000000",
        "Size of the log's files; the log is shortened by whole files.",
    ),
    key("feed.simulated.seed", Kind::Number(0, u64::MAX), "1", "Same seed, same day."),
    key(
        "feed.simulated.steady_symbols",
        Kind::Number(0, 1_000_000),
        "0",
        "For measurements: this many symbols `bench.S0` ... instead of the lively market.",
    ),
    key("feed.simulated.steady_rate", Kind::Number(0, 10_000_000), "0", "For measurements: updates a second, over all symbols."),
    key(
        "feed.recorded.file",
        Kind::Text,
        "",
        "A file that `tickwire record` made. Each start plays it from its beginning, as a log of its own.",
    ),
    key("feed.recorded.speed", Kind::Number(1, 1_000_000), "1", "How many times as fast as it was."),
    key(
        "feed.mappings[].pattern",
        Kind::Text,
        "",
        "Routing keys of JSON messages in another form, which this mapping reads. Every mapping that reads a message takes its part.",
    ),
    key("feed.mappings[].each", Kind::Text, "", "JSON pointer to the array whose elements are an update each. Empty: the message itself."),
    key("feed.mappings[].when", Kind::List, "", "`/POINTER=VALUE`: takes only elements with these values."),
    key(
        "feed.mappings[].symbol",
        Kind::Text,
        "",
        "Symbol of an element: text with `{/pointer}` for a value and `{key}` for the routing key. Empty: the routing key.",
    ),
    key("feed.mappings[].body", Kind::Text, "", "What elements become: quote, trade, bar, status, score or odds."),
    key("feed.mappings[].fields", Kind::List, "", "`FIELD=/POINTER`: where the fields of the body are."),
    key("feed.mappings[].values", Kind::List, "", "`FIELD:VALUE=OURS`: what a value is called here, such as `phase:H=HALTED`."),
    key("feed.mappings[].time", Kind::Text, "", "JSON pointer to the time of the event. Empty: the order of the log decides."),
    key("feed.mappings[].time_unit", Kind::Choice(&TimeUnit::NAMES), "ms", "What times are counted in since 1970, or written as."),
    key("feed.mappings[].image", Kind::Flag, "false", "Whether an element says everything, so that what it leaves out is unknown."),
    key("feed.rules[].feed", Kind::Text, "", "Name of a feed."),
    key("feed.rules[].pattern", Kind::Text, "", "Its symbols. The first rule that matches a symbol names its feed."),
    key(
        "feed.rules[].silence_ms",
        Kind::Number(0, 86_400_000),
        "0",
        "STALE after this silence, milliseconds. 0: only announced signs of life count.",
    ),
    key(
        "feed.rules[].age_max_ms",
        Kind::Number(0, 86_400_000),
        "0",
        "DELAYED when data is older than this on arrival, milliseconds. 0: never.",
    ),
    key(
        "feed.rules[].conflate_ms_min",
        Kind::Number(0, 5_000),
        "0",
        "Fastest rate that is granted for these symbols, milliseconds, beside `conflate.min_ms` and the token's. 0: every change.",
    ),
    key(
        "feed.rules[].hours",
        Kind::List,
        "",
        "Sessions, such as `Mon-Fri 09:30-16:00`, in which silence and age mean something. Empty: always. The first rule of a feed decides, here and below.",
    ),
    key(
        "feed.rules[].holidays",
        Kind::List,
        "",
        "Days that are different: `2026-12-25` without a session, or `2026-11-27 09:30-13:00` with another one.",
    ),
    key("feed.rules[].timezone", Kind::Text, "UTC", "Time zone of both, such as `America/New_York`."),
    key(
        "feed.rules[].instruments_max",
        Kind::Number(1, 1_000_000),
        "200000",
        "Instruments of the feed. An update of one more is set aside (`too_many_instruments`).",
    ),
    key(
        "feed.rules[].namespace",
        Kind::Text,
        "",
        "How symbols of the feed begin, such as `nyse.`; others are set aside (`outside_namespace`). Empty: as they like.",
    ),
    key("feed.rules[].price_min", Kind::Text, "", "Lowest price, a decimal. A lower one is set aside (`implausible`). Empty: none."),
    key("feed.rules[].price_max", Kind::Text, "", "Highest price, a decimal. A higher one is set aside (`implausible`). Empty: none."),
    key(
        "feed.rules[].jump_percent_max",
        Kind::Number(0, 1_000_000),
        "0",
        "How far a last price or trade may be from the last price before. A further one is set aside (`implausible`) until it is said three times in a row. 0: any.",
    ),
    key("feed.rules[].crossed", Kind::Flag, "true", "Whether a bid may be above its ask. Else such a quote is set aside (`implausible`)."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_positions_do_not_hide_a_key() {
        assert_eq!(find("feed.rules[12].feed").map(|key| key.name), Some("feed.rules[].feed"));
        assert!(find("feed.rules.feed").is_none());
    }

    #[test]
    fn a_misspelt_key_gets_its_neighbour() {
        assert_eq!(nearest("limits.conections_max"), Some("limits.connections_max"));
        assert_eq!(nearest("colour"), None);
    }
}
