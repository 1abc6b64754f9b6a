//! What holds for every message.

use proptest::prelude::*;
use prost::Message;
use tickwire_proto::json::FeedJson;
use tickwire_proto::v1;
use tickwire_proto::wire::{self, Encoding, Naming};

use crate::messages;
use crate::splicing::spliced;

const ENCODINGS: [Encoding; 2] = [Encoding::Protobuf, Encoding::Json];

fn name(id: u32) -> Naming<'static> {
    let (price_scale, quantity_scale) = messages::scales(id);
    Naming { symbol: "stock.AAPL", price_scale, quantity_scale }
}

fn all_decoders(bytes: &[u8]) {
    for encoding in ENCODINGS {
        let _ = wire::decode_client(encoding, bytes);
        let _ = wire::decode_server(encoding, bytes, &|id| Some(messages::scales(id)));
    }
    if let Ok(message) = FeedJson::parse(bytes) {
        for update in message.updates() {
            let (price, quantity) = messages::scales(167);
            let _ = (update.symbol(), update.places(), update.resolve(price, quantity));
        }
    }
}

proptest! {
    #[test]
    fn a_server_frame_is_read_back(frame in messages::server_frame()) {
        for encoding in ENCODINGS {
            let bytes = spliced(encoding, &frame, &name);
            let read = wire::decode_server(encoding, &bytes, &|id| Some(messages::scales(id)));
            prop_assert_eq!(read.as_ref(), Ok(&frame), "{:?}: {}", encoding, String::from_utf8_lossy(&bytes));
        }
    }

    #[test]
    fn a_spliced_frame_is_what_prost_writes(frame in messages::server_frame()) {
        let bytes = spliced(Encoding::Protobuf, &frame, &name);
        prop_assert_eq!(v1::ServerFrame::decode(bytes.as_slice()).unwrap(), v1::ServerFrame::decode(frame.encode_to_vec().as_slice()).unwrap());
    }

    #[test]
    fn a_json_frame_is_json_on_one_line(frame in messages::server_frame()) {
        let bytes = spliced(Encoding::Json, &frame, &name);
        prop_assert!(!bytes.iter().any(|byte| *byte < 0x20), "a control character would end an SSE line");
        prop_assert!(serde_json::from_slice::<serde_json::Value>(&bytes).unwrap().is_object());
    }

    #[test]
    fn a_client_frame_is_read_back(frame in messages::client_frame()) {
        for encoding in ENCODINGS {
            let mut bytes = Vec::new();
            wire::encode_client(encoding, &frame, &mut bytes);
            let read = wire::decode_client(encoding, &bytes);
            prop_assert_eq!(read.as_ref(), Ok(&frame), "{:?}: {}", encoding, String::from_utf8_lossy(&bytes));
        }
    }

    #[test]
    fn what_clients_read_is_what_feeds_may_write(update in messages::update()) {
        let mut body = b"{\"updates\":[".to_vec();
        wire::encode_update(Encoding::Json, &update, name(update.id), &mut body);
        body.extend_from_slice(b"]}");
        let message = FeedJson::parse(&body).unwrap();
        let read = message.updates().next().unwrap();
        let (price, quantity) = messages::scales(update.id);
        match read.resolve(price, quantity) {
            Ok(resolved) => {
                prop_assert_eq!(&resolved, &v1::Update { symbol: "stock.AAPL".into(), ..update });
                let places = read.places().unwrap();
                prop_assert!(places.price <= price.places() && places.quantity <= quantity.places());
            }
            // Feeds are held to the names of the schema.
            Err(error) => prop_assert!(update.body.is_none() || error.text == "is not a value of the schema", "{}", error),
        }
    }

    #[test]
    fn no_list_of_cleared_numbers_breaks_the_json(update in messages::update(), clear in prop::collection::vec(prop_oneof![0..80_u32, any::<u32>()], 0..12)) {
        let update = v1::Update { clear, ..update };
        let mut record = Vec::new();
        wire::encode_update(Encoding::Json, &update, name(update.id), &mut record);
        prop_assert!(serde_json::from_slice::<serde_json::Value>(&record).is_ok(), "{}", String::from_utf8_lossy(&record));
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        all_decoders(&bytes);
    }

    #[test]
    fn no_damaged_frame_panics(frame in messages::server_frame(), json: bool, at: prop::sample::Index, with: u8, cut: prop::sample::Index) {
        let mut bytes = spliced(if json { Encoding::Json } else { Encoding::Protobuf }, &frame, &name);
        let at = at.index(bytes.len());
        bytes[at] = with;
        all_decoders(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        all_decoders(&bytes);
    }

    #[test]
    fn no_json_panics(text in r#"\{("(updates|quote|odds|outcomes|info|id|bid|clear|price_scale|tick_size|symbol)":(\{|\[|"|-?[0-9]{1,30}|null|1e400|\}|\]|,){0,4},?){0,6}\}{0,4}"#) {
        all_decoders(text.as_bytes());
    }
}
