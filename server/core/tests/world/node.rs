//! A node: intake, feed health and engine over its own position in the log.

use std::time::Duration;

use tickwire_core::engine::{Engine, EngineConfig};
use tickwire_core::health::{FeedRule, Monitor};
use tickwire_core::intake::{Intake, IntakeConfig, Message};
use tickwire_core::{Batch, Entry, InstrumentId};
use tickwire_proto::v1;
use tickwire_proto::{Moment, Pattern, Scale};

use crate::everybody::Everybody;
use crate::market::{Market, START_US};

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
    /// When it last heard of the feed, and what it had read when: for each instrument and message its time.
    pub(crate) heard_at: Moment,
    pub(crate) read_at: Vec<Moment>,
}

impl Node {
    pub(crate) fn new(n: usize, now: Moment, skew_us: i64, small: bool) -> Self {
        let name = format!("n{n}-{}", now.as_micros());
        let rule = FeedRule { silence_max: Some(SILENCE_MAX), ..FeedRule::new("all", pattern("#")) };
        let intake = IntakeConfig {
            routing_prefix: String::new(),
            price_scale: Scale::new(2).expect("a scale"),
            quantity_scale: Scale::new(0).expect("a scale"),
            body_bytes_max: 1 << 20,
            updates_max: 1_000,
            instruments_max: 1_000,
            rules: vec![rule.clone()],
            mappings: Vec::new(),
        };
        let config = EngineConfig {
            node: name.clone(),
            events_kept: if small { 10 } else { 1_000 },
            events_waiting_max: if small { 3 } else { 64 },
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
            heard_at: now,
            read_at: Vec::new(),
        }
    }

    pub(crate) fn unix_us(&self, now: Moment) -> u64 {
        START_US.saturating_add_signed(self.skew_us) + now.as_micros()
    }

    /// The log starts over, or this node with it: from a checkpoint, or from the first message.
    pub(crate) fn start(&mut self, now: Moment, market: &Market, checkpoint: Option<&(v1::Checkpoint, usize)>) {
        let mut batch = Batch::default();
        self.life = market.life;
        self.read_at.clear();
        match checkpoint {
            Some((checkpoint, applied)) => {
                self.intake.restore(checkpoint, &mut batch);
                self.applied = *applied;
                self.read_at.resize(*applied, now);
            }
            None => {
                self.intake.reset(&epoch(market.life), &mut batch);
                self.applied = 0;
            }
        }
        self.synced = false;
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

    pub(crate) fn checkpoint(&self) -> Option<(v1::Checkpoint, usize)> {
        if !self.synced {
            return None;
        }
        let mut instruments = self.engine.checkpoint();
        for kept in &mut instruments {
            kept.announced = kept.info.as_ref().is_some_and(|info| self.intake.is_announced(InstrumentId(info.id)));
        }
        let seq = self.applied as u64;
        Some((v1::Checkpoint { epoch: epoch(self.life), seq, parts: 1, instruments, ..Default::default() }, self.applied))
    }

    /// Reads on in the log.
    pub(crate) fn read(&mut self, now: Moment, market: &Market, most: usize) {
        if self.is_cut_off || self.life != market.life {
            return;
        }
        let mut batch = Batch::default();
        for message in market.log[self.applied..].iter().take(most) {
            let receipt = self.intake.take(
                Message { seq: message.seq, routing_key: &message.key, content_type: Some("application/x-protobuf"), body: &message.body },
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
        } else if self.synced {
            self.monitor.caught_up(now);
            self.heard_at = now;
        } else {
            self.monitor.recovering(now);
        }
        self.tell_health(now);
    }

    /// Events may be missing here, says the reader of the log; none is.
    pub(crate) fn doubt(&mut self, now: Moment) {
        let seq = self.applied as u64;
        self.engine.apply(now, &Batch { entries: vec![Entry::Gap { from: seq, to: seq + 2 }] });
    }

    pub(crate) fn tell_health(&mut self, now: Moment) {
        let entries: Vec<Entry> = self.monitor.poll(now, self.unix_us(now)).into_iter().map(Entry::Feed).collect();
        if !entries.is_empty() {
            self.engine.apply(now, &Batch { entries });
        }
    }

    pub(crate) fn deadline(&self) -> Option<Moment> {
        [self.engine.deadline(), self.monitor.deadline()].into_iter().flatten().min()
    }

    /// Whether its feed may be called LIVE now, by the test's own reckoning.
    pub(crate) fn is_fed(&self, now: Moment) -> bool {
        self.synced && !self.is_cut_off && now.since(self.heard_at) <= SILENCE_MAX
    }
}

impl std::fmt::Display for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} life {} read {} synced {}", self.name, self.life, self.applied, self.synced)
    }
}

pub(crate) fn epoch(life: u32) -> String {
    (1_000 + life).to_string()
}

pub(crate) fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).expect("a pattern")
}

/// Silence after which a feed is STALE.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(3);
