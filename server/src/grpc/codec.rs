//! Messages on their way through: requests are decoded, frames are already encoded.

use bytes::{Buf as _, BufMut as _, Bytes};
use prost::Message as _;
use tickwire_proto::v1::SubscribeRequest;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// The codec of `Ticker/Subscribe`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EncodedFrames;

impl Codec for EncodedFrames {
    type Encode = Bytes;
    type Decode = SubscribeRequest;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for EncodedFrames {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, frame: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(frame);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(CALL_BYTES_KEPT, BATCH_BYTES)
    }
}

impl Decoder for EncodedFrames {
    type Item = SubscribeRequest;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<SubscribeRequest>, Status> {
        let bytes = message.copy_to_bytes(message.remaining());
        SubscribeRequest::decode(bytes).map(Some).map_err(|error| Status::invalid_argument(format!("not a SubscribeRequest: {error}")))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(CALL_BYTES_KEPT, BATCH_BYTES)
    }
}

/// Appends a frame to what a shard gives to a call in one send.
pub(crate) fn push_frame(out: &mut Vec<u8>, payload: &[u8]) {
    out.put_u32(payload.len() as u32);
    out.extend_from_slice(payload);
}

/// Takes the first frame off what a shard gave, without copying. `None` at its end.
pub(super) fn take_frame(given: &mut Bytes) -> Option<Bytes> {
    let len = given.try_get_u32().ok()? as usize;
    (len <= given.len()).then(|| given.split_to(len))
}

/// Bytes that a call holds for its messages while it is idle. A larger message takes more for as long as it is on its way.
const CALL_BYTES_KEPT: usize = 1_024;
/// Messages are put together up to this size when several are ready.
const BATCH_BYTES: usize = 16 * 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_apart_as_they_were_put_together() {
        let mut out = Vec::new();
        for frame in [&b"first"[..], b"", b"third"] {
            push_frame(&mut out, frame);
        }
        let mut given = Bytes::from(out);
        let frames: Vec<Bytes> = std::iter::from_fn(|| take_frame(&mut given)).collect();
        assert_eq!(frames, [&b"first"[..], b"", b"third"]);
    }
}
