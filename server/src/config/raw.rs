//! The configuration as the operator wrote it: values by dotted key, each with its origin. File < environment < flags.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::Problem;
use super::keys::{self, Kind};

/// What was written, the strongest source only.
#[derive(Debug, Default)]
pub(super) struct RawConfig {
    written: BTreeMap<String, Written>,
}

/// One value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub(super) value: Value,
    pub(super) origin: String,
}

/// A value before it is checked. Sources that only know texts (environment, flags) are read by the kind of their key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Number(String),
    Flag(bool),
    List(Vec<String>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{}", quote(text)),
            Self::Number(digits) => f.write_str(digits),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::List(texts) => write!(f, "[{}]", texts.iter().map(|text| quote(text)).collect::<Vec<_>>().join(", ")),
        }
    }
}

impl RawConfig {
    /// Reads the file. What is wrong in it is added to `problems`.
    pub(super) fn read_file(&mut self, path: &Path, problems: &mut Vec<Problem>) {
        let shown = path.display();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => return problems.push(Problem::new("config", format!("{shown}"), format!("cannot be read: {error}"))),
        };
        let (table, errors) = DeTable::parse_recoverable(&text);
        for error in errors {
            let line = line_of(&text, error.span().map_or(0, |span| span.start));
            problems.push(Problem::new("config", format!("{shown}:{line}"), format!("is not TOML: {}", error.message())));
        }
        let mut reader = FileReader { path: shown.to_string(), text: &text, raw: self, problems };
        reader.table("", table.get_ref());
    }

    /// Reads `TICKWIRE_…` variables: `__` stands for a dot, numbers for list positions (`TICKWIRE_FEED__RULES__0__FEED`).
    pub(super) fn read_environment(&mut self, environment: &[(String, String)], problems: &mut Vec<Problem>) {
        for (name, text) in environment {
            let Some(rest) = name.strip_prefix(ENVIRONMENT_PREFIX) else { continue };
            if RESERVED.contains(&name.as_str()) {
                continue;
            }
            let mut key = String::new();
            for part in rest.split("__") {
                if part.bytes().all(|byte| byte.is_ascii_digit()) && !part.is_empty() {
                    key.push_str(&format!("[{part}]"));
                } else {
                    if !key.is_empty() {
                        key.push('.');
                    }
                    key.push_str(&part.to_ascii_lowercase());
                }
            }
            self.read_text(&key, text, format!("environment variable {name}"), problems);
        }
    }

    /// Reads one value that is only a text.
    pub(super) fn read_text(&mut self, key: &str, text: &str, origin: String, problems: &mut Vec<Problem>) {
        let Some(known) = keys::find(key) else { return problems.push(unknown(key, origin)) };
        let value = match known.kind {
            Kind::Flag => match text {
                "true" | "1" => Value::Flag(true),
                "false" | "0" => Value::Flag(false),
                _ => return problems.push(Problem::new(key, origin, format!("is not {}", known.kind.expected()))),
            },
            Kind::Number(..) => Value::Number(text.to_owned()),
            Kind::List => Value::List(items(text)),
            Kind::Urls if text.contains(',') => Value::List(items(text)),
            _ => Value::Text(text.to_owned()),
        };
        self.written.insert(key.to_owned(), Written { value, origin });
    }

    /// The value of a key, if it was written.
    pub(super) fn get(&self, key: &str) -> Option<&Written> {
        self.written.get(key)
    }

    /// Positions of the tables of a list, such as `feed.rules`, in order.
    pub(super) fn positions(&self, list: &str) -> Vec<usize> {
        let mut found: Vec<usize> =
            self.written.keys().filter_map(|key| key.strip_prefix(list)?.strip_prefix('[')?.split_once(']')?.0.parse().ok()).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// A place where the list or one of its tables is written.
    pub(super) fn origin_below(&self, prefix: &str) -> String {
        self.written
            .iter()
            .find(|(key, _)| key.starts_with(prefix))
            .map_or_else(|| "default".to_owned(), |(_, written)| written.origin.clone())
    }
}

/// Walks the tables of a file.
struct FileReader<'a> {
    path: String,
    text: &'a str,
    raw: &'a mut RawConfig,
    problems: &'a mut Vec<Problem>,
}

impl FileReader<'_> {
    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let key = if prefix.is_empty() { name.get_ref().to_string() } else { format!("{prefix}.{}", name.get_ref()) };
            let origin = format!("{}:{}", self.path, line_of(self.text, name.span().start));
            self.value(key, value.get_ref(), origin);
        }
    }

    fn value(&mut self, key: String, value: &DeValue<'_>, origin: String) {
        let value = match value {
            DeValue::Table(table) => return self.table(&key, table),
            DeValue::Array(items) if !items.is_empty() && items.iter().all(|item| item.get_ref().is_table()) => {
                for (n, item) in items.iter().enumerate() {
                    self.value(format!("{key}[{n}]"), item.get_ref(), origin.clone());
                }
                return;
            }
            DeValue::Array(items) => {
                let texts: Vec<String> = items.iter().filter_map(|item| item.get_ref().as_str().map(str::to_owned)).collect();
                if texts.len() < items.len() {
                    return self.problems.push(Problem::new(&key, origin, "is a list with something other than texts".to_owned()));
                }
                Value::List(texts)
            }
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(number) if number.radix() == 10 => Value::Number(number.as_str().replace('_', "")),
            DeValue::Boolean(flag) => Value::Flag(*flag),
            other => {
                return self.problems.push(Problem::new(
                    &key,
                    origin,
                    format!("has a value of a kind that no key takes ({})", other.type_str()),
                ));
            }
        };
        if keys::find(&key).is_none() {
            return self.problems.push(unknown(&key, origin));
        }
        self.raw.written.insert(key, Written { value, origin });
    }
}

fn unknown(key: &str, origin: String) -> Problem {
    let text = match keys::nearest(key) {
        Some(near) => format!("is not a known key; did you mean {near}?"),
        None => "is not a known key; `tickwire config print` lists all".to_owned(),
    };
    Problem::new(key, origin, text)
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count()
}

fn items(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

/// As a TOML basic string.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            _ if character.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

/// Start of the names of environment variables that are keys.
const ENVIRONMENT_PREFIX: &str = "TICKWIRE_";
/// Variables with that start which are no keys: they belong to the command line and to `watch`.
const RESERVED: &[&str] = &["TICKWIRE_CONFIG", "TICKWIRE_TOKEN", "TICKWIRE_URL"];
