//! One instrument as the intake knows it: its scales, its newest state, and the versions that guard it.

use alloc::format;
use alloc::vec::Vec;

use tickwire_proto::image::{BARS_MAX, Changed, EXTRA_KEYS_MAX, Image, OUTCOMES_MAX};
use tickwire_proto::v1::{self, UpdateFlag, update::Body};

use super::check;
use super::clock::LogClock;
use super::feeds::FeedIndex;
use super::plausible::{Jump, Plausible};
use super::{Cause, Poison};
use crate::scales::{Rescale, Scales};

/// An instrument that some message named.
#[derive(Debug)]
pub(super) struct Instrument {
    /// As it was told to everyone; `id` is set.
    pub(super) info: v1::InstrumentInfo,
    /// Whose it is.
    pub(super) feed: FeedIndex,
    pub(super) scales: Scales,
    /// Whether the feed announced the scales. If not, they grow with its values.
    pub(super) announced: bool,
    /// What a change of scales has to repeat.
    image: Image,
    /// Newest `ts_event_us` of each kind of body, 0 = none.
    versions: [u64; KINDS],
    /// A price that was too far from the last one to be believed at once.
    jump: Jump,
    /// Its place among those that are held back, if it has one.
    pub(super) held: Option<usize>,
}

impl Instrument {
    pub(super) fn new(info: v1::InstrumentInfo, feed: FeedIndex, scales: Scales, announced: bool) -> Self {
        Self { info, feed, scales, announced, image: Image::default(), versions: [0; KINDS], jump: Jump::default(), held: None }
    }

    /// Forgets everything that was said; the name stays.
    pub(super) fn forget(&mut self) {
        self.image = Image::default();
        self.versions = [0; KINDS];
        self.jump = Jump::default();
        self.held = None;
    }

    /// Whether `update` may change this instrument now. `version` is the time that the feed gave it, 0 = none.
    pub(super) fn admit(&self, update: &v1::Update, version: u64, clock: &LogClock) -> Result<(), Poison> {
        let Some(body) = &update.body else { return Err(Poison::new(Cause::Empty, "update has no body")) };
        if update.flags & UpdateFlag::Correction as u32 == 0 {
            self.admit_version(version, body, clock)?;
        }
        self.admit_size(body, update.flags & UpdateFlag::Image as u32 != 0)
    }

    /// Whether its prices can be true. Notes a jump, so that one that is said again is believed. `scales` are those of the update.
    pub(super) fn admit_prices(&mut self, update: &v1::Update, scales: Scales, plausible: &Plausible) -> Result<(), Poison> {
        if scales == self.scales {
            return plausible.check(update, scales, self.image.quote.as_ref(), &mut self.jump);
        }
        // The update brings more decimal places: what is known is compared at them. What does not fit will be refused with its reason.
        let mut known = Image { quote: self.image.quote, ..Image::default() };
        Rescale::new(self.scales, scales).image(&mut known);
        self.jump = Jump::default();
        plausible.check(update, scales, known.quote.as_ref(), &mut self.jump)
    }

    /// Takes an admitted update, and returns what it touched.
    pub(super) fn apply(&mut self, update: &v1::Update, version: u64, clock: &LogClock) -> Changed {
        let changed = self.image.apply(update);
        if let Some(newest) = update.body.as_ref().and_then(kind_of).map(|kind| &mut self.versions[kind]) {
            if clock.reaches(version) && (version > *newest || !clock.reaches(*newest)) {
                *newest = version;
            }
        }
        changed
    }

    /// Gives the newest values of what was touched, as updates that lack id, position and time.
    pub(super) fn records(&self, changed: &Changed, mut give: impl FnMut(v1::Update)) {
        self.image.records(changed, |_, record| give(record));
    }

    /// Changes the scales, brings the state to them, and returns it as images at position `seq`. With `keep_all`, refuses if a value
    /// would be lost.
    pub(super) fn rescale(&mut self, seq: u64, to: Scales, keep_all: bool) -> Result<Vec<v1::Update>, Poison> {
        let mut rescale = Rescale::new(self.scales, to);
        let mut image = self.image.clone();
        rescale.image(&mut image);
        if keep_all && !rescale.lossless {
            let detail = format!(
                "its other values do not fit at {} decimal places of prices and {} of quantities",
                to.price.places(),
                to.quantity.places()
            );
            return Err(Poison::new(Cause::ScaleOutOfRange, detail));
        }
        self.info.tick_size = rescale.tick_size(self.info.tick_size);
        self.jump = Jump::default();
        // The empty bar takes back all bars, so that none stays behind that could not be kept.
        let lost_bars = (image.bars.len() < self.image.bars.len()).then(|| Body::Bar(v1::Bar::default()));
        self.image = image;
        self.set_scales(to);
        Ok(lost_bars.into_iter().chain(self.scaled_bodies()).map(|body| self.image_of(body, seq)).collect())
    }

