//! Feed health: tells quiet from mute, by rules per feed, on the monotonic clock.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use tickwire_proto::time::Moment;
use tickwire_proto::v1;

/// The rules of one feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedRule {
    /// Name of the feed.
    pub feed: String,
    /// Symbols of the feed, as a pattern; the first rule that matches a symbol names its feed.
    pub pattern: tickwire_proto::Pattern,
    /// STALE after this silence. `None`: only announced signs of life count.
    pub silence_max: Option<Duration>,
    /// DELAYED when data is older than this on arrival.
    pub age_max: Option<Duration>,
}

/// Health of every feed. `handle`-like calls change it; [`Monitor::poll`] gives the transitions.
#[derive(Debug)]
pub struct Monitor {
    rules: Vec<FeedRule>,
}

impl Monitor {
    /// Every feed starts as DOWN ("not connected yet").
    pub fn new(rules: Vec<FeedRule>, now: Moment, unix_us: u64) -> Self {
        let _ = (now, unix_us);
        Self { rules }
    }

    /// The log was reached; the node is catching up with it.
    pub fn recovering(&mut self, now: Moment) {
        let _ = (now, &self.rules);
        unimplemented!()
    }

    /// The node has caught up with the log.
    pub fn caught_up(&mut self, now: Moment) {
        let _ = now;
        unimplemented!()
    }

    /// The log cannot be reached.
    pub fn down(&mut self, now: Moment, reason: &str) {
        let _ = (now, reason);
        unimplemented!()
    }

    /// Data of `feed` arrived at position `seq`, `age` old.
    pub fn heard(&mut self, now: Moment, feed: &str, seq: u64, age: Option<Duration>) {
        let _ = (now, feed, seq, age);
        unimplemented!()
    }

    /// A sign of life of `feed` arrived; the next is due within `interval`.
    pub fn alive(&mut self, now: Moment, feed: &str, seq: u64, interval: Option<Duration>) {
        let _ = (now, feed, seq, interval);
        unimplemented!()
    }

    /// Transitions since the last call, newest state per feed. `unix_us` stamps `since_us`.
    pub fn poll(&mut self, now: Moment, unix_us: u64) -> Vec<v1::FeedState> {
        let _ = (now, unix_us);
        unimplemented!()
    }

    /// When [`Monitor::poll`] has to be called at the latest.
    pub fn deadline(&self) -> Option<Moment> {
        unimplemented!()
    }

    /// Every feed's state.
    pub fn states(&self) -> Vec<v1::FeedState> {
        unimplemented!()
    }
}
