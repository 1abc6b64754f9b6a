//! From the bodies of feed messages to a [`Batch`]: decode, validate, name, number. The security boundary of the feed side.
//!
//! - **Scales** are announced by an info, or else inferred: of JSON from the decimal places its values need, growing with them; of
//!   protobuf from the configuration. When scales change, the instrument is named anew and its state follows as IMAGE updates. A JSON info
//!   with both scales 0 or absent announces none. A value more precise than announced scales is refused.
//! - **Versions**: per instrument and kind of body, an update with an older `ts_event_us` than the newest is refused, unless it has none or
//!   is flagged CORRECTION. A bar's version is its start. Trades overwrite nothing and have no version. A time more than an hour ahead of
//!   its message is refused; one that only a single message claims does not count as a version (`LogClock`).
//! - **Names**: an update that names its own symbol must belong to the feed of its routing key. Control characters are in no text.
//! - **Poison** never stops the rest: what is wrong with one update does not touch the others.
//! - **Feeds** are told apart by their rules, which give each a number of instruments, a namespace, and what its prices may be.
//! - Feeds do not decide `id`, `seq`, `merged`, `info.feed`, interval extremes, and the flag CONFLATED.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use hashbrown::{HashMap, HashSet};
use tickwire_proto::{Scale, Symbol, v1};

use crate::batch::{Batch, Entry, InstrumentId};
use crate::health::FeedRule;
use crate::scales::{Rescale, Scales};

mod check;
mod clock;
mod decode;
mod feeds;
mod held;
mod instrument;
mod mapping;
mod plausible;
mod publishers;
mod receipt;
mod said;
#[cfg(test)]
mod tests;

use clock::LogClock;
use decode::Decoded;
use feeds::{FeedIndex, Feeds};
use held::Held;
use instrument::Instrument;
use plausible::Jump;
use publishers::Publishers;
use said::Said;

pub use mapping::{Mapping, MappingError, MappingSpec, TimeUnit};
pub use plausible::Plausible;
pub use publishers::Hole;
pub use receipt::{Cause, Poison, Receipt};

/// One message of the log, as the feed source received it.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Position in the log.
    pub seq: u64,
    /// AMQP routing key; names the instrument after the prefix is removed.
    pub routing_key: &'a str,
    /// AMQP content type, if any. None = JSON if the body starts with `{`, else protobuf.
    pub content_type: Option<&'a str>,
    /// The body, as its publisher meant it: shells inflate what was compressed.
    pub body: &'a [u8],
}

/// Limits and defaults of the intake.
#[derive(Clone, Debug)]
pub struct IntakeConfig {
    /// Removed from the start of routing keys, for instance `prod.`; messages without it are poison.
    pub routing_prefix: String,
    /// Scales of instruments that nobody announced, in protobuf messages. JSON infers scales from its decimals.
    pub price_scale: Scale,
    /// See `price_scale`.
    pub quantity_scale: Scale,
    /// Bytes in a body (1 MiB). A larger one is poison.
    pub body_bytes_max: usize,
    /// Updates in a message (1,000). A message with more is poison.
    pub updates_max: usize,
    /// Instruments of all feeds (1,000,000). A new one beyond is poison.
    pub instruments_max: usize,
    /// Feeds and what names them.
    pub rules: Vec<FeedRule>,
    /// How to read JSON of other forms, by routing key. Every mapping that reads a message takes its part of it.
    pub mappings: Vec<Mapping>,
}

/// Names instruments and turns messages into batches. One per node; every node that reads the same log builds the same one.
#[derive(Debug)]
pub struct Intake {
    config: IntakeConfig,
    feeds: Feeds,
    /// Where in `instruments` a symbol is.
    names: HashMap<Symbol, usize>,
    /// In the order of first appearance: id = index + 1. Bounded by `instruments_max`; ids are never given back.
    instruments: Vec<Instrument>,
    clock: LogClock,
    publishers: Publishers,
    held: Held,
}

/// What all updates of one message share.
struct Envelope<'a> {
    seq: u64,
    /// Routing key without the prefix.
    key: &'a str,
    /// The feed that it belongs to.
    feed: FeedIndex,
    /// 0 = unknown.
    publish_us: u64,
    /// Why the info of this message was refused, if its updates cannot be read without it.
    unannounced: Option<Cause>,
}

/// A name that follows the grammar.
enum Named {
    Known(usize),
    New(Symbol),
}

impl Intake {
    /// Knows no instrument yet.
    pub fn new(config: IntakeConfig) -> Self {
        let (feeds, names, instruments) = (Feeds::new(&config.rules), HashMap::new(), Vec::new());
        Self { config, feeds, names, instruments, clock: LogClock::default(), publishers: Publishers::default(), held: Held::default() }
    }

