//! The two decoders of the session protocol. What they take can be written and is read back as the same.

use tickwire_proto::wire::{self, Encoding, Naming};
use tickwire_proto::{Scale, v1};

#[path = "../../../proto/tests/codec/splicing.rs"]
mod splicing;

/// The first byte says which encoding the rest is in.
pub(crate) fn encoding_of(first: u8) -> Encoding {
    if first & 1 == 0 { Encoding::Protobuf } else { Encoding::Json }
}

/// Scales of an instrument, made from its id, so that both directions agree on them.
pub(crate) fn scales(id: u32) -> (Scale, Scale) {
    let scale = |places: u32| Scale::new(places % (Scale::MAX + 1)).unwrap_or_default();
    (scale(id), scale(id / 13))
}

/// A client's frame.
pub(crate) fn client(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let Ok(frame) = wire::decode_client(encoding_of(*first), bytes) else { return };
    // Both encodings can say whatever one of them said.
    for encoding in [Encoding::Protobuf, Encoding::Json] {
        let mut written = Vec::new();
        wire::encode_client(encoding, &frame, &mut written);
        assert_eq!(wire::decode_client(encoding, &written).as_ref(), Ok(&frame), "{encoding:?} {}", String::from_utf8_lossy(&written));
    }
}

/// A server's frame.
pub(crate) fn server(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let encoding = encoding_of(*first);
    let Ok(frame) = wire::decode_server(encoding, bytes, &|id| Some(scales(id))) else { return };
    let written = encode(encoding, &frame);
    let read = wire::decode_server(encoding, &written, &|id| Some(scales(id)));
    if encoding == Encoding::Protobuf {
        assert_eq!(read.as_ref(), Ok(&frame));
    } else {
        assert!(serde_json::from_slice::<serde_json::Value>(&written).is_ok(), "{}", String::from_utf8_lossy(&written));
        assert!(!written.iter().any(|byte| *byte < 0x20), "a control character would end an SSE line");
    }
}

/// The frame as a server writes it.
pub(crate) fn encode(encoding: Encoding, frame: &v1::ServerFrame) -> Vec<u8> {
    splicing::spliced(encoding, frame, &|id| {
        let (price_scale, quantity_scale) = scales(id);
        Naming { symbol: "stock.A", price_scale, quantity_scale }
    })
}
