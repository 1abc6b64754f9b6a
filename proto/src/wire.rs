//! The two encodings of the session, and how frames are spliced from records that were encoded once.
//!
//! A protobuf message is the concatenation of its fields, and a JSON array the concatenation of its elements: a frame is a header
//! followed by shared, already encoded records. [`encode_update`], [`encode_quote`], [`encode_info`] and [`encode_feed`] make such
//! records; [`FrameWriter`] splices them.

use alloc::string::ToString;
use alloc::vec::Vec;

use prost::Message;
use prost::encoding::message;
use thiserror::Error;

mod frame;
mod line;
mod record;

pub use frame::FrameWriter;
pub use record::{QuoteRecord, encode_quote};

use crate::decimal::Scale;
use crate::json::{self, Info, JsonError, Kind, Nested, OUTCOME_FIELDS, Writer};
use crate::planted::{Fault, planted};
use crate::v1;

/// How frames are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Subprotocol `tickwire.v1.pb`, binary frames.
    Protobuf,
    /// Subprotocol `tickwire.v1.json`, text frames, and SSE.
    Json,
}

/// What a record needs of its instrument to be written as JSON.
#[derive(Clone, Copy, Debug)]
pub struct Naming<'a> {
    /// The instrument's symbol.
    pub symbol: &'a str,
    /// Decimal places of its prices.
    pub price_scale: Scale,
    /// Decimal places of its quantities.
    pub quantity_scale: Scale,
}

/// Appends `update` as a record that [`FrameWriter::update`] splices.
///
/// Allocates nothing but what `out` lacks. In JSON a field that is both set and cleared counts as set, and numbers in `clear` that are no
/// field of the body are left out.
pub fn encode_update(encoding: Encoding, update: &v1::Update, naming: Naming<'_>, out: &mut Vec<u8>) {
    match encoding {
        Encoding::Protobuf => record::write(update, out),
        Encoding::Json => {
            out.reserve(RECORD_BYTES_USUAL);
            let mut writer = Writer::new(out);
            writer.price = naming.price_scale;
            writer.quantity = if planted(Fault::WrongQuantityScale) { naming.price_scale } else { naming.quantity_scale };
            writer.symbol = naming.symbol;
            writer.clear = &update.clear;
            writer.cleared = cleared(update);
            Nested::write(update, &mut writer);
        }
    }
}

/// Appends `info` as a record that [`FrameWriter::info`] splices.
pub fn encode_info(encoding: Encoding, info: &v1::InstrumentInfo, out: &mut Vec<u8>) {
    match encoding {
        Encoding::Protobuf => message::encode(tag::INFOS, info, out),
        Encoding::Json => Info::write(info, &mut Writer::new(out)),
    }
}

/// Appends `state` as a record that [`FrameWriter::feed`] splices.
pub fn encode_feed(encoding: Encoding, state: &v1::FeedState, out: &mut Vec<u8>) {
    match encoding {
        Encoding::Protobuf => message::encode(tag::FEEDS, state, out),
        Encoding::Json => Nested::write(state, &mut Writer::new(out)),
    }
}

/// Reads a client's frame.
///
/// # Errors
/// Not a `ClientFrame` in this encoding, or one without a command.
pub fn decode_client(encoding: Encoding, bytes: &[u8]) -> Result<v1::ClientFrame, WireError> {
    let frame = match encoding {
        Encoding::Protobuf => v1::ClientFrame::decode(bytes).map_err(WireError::protobuf)?,
        Encoding::Json => json::decode_client(bytes).map_err(WireError::json)?,
    };
    if frame.command.is_some() { Ok(frame) } else { Err(WireError::NoCommand) }
}

/// Appends a client's frame.
pub fn encode_client(encoding: Encoding, frame: &v1::ClientFrame, out: &mut Vec<u8>) {
    match encoding {
        Encoding::Protobuf => {
            out.reserve(frame.encoded_len());
            frame.encode_raw(out);
        }
        Encoding::Json => Nested::write(frame, &mut Writer::new(out)),
    }
}

/// Reads a server's frame. JSON carries decimals, so `scales` tells price and quantity scale of an instrument id that an earlier frame
/// announced; infos of this frame count already.
///
/// # Errors
/// Not a `ServerFrame` in this encoding. Unknown fields and controls are skipped.
pub fn decode_server(
    encoding: Encoding,
    bytes: &[u8],
    scales: &dyn Fn(u32) -> Option<(Scale, Scale)>,
) -> Result<v1::ServerFrame, WireError> {
    match encoding {
        Encoding::Protobuf => v1::ServerFrame::decode(bytes).map_err(WireError::protobuf),
        Encoding::Json => json::decode_server(bytes, scales).map_err(WireError::json),
    }
}

/// One bit for each field of the body that is cleared. Numbers of outcomes are not fields of the body.
fn cleared(update: &v1::Update) -> u64 {
    let numbers = if matches!(update.body, Some(v1::update::Body::Odds(_))) { OUTCOME_FIELDS } else { u64::BITS };
    update.clear.iter().filter(|number| **number < numbers).fold(0, |mask, number| mask | 1 << number)
}

/// Why bytes are not a frame.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WireError {
    /// Not protobuf of this message.
    #[error("not a protobuf frame: {0}")]
    Protobuf(alloc::string::String),
    /// Not JSON of this message; says where.
    #[error("not a JSON frame: {0}")]
    Json(alloc::string::String),
    /// No command that this version knows.
    #[error("frame has no known command")]
    NoCommand,
}

impl WireError {
    fn protobuf(error: prost::DecodeError) -> Self {
        Self::Protobuf(error.to_string())
    }

    fn json(error: JsonError) -> Self {
        Self::Json(error.to_string())
    }
}

/// Field numbers of `ServerFrame`, which a test holds against the schema.
mod tag {
    pub(super) const CSEQ: u32 = 1;
    pub(super) const TS_SEND_US: u32 = 2;
    pub(super) const INFOS: u32 = 3;
    pub(super) const UPDATES: u32 = 4;
    pub(super) const FEEDS: u32 = 5;
}

/// Room that is made for a record beforehand, so that a buffer that is filled often grows at most once for it.
const RECORD_BYTES_USUAL: usize = 256;
