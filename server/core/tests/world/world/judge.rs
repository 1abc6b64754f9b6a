//! What must hold at any time, and in the end.

use std::cmp::Reverse;
use std::time::Duration;

use tickwire_proto::session::State;

use super::{Verdict, World};
use crate::fields::{Fields, fields_of};

impl World {
    /// What must hold of a client at any time. Nothing of this changes but with its session or with time, and its session asks to be driven
    /// before time changes it.
    pub(super) fn judge_client(&self, c: usize) -> Verdict {
        let client = &self.clients[c];
        if client.session.token().is_some_and(|token| token.starts_with("late")) {
            return Err(format!("client {c} took a token that came too late"));
        }
        for subscription in &client.subscriptions {
            let waiting = client.session.waiting(subscription.id);
            if waiting > self.market.instruments.len() + client.events_max.max(2) {
                return Err(format!("client {c}: {waiting} changes wait for an application that does not read"));
            }
        }
        let state = client.session.state();
        let Some(heard) = client.heard.filter(|_| state.is_current()) else { return Ok(()) };
        let silent_at = heard.at + SILENT_MAX;
        if self.now > silent_at || client.due().is_none_or(|at| at > silent_at) {
            return Err(format!("client {c} is {state:?}, and would not notice that it has heard nothing since {:?}", heard.at));
        }
        if state == State::Live && !heard.was_fed {
            return Err(format!("client {c} is Live, and the feed was mute when its newest frame was written at {:?}", heard.written_at));
        }
        Ok(())
    }

    /// No connection takes more memory than docs/limits.md says of its worst case, with the queues of these nodes.
    pub(super) fn judge_memory(&self) -> Verdict {
        for (key, wire) in &self.network.wires {
            let Some(bytes) = self.nodes[wire.node].engine.bytes_held(*key) else { continue };
            let bound = CONNECTION_BYTES_MAX + SUBSCRIPTION_BYTES_MAX * self.market.instruments.len();
            if bytes > bound {
                return Err(format!("node {} holds {bytes} bytes for one connection, and {bound} is the most", wire.node));
            }
        }
        Ok(())
    }

    /// Something happened to a client; after a while it owes freshness again.
    pub(super) fn unsettle(&mut self, c: usize) {
        self.clients[c].unsettle(self.now);
        self.checks.push(Reverse((self.now + SETTLED_AFTER + TICK, c)));
        self.touch(c);
    }

    /// A node has read news; its clients have to show them in time.
    pub(super) fn expect_news(&mut self, n: usize) {
        for (c, client) in self.clients.iter_mut().enumerate() {
            if self.network.wire_of(client.wire).is_some_and(|wire| wire.node == n) {
                let spans = client.late_maxes(&self.market);
                self.checks.extend(spans.into_iter().map(|span| Reverse((self.now + span + TICK, c))));
            }
        }
    }

    pub(super) fn judge_what_is_due(&mut self) -> Verdict {
        while let Some(Reverse((_, c))) = self.checks.peek().copied().filter(|Reverse((at, _))| *at <= self.now) {
            self.checks.pop();
            self.judge_fresh(c)?;
        }
        Ok(())
    }

    /// On a good link, what the node knows is shown after the interval that was granted.
    fn judge_fresh(&mut self, c: usize) -> Verdict {
        let Self { clients, network, nodes, market, checks, now, .. } = self;
        let client = &mut clients[c];
        let Some(wire) = network.wire_of(client.wire) else { return Ok(()) };
        let node = &nodes[wire.node];
        if client.paused || wire.blocked || wire.is_slow() || !node.is_synced() {
            return Ok(());
        }
        let settled_at = client.changed_at.max(wire.rough_at) + SETTLED_AFTER;
        if *now < settled_at {
            if client.changed_at < wire.rough_at {
                checks.push(Reverse((settled_at + TICK, c)));
            }
            return Ok(());
        }
        for (n, truth) in market.instruments.iter().enumerate() {
            let Some(late_max) = client.late_max(n, market) else { continue };
            let shown = client.session.latest(&truth.symbol);
            let seq = shown.map_or(0, |shown| shown.seq);
            // Cheap, and as a rule enough: nothing is newer.
            if truth.states.last().is_none_or(|newest| newest.life == node.life() && newest.seq <= seq) {
                continue;
            }
            let Some(state) = truth.newest_state(node.life(), node.read_before(*now - late_max)) else { continue };
            if seq < state.seq && shown.is_none_or(|shown| fields_of(&shown.image) != state.fields) {
                return Err(format!("client {c} shows {} of {seq}, and its node has had {} for {late_max:?}", truth.symbol, state.seq));
            }
        }
        Ok(())
    }

