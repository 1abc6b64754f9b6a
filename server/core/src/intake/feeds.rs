//! The feeds of a node, as the intake knows them: which symbols are whose, and what each may do.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use tickwire_proto::{Pattern, Symbol};

use super::plausible::Plausible;
use super::{Cause, Poison};
use crate::health::FeedRule;

/// Every feed, in the order of its first rule.
#[derive(Debug)]
pub(super) struct Feeds {
    /// Patterns, and the place of their feed in `feeds`. The first that matches counts.
    rules: Vec<(Pattern, FeedIndex)>,
    feeds: Vec<Feed>,
}

/// Place of a feed. Symbols of no rule have one as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FeedIndex(usize);

/// One feed. Its first rule sets what it may do.
#[derive(Debug)]
pub(super) struct Feed {
    /// Empty for the symbols of no rule.
    pub(super) name: String,
    /// What its prices may be.
    pub(super) plausible: Option<Plausible>,
    namespace: String,
    instruments_max: usize,
    /// How many instruments it has. They are never given back.
    instruments: usize,
}

impl Feeds {
    /// The feeds that rules name.
    pub(super) fn new(rules: &[FeedRule]) -> Self {
        let nobody = Feed { name: String::new(), plausible: None, namespace: String::new(), instruments_max: usize::MAX, instruments: 0 };
        let mut feeds = Self { rules: Vec::new(), feeds: Vec::from([nobody]) };
        for rule in rules {
            let known = feeds.feeds.iter().skip(1).position(|feed| feed.name == rule.feed).map(|at| at + 1);
            let index = known.unwrap_or_else(|| {
                feeds.feeds.push(Feed {
                    name: rule.feed.clone(),
                    plausible: Some(rule.plausible.clone()).filter(|plausible| !plausible.checks_nothing()),
                    namespace: rule.namespace.clone(),
                    instruments_max: rule.instruments_max,
                    instruments: 0,
                });
                feeds.feeds.len() - 1
            });
            feeds.rules.push((rule.pattern.clone(), FeedIndex(index)));
        }
        feeds
    }

    /// Whose `symbol` is.
    pub(super) fn of(&self, symbol: &Symbol) -> FeedIndex {
        self.rules.iter().find(|(pattern, _)| pattern.matches(symbol)).map_or(FeedIndex(0), |(_, index)| *index)
    }

    /// The feed at a place.
    pub(super) fn get(&self, index: FeedIndex) -> &Feed {
        &self.feeds[index.0]
    }

    /// Counts one more instrument of a feed, if it may have that.
    pub(super) fn admit(&mut self, index: FeedIndex, symbol: &Symbol) -> Result<(), Poison> {
        let feed = &mut self.feeds[index.0];
        if !symbol.as_str().starts_with(feed.namespace.as_str()) {
            let problem = format!("does not begin with {:?}, as symbols of the feed {:?} do", feed.namespace, feed.name);
            return Err(Poison::about(Cause::OutsideNamespace, symbol.as_str(), problem));
        }
        if feed.instruments >= feed.instruments_max {
            let problem = format!("would be one more than the {} of the feed {:?}", feed.instruments_max, feed.name);
            return Err(Poison::about(Cause::TooManyInstruments, symbol.as_str(), problem));
        }
        feed.instruments += 1;
        Ok(())
    }
}
