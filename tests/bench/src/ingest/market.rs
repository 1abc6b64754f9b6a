//! What is published: quotes that a kit would send, alone or in batches of 50, version after version.

use prost::Message as _;
use tickwire_proto::v1::{FeedMessage, Quote, Update, update::Body};

use super::load::Outgoing;

/// Quote `number` in a message of its own, as the publisher kit would send it: 60 bytes.
pub(super) fn single(number: u64) -> Outgoing {
    let last = 18_000 + (number % 1_000) as i64;
    let quote =
        Quote { bid: Some(last - 1), ask: Some(last + 1), last: Some(last), volume: Some(2_000_000 + number as i64), ..Default::default() };
    let ts_event_us = FIRST_TS_US + number;
    let update = Update { ts_event_us, body: Some(Body::Quote(quote)), ..Default::default() };
    let message = FeedMessage {
        updates: vec![update],
        publisher: "exchange-feed-1".to_owned(),
        publisher_seq: 1_000_000 + number,
        ts_publish_us: ts_event_us,
        ..Default::default()
    };
    Outgoing { key: format!("stock.S{}", number % SYMBOLS), body: message.encode_to_vec() }
}

/// A feed of many instruments that publishes 1 or 50 updates in a message. Made once: only numbers change from message to message.
pub(super) struct Market {
    keys: Vec<String>,
    messages: Vec<FeedMessage>,
    updates_each: u64,
}

impl Market {
    /// `instruments` is a multiple of `updates_each`.
    pub(super) fn new(instruments: u64, updates_each: u64) -> Self {
        let update = |n: u64| Update { symbol: format!("stock.S{n}"), body: Some(Body::Quote(Quote::default())), ..Default::default() };
        let message = |first: u64| FeedMessage {
            updates: (first..first + updates_each).map(update).collect(),
            publisher: "exchange-feed-1".to_owned(),
            ..Default::default()
        };
        let firsts = (0..instruments / updates_each).map(|n| n * updates_each);
        Self {
            keys: firsts.clone().map(|first| format!("stock.S{first}")).collect(),
            messages: firsts.map(message).collect(),
            updates_each,
        }
    }

    /// Messages after which every instrument has changed once.
    pub(super) fn turn(&self) -> u64 {
        self.messages.len() as u64
    }

    /// Message `number`.
    pub(super) fn message(&mut self, number: u64) -> Outgoing {
        let at = (number % self.turn()) as usize;
        let (message, version) = (&mut self.messages[at], number / self.keys.len() as u64);
        (message.publisher_seq, message.ts_publish_us) = (number + 1, FIRST_TS_US + number);
        for (update, index) in message.updates.iter_mut().zip(at as u64 * self.updates_each..) {
            let last = (10_000 + index % 1_000 + version % 1_000) as i64;
            update.ts_event_us = FIRST_TS_US + number;
            update.body = Some(Body::Quote(Quote {
                bid: Some(last - 1),
                ask: Some(last + 1),
                last: Some(last),
                volume: Some((1_000 * version) as i64),
                ..Default::default()
            }));
        }
        Outgoing { key: self.keys[at].clone(), body: message.encode_to_vec() }
    }
}

/// Instruments of single messages.
const SYMBOLS: u64 = 100;
/// 2025-01-01: a time that has as many digits as those of today.
const FIRST_TS_US: u64 = 1_735_689_600_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_message_has_60_bytes() {
        for number in [0, 1, 99_999] {
            assert_eq!(single(number).body.len(), 60);
        }
    }

    #[test]
    fn a_batch_names_its_instruments_and_changes_them_turn_after_turn() {
        let mut market = Market::new(200, 50);
        assert_eq!(market.turn(), 4);
        let mut read = |number| FeedMessage::decode(market.message(number).body.as_slice()).unwrap();
        let (first, next) = (read(1), read(5));
        assert_eq!(
            (first.updates.len(), first.updates[0].symbol.as_str(), next.updates[49].symbol.as_str()),
            (50, "stock.S50", "stock.S99")
        );
        assert_ne!(first.updates[0].body, next.updates[0].body);
        assert!(first.updates[0].ts_event_us < next.updates[0].ts_event_us);
    }
}
