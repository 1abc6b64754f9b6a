//! The world: nodes, clients, links and time, from one seed. After every step it is judged.

use std::collections::VecDeque;
use std::time::Duration;

use tickwire_core::engine::{Arrival, ConnectionKey};
use tickwire_proto::session::{Event, Input, Item, Output, Session, SessionConfig, State, SubscribeOptions, SubscriptionId};
use tickwire_proto::v1::{self, ErrorCode};
use tickwire_proto::wire::Encoding;
use tickwire_proto::{Moment, Pattern};

use crate::market::{Market, fields_of};
use crate::network::{FAST_BYTES_PER_S, Network};
use crate::node::{Node, pattern};
use crate::random::Random;
use crate::reader::Reader;
use crate::request::request_of;

pub(crate) struct World {
    random: Random,
    now: Moment,
    market: Market,
    nodes: Vec<Node>,
    clients: Vec<Client>,
    network: Network,
    checkpoint: Option<(v1::Checkpoint, usize, u32)>,
    /// Everything is well, and goes on being so.
    is_quiet: bool,
    alive_at: Moment,
    read_at: Moment,
    small: bool,
    trace: VecDeque<String>,
    /// Keeps the whole trace, frames included.
    is_verbose: bool,
    /// Steps in this second, against timer storms.
    second: (u64, u32),
    pub(crate) steps: u64,
}

struct Client {
    session: Session,
    encoding: Encoding,
    two_way: bool,
    /// Its clock starts at another time than the world's.
    clock: Duration,
    wire: Option<ConnectionKey>,
    opens_at: Option<Moment>,
    deadline: Option<Moment>,
    /// When it last got a frame, and whether the feed was well when that was written.
    heard: Option<(Moment, Moment, bool)>,
    subscriptions: Vec<Subscription>,
    paused: bool,
    is_lazy: bool,
    events_max: usize,
    /// The newest request for a token: when it came, and the token to be given then.
    token: Option<(u32, Moment, String)>,
    /// When it last changed its mind.
    changed_at: Moment,
}

struct Subscription {
    id: SubscriptionId,
    pattern: Pattern,
    conflate_ms: Option<u32>,
    /// The node did not know the symbol when it was asked; it is asked again on the next connection.
    is_refused: bool,
    reader: Reader,
}

type Verdict = Result<(), String>;

impl World {
    pub(crate) fn new(seed: u64, is_verbose: bool) -> Self {
        let mut random = Random(seed);
        let small = random.one_in(2);
        let nodes = (0..2 + random.below(2) as usize)
            .map(|n| Node::new(n, Moment::ZERO, random.below(20_000_000) as i64 - 10_000_000, small))
            .collect();
        let crowd = if random.one_in(20) { 50 } else { 1 + random.below(6) };
        let clients = (0..crowd).map(|n| Client::new(n, &mut random, small)).collect();
        let mut world = Self {
            random,
            now: Moment::ZERO,
            market: Market::new(),
            nodes,
            clients,
            network: Network::default(),
            checkpoint: None,
            is_quiet: false,
            alive_at: Moment::ZERO,
            read_at: Moment::ZERO,
            small,
            trace: VecDeque::new(),
            is_verbose,
            second: (0, 0),
            steps: 0,
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
            // Busy and calm times take turns.
            let pace = if self.now.as_micros() / 20_000_000 % 3 == 0 { 80 } else { 2_500 };
            self.turn()?;
            let pause = Duration::from_micros(self.random.below(pace * 1_000));
            self.advance(pause)?;
        }
        self.heal()?;
        self.advance(QUIET)?;
        self.judge_end()
    }

    pub(crate) fn trace(&self) -> String {
        self.trace.iter().map(|line| format!("    {line}\n")).collect()
    }

    fn note(&mut self, line: String) {
        if self.trace.len() >= TRACE_LINES && !self.is_verbose {
            self.trace.pop_front();
        }
        self.trace.push_back(format!("{:>9.3} {line}", self.now.as_micros() as f64 / 1e6));
    }

