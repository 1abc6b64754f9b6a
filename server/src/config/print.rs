//! The configuration for people: as TOML with origins, and the table of keys as Markdown.

use super::keys::{KEYS, Key, Kind};
use super::raw::{RawConfig, Value, quote};

/// Every key with its effective value.
pub(super) fn toml(raw: &RawConfig) -> String {
    let mut out = String::new();
    for key in KEYS.iter().filter(|key| !key.name.contains("[]")) {
        let (value, origin) = match raw.get(key.name) {
            Some(written) => (shown(key, &written.value), written.origin.as_str()),
            None => (shown(key, &default_of(key)), "default"),
        };
        out.push_str(&format!("{} = {value} # {origin}\n", key.name));
    }
    for list in lists() {
        for n in raw.positions(list) {
            out.push_str(&format!("\n[[{list}]]\n"));
            for key in KEYS.iter().filter(|key| key.name.starts_with(&format!("{list}[]"))) {
                let field = key.name.rsplit('.').next().unwrap_or_default();
                if let Some(written) = raw.get(&format!("{list}[{n}].{field}")) {
                    out.push_str(&format!("{field} = {} # {}\n", shown(key, &written.value), written.origin));
                }
            }
        }
    }
    out
}

/// The table of keys.
pub(super) fn markdown() -> String {
    let mut out = String::from("| key | what may be written | default | meaning |\n|---|---|---|---|\n");
    for key in KEYS {
        let default = if key.default.is_empty() { String::new() } else { format!("`{}`", key.default) };
        out.push_str(&format!("| `{}` | {} | {default} | {} |\n", key.name, key.kind.expected(), key.doc));
    }
    out
}

/// Names of the lists of tables.
fn lists() -> Vec<&'static str> {
    let mut lists: Vec<_> = KEYS.iter().filter_map(|key| Some(key.name.split_once("[]")?.0)).collect();
    lists.dedup();
    lists
}

fn default_of(key: &Key) -> Value {
    match key.kind {
        Kind::Flag => Value::Flag(key.default == "true"),
        Kind::Number(..) => Value::Number(key.default.to_owned()),
        Kind::List => Value::List(Vec::new()),
        _ => Value::Text(key.default.to_owned()),
    }
}

fn shown(key: &Key, value: &Value) -> String {
    match (key.kind, value) {
        (Kind::Secret, _) => quote("…"),
        (Kind::Urls, Value::Text(url)) => quote(&without_password(url)),
        (Kind::Urls, Value::List(urls)) => Value::List(urls.iter().map(|url| without_password(url)).collect()).to_string(),
        _ => value.to_string(),
    }
}

/// `amqp://user:…@host`
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return "…".to_owned() };
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    // The last @ of the authority ends the credentials, even if a password holds another.
    let Some(at) = rest[..authority_end].rfind('@') else { return url.to_owned() };
    let user = rest[..at].split(':').next().unwrap_or_default();
    format!("{scheme}://{user}:…{}", &rest[at..])
}