    /// Names the scales in the info as well.
    pub(super) fn set_scales(&mut self, scales: Scales) {
        self.scales = scales;
        self.info.price_scale = scales.price.places();
        self.info.quantity_scale = scales.quantity.places();
    }

    /// Everything that has scales. Status and score have none: repeating them would look like another halt or goal.
    pub(super) fn scaled_bodies(&self) -> impl Iterator<Item = Body> {
        let image = &self.image;
        (image.quote.map(Body::Quote).into_iter())
            .chain(image.odds.clone().map(Body::Odds))
            .chain(image.bars.iter().copied().map(Body::Bar))
    }

    /// `body` as an IMAGE at position `seq`.
    pub(super) fn image_of(&self, body: Body, seq: u64) -> v1::Update {
        v1::Update {
            id: self.info.id,
            seq,
            ts_event_us: kind_of(&body).map_or(0, |kind| self.versions[kind]),
            flags: UpdateFlag::Image as u32,
            body: Some(body),
            ..Default::default()
        }
    }

    /// An older version never overwrites a newer one.
    fn admit_version(&self, version: u64, body: &Body, clock: &LogClock) -> Result<(), Poison> {
        let old = |detail| Err(Poison::new(Cause::OldVersion, detail));
        if let Body::Bar(bar) = body {
            // Bars of several lengths have clocks of their own: their starts are their versions, and final is the end of each.
            let newest = self.image.bars.iter().find(|known| known.length_s == bar.length_s);
            return match newest {
                Some(newest) if bar.start_us < newest.start_us => old(format!("bar starts before the newest of {} s", bar.length_s)),
                Some(newest) if bar.start_us == newest.start_us && newest.r#final && !bar.r#final => old("bar is final already".into()),
                _ => Ok(()),
            };
        }
        let newest = kind_of(body).map_or(0, |kind| self.versions[kind]);
        if version != 0 && version < newest && clock.reaches(newest) {
            return old(format!("ts_event_us {version} is older than {newest}"));
        }
        Ok(())
    }

    /// The state stays bounded, also when each update is small.
    fn admit_size(&self, body: &Body, replaces: bool) -> Result<(), Poison> {
        match body {
            // Its own size was checked, and nothing of the old state stays.
            Body::Score(_) | Body::Odds(_) if replaces => Ok(()),
            Body::Score(score) => {
                let known = self.image.score.as_ref().map(|score| &score.extra);
                let new = score.extra.keys().filter(|key| known.is_none_or(|known| !known.contains_key(*key))).count();
                check::at_most("score.extra", known.map_or(0, |known| known.len()) + new, EXTRA_KEYS_MAX)
            }
            Body::Odds(odds) => {
                let known = self.image.odds.as_ref().map_or(&[][..], |odds| &odds.outcomes);
                if known.len() + odds.outcomes.len() <= OUTCOMES_MAX {
                    return Ok(());
                }
                let new = odds.outcomes.iter().filter(|outcome| known.iter().all(|known| known.id != outcome.id)).count();
                check::at_most("odds.outcomes", known.len() + new, OUTCOMES_MAX)
            }
            Body::Bar(bar) if self.image.bars.iter().all(|known| known.length_s != bar.length_s) => {
                check::at_most("lengths of bars", self.image.bars.len() + 1, BARS_MAX)
            }
            _ => Ok(()),
        }
    }
}

/// Kinds of body that are state. Trades are events that overwrite nothing.
fn kind_of(body: &Body) -> Option<usize> {
    match body {
        Body::Quote(_) => Some(0),
        Body::Status(_) => Some(1),
        Body::Score(_) => Some(2),
        Body::Odds(_) => Some(3),
        Body::Bar(_) => Some(4),
        Body::Trade(_) => None,
    }
}

const KINDS: usize = 5;