    /// Something happens.
    fn turn(&mut self) -> Verdict {
        let c = self.random.below(self.clients.len() as u64) as usize;
        let n = self.random.below(self.nodes.len() as u64) as usize;
        match self.random.below(1_000) {
            0..600 => {
                let (instrument, dice) = (self.random.below(self.market.instruments.len() as u64) as usize, self.random.next());
                let told = self.market.publish(instrument, dice, self.now.as_micros());
                self.note(format!("publish {told}"));
            }
            600..680 => self.subscribe(c),
            680..710 => self.unsubscribe(c),
            710..740 => self.change_rate(c),
            740..760 => {
                let paused = self.random.one_in(2);
                self.pause(c, paused);
            }
            760..800 => self.cut(c),
            800..860 => {
                let span = Duration::from_millis(self.random.below(6_000));
                let until = self.now + span;
                if let Some(wire) = self.clients[c].wire.and_then(|key| self.network.wires.get_mut(&key)) {
                    (wire.stalled_until, wire.rough_at) = (until, until);
                    self.note(format!("client {c}: stalled for {span:?}"));
                }
            }
            860..870 => {
                if let Some(wire) = self.clients[c].wire.and_then(|key| self.network.wires.get_mut(&key)) {
                    wire.swallows = true;
                    self.note(format!("client {c}: a frame will be lost"));
                }
            }
            870..880 => self.handle(c, Input::Wake),
            880..886 => {
                let is_cut_off = !self.nodes[n].is_cut_off;
                self.note(format!("node {n}: cut off {is_cut_off}"));
                self.nodes[n].cut_off(self.now, is_cut_off);
            }
            886..890 => self.restart(n),
            890..892 => self.reread(n),
            892..896 if self.nodes[n].is_synced() => {
                self.note(format!("node {n}: doubts"));
                self.nodes[n].doubt(self.now);
            }
            896..900 if self.random.one_in(4) => self.reset(),
            900..910 => {
                self.checkpoint = self.nodes[n].checkpoint().map(|(checkpoint, applied)| (checkpoint, applied, self.nodes[n].life()));
            }
            910..912 if self.market.instruments.len() < INSTRUMENTS_MAX => {
                let symbol = format!("stock.N{}", self.market.instruments.len());
                self.market.list(&symbol);
            }
            912..960 => self.read(c, 1 + (c % 4))?,
            _ => {}
        }
        self.judge()
    }

    fn subscribe(&mut self, c: usize) {
        if self.clients[c].subscriptions.len() >= SUBSCRIPTIONS_MAX {
            return;
        }
        let target = self.random.pick(&["stock.A", "stock.B", "soccer.x", "soccer.x.1x2", "bar.B", "stock.*", "soccer.#", "#"]);
        let options = SubscribeOptions { conflate_ms: self.random.pick(&RATES), trades: self.random.one_in(2) };
        let client = &mut self.clients[c];
        let id = client.session.subscribe(self.now + client.clock, &[Item { target: target.into() }], options);
        let reader = Reader::new(options.trades, !self.small);
        client.subscriptions.push(Subscription {
            id,
            pattern: pattern(target),
            conflate_ms: options.conflate_ms,
            is_refused: false,
            reader,
        });
        client.unsettle(self.now);
        self.note(format!("client {c}: subscribe {target} {options:?}"));
    }

    fn unsubscribe(&mut self, c: usize) {
        let client = &mut self.clients[c];
        if !client.subscriptions.is_empty() {
            let gone = client.subscriptions.remove(self.random.below(client.subscriptions.len() as u64) as usize);
            client.session.unsubscribe(self.now + client.clock, gone.id);
            client.unsettle(self.now);
            self.note(format!("client {c}: unsubscribe {}", gone.pattern.as_str()));
        }
    }

    fn change_rate(&mut self, c: usize) {
        let conflate_ms = self.random.pick(&RATES);
        let client = &mut self.clients[c];
        if let Some(subscription) = client.subscriptions.first_mut() {
            subscription.conflate_ms = conflate_ms;
            client.session.set_conflation(self.now + client.clock, subscription.id, conflate_ms);
            client.unsettle(self.now);
            self.note(format!("client {c}: rate {conflate_ms:?}"));
        }
    }

