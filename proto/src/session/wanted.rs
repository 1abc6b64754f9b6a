//! What the application wants, and what the server has been told of it: the one is brought to the other after each connect and change.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Item, SubscribeOptions, SubscriptionId};
use crate::planted::{Fault, planted};
use crate::symbol::{Pattern, Symbol};
use crate::v1;
use crate::v1::client_frame::Command;
use crate::v1::subscribe_item;

/// The wanted set. Survives connections; what was told to the server does not.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    wishes: BTreeMap<SubscriptionId, Wish>,
    /// By spelling. Bounded by [`TARGETS_MAX`].
    targets: BTreeMap<String, Target>,
    /// Told to the server, and no longer wanted by anybody.
    leaving: Vec<String>,
    /// Whether the server may have something to learn.
    changed: bool,
    /// The resume token is of this connection: it covers what becomes complete from now on. One of another node may be ahead of this one.
    has_token: bool,
    last: u32,
}

/// One subscription of the application.
#[derive(Debug)]
struct Wish {
    options: SubscribeOptions,
    targets: Vec<String>,
}

/// A symbol or pattern that at least one subscription wants.
#[derive(Debug)]
struct Target {
    /// A symbol is a pattern without wildcards.
    pattern: Pattern,
    wild: bool,
    wanted_by: Vec<SubscriptionId>,
    /// Its images were complete when the resume token was taken, or afterwards on the same connection, and are kept up to date since: the
    /// token covers it.
    held: bool,
    /// Whether the server may have it, whatever became of the newest request: then it has to be told when nobody wants it any more.
    told: bool,
    /// Whether the server said on this connection that it sends it.
    granted: bool,
    /// Whether it sends single trades with it, from where the resume token ends.
    resumes_trades: bool,
    wire: Wire,
}

impl Target {
    /// Whether the server has granted it with single trades.
    fn sends_trades(&self) -> bool {
        matches!(self.wire, Wire::Granted { terms, .. } | Wire::Complete { terms } if terms.trades)
    }
}

/// What the server knows of a target on this connection.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wire {
    Unasked,
    Asked { request: u32, terms: Terms },
    Granted { request: u32, terms: Terms },
    Complete { terms: Terms },
    Refused { terms: Terms },
}

/// How a target is asked for: the fastest rate and the most detail that any of its subscriptions wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) conflate_ms: Option<u32>,
    pub(super) trades: bool,
}

/// A refusal, for one subscription.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) subscription: SubscriptionId,
    pub(super) symbol: String,
    pub(super) code: v1::ErrorCode,
}

impl Wanted {
    /// Adds a subscription. What cannot be asked for is appended to `refusals`.
    pub(super) fn add(&mut self, items: &[Item], options: SubscribeOptions, refusals: &mut Vec<Refusal>) -> SubscriptionId {
        self.last = self.last.wrapping_add(1);
        let subscription = SubscriptionId(self.last);
        let mut wish = Wish { options, targets: Vec::new() };
        for Item { target } in items {
            let refused = match Pattern::parse(target) {
                Err(_) => Some(v1::ErrorCode::BadSymbol),
                Ok(_) if self.targets.len() >= TARGETS_MAX && !self.targets.contains_key(target) => {
                    Some(v1::ErrorCode::TooManySubscriptions)
                }
                Ok(pattern) => {
                    self.want(subscription, pattern, &mut wish);
                    None
                }
            };
            if let Some(code) = refused {
                refusals.push(Refusal { subscription, symbol: target.clone(), code });
            }
        }
        self.wishes.insert(subscription, wish);
        self.changed = true;
        subscription
    }

    fn want(&mut self, subscription: SubscriptionId, pattern: Pattern, wish: &mut Wish) {
        let text = pattern.as_str().to_string();
        let wild = Pattern::is_wild(&text);
        let target = self.targets.entry(text.clone()).or_insert_with(|| Target {
            pattern,
            wild,
            wanted_by: Vec::new(),
            held: false,
            told: false,
            granted: false,
            resumes_trades: false,
            wire: Wire::Unasked,
        });
        if !target.wanted_by.contains(&subscription) {
            target.wanted_by.push(subscription);
            wish.targets.push(text);
        }
        // A new subscription deserves a new answer.
        if let Wire::Refused { .. } = target.wire {
            target.wire = Wire::Unasked;
        }
    }

