//! A node: intake, feed health and engine over its own position in the log.

use std::time::Duration;

use tickwire_core::engine::{Engine, EngineConfig, RateRule};
use tickwire_core::health::{FeedRule, Monitor};
use tickwire_core::intake::{Intake, IntakeConfig, Message};
use tickwire_core::{Batch, Entry, InstrumentId};
use tickwire_proto::v1;
use tickwire_proto::wire::Encoding;
use tickwire_proto::{Moment, Pattern};

use crate::everybody::Everybody;
use crate::market::{Market, START_US, price_scale, quantity_scale};

pub(crate) struct Node {
    name: String,
    pub(crate) engine: Engine,
    intake: Intake,
    monitor: Monitor,
    life: u32,
    /// Messages of this life that it has read.
    pub(crate) applied: usize,
    synced: bool,
    /// Its clock is wrong by this much.
    pub(crate) skew_us: i64,
    /// The broker cannot be reached.
    pub(crate) is_cut_off: bool,
    /// When it reads on, if there is something to read.
    pub(crate) reads_at: Option<Moment>,
    /// It is too busy to read before.
    pub(crate) lags_until: Moment,
    /// When it last heard of the feed.
    heard_at: Moment,
    /// When it read each message of this life.
    read_at: Vec<Moment>,
}

impl Node {
    pub(crate) fn new(n: usize, now: Moment, skew_us: i64, terms: Terms) -> Self {
        let name = format!("n{n}-{}", now.as_micros());
        let rule = FeedRule { silence_max: Some(SILENCE_MAX), ..FeedRule::new("all", pattern("#")) };
        let intake = IntakeConfig {
            routing_prefix: String::new(),
            price_scale: price_scale(),
            quantity_scale: quantity_scale(),
            body_bytes_max: 1 << 20,
            updates_max: 1_000,
            instruments_max: 1_000,
            rules: vec![rule.clone()],
            mappings: Vec::new(),
        };
        let config = EngineConfig {
            node: name.clone(),
            events_kept: if terms.small { 10 } else { 1_000 },
            events_waiting_max: if terms.small { 3 } else { 64 },
            rate_rules: vec![RateRule { pattern: pattern(RULED), conflate_ms_min: terms.ruled_ms }],
            paced: terms.paced,
            ..EngineConfig::default()
        };
        let unix_us = START_US.saturating_add_signed(skew_us) + now.as_micros();
        let mut engine = Engine::new(config, Box::new(Everybody));
        engine.set_wall_clock(now, unix_us);
        Self {
            name,
            engine,
            intake: Intake::new(intake),
            monitor: Monitor::new(vec![rule], now, unix_us),
            life: 0,
            applied: 0,
            synced: false,
            skew_us,
            is_cut_off: false,
            reads_at: None,
            lags_until: now,
            heard_at: now,
            read_at: Vec::new(),
        }
    }

    pub(crate) fn unix_us(&self, now: Moment) -> u64 {
        START_US.saturating_add_signed(self.skew_us) + now.as_micros()
    }

    /// The log starts over, or this node with it: from a checkpoint, or from the first message.
    pub(crate) fn start(&mut self, now: Moment, market: &Market, checkpoint: Option<&Checkpoint>) {
        let mut batch = Batch::default();
        self.life = market.life;
        self.read_at.clear();
        match checkpoint {
            Some(checkpoint) => {
                self.intake.restore(&checkpoint.kept, &mut batch);
                self.applied = checkpoint.applied;
                self.read_at.resize(checkpoint.applied, now);
            }
            None => {
                self.intake.reset(&epoch(market.life), &mut batch);
                self.applied = 0;
            }
        }
        // As the feed task does it: nobody is told before the end.
        self.intake.hold_back();
        self.synced = false;
        self.reads_at.get_or_insert(now);
        self.engine.apply(now, &batch);
        self.monitor.recovering(now);
        self.tell_health(now);
    }

    pub(crate) fn life(&self) -> u32 {
        self.life
    }

    pub(crate) fn is_synced(&self) -> bool {
        self.synced
    }

    /// What it has read up to `then`.
    pub(crate) fn read_before(&self, then: Moment) -> u64 {
        self.read_at.partition_point(|at| *at < then) as u64
    }

