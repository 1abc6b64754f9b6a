//! What the feed task hands to every shard: decoded once, shared by reference.

use alloc::string::String;
use alloc::vec::Vec;

use tickwire_proto::v1::{self, UpdateFlag, update::Body};

/// Numeric name of an instrument on this node: dense from 1, in the order of first appearance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstrumentId(pub u32);

/// A run of entries, in the order of the log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// What happened.
    pub entries: Vec<Entry>,
}

impl Batch {
    /// Whether all of it can wait, if changes of state can of the instruments that `lets_wait` names
    /// ([`Engine::lets_wait`](crate::Engine::lets_wait)).
    pub fn can_wait(&self, mut lets_wait: impl FnMut(InstrumentId) -> bool) -> bool {
        self.entries.iter().all(|entry| match entry {
            Entry::Position(_) => true,
            Entry::Update(update) => is_mere_state(update) && lets_wait(InstrumentId(update.id)),
            _ => false,
        })
    }
}

/// Whether this cannot be an event, whatever the book says. Single trades wait with the state in their lanes.
fn is_mere_state(update: &v1::Update) -> bool {
    if update.flags & (UpdateFlag::Event as u32 | UpdateFlag::Correction as u32) != 0 {
        return false;
    }
    // What is cleared or left out of an image may be a result.
    let only_sets = update.clear.is_empty() && update.flags & UpdateFlag::Image as u32 == 0;
    match &update.body {
        Some(Body::Quote(_)) => true,
        Some(Body::Trade(trade)) => !trade.correction && !trade.bust,
        Some(Body::Bar(bar)) => !bar.r#final,
        Some(Body::Score(score)) => only_sets && score.r#final.is_none(),
        Some(Body::Odds(odds)) => only_sets && odds.outcomes.iter().all(|outcome| outcome.result.is_none() && outcome.active.is_none()),
        Some(Body::Status(_)) | None => false,
    }
}

/// One thing that happened to the book.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// A new life of the log: every body becomes empty, events are forgotten, positions start again. Ids and names stay. The book is
    /// incomplete until [`Entry::Synced`]; then every subscriber gets images.
    Reset {
        /// Identity of the log from now on.
        epoch: String,
    },
    /// The book is complete: the node has caught up with the log. Before the first one, subscribes are held back unanswered, so that
    /// nobody is told `UNKNOWN_SYMBOL` by a node that is still reading.
    Synced,
    /// A new instrument, or new scales of a known one. `info.id` is set. If scales changed, images at the new scales follow as updates.
    Instrument(v1::InstrumentInfo),
    /// A validated update: `id`, `seq` and `ts_event_us` are set, the body is there, `symbol` is empty.
    Update(v1::Update),
    /// The images of an instrument, just restored from a checkpoint, stand for no newer events than these.
    Events {
        /// The instrument.
        id: InstrumentId,
        /// Its newest events.
        newest: v1::EventPositions,
    },
    /// Events of every instrument may be missing between two positions: the log was truncated while nobody listened.
    Gap {
        /// Last position applied.
        from: u64,
        /// First position after the loss.
        to: u64,
    },
    /// A feed changed its health.
    Feed(v1::FeedState),
    /// Everything up to here has been applied, even if it changed nothing (poison, signs of life).
    Position(u64),
}
