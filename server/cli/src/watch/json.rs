//! A change as one JSON object. The bodies are spelled as everywhere in the JSON of clients.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tickwire::v1::Update;
use tickwire::v1::update::Body;
use tickwire::{Change, Instrument, Scale};
use tickwire_proto::wire::{Encoding, Naming, encode_update};

/// The line for `change`, without its end.
pub(super) fn line(change: &Change, age: Option<Duration>) -> String {
    let mut object = Map::new();
    match change {
        Change::State(instrument) => {
            head(&mut object, "state", instrument, instrument.seq, instrument.ts_event_us, age);
            object.insert("merged".to_owned(), instrument.merged.into());
            state(&mut object, instrument);
        }
        Change::Event { update, instrument, .. } => {
            head(&mut object, "event", instrument, update.seq, update.ts_event_us, age);
            body(&mut object, instrument, update.body.clone());
        }
        Change::Gap { symbol, from, to } => {
            object.insert("change".to_owned(), "gap".into());
            object.insert("symbol".to_owned(), symbol.as_str().into());
            object.insert("from".to_owned(), from.to_string().into());
            object.insert("to".to_owned(), to.to_string().into());
        }
        // A kind of a later version: said, so that nobody waits for it in vain.
        other => {
            object.insert("change".to_owned(), "other".into());
            object.insert("symbol".to_owned(), other.symbol().as_str().into());
        }
    }
    Value::Object(object).to_string()
}

fn head(object: &mut Map<String, Value>, change: &str, instrument: &Instrument, seq: u64, ts_event_us: u64, age: Option<Duration>) {
    object.insert("change".to_owned(), change.into());
    object.insert("symbol".to_owned(), instrument.symbol.as_str().into());
    object.insert("seq".to_owned(), seq.to_string().into());
    object.insert("ts_event_us".to_owned(), ts_event_us.to_string().into());
    if let Some(age) = age {
        object.insert("age_ms".to_owned(), json!(age.as_millis() as u64));
    }
}

fn state(object: &mut Map<String, Value>, instrument: &Instrument) {
    let image = &instrument.image;
    body(object, instrument, image.quote.map(Body::Quote));
    body(object, instrument, image.status.clone().map(Body::Status));
    body(object, instrument, image.score.clone().map(Body::Score));
    body(object, instrument, image.odds.clone().map(Body::Odds));
    let bars: Vec<_> = image.bars.iter().filter_map(|bar| encoded(instrument, Body::Bar(*bar))).map(|(_, bar)| bar).collect();
    if !bars.is_empty() {
        object.insert("bars".to_owned(), bars.into());
    }
}

fn body(object: &mut Map<String, Value>, instrument: &Instrument, body: Option<Body>) {
    object.extend(body.and_then(|body| encoded(instrument, body)));
}

/// A body by its name, such as `quote`: by the encoder of the protocol, so that nothing is spelled in a second way here.
fn encoded(instrument: &Instrument, body: Body) -> Option<(String, Value)> {
    let scale = |places: u32| Scale::new(places).unwrap_or_default();
    let naming = Naming {
        symbol: instrument.symbol.as_str(),
        price_scale: scale(instrument.info.price_scale),
        quantity_scale: scale(instrument.info.quantity_scale),
    };
    let mut record = Vec::new();
    encode_update(Encoding::Json, &Update { body: Some(body), ..Update::default() }, naming, &mut record);
    let Ok(Value::Object(record)) = serde_json::from_slice(&record) else { return None };
    record.into_iter().find(|(_, value)| value.is_object())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tickwire::v1::{InstrumentInfo, Quote, Status, TradingPhase};
    use tickwire::{Symbol, v1};
    use tickwire_proto::image::Image;

    use super::*;

    fn instrument() -> Instrument {
        let quote = Quote { bid: Some(18_742), volume: Some(5), ..Quote::default() };
        let image = Image { quote: Some(quote), ..Image::default() };
        Instrument {
            symbol: Symbol::parse("stock.AAPL").unwrap(),
            info: Arc::new(InstrumentInfo { price_scale: 2, ..InstrumentInfo::default() }),
            image,
            seq: 7,
            ts_event_us: 9,
            merged: 3,
        }
    }

    #[test]
    fn a_state_is_whole() {
        assert_eq!(
            line(&Change::State(instrument()), Some(Duration::from_millis(12))),
            r#"{"age_ms":12,"change":"state","merged":3,"quote":{"bid":"187.42","volume":"5"},"seq":"7","symbol":"stock.AAPL","ts_event_us":"9"}"#
        );
    }

    #[test]
    fn an_event_brings_what_happened() {
        let status = Status { phase: TradingPhase::Halted as i32, reason: "news".to_owned(), resume_us: None };
        let update = v1::Update { seq: 8, ts_event_us: 10, body: Some(Body::Status(status)), ..v1::Update::default() };
        let event = Change::Event { symbol: Symbol::parse("stock.AAPL").unwrap(), update, instrument: instrument() };
        assert_eq!(
            line(&event, None),
            r#"{"change":"event","seq":"8","status":{"phase":"HALTED","reason":"news"},"symbol":"stock.AAPL","ts_event_us":"10"}"#
        );
    }

    #[test]
    fn a_gap_names_its_ends() {
        let gap = Change::Gap { symbol: Symbol::parse("a").unwrap(), from: 1, to: u64::MAX };
        assert_eq!(line(&gap, None), r#"{"change":"gap","from":"1","symbol":"a","to":"18446744073709551615"}"#);
    }
}