    fn pause(&mut self, c: usize, paused: bool) {
        self.clients[c].paused = paused;
        self.clients[c].unsettle(self.now);
        self.note(format!("client {c}: paused {paused}"));
        self.handle(c, Input::Paused(paused));
    }

    /// The connection breaks. The server may notice much later.
    fn cut(&mut self, c: usize) {
        if self.clients[c].wire.is_none() && self.clients[c].opens_at.is_none() {
            return;
        }
        self.note(format!("client {c}: cut"));
        self.clients[c].opens_at = None;
        self.hang_up(c);
        self.handle(c, Input::Closed { code: None, retry_after: None });
    }

    fn hang_up(&mut self, c: usize) {
        let Some(key) = self.clients[c].wire.take() else { return };
        let is_unnoticed = !self.is_quiet && self.random.one_in(3);
        if let Some(wire) = self.network.wires.get_mut(&key).filter(|wire| is_unnoticed && wire.closed.is_none()) {
            wire.client = None;
        } else if let Some(wire) = self.network.wires.remove(&key).filter(|wire| wire.closed.is_none()) {
            self.nodes[wire.node].engine.detach(key);
        }
    }

    /// A node dies, and another one takes its place: with the last checkpoint, or empty.
    fn restart(&mut self, n: usize) {
        self.note(format!("node {n}: restarts"));
        self.lose_connections(n);
        let skew_us = self.nodes[n].skew_us;
        self.nodes[n] = Node::new(n, self.now, skew_us, self.small);
        self.start(n);
    }

    /// A node reads the log again, under its connections.
    fn reread(&mut self, n: usize) {
        self.note(format!("node {n}: reads again"));
        self.ruffle_all();
        self.start(n);
    }

    fn start(&mut self, n: usize) {
        let life = self.market.life;
        let has = !self.random.one_in(3);
        let checkpoint = self.checkpoint.as_ref().filter(|(_, _, of)| *of == life && has).map(|(one, applied, _)| (one.clone(), *applied));
        self.nodes[n].start(self.now, &self.market, checkpoint.as_ref());
        if self.nodes[n].is_cut_off {
            self.nodes[n].cut_off(self.now, true);
        }
    }

    fn lose_connections(&mut self, n: usize) {
        let keys: Vec<_> = self.network.wires.iter().filter(|(_, wire)| wire.node == n).map(|(key, wire)| (*key, wire.client)).collect();
        for (key, client) in keys {
            self.network.wires.remove(&key);
            if let Some(c) = client.filter(|c| self.clients[*c].wire == Some(key)) {
                self.clients[c].wire = None;
                self.handle(c, Input::Closed { code: None, retry_after: None });
            }
        }
    }

    /// The log is lost. All nodes see it at once: lives have no order, so a client could not tell an older one from a newer one.
    fn reset(&mut self) {
        self.note("the log is reset".into());
        self.market.reset();
        self.checkpoint = None;
        self.ruffle_all();
        for n in 0..self.nodes.len() {
            self.start(n);
        }
    }

    fn ruffle_all(&mut self) {
        let now = self.now;
        self.clients.iter_mut().for_each(|client| client.unsettle(now));
    }

    fn ruffle(&mut self, n: usize) {
        let (now, wires) = (self.now, &self.network.wires);
        let here = self.clients.iter_mut().filter(|client| client.wire.and_then(|key| wires.get(&key)).is_some_and(|wire| wire.node == n));
        here.for_each(|client| client.unsettle(now));
    }

    fn heal(&mut self) -> Verdict {
        self.note("quiet".into());
        self.is_quiet = true;
        for c in 0..self.clients.len() {
            self.pause(c, false);
            self.clients[c].is_lazy = false;
        }
        for wire in self.network.wires.values_mut() {
            wire.stalled_until = self.now;
            wire.swallows = false;
        }
        for node in &mut self.nodes {
            node.cut_off(self.now, false);
        }
        self.judge()
    }

