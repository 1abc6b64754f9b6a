//! The built-in market through the intake: what a demo shows is held to the same rules as a real feed.

use prost::Message as _;
use tickwire_core::health::FeedRule;
use tickwire_core::intake::{Intake, IntakeConfig, Message};
use tickwire_core::{Batch, Entry};
use tickwire_proto::{Pattern, Scale};
use tickwire_simulator::{Market, Publication};

const START: u64 = 1_700_000_000_000_000;
const MINUTE: u64 = 60_000_000;

#[test]
fn nothing_that_the_lively_market_says_is_refused() {
    let mut market = Market::new(11, START);
    let mut reader = Reader::new();
    reader.take_all(market.opening());
    let announced = reader.instruments();
    // Long enough for a whole match, its settlement and the start of the next one.
    (1..=6).for_each(|minute| reader.take_all(market.step(START + minute * MINUTE)));
    assert_eq!(reader.instruments(), announced, "nothing is announced twice, or without scales");
    assert!(reader.signs_of_life >= 3 * 6 * 60, "{} signs of life", reader.signs_of_life);
}

#[test]
fn nothing_that_the_steady_market_says_is_refused() {
    let mut market = Market::steady(100, 5_000, START);
    let mut reader = Reader::new();
    reader.take_all(market.opening());
    reader.take_all(market.step(START + 2_000_000));
    assert_eq!((reader.instruments(), reader.updates()), (100, 100 + 10_000));
}

/// An intake and everything that it made of the market.
struct Reader {
    intake: Intake,
    batch: Batch,
    seq: u64,
    signs_of_life: usize,
}

impl Reader {
    fn new() -> Self {
        let rule = |feed: &str| FeedRule::new(feed, Pattern::parse(&format!("{feed}.#")).expect("a pattern"));
        let config = IntakeConfig {
            routing_prefix: String::new(),
            price_scale: Scale::default(),
            quantity_scale: Scale::default(),
            body_bytes_max: 1 << 20,
            updates_max: 1_000,
            instruments_max: 1_000,
            rules: ["stock", "crypto", "soccer", "bench"].map(rule).into(),
            mappings: Vec::new(),
        };
        Self { intake: Intake::new(config), batch: Batch::default(), seq: 0, signs_of_life: 0 }
    }

    fn take_all(&mut self, publications: Vec<Publication>) {
        for Publication { symbol, message } in publications {
            self.seq += 1;
            let body = message.encode_to_vec();
            let content_type = Some("application/x-protobuf");
            let bytes = Message { seq: self.seq, routing_key: &symbol, content_type, body: &body };
            let receipt = self.intake.take(bytes, &mut self.batch);
            assert_eq!(receipt.poison, [], "{symbol}: {message:?}");
            assert_eq!(receipt.accepted as usize, message.updates.len());
            assert!(receipt.feed.is_some() && receipt.ts_us > 0);
            self.signs_of_life += usize::from(receipt.alive.is_some());
        }
    }

    fn instruments(&self) -> usize {
        self.batch.entries.iter().filter(|entry| matches!(entry, Entry::Instrument(_))).count()
    }

    fn updates(&self) -> usize {
        self.batch.entries.iter().filter(|entry| matches!(entry, Entry::Update(_))).count()
    }
}