    pub(crate) fn checkpoint(&self) -> Option<Checkpoint> {
        if !self.synced {
            return None;
        }
        let mut instruments = self.engine.checkpoint();
        for kept in &mut instruments {
            kept.announced = kept.info.as_ref().is_some_and(|info| self.intake.is_announced(InstrumentId(info.id)));
        }
        let seq = self.applied as u64;
        let kept = v1::Checkpoint { epoch: epoch(self.life), seq, parts: 1, instruments, ..Default::default() };
        Some(Checkpoint { kept, applied: self.applied, life: self.life })
    }

    /// Reads on in the log, and says when it will do so again.
    pub(crate) fn read(&mut self, now: Moment, market: &Market, most: usize) {
        if self.is_cut_off || self.life != market.life {
            return;
        }
        let mut batch = Batch::default();
        for message in market.log[self.applied..].iter().take(most) {
            let content_type = if message.encoding == Encoding::Json { "application/json" } else { "application/x-protobuf" };
            let receipt = self.intake.take(
                Message { seq: message.seq, routing_key: &message.key, content_type: Some(content_type), body: &message.body },
                &mut batch,
            );
            assert!(receipt.poison.is_empty(), "the market publishes what is valid: {:?}", receipt.poison);
            self.monitor.heard(now, "all", message.seq, Some(now.since(Moment::from_micros(message.at_us))));
            self.heard_at = now;
            self.read_at.push(now);
            self.applied += 1;
        }
        if !self.synced && self.applied == market.log.len() {
            self.synced = true;
            self.intake.tell_held(&mut batch);
            batch.entries.push(Entry::Synced);
            self.monitor.caught_up(now);
            self.heard_at = now;
        }
        if !batch.entries.is_empty() {
            self.engine.apply(now, &batch);
        }
        self.tell_health(now);
    }

    pub(crate) fn cut_off(&mut self, now: Moment, is_cut_off: bool) {
        self.is_cut_off = is_cut_off;
        if is_cut_off {
            self.monitor.down(now, "no broker");
        } else {
            self.reads_at.get_or_insert(now);
            if self.synced {
                self.monitor.caught_up(now);
                self.heard_at = now;
            } else {
                self.monitor.recovering(now);
            }
        }
        self.tell_health(now);
    }

    /// Events may be missing here, says the reader of the log; none is.
    pub(crate) fn doubt(&mut self, now: Moment) {
        let seq = self.applied as u64;
        self.engine.apply(now, &Batch { entries: vec![Entry::Gap { from: seq, to: seq + 2 }] });
    }

    /// Whether its feed may have gone silent.
    pub(crate) fn is_health_due(&self, now: Moment) -> bool {
        self.monitor.deadline().is_some_and(|at| at <= now)
    }

    pub(crate) fn tell_health(&mut self, now: Moment) {
        let entries: Vec<Entry> = self.monitor.poll(now, self.unix_us(now)).into_iter().map(Entry::Feed).collect();
        if !entries.is_empty() {
            self.engine.apply(now, &Batch { entries });
        }
    }

    pub(crate) fn deadline(&self) -> Option<Moment> {
        [self.engine.deadline(), self.monitor.deadline(), self.reads_at].into_iter().flatten().min()
    }

    /// Until when its feed may be called LIVE if nothing else comes, by the test's own reckoning. `None`: it may not be called so now.
    pub(crate) fn fed_until(&self, now: Moment) -> Option<Moment> {
        let silent_at = self.heard_at + SILENCE_MAX;
        (self.synced && !self.is_cut_off && now <= silent_at).then(|| silent_at + Duration::from_micros(1))
    }
}

impl std::fmt::Display for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} life {} read {} synced {}", self.name, self.life, self.applied, self.synced)
    }
}

/// How all nodes of a world are set up.
#[derive(Clone, Copy)]
pub(crate) struct Terms {
    /// Rings and queues are short.
    pub(crate) small: bool,
    /// Fastest rate of [`RULED`] instruments.
    pub(crate) ruled_ms: u32,
    /// Connections are paced.
    pub(crate) paced: bool,
}

/// What a node has written, for those that start.
pub(crate) struct Checkpoint {
    kept: v1::Checkpoint,
    pub(crate) applied: usize,
    pub(crate) life: u32,
}

fn epoch(life: u32) -> String {
    (1_000 + life).to_string()
}

pub(crate) fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).expect("a pattern")
}

/// Instruments with a fastest rate of their own.
pub(crate) const RULED: &str = "soccer.#";
/// Silence after which a feed is STALE.
const SILENCE_MAX: Duration = Duration::from_secs(3);