    /// Timers do not come in storms.
    pub(super) fn judge_haste(&mut self) -> Verdict {
        let second = self.now.as_micros() / 1_000_000;
        self.second = if self.second.0 == second { (second, self.second.1 + 1) } else { (second, 1) };
        if self.second.1 <= STEPS_PER_S_MAX + STEPS_PER_S_OF_CLIENT * self.clients.len() as u32 {
            return Ok(());
        }
        let nodes: Vec<_> = self.nodes.iter().map(|node| (node.engine.deadline(), node.deadline())).collect();
        let steps = self.second.1;
        Err(format!("a storm of timers: {steps} steps in a second, now {:?}, nodes {nodes:?}, clients {:?}", self.now, self.dues))
    }

    pub(super) fn judge_end(&mut self) -> Verdict {
        for c in 0..self.clients.len() {
            self.read(c, usize::MAX)?;
            let client = &self.clients[c];
            let is_idle = !client.two_way && client.subscriptions.is_empty();
            let expected = if is_idle { State::Idle } else { State::Live };
            if client.session.state() != expected {
                return Err(format!("client {c} is {:?} in the end, with {:?}", client.session.state(), client.session.feeds()));
            }
            if client.is_slow {
                return Err(format!("client {c} was told that it is slow, and never that this is over"));
            }
            self.judge_clock(c)?;
            for subscription in client.subscriptions.iter().filter(|subscription| !subscription.is_refused) {
                for (n, truth) in self.market.instruments.iter().enumerate() {
                    if !subscription.pattern.matches(&truth.name) {
                        continue;
                    }
                    let shown = client.session.latest(&truth.symbol).map(|shown| fields_of(&shown.image)).unwrap_or_default();
                    let now = truth.now(self.market.life).cloned().unwrap_or_else(Fields::default);
                    if shown != now {
                        return Err(format!("client {c} ends with {shown:?} of {}, not {now:?}", truth.symbol));
                    }
                    subscription.reader.end(n, truth, self.market.life).map_err(|error| format!("client {c}: {error}"))?;
                }
            }
        }
        self.judge_leftovers()
    }

    /// The client's estimate of its node's clock is right.
    fn judge_clock(&self, c: usize) -> Verdict {
        let client = &self.clients[c];
        let told = client.session.server_time_us(self.now + client.clock);
        let node = self.network.wire_of(client.wire).map(|wire| &self.nodes[wire.node]);
        // A one-way client has only the Welcome to go by, which may have been slow.
        if let (Some(told), Some(node), true) = (told, node, client.two_way) {
            let is = node.unix_us(self.now);
            if told.abs_diff(is) > CLOCK_ERROR_MAX_US {
                return Err(format!("client {c} takes its node's clock to be at {told}, and it is at {is}"));
            }
        }
        Ok(())
    }

    /// Nodes keep nothing of clients that are gone.
    fn judge_leftovers(&mut self) -> Verdict {
        for (key, wire) in std::mem::take(&mut self.network.wires) {
            self.nodes[wire.node].engine.detach(key);
        }
        for (n, node) in self.nodes.iter().enumerate() {
            let stats = node.engine.stats();
            if (stats.connections, stats.subscriptions, stats.lanes) != (0, 0, 0) {
                return Err(format!("node {n} keeps something of clients that are gone: {stats:?}"));
            }
        }
        Ok(())
    }
}

/// Of a client that takes nothing. Nodes keep 64 events for it at most, a quarter of what the formula of docs/limits.md stands for.
const CONNECTION_BYTES_MAX: usize = (96 << 10) / 4;
const SUBSCRIPTION_BYTES_MAX: usize = 400;
/// A connection and a mind that were left alone for this long owe freshness.
pub(crate) const SETTLED_AFTER: Duration = Duration::from_secs(8);
/// Two heartbeats and half a second, and one step.
const SILENT_MAX: Duration = Duration::from_millis(2_501);
/// Error of a clock's estimate.
const CLOCK_ERROR_MAX_US: u64 = 200_000;
const STEPS_PER_S_MAX: u32 = 3_000;
const STEPS_PER_S_OF_CLIENT: u32 = 400;
/// The step of time.
const TICK: Duration = Duration::from_micros(1);
