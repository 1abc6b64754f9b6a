//! The whole state of one instrument, and how updates change it: one place for the book of a server and the table of a client.
//!
//! [`Image::apply`] also says what changed ([`Changed`]), so that a server can remember a mask instead of values and read the values
//! from the image when a record leaves: [`Image::records`].

use alloc::vec::Vec;

use crate::v1;
use crate::v1::update::Body;

mod changed;
mod merge;

pub use changed::{Changed, Kind, Kinds};

/// The newest values of one instrument, by kind of body. A body without any value is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Image {
    /// Prices, if it has any. Never holds `interval_high` and `interval_low`: they belong to a record, not to a state.
    pub quote: Option<v1::Quote>,
    /// What the market says, if anything was said.
    pub status: Option<v1::Status>,
    /// The match, for events.
    pub score: Option<v1::Score>,
    /// Outcomes, for sports markets, in the order of ids, those of which something is known. At most [`OUTCOMES_MAX`].
    pub odds: Option<v1::Odds>,
    /// The newest bar of each length, shortest first. At most [`BARS_MAX`].
    pub bars: Vec<v1::Bar>,
}

impl Image {
    /// Applies a delta or an image (`IMAGE` replaces the whole body of its kind), and says what that touched. Trades change nothing here.
    /// Idempotent.
    ///
    /// Fields named in `clear` become unknown before the fields of the body are set. A bar that starts before the newest of its length is
    /// passed over; as an `IMAGE` it replaces it, and an `IMAGE` bar of length 0 empties all bars.
    ///
    /// The caller guards by `seq`.
    pub fn apply(&mut self, update: &v1::Update) -> Changed {
        let image = update.flags & v1::UpdateFlag::Image as u32 != 0;
        let mut changed = Changed::default();
        match &update.body {
            Some(Body::Quote(quote)) => merge::quote(&mut self.quote, quote, &update.clear, image, &mut changed),
            Some(Body::Status(status)) => merge::status(&mut self.status, status, &update.clear, image, &mut changed),
            Some(Body::Score(score)) => merge::score(&mut self.score, score, &update.clear, image, &mut changed),
            Some(Body::Odds(odds)) => merge::odds(&mut self.odds, odds, &update.clear, image, &mut changed),
            Some(Body::Bar(bar)) => merge::bar(&mut self.bars, bar, image, &mut changed),
            Some(Body::Trade(_)) | None => {}
        }
        changed
    }

    /// The kinds that have a value.
    pub fn kinds(&self) -> Kinds {
        let mut kinds = Kinds::NONE;
        kinds.set(Kind::Quote, self.quote.is_some());
        kinds.set(Kind::Score, self.score.is_some());
        kinds.set(Kind::Odds, self.odds.is_some());
        kinds.set(Kind::Bar, !self.bars.is_empty());
        kinds.set(Kind::Status, self.status.is_some());
        kinds
    }

    /// Gives the records that bring a holder of an older image up to this one, when `changed` is what was touched since: one per kind,
    /// bars one each, the status last. Values are the newest; a touched field that is unknown now is named in `clear`.
    ///
    /// The records have `flags` (`IMAGE` where it applies), `clear` and body; the caller sets the rest.
    pub fn records(&self, changed: &Changed, mut give: impl FnMut(Kind, v1::Update)) {
        if changed.is_image(Kind::Quote) {
            give(Kind::Quote, whole(Body::Quote(self.quote.unwrap_or_default())));
        } else if changed.quote != 0 {
            give(Kind::Quote, merge::quote_record(self.quote.as_ref(), changed));
        }
        if changed.is_image(Kind::Score) {
            give(Kind::Score, whole(Body::Score(self.score.clone().unwrap_or_default())));
        } else if changed.score != 0 {
            give(Kind::Score, merge::score_record(self.score.as_ref(), changed));
        }
        if changed.is_image(Kind::Odds) {
            give(Kind::Odds, whole(Body::Odds(self.odds.clone().unwrap_or_default())));
        } else if changed.has_odds() {
            give(Kind::Odds, merge::odds_record(self.odds.as_ref(), changed));
        }
        if changed.bars_emptied {
            give(Kind::Bar, whole(Body::Bar(v1::Bar::default())));
        }
        for bar in &self.bars {
            if changed.is_image(Kind::Bar) || changed.bars_emptied {
                give(Kind::Bar, whole(Body::Bar(*bar)));
            } else if changed.touches_bar(bar.length_s) {
                give(Kind::Bar, v1::Update { body: Some(Body::Bar(*bar)), ..v1::Update::default() });
            }
        }
        if changed.is_image(Kind::Status) {
            give(Kind::Status, whole(Body::Status(self.status.clone().unwrap_or_default())));
        } else if changed.status {
            give(Kind::Status, merge::status_record(self.status.as_ref()));
        }
    }
}

fn whole(body: Body) -> v1::Update {
    v1::Update { flags: v1::UpdateFlag::Image as u32, body: Some(body), ..v1::Update::default() }
}

/// Bar lengths per instrument. A further length replaces nothing and is refused.
pub const BARS_MAX: usize = 16;
/// Outcomes per instrument. A further one is refused.
pub const OUTCOMES_MAX: usize = 512;
/// Keys of `Score.extra` per instrument. A further one is refused.
pub const EXTRA_KEYS_MAX: usize = 32;

#[cfg(test)]
mod tests;
