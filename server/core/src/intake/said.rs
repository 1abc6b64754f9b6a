//! One update as a feed said it, before it is brought to the scales of its instrument.

use alloc::format;
use alloc::string::{String, ToString};

use tickwire_proto::json::{FeedJsonUpdate, JsonError};
use tickwire_proto::v1::{self, UpdateFlag};

use super::clock::AHEAD_MAX_US;
use super::instrument::Instrument;
use super::{Cause, Poison, check};
use crate::scales::{Rescale, Scales};

/// An unchecked update. It stays where it was decoded: it is large, and to move it costs as much as to read it.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time, on the stack")]
pub(super) enum Said<'a> {
    Protobuf(&'a mut v1::Update),
    /// And what it is at its scales.
    Json(FeedJsonUpdate<'a>, v1::Update),
}

impl Said<'_> {
    /// The symbol that it names, empty if it goes by the routing key.
    pub(super) fn symbol(&self) -> &str {
        match self {
            Self::Protobuf(update) => &update.symbol,
            Self::Json(update, _) => update.symbol().unwrap_or_default(),
        }
    }

    /// The update with its values at the scales that its instrument has from now on: announced ones stay, inferred ones grow.
    ///
    /// `held` is the instrument if it is known, `defaults` are the scales of protobuf values that nobody announced.
    pub(super) fn resolve(&mut self, held: Option<&Instrument>, defaults: Scales) -> Result<(&mut v1::Update, Scales), Poison> {
        let announced = held.filter(|instrument| instrument.announced).map(|instrument| instrument.scales);
        match (self, announced) {
            (Self::Protobuf(update), Some(scales)) => Ok((update, scales)),
            (Self::Protobuf(update), None) => {
                let scales = held.map_or(Ok(defaults), |instrument| instrument.scales.covering(defaults.places()))?;
                let mut rescale = Rescale::new(defaults, scales);
                let kept = update.body.as_mut().is_none_or(|body| rescale.body(body).is_some());
                if !kept || !rescale.lossless {
                    return Err(Poison::new(Cause::BadValue, "a value does not fit at the scales of its instrument"));
                }
                Ok((update, scales))
            }
            (Self::Json(update, resolved), Some(scales)) => {
                *resolved = update.resolve(scales.price, scales.quantity).map_err(bad_json)?;
                Ok((resolved, scales))
            }
            (Self::Json(update, resolved), None) => {
                let needed = update.places().map_err(bad_json)?;
                let scales = match held {
                    Some(instrument) => instrument.scales.covering(needed)?,
                    None => Scales::new(needed.price, needed.quantity)?,
                };
                *resolved = update.resolve(scales.price, scales.quantity).map_err(bad_json)?;
                Ok((resolved, scales))
            }
        }
    }
}

/// Checks an update and removes what feeds do not decide. Returns its version: the time that the feed gave it, 0 = none.
pub(super) fn check(update: &mut v1::Update, publish_us: u64) -> Result<u64, Poison> {
    update.id = 0;
    update.merged = 0;
    // Its memory goes as well: the shards would give it back, each batch from another thread.
    update.symbol = String::new();
    update.flags &= UpdateFlag::Image as u32 | UpdateFlag::Correction as u32 | UpdateFlag::Event as u32;
    let version = update.ts_event_us;
    check::timestamp("ts_event_us", version)?;
    if publish_us != 0 && version > publish_us.saturating_add(AHEAD_MAX_US) {
        return Err(check::bad(format!("ts_event_us {version} is more than an hour after its message")));
    }
    if version == 0 {
        update.ts_event_us = publish_us;
    }
    let Some(body) = &mut update.body else { return Err(Poison::new(Cause::Empty, "update has no body")) };
    check::keep_known_clears(body, &mut update.clear);
    let empties = !update.clear.is_empty() || update.flags & UpdateFlag::Image as u32 != 0;
    if check::says_nothing(body) && !empties {
        return Err(Poison::new(Cause::Empty, "update says nothing"));
    }
    check::body(body)?;
    if check::says_nothing(body) && !empties {
        return Err(Poison::new(Cause::Empty, "update says only what feeds do not decide"));
    }
    Ok(version)
}

fn bad_json(error: JsonError) -> Poison {
    Poison::new(Cause::BadValue, error.to_string())
}