    /// Lets time pass, from one thing that is due to the next.
    fn advance(&mut self, span: Duration) -> Verdict {
        let end = self.now + span;
        loop {
            self.steps += 1;
            let second = self.now.as_micros() / 1_000_000;
            self.second = if self.second.0 == second { (second, self.second.1 + 1) } else { (second, 1) };
            if self.second.1 > STEPS_PER_S_MAX + 400 * self.clients.len() as u32 {
                let nodes: Vec<_> = self.nodes.iter().map(|node| (node.engine.deadline(), node.deadline())).collect();
                let clients: Vec<_> = self.clients.iter().map(|client| client.deadline.map(|at| at - client.clock)).collect();
                return Err(format!(
                    "a storm of timers: {} steps in a second, now {:?}, nodes {nodes:?}, clients {clients:?}",
                    self.second.1, self.now
                ));
            }
            self.step()?;
            let nodes = self.nodes.iter().filter_map(Node::deadline);
            let clients = self.clients.iter().flat_map(|client| {
                let deadline = client.deadline.map(|at| at - client.clock);
                [deadline, client.opens_at, client.token.as_ref().map(|(_, at, _)| *at)]
            });
            let own = [Some(self.read_at), Some(self.alive_at), self.network.deadline()];
            let next = nodes.chain(clients.flatten()).chain(own.into_iter().flatten()).min().filter(|next| *next <= end);
            match next {
                Some(next) => self.now = self.now.max(next),
                None => {
                    self.now = end;
                    return Ok(());
                }
            }
        }
    }

    /// Does what is due now.
    fn step(&mut self) -> Verdict {
        self.network.now = self.now;
        if self.now >= self.alive_at {
            self.alive_at = self.now + Duration::from_secs(1);
            if self.is_quiet || self.now.as_micros() / 60_000_000 % 7 != 3 {
                self.market.alive(self.now.as_micros());
            }
        }
        if self.now >= self.read_at {
            self.read_at = self.now + Duration::from_millis(if self.is_quiet { 50 } else { 1 + self.random.below(400) });
            for n in 0..self.nodes.len() {
                let most = if self.is_quiet || self.random.one_in(2) { usize::MAX } else { self.random.below(20) as usize };
                let was_synced = self.nodes[n].is_synced();
                self.nodes[n].read(self.now, &self.market, most);
                if !was_synced && self.nodes[n].is_synced() {
                    // Its clients are told the events that they missed, then the newest states.
                    self.ruffle(n);
                }
            }
        }
        self.network.fed_at.resize(self.nodes.len(), None);
        for (node, fed_at) in self.nodes.iter_mut().zip(&mut self.network.fed_at) {
            node.tell_health(self.now);
            if node.is_fed(self.now) {
                *fed_at = Some(self.now);
            }
        }
        self.deliver()?;
        for node in &mut self.nodes {
            node.engine.flush(self.now, &mut self.network);
        }
        for c in 0..self.clients.len() {
            self.drive(c)?;
        }
        self.judge()
    }

    /// Frames arrive.
    fn deliver(&mut self) -> Verdict {
        let keys: Vec<ConnectionKey> = self.network.wires.keys().copied().collect();
        for key in keys {
            while let Some(wire) = self.network.wires.get_mut(&key).filter(|wire| wire.closed.is_none()) {
                let Some(frame) = wire.arrived_at_server(self.now) else { break };
                self.nodes[wire.node].engine.receive(self.now, key, &frame);
            }
            while let Some(wire) = self.network.wires.get_mut(&key).filter(|wire| wire.is_due(self.now)) {
                let client = wire.client;
                let Some(frame) = wire.arrived_at_client(self.now) else { break };
                // Nobody acknowledges what a client that has gone would have got.
                let Some(c) = client else { continue };
                // What was written at the same moment belongs together: the feed's health may be in the last of these frames.
                let has_more = self.network.wires[&key].to_client.front().is_some_and(|next| next.written_at == frame.written_at);
                if self.is_verbose {
                    let text = describe(self.clients[c].encoding, &frame.payload);
                    self.note(format!("client {c}: <- {text}"));
                }
                self.clients[c].heard = Some((self.now, frame.written_at, frame.was_fed || has_more));
                self.handle(c, Input::Frame(&frame.payload));
                self.drive(c)?;
            }
            let Some(wire) = self.network.wires.get_mut(&key) else { continue };
            let (node, client, closed) = (wire.node, wire.client, wire.closed);
            if let Some(code) = closed.filter(|_| wire.to_client.is_empty()) {
                self.network.wires.remove(&key);
                if let Some(c) = client {
                    self.note(format!("client {c}: closed with {code:?}"));
                    self.clients[c].wire = None;
                    let code = Some(code.close_code()).filter(|_| self.clients[c].two_way);
                    self.handle(c, Input::Closed { code, retry_after: None });
                }
            } else if closed.is_none() && wire.is_writable() && std::mem::take(&mut wire.blocked) {
                self.nodes[node].engine.writable(self.now, key);
            }
        }
        Ok(())
    }

