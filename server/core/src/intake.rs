//! From the bodies of feed messages to a [`Batch`]: decode, validate, name, number. The security boundary of the feed side.

use alloc::string::String;
use alloc::vec::Vec;

use thiserror::Error;
use tickwire_proto::{Scale, v1};

use crate::batch::Batch;
use crate::health::FeedRule;

/// One message of the log, as the feed source received it.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Position in the log.
    pub seq: u64,
    /// AMQP routing key; names the instrument after the prefix is removed.
    pub routing_key: &'a str,
    /// AMQP content type, if any. None = JSON if the body starts with `{`, else protobuf.
    pub content_type: Option<&'a str>,
    /// AMQP content encoding, if any. Only `identity` and none are known here; shells inflate before.
    pub content_encoding: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
}

/// Limits and defaults of the intake.
#[derive(Clone, Debug)]
pub struct IntakeConfig {
    /// Removed from the start of routing keys, for instance `prod.`; messages without it are poison.
    pub routing_prefix: String,
    /// Scales of instruments that nobody announced, in protobuf messages. JSON infers scales from its decimals.
    pub price_scale: Scale,
    /// See `price_scale`.
    pub quantity_scale: Scale,
    /// Bytes in a body (1 MiB). A larger one is poison.
    pub body_bytes_max: usize,
    /// Updates in a message (1,000). A message with more is poison.
    pub updates_max: usize,
    /// Instruments (200,000). A new one beyond is poison.
    pub instruments_max: usize,
    /// Feeds and what names them.
    pub rules: Vec<FeedRule>,
}

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
}

impl core::fmt::Display for Cause {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
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
        }
    }
}

/// Names instruments and turns messages into batches. One per node; every node that reads the same log builds the same one.
#[derive(Debug)]
pub struct Intake {
    config: IntakeConfig,
}

impl Intake {
    /// Knows no instrument yet.
    pub fn new(config: IntakeConfig) -> Self {
        Self { config }
    }

    /// Takes one message: appends what it says to `batch` (at least a `Position`), and returns the rest.
    pub fn take(&mut self, message: Message<'_>, batch: &mut Batch) -> Receipt {
        let _ = (message, batch, &self.config);
        unimplemented!()
    }

    /// Starts over from a checkpoint: appends `Reset`, instruments and images.
    pub fn restore(&mut self, checkpoint: &v1::Checkpoint, batch: &mut Batch) {
        let _ = (checkpoint, batch);
        unimplemented!()
    }

    /// Starts over empty, in a new life of the log: appends `Reset`.
    pub fn reset(&mut self, epoch: &str, batch: &mut Batch) {
        let _ = (epoch, batch);
        unimplemented!()
    }

    /// Whether the scales of an instrument were announced by its feed; for checkpoints.
    pub fn is_announced(&self, id: crate::InstrumentId) -> bool {
        let _ = id;
        unimplemented!()
    }
}
