//! Golden vectors under `proto/vectors/`: what readers in other languages are held to. `UPDATE_EXPECT=1 cargo test -p tickwire-proto
//! --test codec` writes them anew; a difference in an existing one is a breaking change of the wire.

mod cases;

use expect_test::expect_file;
use prost::Message;
use tickwire_proto::json::FeedJson;
use tickwire_proto::wire::{self, Encoding, Naming};
use tickwire_proto::{Scale, v1};

use crate::splicing::spliced;

/// Instruments that the frames speak of: id, symbol, price scale, quantity scale.
const INSTRUMENTS: [(u32, &str, u32, u32); 4] =
    [(7, "stock.AAPL", 2, 0), (8, "crypto.BTC-USD", 2, 8), (20, "soccer.epl.ARS-CHE", 0, 0), (21, "soccer.epl.ARS-CHE.1x2", 2, 2)];

fn name(id: u32) -> Naming<'static> {
    let (_, symbol, price, quantity) = INSTRUMENTS.into_iter().find(|instrument| instrument.0 == id).unwrap();
    Naming { symbol, price_scale: Scale::new(price).unwrap(), quantity_scale: Scale::new(quantity).unwrap() }
}

fn scales(id: u32) -> Option<(Scale, Scale)> {
    Some((name(id).price_scale, name(id).quantity_scale))
}

#[test]
fn server_frames() {
    let mut cases = Cases::default();
    for (title, frame) in cases::server() {
        let protobuf = spliced(Encoding::Protobuf, &frame, &name);
        let json = spliced(Encoding::Json, &frame, &name);
        assert_eq!(wire::decode_server(Encoding::Protobuf, &protobuf, &scales).as_ref(), Ok(&frame), "{title}");
        assert_eq!(wire::decode_server(Encoding::Json, &json, &scales).as_ref(), Ok(&frame), "{title}");
        cases.add(&[("name", &quoted(title)), ("protobuf", &hex(&protobuf)), ("json", &text(json))]);
    }
    let instruments = INSTRUMENTS.map(|(id, symbol, price, quantity)| {
        format!("    \"{id}\": {{\"symbol\": \"{symbol}\", \"price_scale\": {price}, \"quantity_scale\": {quantity}}}")
    });
    let head = format!("  \"instruments\": {{\n{}\n  }},\n", instruments.join(",\n"));
    expect_file!["../../vectors/server.json"].assert_eq(&cases.file("tickwire.v1.ServerFrame", &head));
}

#[test]
fn client_frames() {
    let mut cases = Cases::default();
    for (title, frame) in cases::client() {
        let [protobuf, json] = [Encoding::Protobuf, Encoding::Json].map(|encoding| {
            let mut out = Vec::new();
            wire::encode_client(encoding, &frame, &mut out);
            assert_eq!(wire::decode_client(encoding, &out).as_ref(), Ok(&frame), "{title}");
            out
        });
        cases.add(&[("name", &quoted(title)), ("protobuf", &hex(&protobuf)), ("json", &text(json))]);
    }
    expect_file!["../../vectors/client.json"].assert_eq(&cases.file("tickwire.v1.ClientFrame", ""));
}

#[test]
fn feed_messages() {
    let mut cases = Cases::default();
    for (title, [price, quantity], json) in cases::FEED {
        let parsed = FeedJson::parse(json.as_bytes()).unwrap();
        let [price_scale, quantity_scale] = [price, quantity].map(|places| Scale::new(places).unwrap());
        let updates = parsed.updates().map(|update| update.resolve(price_scale, quantity_scale).unwrap()).collect();
        let message = v1::FeedMessage { updates, ..parsed.head().clone() };
        cases.add(&[
            ("name", &quoted(title)),
            ("price_scale", &price.to_string()),
            ("quantity_scale", &quantity.to_string()),
            ("protobuf", &hex(&message.encode_to_vec())),
            ("json", json),
        ]);
    }
    expect_file!["../../vectors/feed.json"].assert_eq(&cases.file("tickwire.v1.FeedMessage", ""));
}

#[test]
fn feed_messages_that_are_refused() {
    let mut cases = Cases::default();
    for (title, [price, quantity], json) in cases::FEED_REFUSED {
        let [price_scale, quantity_scale] = [price, quantity].map(|places| Scale::new(places).unwrap());
        let error = FeedJson::parse(json.as_bytes())
            .and_then(|parsed| parsed.updates().try_for_each(|update| update.resolve(price_scale, quantity_scale).map(|_| ())))
            .unwrap_err();
        let [price, quantity] = [price, quantity].map(|places| places.to_string());
        cases.add(&[
            ("name", &quoted(title)),
            ("price_scale", &price),
            ("quantity_scale", &quantity),
            ("json", json),
            ("path", &quoted(&error.path)),
            ("text", &quoted(&error.text)),
        ]);
    }
    expect_file!["../../vectors/feed-refused.json"].assert_eq(&cases.file("tickwire.v1.FeedMessage", ""));
}

#[test]
fn the_documentation_shows_vectors() {
    let vectors =
        [include_str!("../../vectors/server.json"), include_str!("../../vectors/client.json"), include_str!("../../vectors/feed.json")]
            .concat();
    let shown = include_str!("../../../docs/wire.md").lines().filter_map(|line| {
        let json = line.strip_prefix("data: ").unwrap_or(line);
        json.starts_with('{').then_some(json)
    });
    let mut count = 0;
    for json in shown {
        assert!(vectors.contains(&format!("\"json\": {json}\n")), "not a vector: {json}");
        count += 1;
    }
    assert!(count > 20, "only {count} examples were found");
}

/// The cases of one file, as its text.
#[derive(Default)]
struct Cases(Vec<String>);

impl Cases {
    /// Adds a case; its values are JSON.
    fn add(&mut self, members: &[(&str, &str)]) {
        let members: Vec<_> = members.iter().map(|(name, value)| format!("      \"{name}\": {value}")).collect();
        self.0.push(format!("    {{\n{}\n    }}", members.join(",\n")));
    }

    fn file(&self, message: &str, head: &str) -> String {
        let file = format!("{{\n  \"message\": \"{message}\",\n{head}  \"cases\": [\n{}\n  ]\n}}\n", self.0.join(",\n"));
        assert!(serde_json::from_str::<serde_json::Value>(&file).is_ok(), "readers of all languages start here");
        file
    }
}

fn hex(bytes: &[u8]) -> String {
    quoted(&bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

fn text(json: Vec<u8>) -> String {
    String::from_utf8(json).unwrap()
}