    fn handle(&mut self, c: usize, input: Input<'_>) {
        let client = &mut self.clients[c];
        client.session.handle(self.now + client.clock, input);
    }

    /// Does what a session says.
    fn drive(&mut self, c: usize) -> Verdict {
        if self.clients[c].opens_at.is_some_and(|at| self.now >= at) {
            self.clients[c].opens_at = None;
            self.open(c);
        }
        if let Some((request, _, token)) = self.clients[c].token.take_if(|(_, at, _)| *at <= self.now) {
            self.handle(c, Input::Token { request, token: Some(token) });
        }
        if self.clients[c].deadline.is_some_and(|at| self.now + self.clients[c].clock >= at) {
            self.handle(c, Input::Timeout);
        }
        loop {
            match self.clients[c].session.poll_output() {
                Output::Wait(deadline) => break self.clients[c].deadline = deadline,
                Output::Event(Event::Refused { subscription, symbol, code }) => {
                    self.note(format!("client {c}: {symbol} refused with {code:?}"));
                    if code != ErrorCode::UnknownSymbol {
                        return Err(format!("client {c}: {symbol} is refused with {code:?}"));
                    }
                    let refused = self.clients[c].subscriptions.iter_mut().filter(|one| one.id == subscription);
                    refused.for_each(|subscription| subscription.is_refused = true);
                }
                Output::Open { .. } => {
                    for subscription in &mut self.clients[c].subscriptions {
                        subscription.is_refused = false;
                    }
                    self.hang_up(c);
                    let latency = Duration::from_millis(1 + self.random.below(150));
                    self.clients[c].opens_at = Some(self.now + latency);
                }
                Output::Send(frame) => {
                    if let Some(key) = self.clients[c].wire {
                        self.network.send(key, frame);
                    }
                }
                Output::Shut { .. } => {
                    self.clients[c].opens_at = None;
                    self.hang_up(c);
                }
                Output::NeedToken { request } => {
                    // Some answers come so late that nobody waits for them any more.
                    let is_late = !self.is_quiet && self.random.one_in(3);
                    let (wait, token) = if is_late { (31_000, format!("late-{request}")) } else { (500, format!("good-{request}")) };
                    self.clients[c].token = Some((request, self.now + Duration::from_millis(wait), token));
                }
                Output::Event(Event::State { state, reason, .. }) => {
                    self.note(format!("client {c}: {state:?} {reason}"));
                    self.clients[c].unsettle(self.now);
                    if state == State::Closed {
                        return Err(format!("client {c} closed: {reason}"));
                    }
                }
                Output::Event(Event::Error(error)) => {
                    self.note(format!("client {c}: error {} {}", error.code, error.text));
                    if error.code() == ErrorCode::ResumeExpired {
                        // What waits was said before, so it is read before.
                        self.read(c, usize::MAX)?;
                        self.clients[c].subscriptions.iter_mut().for_each(|subscription| subscription.reader.break_off());
                    }
                }
                _ => {}
            }
        }
        if !self.clients[c].is_lazy { self.read(c, usize::MAX) } else { Ok(()) }
    }

