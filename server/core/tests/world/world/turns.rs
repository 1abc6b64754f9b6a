//! What happens by chance: the market, minds that change, links that fail, nodes that fall and rise.

use std::time::Duration;

use tickwire_proto::session::{Input, SubscribeOptions};

use super::{Verdict, World};
use crate::node::Node;
use crate::random::Random;

/// Times of different kinds take turns.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stretch {
    /// Everything goes wrong at once.
    Storm,
    /// The market is busy, and nothing else happens.
    Rush,
    /// Something happens now and then.
    Calm,
}

impl Stretch {
    /// What comes next, and for how long.
    pub(super) fn draw(random: &mut Random) -> (Self, Duration) {
        let (stretch, least_s, most_s) =
            random.pick(&[(Self::Storm, 10, 40), (Self::Storm, 10, 40), (Self::Rush, 3, 15), (Self::Calm, 30, 200), (Self::Calm, 30, 200)]);
        (stretch, Duration::from_secs(least_s + random.below(most_s - least_s)))
    }

    /// Between two turns, on average.
    pub(super) const fn pause_us(self) -> u64 {
        match self {
            Self::Storm => 40_000,
            Self::Rush => 15_000,
            Self::Calm => 1_500_000,
        }
    }
}

impl World {
    /// Something happens.
    pub(super) fn turn(&mut self, stretch: Stretch) -> Verdict {
        let c = self.random.below(self.clients.len() as u64) as usize;
        let n = self.random.below(self.nodes.len() as u64) as usize;
        let dice = match stretch {
            Stretch::Rush => self.random.below(620),
            Stretch::Storm | Stretch::Calm => self.random.below(1_000),
        };
        match dice {
            0..600 => self.publish(),
            600..648 => self.read(c, 1 + (c % 4))?,
            648..680 => self.subscribe(c),
            680..710 => self.unsubscribe(c),
            710..740 => self.change_rate(c),
            740..760 => {
                let paused = self.random.one_in(2);
                self.pause(c, paused);
            }
            760..800 => self.cut(c),
            800..860 => {
                let span = Duration::from_millis(self.random.below(6_000));
                self.stall(c, span);
            }
            860..870 => self.swallow(c),
            870..880 => {
                self.clients[c].handle(self.now, Input::Wake);
                self.touch(c);
            }
            880..886 => {
                let is_cut_off = !self.nodes[n].is_cut_off;
                self.trace.note(self.now, || format!("node {n}: cut off {is_cut_off}"));
                self.nodes[n].cut_off(self.now, is_cut_off);
                self.ruffle(n);
            }
            886..890 => self.restart(n),
            890..892 => self.reread(n),
            892..896 if self.nodes[n].is_synced() => {
                self.trace.note(self.now, || format!("node {n}: doubts"));
                self.nodes[n].doubt(self.now);
            }
            896..900 if self.random.one_in(4) => self.reset(),
            900..910 => self.checkpoint = self.nodes[n].checkpoint(),
            910..912 if self.market.instruments.len() < INSTRUMENTS_MAX => {
                let symbol = format!("stock.N{}", self.market.instruments.len());
                self.market.list(&symbol);
            }
            912..920 => {
                let span = Duration::from_millis(self.random.below(8_000));
                self.trace.note(self.now, || format!("node {n}: lags for {span:?}"));
                self.nodes[n].lags_until = self.now + span;
            }
            920..952 => self.subscribe(c),
            _ => {}
        }
        Ok(())
    }

    fn publish(&mut self) {
        let (n, dice) = (self.random.below(self.market.instruments.len() as u64) as usize, self.random.next());
        self.market.publish(n, dice, self.now.as_micros());
        self.wake_nodes();
        let (truth, seq) = (&self.market.instruments[n], self.market.log.last().map(|message| message.seq));
        self.trace.note(self.now, || format!("publish {}@{seq:?} {:?}", truth.symbol, truth.states.last().map(|state| &state.fields)));
    }

    fn subscribe(&mut self, c: usize) {
        let target = self.random.pick(&["stock.A", "stock.B", "soccer.x", "soccer.x.1x2", "bar.B", "stock.*", "soccer.#", "#"]);
        let options = SubscribeOptions { conflate_ms: self.random.pick(&RATES), trades: self.random.one_in(2) };
        if self.clients[c].subscriptions.len() < SUBSCRIPTIONS_MAX {
            self.clients[c].subscribe(self.now, target, options);
            self.trace.note(self.now, || format!("client {c}: subscribe {target} {options:?}"));
            self.touch(c);
        }
    }

