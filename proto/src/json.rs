//! JSON of the schema: one mapping for clients and feeds.
//!
//! Absent = unchanged, `null` = cleared, prices and quantities are decimal strings, 64-bit integers are strings, timestamps are
//! microseconds in strings, and an instrument is named by its symbol beside its id.

use alloc::string::String;

use thiserror::Error;

use crate::decimal::Scale;
use crate::v1;

/// A feed message in JSON, parsed but not yet brought to scales: its numbers are still decimals as the feed wrote them.
///
/// Either a `FeedMessage` (`{"updates":[…],"info":{…},"alive":{…}}`) or the short form of one update, whose body stands at the top
/// (`{"quote":{"bid":"187.42"}}`).
#[derive(Debug)]
pub struct FeedJson {}

/// One update of a [`FeedJson`].
#[derive(Clone, Copy, Debug)]
pub struct FeedJsonUpdate<'a> {
    message: &'a FeedJson,
}

/// Decimal places that the values of an update need; trailing zeros do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Of its prices.
    pub price: u32,
    /// Of its quantities.
    pub quantity: u32,
}

impl FeedJson {
    /// Parses `body`. Unknown fields are skipped.
    ///
    /// # Errors
    /// Not JSON, not an object, nested deeper than the schema, or a field of the wrong type outside `updates`.
    pub fn parse(body: &[u8]) -> Result<Self, JsonError> {
        let _ = body;
        unimplemented!()
    }

    /// Everything but the updates; `info.tick_size` is at `info.price_scale`.
    pub fn head(&self) -> &v1::FeedMessage {
        unimplemented!()
    }

    /// The updates, in order.
    pub fn updates(&self) -> impl ExactSizeIterator<Item = FeedJsonUpdate<'_>> {
        core::iter::once(FeedJsonUpdate { message: self })
    }
}

impl FeedJsonUpdate<'_> {
    /// The symbol that it names, if it does not go by the routing key.
    pub fn symbol(&self) -> Option<&str> {
        let _ = self.message;
        unimplemented!()
    }

    /// What its values need.
    ///
    /// # Errors
    /// A value is no decimal.
    pub fn places(&self) -> Result<Places, JsonError> {
        unimplemented!()
    }

    /// The update with its values at these scales.
    ///
    /// # Errors
    /// A field has the wrong type, a value does not fit, or there is no body.
    pub fn resolve(&self, price: Scale, quantity: Scale) -> Result<v1::Update, JsonError> {
        let _ = (price, quantity);
        unimplemented!()
    }
}

/// Why JSON is not a message of the schema.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{path}: {text}")]
pub struct JsonError {
    /// Where, such as `updates[3].quote.bid`; empty for the whole body.
    pub path: String,
    /// What is wrong.
    pub text: String,
}