    fn read(&mut self, c: usize, most: usize) -> Verdict {
        let rough_at = self.clients[c].wire.and_then(|key| self.network.wires.get(&key)).map_or(self.now, |wire| wire.rough_at);
        let Client { session, subscriptions, changed_at, paused, is_lazy, .. } = &mut self.clients[c];
        let is_calm = !*paused && !*is_lazy && self.now.since(rough_at.max(*changed_at)) > SETTLED_AFTER;
        for subscription in subscriptions {
            let verdict = subscription.reader.read(session, subscription.id, most, &self.market, is_calm);
            verdict.map_err(|error| format!("client {c} ({}): {error}", subscription.pattern.as_str()))?;
        }
        Ok(())
    }

    fn open(&mut self, c: usize) {
        let node = self.random.below(self.nodes.len() as u64) as usize;
        let latency = Duration::from_millis(1 + self.random.below(60));
        let speed = if !self.is_quiet && self.random.one_in(4) { 2_000 + self.random.below(4_000) } else { FAST_BYTES_PER_S };
        let key = self.network.open(node, c, latency, speed);
        self.note(format!("client {c}: opens to {} at {speed} B/s", self.nodes[node]));
        let client = &mut self.clients[c];
        let request = (!client.two_way).then(|| request_of(&client.session));
        client.wire = Some(key);
        client.heard = None;
        let arrival = Arrival { encoding: client.encoding, grant: None, request, session: format!("client-{c}") };
        self.handle(c, Input::Opened);
        self.nodes[node].engine.attach(self.now, key, arrival);
    }

    /// What must hold at any time.
    fn judge(&self) -> Verdict {
        for (c, client) in self.clients.iter().enumerate() {
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
            let Some((arrived_at, written_at, was_fed)) = client.heard.filter(|_| state.is_current()) else { continue };
            if self.now.since(arrived_at) > SILENT_MAX {
                return Err(format!("client {c} is {state:?}, and has heard nothing for {:?}", self.now.since(arrived_at)));
            }
            if state == State::Live && !was_fed {
                return Err(format!("client {c} is Live, and the feed was mute when its newest frame was written at {written_at:?}"));
            }
            self.judge_fresh(c, client)?;
        }
        Ok(())
    }

    /// On a good link, what the node knows is shown after the interval that was asked for.
    fn judge_fresh(&self, c: usize, client: &Client) -> Verdict {
        let Some(wire) = client.wire.and_then(|key| self.network.wires.get(&key)) else { return Ok(()) };
        let node = &self.nodes[wire.node];
        let since = client.changed_at.max(wire.rough_at);
        let is_slow = wire.blocked || wire.is_slow();
        if client.paused || is_slow || !node.is_synced() || node.is_cut_off || self.now.since(since) < SETTLED_AFTER {
            return Ok(());
        }
        for truth in &self.market.instruments {
            let shown = client.session.latest(&truth.symbol);
            let seq = shown.map_or(0, |shown| shown.seq);
            // Cheap, and as a rule enough: nothing is newer.
            if truth.states.last().is_none_or(|newest| newest.life == node.life() && newest.seq <= seq) {
                continue;
            }
            let covering = client.subscriptions.iter().filter(|one| one.pattern.matches(&truth.name) && !one.is_refused);
            let Some(rate) = covering.map(|subscription| subscription.conflate_ms.unwrap_or(250)).max() else { continue };
            // A symbol may have a rate of its own beside its patterns, so the slowest counts here.
            let limit = Duration::from_millis(u64::from(rate) * 9 / 8 + 450);
            let read = node.read_at.partition_point(|at| *at + limit < self.now) as u64;
            let end = truth.states.partition_point(|state| (state.life, state.seq) <= (node.life(), read));
            let Some(state) = truth.states[..end].iter().rfind(|state| !state.trade).filter(|state| state.life == node.life()) else {
                continue;
            };
            if seq < state.seq && shown.is_none_or(|shown| fields_of(&shown.image) != state.fields) {
                return Err(format!("client {c} shows {} of {seq}, and its node has had {} for {limit:?}", truth.symbol, state.seq));
            }
        }
        Ok(())
    }

