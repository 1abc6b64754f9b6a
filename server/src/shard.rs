//! Shards: one thread, one engine, its own connections and its own epoll loop each. No lock on the path of a tick.

use std::sync::Arc;

use tickwire_core::Batch;
use tickwire_proto::v1;

/// Handle on all shards of this node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Shards {}

impl Shards {
    /// Gives every shard the batch. Waits while a shard's queue is full, so a slow shard slows the feed and nothing is lost.
    pub async fn apply(&self, batch: Arc<Batch>) {
        let _ = batch;
        unimplemented!()
    }

    /// Every instrument with its images, from one shard, at one position: its newest applied.
    pub async fn images(&self) -> BookImages {
        unimplemented!()
    }
}

/// A copy of the book at one position.
#[derive(Clone, Debug, Default)]
pub struct BookImages {
    /// Newest position applied.
    pub seq: u64,
    /// Instruments with one image per body kind.
    pub instruments: Vec<(v1::InstrumentInfo, Vec<v1::Update>)>,
}
