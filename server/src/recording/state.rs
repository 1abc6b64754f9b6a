//! A book that is fed from a recording: what the messages come to, and how fast they can be applied.

use std::time::{Duration, Instant};

use prost::Message as _;
use tickwire_core::access::{Authority, Grant};
use tickwire_core::engine::{Engine, EngineConfig};
use tickwire_core::intake::{Intake, IntakeConfig, Message};
use tickwire_core::{Batch, Entry};
use tickwire_proto::Moment;
use tickwire_proto::v1::{self, ErrorCode};

use super::Recorded;
use crate::ingest::inflate;

/// One engine without subscribers, behind an intake.
pub struct Book {
    intake: Intake,
    engine: Engine,
    body_bytes_max: usize,
    batch: Batch,
    messages: u64,
    updates: u64,
    refused: u64,
    /// In intake and engine.
    busy: Duration,
}

impl Book {
    /// An empty book in a new life of a log.
    pub fn new(config: IntakeConfig) -> Self {
        let body_bytes_max = config.body_bytes_max;
        let (mut intake, mut batch) = (Intake::new(config), Batch::default());
        intake.reset("recording", &mut batch);
        batch.entries.push(Entry::Synced);
        let engine = Engine::new(EngineConfig::default(), Box::new(Nobody));
        Self { intake, engine, body_bytes_max, batch, messages: 0, updates: 0, refused: 0, busy: Duration::ZERO }
    }

    /// Applies messages as one batch, as the feed task does.
    pub fn take(&mut self, messages: &[Recorded]) {
        let start = Instant::now();
        for recorded in messages {
            let receipt = match inflate(recorded.content_encoding.as_deref(), &recorded.body, self.body_bytes_max) {
                Ok(body) => {
                    let (routing_key, content_type) = (recorded.routing_key.as_str(), recorded.content_type.as_deref());
                    let message = Message { seq: recorded.seq, routing_key, content_type, body: &body };
                    self.intake.take(message, &mut self.batch)
                }
                Err(poison) => self.intake.pass(recorded.seq, poison, &mut self.batch),
            };
            self.updates += u64::from(receipt.accepted);
            self.refused += receipt.poison.len() as u64;
        }
        self.messages += messages.len() as u64;
        self.engine.apply(Moment::ZERO, &self.batch);
        self.batch.entries.clear();
        self.busy += start.elapsed();
    }

    /// Messages applied.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// Updates applied.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// Messages and updates that were refused.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Time spent on decoding and applying, without reading and waiting.
    pub fn busy(&self) -> Duration {
        self.busy
    }

    /// Instruments in it, and the hash of all they have to say.
    pub fn state(&self) -> (usize, String) {
        let mut kept = self.engine.checkpoint();
        let count = kept.len();
        (count, state_hash(&mut kept))
    }
}

impl std::fmt::Debug for Book {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Book").field("messages", &self.messages).field("updates", &self.updates).finish_non_exhaustive()
    }
}

/// A hash of names, scales and values: the same for the same book, whatever the positions and ids that it came by.
pub fn state_hash(instruments: &mut [v1::CheckpointInstrument]) -> String {
    let symbol = |kept: &v1::CheckpointInstrument| kept.info.as_ref().map(|info| info.symbol.clone());
    instruments.sort_by_key(symbol);
    let mut hash = sha1_smol::Sha1::new();
    for kept in instruments {
        let info = kept.info.clone().map(|info| v1::InstrumentInfo { id: 0, ..info });
        let images = kept.images.iter().map(|image| v1::Update { id: 0, seq: 0, ..image.clone() }).collect();
        let nameless = v1::CheckpointInstrument { info, images, ..Default::default() };
        hash.update(&nameless.encode_length_delimited_to_vec());
    }
    hash.digest().to_string()
}

/// Lets nobody in: there is no door.
struct Nobody;

impl Authority for Nobody {
    fn grant(&self, _: Option<&str>, _: u64) -> Result<Grant, ErrorCode> {
        Err(ErrorCode::AuthRequired)
    }
}
