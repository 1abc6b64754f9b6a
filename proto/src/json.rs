//! JSON of the schema: one mapping for clients and feeds.
//!
//! Absent = unchanged, `null` = cleared, prices and quantities are decimal strings, 64-bit integers are strings, timestamps are
//! microseconds in strings, and an instrument is named by its symbol beside its id.

use alloc::string::String;

use thiserror::Error;

mod feed;
mod frame;
mod kind;
mod read;
mod table;
mod tables;
mod write;

pub use feed::{FeedJson, FeedJsonUpdate, Places, feed_fields};
pub(crate) use frame::{decode_client, decode_server};
pub(crate) use kind::{Info, Kind, Nested};
pub(crate) use table::Choice;
pub(crate) use tables::OUTCOME_FIELDS;
pub(crate) use write::Writer;

/// Why JSON is not a message of the schema.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}{}{text}", path, if path.is_empty() { "" } else { ": " })]
pub struct JsonError {
    /// Where, such as `updates[3].quote.bid`; empty for the whole body.
    pub path: String,
    /// What is wrong.
    pub text: String,
}