    /// Takes one message: appends what it says to `batch` (at least a `Position`), and returns the rest.
    ///
    /// Costs one visit per update, and one per value of an instrument when its scales change.
    pub fn take(&mut self, message: Message<'_>, batch: &mut Batch) -> Receipt {
        let mut receipt = Receipt::default();
        if let Err(poison) = self.read(message, batch, &mut receipt) {
            receipt.poison.push(poison);
        }
        self.move_to(message.seq, batch);
        receipt
    }

    /// Moves past a message whose body could not even be inflated.
    pub fn pass(&self, seq: u64, poison: Poison, batch: &mut Batch) -> Receipt {
        self.move_to(seq, batch);
        Receipt { poison: Vec::from([poison]), ..Receipt::default() }
    }

    /// Starts over from a checkpoint: appends `Reset`, instruments and images, and the checkpoint's `Position`.
    ///
    /// What is malformed in it is left out: a wrong image is worse than none.
    pub fn restore(&mut self, checkpoint: &v1::Checkpoint, batch: &mut Batch) {
        self.reset(&checkpoint.epoch, batch);
        self.clock.observe(checkpoint.ts_written_us);
        let mut seen = HashSet::new();
        for kept in &checkpoint.instruments {
            // An instrument that cannot be restored is announced again by its feed sooner or later; the others must not wait for it.
            // Named twice, its first images would be read at the scales of the second: the first counts.
            if kept.info.as_ref().is_some_and(|info| seen.insert(info.symbol.as_str())) {
                let _ = self.restore_instrument(kept, batch);
            }
        }
        batch.entries.push(Entry::Position(checkpoint.seq));
    }

    /// Starts over empty, in a new life of the log: appends `Reset`. Ids, names and scales stay.
    pub fn reset(&mut self, epoch: &str, batch: &mut Batch) {
        self.held.forget();
        self.instruments.iter_mut().for_each(Instrument::forget);
        self.clock = LogClock::default();
        self.publishers.forget();
        batch.entries.push(Entry::Reset { epoch: epoch.to_string() });
    }

    /// Whether the scales of an instrument were announced by its feed; for checkpoints.
    pub fn is_announced(&self, id: InstrumentId) -> bool {
        let index = (id.0 as usize).wrapping_sub(1);
        self.instruments.get(index).is_some_and(|instrument| instrument.announced)
    }

    fn read(&mut self, message: Message<'_>, batch: &mut Batch, receipt: &mut Receipt) -> Result<(), Poison> {
        let Some(key) = message.routing_key.strip_prefix(self.config.routing_prefix.as_str()) else {
            return Err(Poison::about(Cause::OutsidePrefix, message.routing_key, "does not start with the prefix"));
        };
        let feed = self.feed_of(&self.name(key)?);
        let name = &self.feeds.get(feed).name;
        receipt.feed = (!name.is_empty()).then(|| name.clone());
        let decoded = decode::decode(&message, key, &self.config, &mut receipt.poison)?;
        if !self.held.is_on() {
            batch.entries.reserve(decoded.updates_len() + 1);
        }
        let mut envelope = Envelope { seq: message.seq, key, feed, publish_us: 0, unannounced: None };
        self.read_head(&decoded, &mut envelope, batch, receipt);
        match decoded {
            Decoded::Protobuf(mut body) => {
                body.updates.iter_mut().for_each(|update| self.read_update(&envelope, Said::Protobuf(update), batch, receipt));
            }
            Decoded::Json(body) | Decoded::Mapped(body) => {
                let said = |update| Said::Json(update, v1::Update::default());
                body.updates().for_each(|update| self.read_update(&envelope, said(update), batch, receipt));
            }
        }
        if receipt.ts_us == 0 {
            receipt.ts_us = envelope.publish_us;
        }
        Ok(())
    }

    /// Takes everything but the updates.
    fn read_head(&mut self, decoded: &Decoded, envelope: &mut Envelope<'_>, batch: &mut Batch, receipt: &mut Receipt) {
        let head = decoded.head();
        receipt.hole = self.publishers.note(&head.publisher, head.publisher_seq);
        if matches!(decoded, Decoded::Mapped(_)) {
            // A mapping takes what it asks for; other messages under the same routing key are no fault.
            receipt.unmapped = decoded.updates_len() == 0 && receipt.poison.is_empty();
        } else if decoded.updates_len() == 0 && head.info.is_none() && head.alive.is_none() {
            receipt.poison.push(Poison::new(Cause::Empty, "neither update nor info nor sign of life"));
        }
        match check::timestamp("ts_publish_us", head.ts_publish_us) {
            Ok(()) => envelope.publish_us = head.ts_publish_us,
            Err(poison) => receipt.poison.push(poison),
        }
        self.clock.observe(envelope.publish_us);
        if let Some(alive) = &head.alive {
            match check::alive(alive) {
                Ok(()) => receipt.alive = Some(alive.clone()),
                Err(poison) => receipt.poison.push(poison),
            }
        }
        if let Some(info) = &head.info {
            let is_json = !matches!(decoded, Decoded::Protobuf(_));
            if let Err(poison) = self.announce(envelope, info, is_json, batch) {
                // Mantissas without their scales would be wrong by powers of ten; decimals speak for themselves.
                envelope.unannounced = (!is_json && self.protobuf_scales(envelope.key) != Scales::of(info).ok()).then_some(poison.cause);
                receipt.poison.push(poison);
            }
        }
    }