    fn unsubscribe(&mut self, c: usize) {
        let count = self.clients[c].subscriptions.len();
        if count > 0 {
            let index = self.random.below(count as u64) as usize;
            let gone = &self.clients[c].subscriptions[index].pattern;
            self.trace.note(self.now, || format!("client {c}: unsubscribe {}", gone.as_str()));
            self.clients[c].unsubscribe(self.now, index);
            self.touch(c);
        }
    }

    fn change_rate(&mut self, c: usize) {
        let conflate_ms = self.random.pick(&RATES);
        if !self.clients[c].subscriptions.is_empty() {
            self.clients[c].change_rate(self.now, 0, conflate_ms);
            self.trace.note(self.now, || format!("client {c}: rate {conflate_ms:?}"));
            self.touch(c);
        }
    }

    fn pause(&mut self, c: usize, paused: bool) {
        self.trace.note(self.now, || format!("client {c}: paused {paused}"));
        self.clients[c].paused = paused;
        self.clients[c].handle(self.now, Input::Paused(paused));
        self.unsettle(c);
    }

    /// The connection breaks. The server may notice much later.
    fn cut(&mut self, c: usize) {
        if self.clients[c].wire.is_none() && self.clients[c].opens_at.is_none() {
            return;
        }
        self.trace.note(self.now, || format!("client {c}: cut"));
        self.clients[c].opens_at = None;
        self.hang_up(c);
        self.clients[c].handle(self.now, Input::Closed { code: None, retry_after: None });
        self.touch(c);
    }

    fn stall(&mut self, c: usize, span: Duration) {
        let until = self.now + span;
        if let Some(wire) = self.clients[c].wire.and_then(|key| self.network.wires.get_mut(&key)) {
            (wire.stalled_until, wire.rough_at) = (until, until);
            self.trace.note(self.now, || format!("client {c}: stalled for {span:?}"));
        }
    }

    fn swallow(&mut self, c: usize) {
        if let Some(wire) = self.clients[c].wire.and_then(|key| self.network.wires.get_mut(&key)) {
            wire.swallows = true;
            self.trace.note(self.now, || format!("client {c}: a frame will be lost"));
        }
    }

    /// A node dies, and another one takes its place: with the last checkpoint, or empty.
    fn restart(&mut self, n: usize) {
        self.trace.note(self.now, || format!("node {n}: restarts"));
        self.lose_connections(n);
        let skew_us = self.nodes[n].skew_us;
        self.nodes[n] = Node::new(n, self.now, skew_us, self.terms);
        self.start(n);
    }

    /// A node reads the log again, under its connections.
    fn reread(&mut self, n: usize) {
        self.trace.note(self.now, || format!("node {n}: reads again"));
        self.ruffle_all();
        self.start(n);
    }

    fn start(&mut self, n: usize) {
        let has = !self.random.one_in(3);
        let checkpoint = self.checkpoint.as_ref().filter(|checkpoint| checkpoint.life == self.market.life && has);
        self.nodes[n].start(self.now, &self.market, checkpoint);
        if self.nodes[n].is_cut_off {
            self.nodes[n].cut_off(self.now, true);
        }
    }

    /// The log is lost. All nodes see it at once: lives have no order, so a client could not tell an older one from a newer one.
    fn reset(&mut self) {
        self.trace.note(self.now, || "the log is reset".into());
        self.market.reset();
        self.checkpoint = None;
        self.ruffle_all();
        for n in 0..self.nodes.len() {
            self.start(n);
        }
    }

    fn ruffle_all(&mut self) {
        (0..self.clients.len()).for_each(|c| self.unsettle(c));
    }

    /// Something happened to a node that its clients may notice.
    pub(super) fn ruffle(&mut self, n: usize) {
        for c in 0..self.clients.len() {
            if self.network.wire_of(self.clients[c].wire).is_some_and(|wire| wire.node == n) {
                self.unsettle(c);
            }
        }
    }

    /// From now on nothing goes wrong.
    pub(super) fn heal(&mut self) {
        self.trace.note(self.now, || "quiet".into());
        self.is_quiet = true;
        for c in 0..self.clients.len() {
            self.pause(c, false);
            self.clients[c].is_lazy = false;
        }
        let keys: Vec<_> = self.network.wires.keys().copied().collect();
        for key in keys {
            if let Some(wire) = self.network.wires.get_mut(&key) {
                wire.stalled_until = self.now;
                wire.swallows = false;
                self.network.arm(key);
            }
        }
        for node in &mut self.nodes {
            node.cut_off(self.now, false);
            node.lags_until = self.now;
            node.reads_at = Some(self.now);
        }
    }
}

const RATES: [Option<u32>; 6] = [None, Some(0), Some(100), Some(250), Some(1_000), Some(5_000)];
const SUBSCRIPTIONS_MAX: usize = 4;
const INSTRUMENTS_MAX: usize = 12;
