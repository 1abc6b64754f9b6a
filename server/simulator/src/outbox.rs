//! What the market says: messages in order, numbered like those of any good publisher.

use alloc::string::String;
use alloc::vec::Vec;

use tickwire_proto::v1::{self, UpdateFlag, update::Body};

use crate::Publication;

/// Collects publications of one step.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    publications: Vec<Publication>,
    /// Messages so far, over all steps.
    published: u64,
}

impl Outbox {
    /// Says `updates` about `symbol`, as they happened at `now_us`.
    pub(crate) fn publish(&mut self, now_us: u64, symbol: &str, updates: Vec<v1::Update>) {
        self.send(symbol, v1::FeedMessage { updates, ts_publish_us: now_us, ..Default::default() });
    }

    /// Announces an instrument with the images of what is known about it.
    pub(crate) fn announce(&mut self, now_us: u64, info: v1::InstrumentInfo, images: Vec<v1::Update>) {
        let symbol = info.symbol.clone();
        self.send(&symbol, v1::FeedMessage { updates: images, info: Some(info), ts_publish_us: now_us, ..Default::default() });
    }

    /// Gives a sign of life.
    pub(crate) fn alive(&mut self, now_us: u64, symbol: &str, interval_ms: u32) {
        let alive = v1::Alive { publisher: PUBLISHER.into(), interval_ms };
        self.send(symbol, v1::FeedMessage { alive: Some(alive), ts_publish_us: now_us, ..Default::default() });
    }

    /// Everything since the last call.
    pub(crate) fn take(&mut self) -> Vec<Publication> {
        core::mem::take(&mut self.publications)
    }

    pub(crate) fn len(&self) -> usize {
        self.publications.len()
    }

    fn send(&mut self, symbol: &str, message: v1::FeedMessage) {
        self.published += 1;
        let message = v1::FeedMessage { publisher: PUBLISHER.into(), publisher_seq: self.published, ..message };
        self.publications.push(Publication { symbol: String::from(symbol), message });
    }
}

/// A delta.
pub(crate) fn delta(now_us: u64, body: Body) -> v1::Update {
    v1::Update { ts_event_us: now_us, body: Some(body), ..Default::default() }
}

/// A body that replaces what was known.
pub(crate) fn image(now_us: u64, body: Body) -> v1::Update {
    v1::Update { flags: UpdateFlag::Image as u32, ..delta(now_us, body) }
}

/// A status with its reason.
pub(crate) fn status(now_us: u64, phase: v1::TradingPhase, reason: &str, resume_us: Option<u64>) -> v1::Update {
    delta(now_us, Body::Status(v1::Status { phase: phase as i32, reason: reason.into(), resume_us }))
}

const PUBLISHER: &str = "simulator";