    /// Names an instrument, or gives it new scales or texts. Says nothing if nothing is new.
    fn announce(&mut self, envelope: &Envelope<'_>, info: &v1::InstrumentInfo, is_json: bool, batch: &mut Batch) -> Result<(), Poison> {
        if !info.symbol.is_empty() && info.symbol != envelope.key {
            return Err(Poison::about(Cause::BadSymbol, &info.symbol, "is announced under another routing key"));
        }
        check::info(info)?;
        let scales = Scales::of(info)?;
        let announces = !(is_json && info.price_scale == 0 && info.quantity_scale == 0);
        let (index, is_new) = self.find_or_add(envelope.key, scales, announces)?;
        let instrument = &mut self.instruments[index];
        let rescales = announces && instrument.scales != scales;
        if rescales {
            self.held.tell(instrument, batch);
        }
        let images = if rescales { instrument.rescale(envelope.seq, scales, false)? } else { Vec::new() };
        instrument.announced |= announces;
        let news = v1::InstrumentInfo {
            symbol: instrument.info.symbol.clone(),
            id: instrument.info.id,
            feed: instrument.info.feed.clone(),
            price_scale: instrument.info.price_scale,
            quantity_scale: instrument.info.quantity_scale,
            tick_size: Rescale::new(scales, instrument.scales).tick_size(info.tick_size),
            ..info.clone()
        };
        if is_new || rescales || instrument.info != news {
            instrument.info = news;
            batch.entries.push(Entry::Instrument(instrument.info.clone()));
        }
        batch.entries.extend(images.into_iter().map(Entry::Update));
        Ok(())
    }

    fn read_update(&mut self, envelope: &Envelope<'_>, said: Said<'_>, batch: &mut Batch, receipt: &mut Receipt) {
        match self.take_update(envelope, said, batch) {
            Ok(ts_us) => {
                receipt.accepted += 1;
                receipt.ts_us = receipt.ts_us.max(ts_us);
            }
            Err(poison) => receipt.poison.push(poison),
        }
    }

    /// Checks, scales, names and numbers one update. Changes nothing unless it is accepted, but what it takes to believe a jump of prices.
    /// Returns when it happened.
    fn take_update(&mut self, envelope: &Envelope<'_>, mut said: Said<'_>, batch: &mut Batch) -> Result<u64, Poison> {
        let (name, key) = match said.symbol() {
            "" => (self.name(envelope.key)?, envelope.key),
            symbol => (self.name_beside(symbol, envelope.feed)?, ""),
        };
        if let (false, Some(cause)) = (key.is_empty(), envelope.unannounced) {
            return Err(Poison::new(cause, "its announcement was refused"));
        }
        let held = match name {
            Named::Known(index) => Some(&self.instruments[index]),
            Named::New(_) => None,
        };
        let (update, scales) = said.resolve(held, self.default_scales())?;
        let version = said::check(update, envelope.publish_us)?;
        if envelope.publish_us == 0 {
            self.clock.observe(version);
        }
        update.seq = envelope.seq;
        let plausible = self.feeds.get(self.feed_of(&name)).plausible.as_ref();
        let index = match name {
            Named::Known(index) => {
                let instrument = &mut self.instruments[index];
                instrument.admit(update, version, &self.clock)?;
                plausible.map_or(Ok(()), |plausible| instrument.admit_prices(update, scales, plausible))?;
                index
            }
            Named::New(symbol) => {
                plausible.map_or(Ok(()), |plausible| plausible.check(update, scales, None, &mut Jump::default()))?;
                let index = self.add(symbol, scales, false)?;
                batch.entries.push(Entry::Instrument(self.instruments[index].info.clone()));
                index
            }
        };
        let instrument = &mut self.instruments[index];
        let is_held = self.held.takes(update) && instrument.scales == scales;
        if !is_held {
            self.held.tell(instrument, batch);
        }
        if instrument.scales != scales {
            let images = instrument.rescale(envelope.seq, scales, true)?;
            batch.entries.push(Entry::Instrument(instrument.info.clone()));
            batch.entries.extend(images.into_iter().map(Entry::Update));
        }
        update.id = instrument.info.id;
        let changed = instrument.apply(update, version, &self.clock);
        let ts_us = update.ts_event_us;
        if is_held {
            self.held.hold(index, instrument, &changed, update);
        } else {
            batch.entries.push(Entry::Update(core::mem::take(update)));
        }
        Ok(ts_us)
    }