    fn judge_end(&mut self) -> Verdict {
        for c in 0..self.clients.len() {
            self.read(c, usize::MAX)?;
            let client = &self.clients[c];
            let is_idle = !client.two_way && client.subscriptions.is_empty();
            let expected = if is_idle { State::Idle } else { State::Live };
            if client.session.state() != expected {
                return Err(format!("client {c} is {:?} in the end, with {:?}", client.session.state(), client.session.feeds()));
            }
            if let (Some(told), Some(wire)) =
                (client.session.server_time_us(self.now + client.clock), client.wire.and_then(|key| self.network.wires.get(&key)))
            {
                let is = self.nodes[wire.node].unix_us(self.now);
                // A one-way client has only the Welcome to go by, which may have been slow.
                if client.two_way && told.abs_diff(is) > 200_000 {
                    return Err(format!("client {c} takes its node's clock to be at {told}, and it is at {is}"));
                }
            }
            for subscription in client.subscriptions.iter().filter(|subscription| !subscription.is_refused) {
                for truth in &self.market.instruments {
                    if !subscription.pattern.matches(&truth.name) {
                        continue;
                    }
                    let shown = client.session.latest(&truth.symbol).map(|shown| fields_of(&shown.image)).unwrap_or_default();
                    if shown != truth.now(self.market.life) {
                        return Err(format!("client {c} ends with {shown:?} of {}, not {:?}", truth.symbol, truth.now(self.market.life)));
                    }
                    subscription.reader.end(truth, self.market.life).map_err(|error| format!("client {c}: {error}"))?;
                }
            }
        }
        Ok(())
    }
}

impl Client {
    fn new(n: u64, random: &mut Random, small: bool) -> Self {
        let (two_way, encoding) = random.pick(&[(true, Encoding::Protobuf), (true, Encoding::Json), (false, Encoding::Json)]);
        let events_max = if small { 1 + random.below(8) as usize } else { 256 };
        let config = SessionConfig { encoding, two_way, events_max, heartbeat_ms: HEARTBEAT_MS, refresh: n % 2 == 0, ..Default::default() };
        let mut session = Session::new(config, random.next());
        let clock = Duration::from_millis(random.below(1_000_000));
        session.handle(Moment::ZERO + clock, Input::Connect);
        Self {
            session,
            encoding,
            two_way,
            clock,
            wire: None,
            opens_at: None,
            deadline: None,
            heard: None,
            subscriptions: Vec::new(),
            paused: false,
            is_lazy: random.one_in(3),
            events_max,
            token: None,
            changed_at: Moment::ZERO,
        }
    }

    /// What is on its way may be of before.
    fn unsettle(&mut self, now: Moment) {
        self.changed_at = now;
    }
}

/// A frame for people.
fn describe(encoding: Encoding, payload: &[u8]) -> String {
    use prost::Message as _;
    match encoding {
        Encoding::Json => String::from_utf8_lossy(payload).into_owned(),
        Encoding::Protobuf => {
            let frame = v1::ServerFrame::decode(payload).expect("a frame");
            let updates: Vec<String> =
                frame.updates.iter().map(|u| format!("[{} @{} flags {} {:?}]", u.id, u.seq, u.flags, u.body)).collect();
            let infos: Vec<String> = frame.infos.iter().map(|info| format!("{}={}", info.id, info.symbol)).collect();
            format!("{} infos {infos:?} {:?} {}", frame.cseq, frame.control, updates.join(" "))
        }
    }
}

/// Heartbeat that clients ask for.
const HEARTBEAT_MS: u32 = 1_000;
/// Two heartbeats and half a second, and one step.
const SILENT_MAX: Duration = Duration::from_millis(2_501);
/// A connection and a mind that were left alone for this long owe freshness.
const SETTLED_AFTER: Duration = Duration::from_secs(8);
/// Calm at the end of a world.
const QUIET: Duration = Duration::from_secs(120);
const RATES: [Option<u32>; 6] = [None, Some(0), Some(100), Some(250), Some(1_000), Some(5_000)];
const SUBSCRIPTIONS_MAX: usize = 4;
const INSTRUMENTS_MAX: usize = 12;
const STEPS_PER_S_MAX: u32 = 3_000;
const TRACE_LINES: usize = 80;
