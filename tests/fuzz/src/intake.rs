//! The feed side: messages with any routing key, content type and body. Whatever comes, batches keep what engines rely on.

use std::collections::BTreeMap;
use std::time::Duration;

use tickwire_core::health::FeedRule;
use tickwire_core::intake::{Intake, IntakeConfig, Mapping, MappingSpec, Message, TimeUnit};
use tickwire_core::{Batch, Entry};
use tickwire_proto::image::Image;
use tickwire_proto::{Pattern, Scale, Symbol, v1};

use crate::tape::Tape;

/// Several messages: of each its routing key, content type and body.
pub(crate) fn run(bytes: &[u8]) {
    let mut tape = Tape::new(bytes);
    let mut intake = Intake::new(config());
    let mut book = Book::default();
    for seq in 1..=MESSAGES_MAX {
        if tape.is_over() {
            break;
        }
        let own = String::from_utf8_lossy(tape.piece()).into_owned();
        let routing_key =
            if own.is_empty() { tape.pick(&["stock.A", "stock.B", "soccer.epl.X-Y", "soccer.epl.X-Y.1x2", "fx.E", "stock"]) } else { &own };
        let content_type = tape.pick(&[None, Some("application/json"), Some("application/x-protobuf"), Some("text/plain")]);
        // The last message has no length of its own, so that a whole body can be a seed.
        let body = if tape.flag() { tape.rest() } else { tape.piece() };
        let mut batch = Batch::default();
        let receipt = intake.take(Message { seq, routing_key, content_type, body }, &mut batch);
        let updates = batch.entries.iter().filter(|entry| matches!(entry, Entry::Update(_))).count();
        assert!(receipt.accepted as usize <= updates, "what was accepted is in the batch");
        assert_eq!(batch.entries.last(), Some(&Entry::Position(seq)), "the position moves on, whatever the message says");
        book.take(seq, &batch);
    }
}

/// What an engine relies on.
#[derive(Default)]
pub(crate) struct Book {
    infos: BTreeMap<u32, v1::InstrumentInfo>,
    images: BTreeMap<u32, Image>,
}

impl Book {
    pub(crate) fn take(&mut self, seq: u64, batch: &Batch) {
        for entry in &batch.entries {
            if let Entry::Update(update) = entry {
                assert_eq!((update.seq, update.merged), (seq, 0));
            }
        }
        self.check(batch);
    }

    /// What holds for messages and for checkpoints.
    pub(crate) fn check(&mut self, batch: &Batch) {
        for entry in &batch.entries {
            match entry {
                Entry::Instrument(info) => {
                    assert!(
                        Symbol::parse(&info.symbol).is_ok()
                            && Scale::new(info.price_scale).is_ok()
                            && Scale::new(info.quantity_scale).is_ok()
                    );
                    assert!(info.id as usize <= self.infos.len() + 1 && info.id > 0, "ids are dense");
                    let before = self.infos.insert(info.id, info.clone());
                    assert!(before.is_none_or(|before| before.symbol == info.symbol), "an id keeps its name");
                }
                Entry::Update(update) => {
                    assert!(self.infos.contains_key(&update.id), "an instrument is named before its first update");
                    assert_eq!(update.symbol, "", "names are the infos' business");
                    assert!(update.body.is_some());
                    if let Some(v1::update::Body::Quote(quote)) = &update.body {
                        assert_eq!((quote.interval_high, quote.interval_low), (None, None), "extremes are the lanes' business");
                    }
                    self.images.entry(update.id).or_default().apply(update);
                }
                _ => {}
            }
        }
    }
}

pub(crate) fn config() -> IntakeConfig {
    let rule = |feed: &str, pattern: &str| FeedRule {
        silence_max: Some(Duration::from_secs(3)),
        ..FeedRule::new(feed, Pattern::parse(pattern).expect("a pattern"))
    };
    IntakeConfig {
        routing_prefix: String::new(),
        price_scale: Scale::new(2).expect("a scale"),
        quantity_scale: Scale::default(),
        body_bytes_max: 1 << 20,
        updates_max: 100,
        instruments_max: 50,
        rules: vec![rule("stock", "stock.#"), rule("soccer", "soccer.#")],
        mappings: vec![mapping()],
    }
}

/// Every way to read a field of another form.
fn mapping() -> Mapping {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Mapping::new(&MappingSpec {
        pattern: "soccer.theirs.#".to_owned(),
        each: "/markets".to_owned(),
        symbol: "soccer.{/id}".to_owned(),
        body: "odds".to_owned(),
        fields: texts(&["line=/line", "outcomes=/runners", "outcomes.id=/id", "outcomes.back=/back", "outcomes.active=/status"]),
        values: texts(&["outcomes.active:1=true", "outcomes.active:0=false"]),
        time: "/at".to_owned(),
        time_unit: TimeUnit::Rfc3339,
        ..MappingSpec::default()
    })
    .expect("a mapping")
}

/// Messages of one input. Further bytes are left.
const MESSAGES_MAX: u64 = 64;
