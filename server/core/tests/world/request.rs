//! What a server reads from the query of a one-way client.

use tickwire_proto::Pattern;
use tickwire_proto::session::Session;
use tickwire_proto::v1::{self, subscribe_item::Target};

/// The request that a one-way client makes, as a server reads it.
pub(crate) fn request_of(session: &Session) -> (v1::Hello, v1::Subscribe) {
    let query = session.sse_query();
    let value = |name: &str| {
        let pairs = query.trim_start_matches('?').split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(key, _)| *key == name).map(|(_, value)| value.replace("%23", "#")).next()
    };
    let number = |name: &str| value(name).and_then(|value| value.parse().ok());
    let hello = v1::Hello {
        protocol: 1,
        token: session.token().map(str::to_owned),
        resume: session.resume_token().map(str::to_owned),
        conflate_ms: number("conflate_ms"),
        heartbeat_ms: number("heartbeat_ms"),
        ..v1::Hello::default()
    };
    let trades = value("trades").is_some();
    let item = |text: &str| {
        let target = if Pattern::is_wild(text) { Target::Pattern(text.into()) } else { Target::Symbol(text.into()) };
        v1::SubscribeItem { target: Some(target), conflate_ms: None, trades }
    };
    let symbols = value("symbols").expect("a query names symbols");
    (hello, v1::Subscribe { items: symbols.split(',').map(item).collect(), replace: false })
}