    fn restore_instrument(&mut self, kept: &v1::CheckpointInstrument, batch: &mut Batch) -> Result<(), Poison> {
        let info = kept.info.as_ref().ok_or_else(|| Poison::new(Cause::Empty, "no info"))?;
        check::info(info)?;
        let scales = Scales::of(info)?;
        let (index, _) = self.find_or_add(&info.symbol, scales, kept.announced)?;
        let instrument = &mut self.instruments[index];
        instrument.info = v1::InstrumentInfo { id: instrument.info.id, feed: instrument.info.feed.clone(), ..info.clone() };
        instrument.set_scales(scales);
        instrument.announced = kept.announced;
        batch.entries.push(Entry::Instrument(instrument.info.clone()));
        for image in &kept.images {
            let mut image = v1::Update { id: instrument.info.id, symbol: String::new(), ..image.clone() };
            let is_well =
                image.body.as_mut().is_some_and(|body| check::body(body).is_ok()) && instrument.admit(&image, 0, &self.clock).is_ok();
            if is_well {
                let _ = instrument.apply(&image, image.ts_event_us, &self.clock);
                batch.entries.push(Entry::Update(image));
            }
        }
        batch.entries.extend(kept.events.map(|newest| Entry::Events { id: InstrumentId(instrument.info.id), newest }));
        Ok(())
    }

    /// Checks the name of an instrument. Known ones cost one look-up.
    fn name(&self, text: &str) -> Result<Named, Poison> {
        match self.names.get(text) {
            Some(&index) => Ok(Named::Known(index)),
            None => Symbol::parse(text).map(Named::New).map_err(|error| Poison::about(Cause::BadSymbol, text, error)),
        }
    }

    /// The same for an update that names itself. It must belong to the feed of its routing key, since it is the routing key that the
    /// broker lets a publisher use.
    fn name_beside(&self, symbol: &str, feed: FeedIndex) -> Result<Named, Poison> {
        let name = self.name(symbol)?;
        if self.feed_of(&name) != feed {
            return Err(Poison::about(Cause::BadSymbol, symbol, "belongs to another feed than the routing key"));
        }
        Ok(name)
    }

    /// The feed that an instrument belongs to.
    fn feed_of(&self, name: &Named) -> FeedIndex {
        match name {
            Named::Known(index) => self.instruments[*index].feed,
            Named::New(symbol) => self.feeds.of(symbol),
        }
    }

    fn find_or_add(&mut self, symbol: &str, scales: Scales, announced: bool) -> Result<(usize, bool), Poison> {
        match self.name(symbol)? {
            Named::Known(index) => Ok((index, false)),
            Named::New(symbol) => self.add(symbol, scales, announced).map(|index| (index, true)),
        }
    }

    fn add(&mut self, symbol: Symbol, scales: Scales, announced: bool) -> Result<usize, Poison> {
        let index = self.instruments.len();
        if index >= self.config.instruments_max.min(INSTRUMENTS_END) {
            return Err(Poison::about(Cause::TooManyInstruments, symbol.as_str(), format!("would be one more than {index}")));
        }
        let feed = self.feeds.of(&symbol);
        self.feeds.admit(feed, &symbol)?;
        let info = v1::InstrumentInfo {
            symbol: symbol.to_string(),
            id: index as u32 + 1,
            feed: self.feeds.get(feed).name.clone(),
            ..Default::default()
        };
        let mut instrument = Instrument::new(info, feed, scales, announced);
        instrument.set_scales(scales);
        self.instruments.push(instrument);
        self.names.insert(symbol, index);
        Ok(index)
    }

    /// The scales at which a protobuf update of `symbol` is read now.
    fn protobuf_scales(&self, symbol: &str) -> Option<Scales> {
        match self.names.get(symbol).map(|&index| &self.instruments[index]) {
            Some(instrument) if instrument.announced => Some(instrument.scales),
            _ => Some(self.default_scales()),
        }
    }

    fn default_scales(&self) -> Scales {
        Scales { price: self.config.price_scale, quantity: self.config.quantity_scale }
    }
}

/// Ids are 32 bits wide.
const INSTRUMENTS_END: usize = u32::MAX as usize - 1;
