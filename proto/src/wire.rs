//! The two encodings of the session, and how frames are spliced from records that were encoded once.
//!
//! A protobuf message is the concatenation of its fields, and a JSON array the concatenation of its elements: a frame is a header
//! followed by shared, already encoded records. [`encode_update`], [`encode_info`] and [`encode_feed`] make such records;
//! [`FrameWriter`] splices them.

use alloc::vec::Vec;

use thiserror::Error;

use crate::decimal::Scale;
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
pub fn encode_update(encoding: Encoding, update: &v1::Update, naming: Naming<'_>, out: &mut Vec<u8>) {
    let _ = (encoding, update, naming, out);
    unimplemented!()
}

/// Appends `info` as a record that [`FrameWriter::info`] splices.
pub fn encode_info(encoding: Encoding, info: &v1::InstrumentInfo, out: &mut Vec<u8>) {
    let _ = (encoding, info, out);
    unimplemented!()
}

/// Appends `state` as a record that [`FrameWriter::feed`] splices.
pub fn encode_feed(encoding: Encoding, state: &v1::FeedState, out: &mut Vec<u8>) {
    let _ = (encoding, state, out);
    unimplemented!()
}

/// Writes one `ServerFrame` into a caller's buffer. The calls come in the order infos, control, feeds, updates; each may be left out.
#[derive(Debug)]
pub struct FrameWriter<'a> {
    out: &'a mut Vec<u8>,
    encoding: Encoding,
}

impl<'a> FrameWriter<'a> {
    /// Begins a frame at the end of `out`.
    pub fn begin(out: &'a mut Vec<u8>, encoding: Encoding, cseq: u64, ts_send_us: u64) -> Self {
        let _ = (cseq, ts_send_us);
        Self { out, encoding }
    }

    /// Splices an instrument info.
    pub fn info(&mut self, record: &[u8]) {
        let _ = (record, &self.out, self.encoding);
        unimplemented!()
    }

    /// Writes the control part. At most one per frame.
    pub fn control(&mut self, control: &v1::server_frame::Control) {
        let _ = control;
        unimplemented!()
    }

    /// Splices a feed state.
    pub fn feed(&mut self, record: &[u8]) {
        let _ = record;
        unimplemented!()
    }

    /// Splices an update.
    pub fn update(&mut self, record: &[u8]) {
        let _ = record;
        unimplemented!()
    }

    /// Ends the frame.
    pub fn finish(self) {
        unimplemented!()
    }
}

/// Reads a client's frame.
///
/// # Errors
/// Not a `ClientFrame` in this encoding, or one without a command.
pub fn decode_client(encoding: Encoding, bytes: &[u8]) -> Result<v1::ClientFrame, WireError> {
    let _ = (encoding, bytes);
    unimplemented!()
}

/// Appends a client's frame.
pub fn encode_client(encoding: Encoding, frame: &v1::ClientFrame, out: &mut Vec<u8>) {
    let _ = (encoding, frame, out);
    unimplemented!()
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
    let _ = (encoding, bytes, scales);
    unimplemented!()
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
