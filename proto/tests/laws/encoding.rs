//! The two encodings of the session.

use proptest::prelude::*;
use tickwire_proto::image::Image;
use tickwire_proto::v1;
use tickwire_proto::wire::{self, Encoding, Naming};

use crate::messages;
use crate::splicing::spliced;

fn written(encoding: Encoding, frame: &v1::ServerFrame) -> Vec<u8> {
    spliced(encoding, frame, &|id| {
        let (price_scale, quantity_scale) = messages::scales(id);
        Naming { symbol: "a", price_scale, quantity_scale }
    })
}

fn read(encoding: Encoding, bytes: &[u8]) -> v1::ServerFrame {
    wire::decode_server(encoding, bytes, &|id| Some(messages::scales(id))).unwrap()
}

proptest! {
    /// Law: JSON and protobuf carry the same meaning. Whoever reads either holds the same frame, and the same images.
    #[test]
    fn json_and_protobuf_carry_the_same_meaning(frame in messages::server_frame()) {
        let [protobuf, json] = [Encoding::Protobuf, Encoding::Json].map(|encoding| read(encoding, &written(encoding, &frame)));
        let [left, right] = [&protobuf, &json].map(|frame| {
            let mut image = Image::default();
            for update in &frame.updates {
                image.apply(update);
            }
            image
        });
        prop_assert_eq!(left, right);
        prop_assert_eq!(protobuf, json);
    }

    /// Law: decoding undoes encoding, across encodings as well: a frame can be relayed from one into the other and back.
    #[test]
    fn decoding_undoes_encoding(frame in messages::server_frame(), command in messages::client_frame()) {
        let relayed = read(Encoding::Json, &written(Encoding::Json, &read(Encoding::Protobuf, &written(Encoding::Protobuf, &frame))));
        prop_assert_eq!(&relayed, &frame);
        for encoding in [Encoding::Protobuf, Encoding::Json] {
            let mut bytes = Vec::new();
            wire::encode_client(encoding, &command, &mut bytes);
            let read = wire::decode_client(encoding, &bytes);
            prop_assert_eq!(read.as_ref(), Ok(&command));
        }
    }

    /// Law: encoding is a function: the same frame is always written the same, so that one encoding serves every subscriber.
    #[test]
    fn what_was_read_is_written_the_same(frame in messages::server_frame()) {
        for encoding in [Encoding::Protobuf, Encoding::Json] {
            let once = written(encoding, &frame);
            prop_assert_eq!(written(encoding, &read(encoding, &once)), once);
        }
    }
}