    /// Ends a subscription. Returns whether there was one.
    pub(super) fn remove(&mut self, subscription: SubscriptionId) -> bool {
        let Some(wish) = self.wishes.remove(&subscription) else { return false };
        for text in wish.targets {
            let Some(target) = self.targets.get_mut(&text) else { continue };
            target.wanted_by.retain(|other| *other != subscription);
            if target.wanted_by.is_empty() {
                if target.told {
                    self.leaving.push(text.clone());
                }
                self.targets.remove(&text);
            }
        }
        self.changed = true;
        true
    }

    /// Changes the rate of a subscription.
    pub(super) fn set_conflation(&mut self, subscription: SubscriptionId, conflate_ms: Option<u32>) {
        if let Some(wish) = self.wishes.get_mut(&subscription) {
            wish.options.conflate_ms = conflate_ms;
            self.changed = true;
        }
    }

    /// A new connection: the server knows nothing.
    pub(super) fn forget_told(&mut self) {
        self.leaving.clear();
        self.has_token = planted(Fault::ClientTrustsTokenOfOthers);
        self.changed = !self.targets.is_empty() && !planted(Fault::ClientForgetsWanted);
        for target in self.targets.values_mut() {
            (target.told, target.granted, target.resumes_trades, target.wire) = (false, false, false, Wire::Unasked);
        }
    }

    /// One-way: the request itself asked for everything.
    pub(super) fn all_asked(&mut self, default_ms: Option<u32>) {
        let terms = self.terms_of_all(default_ms);
        for target in self.targets.values_mut() {
            target.wire = Wire::Asked { request: ONE_WAY_REQUEST, terms };
            target.resumes_trades = terms.trades;
        }
    }

    /// The next command that brings the server nearer to what is wanted, or `None` if it knows everything.
    ///
    /// `held_first`: this is the first Subscribe after a Hello with a resume token, which covers what is held and nothing else.
    pub(super) fn next_command(&mut self, request: u32, default_ms: Option<u32>, bytes_max: usize, held_first: bool) -> Option<Command> {
        let mut budget = Budget { bytes: bytes_max, items: ITEMS_MAX };
        if !self.leaving.is_empty() {
            let count = self.leaving.iter().take_while(|text| budget.takes(text)).count().max(1);
            let symbols = self.leaving.drain(..count).collect();
            return Some(Command::Unsubscribe(v1::Unsubscribe { symbols, all: false }));
        }
        let mut items = Vec::new();
        let mut full = false;
        for (text, target) in &mut self.targets {
            let terms = terms_of(&self.wishes, target.wanted_by.iter().copied(), default_ms);
            if target.wire.terms() == Some(terms) || (held_first && !target.held) {
                continue;
            }
            full = full || !budget.takes(text);
            if full {
                if held_first {
                    // Left to a later Subscribe, which the token does not cover.
                    target.held = false;
                    continue;
                }
                break;
            }
            if !held_first && terms.trades && !target.wire.terms().is_some_and(|before| before.trades) {
                // A token of another node may be ahead of the trades that this one is about to tell: it does not cover them.
                target.held &= self.has_token || planted(Fault::ClientHoldsLaterTrades);
            }
            (target.told, target.wire) = (true, Wire::Asked { request, terms });
            target.resumes_trades |= held_first && terms.trades;
            let named = if target.wild { subscribe_item::Target::Pattern } else { subscribe_item::Target::Symbol };
            // The default of Hello goes without saying.
            let conflate_ms = terms.conflate_ms.filter(|_| terms.conflate_ms != default_ms);
            items.push(v1::SubscribeItem { target: Some(named(text.clone())), conflate_ms, trades: terms.trades });
        }
        self.changed = !items.is_empty() || held_first;
        (!items.is_empty()).then_some(Command::Subscribe(v1::Subscribe { items, replace: false }))
    }

    /// What became of a request, item by item. Refusals are appended, one for each subscription.
    pub(super) fn acknowledge(&mut self, ack: &v1::SubscribeAck, one_way: bool, refusals: &mut Vec<Refusal>) {
        for result in &ack.results {
            let Some(target) = self.targets.get_mut(&result.symbol) else { continue };
            let is_granted = result.code == v1::ErrorCode::Unspecified as i32;
            // Also if it was asked for again meanwhile: from here on its records come.
            target.granted |= is_granted;
            let Wire::Asked { request, terms } = target.wire else { continue };
            if !one_way && request != ack.request_id {
                continue;
            }
            if is_granted {
                target.wire = Wire::Granted { request, terms };
            } else {
                target.told = false;
                target.refuse(terms, result.code(), &result.symbol, refusals);
            }
        }
    }

