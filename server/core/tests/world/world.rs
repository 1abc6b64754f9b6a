//! The world: nodes, clients, links and time, from one seed. What a step touches is judged after it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use tickwire_proto::Moment;

use crate::client::Client;
use crate::market::Market;
use crate::network::Network;
use crate::node::{Checkpoint, Node, Terms};
use crate::random::Random;
use crate::trace::Trace;

mod judge;
mod links;
mod turns;

pub(crate) use judge::SETTLED_AFTER;

pub(crate) struct World {
    random: Random,
    now: Moment,
    market: Market,
    terms: Terms,
    nodes: Vec<Node>,
    clients: Vec<Client>,
    /// When each client has to be driven.
    dues: Vec<Moment>,
    /// Clients that are driven with this step, or the next.
    touched: Vec<usize>,
    /// When clients have to show what their node knew.
    checks: BinaryHeap<Reverse<(Moment, usize)>>,
    network: Network,
    checkpoint: Option<Checkpoint>,
    /// Everything is well, and goes on being so.
    is_quiet: bool,
    alive_at: Moment,
    trace: Trace,
    /// Steps in this second, against timer storms.
    second: (u64, u32),
}

/// What went wrong.
pub(crate) type Verdict = Result<(), String>;

impl World {
    pub(crate) fn new(seed: u64, paced: Option<bool>, trace: Trace) -> Self {
        let mut random = Random(seed);
        // By a stream of its own, so that a seed is the same world with and without.
        let paced = paced.unwrap_or_else(|| Random(!seed).one_in(2));
        let terms = Terms { small: random.one_in(2), ruled_ms: random.pick(&[0, 0, 1_000]), paced };
        let nodes: Vec<Node> = (0..2 + random.below(2) as usize)
            .map(|n| Node::new(n, Moment::ZERO, random.below(20_000_000) as i64 - 10_000_000, terms))
            .collect();
        // Most worlds are small, and every so many-th is a crowd.
        let crowd = CROWD_MAX.min(64 / (1 + random.below(64)));
        let clients: Vec<Client> = (0..crowd).map(|n| Client::new(n, &mut random, terms)).collect();
        let mut world = Self {
            random,
            now: Moment::ZERO,
            market: Market::new(),
            terms,
            dues: vec![Moment::ZERO; clients.len()],
            touched: Vec::new(),
            checks: BinaryHeap::new(),
            network: Network::new(nodes.len()),
            nodes,
            clients,
            checkpoint: None,
            is_quiet: false,
            alive_at: Moment::ZERO,
            trace,
            second: (0, 0),
        };
        for node in &mut world.nodes {
            node.start(world.now, &world.market, None);
        }
        world
    }

    /// Plays `span` of the world, then heals it and looks whether all is well. Says what went wrong.
    pub(crate) fn play(&mut self, span: Duration) -> Verdict {
        let end = Moment::ZERO + span;
        while self.now < end {
            let (stretch, length) = turns::Stretch::draw(&mut self.random);
            self.trace.note(self.now, || format!("{stretch:?} for {length:?}"));
            let until = end.min(self.now + length);
            while self.now < until {
                self.turn(stretch)?;
                let pause = Duration::from_micros(self.random.below(2 * stretch.pause_us()));
                self.advance(pause)?;
            }
        }
        self.heal();
        self.advance(QUIET)?;
        self.judge_end()
    }

    pub(crate) fn trace(&self) -> String {
        self.trace.text()
    }

    /// Lets time pass, from one thing that is due to the next.
    fn advance(&mut self, span: Duration) -> Verdict {
        let end = self.now + span;
        loop {
            self.judge_haste()?;
            self.step()?;
            match self.deadline().filter(|next| *next <= end) {
                Some(next) => self.now = self.now.max(next),
                None => {
                    self.now = end;
                    return Ok(());
                }
            }
        }
    }

    fn deadline(&self) -> Option<Moment> {
        let nodes = self.nodes.iter().filter_map(Node::deadline);
        let own = [Some(self.alive_at), self.network.deadline(), self.checks.peek().map(|Reverse((at, _))| *at)];
        nodes.chain(self.dues.iter().copied()).chain(own.into_iter().flatten()).min()
    }

    /// Does what is due now.
    fn step(&mut self) -> Verdict {
        self.network.now = self.now;
        if self.now >= self.alive_at {
            self.alive_at = self.now + Duration::from_secs(1);
            self.judge_memory()?;
            if self.is_quiet || self.now.as_micros() / 60_000_000 % 7 != 3 {
                self.market.alive(self.now.as_micros());
                self.wake_nodes();
            }
        }
        for n in 0..self.nodes.len() {
            if self.nodes[n].reads_at.is_some_and(|at| at <= self.now) {
                self.feed(n);
            }
            if self.nodes[n].is_health_due(self.now) {
                self.nodes[n].tell_health(self.now);
            }
            let fed_until = &mut self.network.fed_until[n];
            *fed_until = self.nodes[n].fed_until(self.now).unwrap_or((*fed_until).min(self.now));
        }
        self.deliver()?;
        for node in self.nodes.iter_mut().filter(|node| node.engine.deadline().is_some_and(|at| at <= self.now)) {
            node.engine.flush(self.now, &mut self.network);
        }
        for c in 0..self.clients.len() {
            if self.dues[c] <= self.now {
                self.touch(c);
            }
        }
        for c in std::mem::take(&mut self.touched) {
            self.clients[c].is_touched = false;
            self.drive(c)?;
            self.judge_client(c)?;
        }
        self.judge_what_is_due()
    }

    /// A client is driven with this step, or the next.
    fn touch(&mut self, c: usize) {
        if !std::mem::replace(&mut self.clients[c].is_touched, true) {
            self.touched.push(c);
        }
    }

    /// There is something to read in the log.
    fn wake_nodes(&mut self) {
        let (now, span) = (self.now, if self.is_quiet { 50 } else { 400 });
        for node in self.nodes.iter_mut().filter(|node| node.reads_at.is_none()) {
            node.reads_at = Some(now + Duration::from_millis(1 + self.random.below(span)));
        }
    }

    /// A node reads on, all there is or some of it.
    fn feed(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        node.reads_at = None;
        if node.is_cut_off {
            return;
        }
        if self.now < node.lags_until {
            node.reads_at = Some(node.lags_until);
            return;
        }
        let most = if self.is_quiet || self.random.one_in(2) { usize::MAX } else { self.random.below(20) as usize };
        let (was_synced, before) = (node.is_synced(), node.applied);
        node.read(self.now, &self.market, most);
        let (is_synced, after) = (node.is_synced(), node.applied);
        if after < self.market.log.len() {
            self.wake_nodes();
        }
        if !was_synced && is_synced {
            // Its clients are told the events that they missed, then the newest states.
            self.ruffle(n);
        }
        if before < after {
            self.expect_news(n);
        }
    }
}

/// Clients of the largest worlds.
const CROWD_MAX: u64 = 50;
/// Calm at the end of a world.
const QUIET: Duration = Duration::from_secs(120);
