//! What a line says, or why it cannot be published.

use std::fmt;

use serde_json::{Map, Value};
use tickwire::publish::PublishError;
use tickwire::v1::FeedMessage;

use crate::printable::printable;
use crate::simulate::unix_us;

/// What a line says.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Said {
    /// When it happened, as far as the line says it.
    pub(crate) time_us: Option<u64>,
    /// Symbols and what is said about them, in order.
    pub(crate) all: Vec<(String, What)>,
}

/// One thing that is said about an instrument.
#[derive(Debug, PartialEq)]
pub(crate) enum What {
    /// An update in the JSON of feeds.
    Update(Update),
    /// An announcement or a sign of life.
    Message(Box<FeedMessage>),
}

/// An update in the JSON of feeds, without its symbol.
#[derive(Debug, PartialEq)]
pub(crate) struct Update {
    members: Map<String, Value>,
}

impl Update {
    /// An update that happened at `time_us`, if that is known.
    pub(crate) fn new(mut members: Map<String, Value>, time_us: Option<u64>) -> Self {
        if let Some(time_us) = time_us {
            members.insert(TIME.to_owned(), time_us.to_string().into());
        }
        Self { members }
    }

    /// As it is published. An update without a time happens now, so that it has a version; with `now`, every one does.
    pub(crate) fn text(mut self, now: bool) -> String {
        if now || !self.members.contains_key(TIME) {
            self.members.insert(TIME.to_owned(), unix_us().to_string().into());
        }
        Value::Object(self.members).to_string()
    }
}

/// Why a line cannot be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// For counting, such as `bad_json`.
    pub(crate) code: &'static str,
    /// For people.
    pub(crate) text: String,
}

impl Refusal {
    pub(crate) fn new(code: &'static str, text: impl fmt::Display) -> Self {
        Self { code, text: text.to_string() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, printable(&self.text))
    }
}

impl From<PublishError> for Refusal {
    fn from(error: PublishError) -> Self {
        let code = if matches!(error, PublishError::BadSymbol(_)) { "bad_symbol" } else { "bad_update" };
        Self::new(code, error)
    }
}

/// The time of an update in the JSON of feeds.
pub(crate) const TIME: &str = "ts_event_us";
