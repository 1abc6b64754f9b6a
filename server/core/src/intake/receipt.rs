//! What became of a message: what was taken, and what was refused and why.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use thiserror::Error;
use tickwire_proto::v1;

use super::Hole;
use crate::scales::ScaleOutOfRange;

/// What one message had to say, beyond the entries that it appended to the batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Receipt {
    /// Name of the feed, if the symbol belongs to one.
    pub feed: Option<String>,
    /// The sign of life it carried.
    pub alive: Option<v1::Alive>,
    /// When the newest update happened, or the message was published; 0 = unknown.
    pub ts_us: u64,
    /// Updates accepted.
    pub accepted: u32,
    /// Whether mappings read the message and none of them took anything from it.
    pub unmapped: bool,
    /// What its publisher sent before it and the log does not have.
    pub hole: Option<Hole>,
    /// What was refused. Valid updates beside a bad one are kept.
    pub poison: Vec<Poison>,
}

/// Why a message, or one update of it, was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{cause}: {detail}")]
pub struct Poison {
    /// For counters and the `tickwire-reason` header.
    pub cause: Cause,
    /// For people.
    pub detail: String,
}

impl Poison {
    pub(super) fn new(cause: Cause, detail: impl Into<String>) -> Self {
        Self { cause, detail: detail.into() }
    }

    /// Quotes a foreign text, escaped and cut, so that it can go to a log.
    pub(super) fn about(cause: Cause, text: &str, problem: impl fmt::Display) -> Self {
        let start: String = text.chars().take(QUOTED_CHARS_MAX).collect();
        let cut = if start.len() < text.len() { "…" } else { "" };
        Self { cause, detail: format!("{start:?}{cut} {problem}") }
    }
}

impl From<ScaleOutOfRange> for Poison {
    fn from(error: ScaleOutOfRange) -> Self {
        Self::new(Cause::ScaleOutOfRange, format!("{error}"))
    }
}

/// Causes of poison, a bounded set for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names say it")]
pub enum Cause {
    ContentType,
    ContentEncoding,
    TooLarge,
    Undecodable,
    Empty,
    BadSymbol,
    OutsidePrefix,
    TooManyUpdates,
    TooManyInstruments,
    BadValue,
    ScaleOutOfRange,
    OldVersion,
    OutsideNamespace,
    Implausible,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Cause {
    /// Lower-case name with underscores, such as `bad_symbol`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ContentType => "content_type",
            Self::ContentEncoding => "content_encoding",
            Self::TooLarge => "too_large",
            Self::Undecodable => "undecodable",
            Self::Empty => "empty",
            Self::BadSymbol => "bad_symbol",
            Self::OutsidePrefix => "outside_prefix",
            Self::TooManyUpdates => "too_many_updates",
            Self::TooManyInstruments => "too_many_instruments",
            Self::BadValue => "bad_value",
            Self::ScaleOutOfRange => "scale_out_of_range",
            Self::OldVersion => "old_version",
            Self::OutsideNamespace => "outside_namespace",
            Self::Implausible => "implausible",
        }
    }
}

/// Characters of a foreign text in the detail of a poison. The rest is cut.
const QUOTED_CHARS_MAX: usize = 64;