    /// A resume token was taken.
    pub(super) fn take_token(&mut self) {
        self.has_token = true;
        let complete = self.targets.values_mut().filter(|target| matches!(target.wire, Wire::Complete { .. }));
        complete.for_each(|target| target.held = true);
    }

    /// All images of a request are here.
    pub(super) fn complete(&mut self, request_id: u32, one_way: bool) {
        let has_token = self.has_token;
        for target in self.targets.values_mut() {
            match target.wire {
                Wire::Asked { request, terms } | Wire::Granted { request, terms } if one_way || request == request_id => {
                    target.wire = Wire::Complete { terms };
                    target.held |= has_token;
                    target.granted = true;
                }
                _ => {}
            }
        }
    }

    /// A whole Subscribe was refused. `again`: it will be sent once more, otherwise its targets are refused.
    pub(super) fn reject(&mut self, request_id: u32, again: bool, code: v1::ErrorCode, refusals: &mut Vec<Refusal>) {
        for (text, target) in &mut self.targets {
            match target.wire {
                Wire::Asked { request, terms } if request == request_id => {
                    if again {
                        target.wire = Wire::Unasked;
                        self.changed = true;
                    } else {
                        target.refuse(terms, code, text, refusals);
                    }
                }
                _ => {}
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// Whether [`Wanted::next_command`] may have something to say.
    pub(super) fn is_changed(&self) -> bool {
        self.changed
    }

    /// Whether the server has not been asked for something.
    pub(super) fn has_unasked(&self) -> bool {
        self.targets.values().any(|target| target.wire == Wire::Unasked)
    }

    /// Whether every target was answered, and all their images are here.
    pub(super) fn is_settled(&self) -> bool {
        self.targets.values().all(|target| matches!(target.wire, Wire::Complete { .. } | Wire::Refused { .. }))
    }

    /// Whether anything is held, so that a resume token saves images.
    pub(super) fn holds_any(&self) -> bool {
        self.targets.values().any(|target| target.held)
    }

    /// Whether a resume token covers `symbol`.
    pub(super) fn holds(&self, symbol: &Symbol) -> bool {
        self.any_covering(symbol, |target| target.held)
    }

    /// Whether the server goes on with the single trades of `symbol` where the resume token ends.
    pub(super) fn resumes_trades(&self, symbol: &Symbol) -> bool {
        self.any_covering(symbol, |target| target.held && target.resumes_trades)
    }

    /// Whether everything that the server had to say when it began to send the single trades of `symbol` is here.
    pub(super) fn has_trades(&self, symbol: &Symbol) -> bool {
        self.any_covering(symbol, |target| matches!(target.wire, Wire::Complete { terms } if terms.trades))
    }

    /// Whether the server has answered that it sends the single trades of `symbol` as `subscription` wants them.
    pub(super) fn sends_trades(&self, subscription: SubscriptionId, symbol: &Symbol) -> bool {
        self.any_covering(symbol, |target| target.sends_trades() && target.wanted_by.contains(&subscription))
    }

    /// Whether the server has answered all that a subscription asks for, and sends single trades with what it granted.
    pub(super) fn is_answered(&self, subscription: SubscriptionId) -> bool {
        let mut targets =
            self.wishes.get(&subscription).into_iter().flat_map(|wish| &wish.targets).filter_map(|text| self.targets.get(text));
        targets.all(|target| target.sends_trades() || matches!(target.wire, Wire::Refused { .. }))
    }

    /// Whether the server said on this connection that it sends `symbol`.
    pub(super) fn is_served(&self, symbol: &Symbol) -> bool {
        self.any_covering(symbol, |target| target.granted)
    }

    fn any_covering(&self, symbol: &Symbol, is_so: impl Fn(&Target) -> bool) -> bool {
        self.targets.get(symbol.as_str()).is_some_and(&is_so)
            || self.targets.values().any(|target| target.wild && is_so(target) && target.pattern.matches(symbol))
    }

    /// Whether everything wanted is held.
    pub(super) fn holds_all(&self) -> bool {
        self.targets.values().all(|target| target.held)
    }

    /// Whether the images of everything held are complete on this connection too, so that its newer token covers them.
    pub(super) fn is_caught_up(&self) -> bool {
        self.targets.values().all(|target| !target.held || matches!(target.wire, Wire::Complete { .. }))
    }

    /// Every subscription that covers `symbol`, with whether it wants single trades, in the order of their ids.
    pub(super) fn covering(&self, symbol: &Symbol) -> Vec<(SubscriptionId, bool)> {
        let exact = self.targets.get(symbol.as_str()).into_iter();
        let wild = self.targets.values().filter(|target| target.wild && target.pattern.matches(symbol));
        let mut ids: Vec<SubscriptionId> = exact.chain(wild).flat_map(|target| target.wanted_by.iter().copied()).collect();
        ids.sort_unstable();
        ids.dedup();
        ids.into_iter().map(|id| (id, self.wishes.get(&id).is_some_and(|wish| wish.options.trades))).collect()
    }

    /// Whether one subscription covers `symbol`.
    pub(super) fn covers(&self, subscription: SubscriptionId, symbol: &Symbol) -> bool {
        let exact = self.targets.get(symbol.as_str());
        exact.is_some_and(|target| target.wanted_by.contains(&subscription))
            || self.targets.values().any(|target| target.wild && target.wanted_by.contains(&subscription) && target.pattern.matches(symbol))
    }

    /// Targets in order.
    pub(super) fn targets(&self) -> impl Iterator<Item = &str> {
        self.targets.keys().map(String::as_str)
    }

    /// One rate for everything, as a one-way request needs it.
    pub(super) fn terms_of_all(&self, default_ms: Option<u32>) -> Terms {
        terms_of(&self.wishes, self.wishes.keys().copied(), default_ms)
    }
}

impl Target {
    fn refuse(&mut self, terms: Terms, code: v1::ErrorCode, text: &str, refusals: &mut Vec<Refusal>) {
        self.wire = Wire::Refused { terms };
        self.held = false;
        self.granted = false;
        refusals.extend(self.wanted_by.iter().map(|id| Refusal { subscription: *id, symbol: text.to_string(), code }));
    }
}

impl Wire {
    fn terms(self) -> Option<Terms> {
        match self {
            Self::Unasked => None,
            Self::Asked { terms, .. } | Self::Granted { terms, .. } | Self::Complete { terms } | Self::Refused { terms } => Some(terms),
        }
    }
}

/// What one message may still hold.
struct Budget {
    bytes: usize,
    items: usize,
}

impl Budget {
    fn takes(&mut self, text: &str) -> bool {
        let bytes = text.len() + ITEM_BYTES;
        if self.items == 0 || self.bytes < bytes {
            return false;
        }
        self.items -= 1;
        self.bytes -= bytes;
        true
    }
}

fn terms_of(wishes: &BTreeMap<SubscriptionId, Wish>, ids: impl Iterator<Item = SubscriptionId>, default_ms: Option<u32>) -> Terms {
    let mut terms: Option<Terms> = None;
    for options in ids.filter_map(|id| wishes.get(&id)).map(|wish| wish.options) {
        let asked = options.conflate_ms.or(default_ms);
        terms = Some(match terms {
            None => Terms { conflate_ms: asked, trades: options.trades },
            Some(so_far) => Terms { conflate_ms: faster(so_far.conflate_ms, asked), trades: so_far.trades || options.trades },
        });
    }
    terms.unwrap_or_default()
}

/// The faster of two rates, where `None` is the server's default.
fn faster(left: Option<u32>, right: Option<u32>) -> Option<u32> {
    if left.unwrap_or(SERVER_DEFAULT_MS) <= right.unwrap_or(SERVER_DEFAULT_MS) { left } else { right }
}

/// Symbols and patterns of one session. Further ones are refused as TOO_MANY_SUBSCRIPTIONS without asking a server.
pub(super) const TARGETS_MAX: usize = 100_000;
/// Items in one Subscribe or Unsubscribe, as the schema says. The rest goes into the next one.
const ITEMS_MAX: usize = 1_000;
/// Bytes of an item beside its name, in the larger encoding.
const ITEM_BYTES: usize = 64;
/// What servers grant to those who ask for no rate.
const SERVER_DEFAULT_MS: u32 = 250;
/// Stands for the request line of a one-way transport.
const ONE_WAY_REQUEST: u32 = 0;
