//! Between the ends: connections that open and break, frames that arrive, and what sessions ask of their drivers.

use std::time::Duration;

use tickwire_core::engine::{Arrival, ConnectionKey};
use tickwire_proto::session::{Event, Input, Output, State};
use tickwire_proto::v1::{ErrorCode, NoticeKind};

use super::{Verdict, World};
use crate::client::Heard;
use crate::network::{FAST_BYTES_PER_S, Quality};
use crate::request::request_of;
use crate::trace::describe;

impl World {
    /// Frames arrive, and ends of connections.
    pub(super) fn deliver(&mut self) -> Verdict {
        while let Some(key) = self.network.next_due() {
            self.deliver_to_server(key);
            self.deliver_to_client(key)?;
            self.settle_wire(key);
            self.network.arm(key);
        }
        Ok(())
    }

    fn deliver_to_server(&mut self, key: ConnectionKey) {
        while let Some(wire) = self.network.wires.get_mut(&key).filter(|wire| wire.closed.is_none()) {
            let Some(frame) = wire.arrived_at_server(self.now) else { return };
            self.nodes[wire.node].engine.receive(self.now, key, &frame);
        }
    }

    fn deliver_to_client(&mut self, key: ConnectionKey) -> Verdict {
        while let Some(wire) = self.network.wires.get_mut(&key) {
            let Some(c) = wire.client else { return Ok(()) };
            let Some(frame) = wire.arrived_at_client(self.now) else { return Ok(()) };
            if wire.watched {
                self.nodes[wire.node].engine.reached(self.now, key, frame.number);
            }
            // What was written at the same moment belongs together: the feed's health may be in the last of these frames.
            let has_more = wire.to_client.front().is_some_and(|next| next.written_at == frame.written_at);
            let encoding = self.clients[c].encoding;
            self.trace.note(self.now, || format!("client {c}: <- {}", describe(encoding, &frame.payload)));
            self.clients[c].heard = Some(Heard { at: self.now, written_at: frame.written_at, was_fed: frame.was_fed || has_more });
            self.clients[c].handle(self.now, Input::Frame(&frame.payload));
            self.drive(c)?;
            self.touch(c);
        }
        Ok(())
    }

    /// A connection has ended, or takes data again.
    fn settle_wire(&mut self, key: ConnectionKey) {
        let Some(wire) = self.network.wires.get_mut(&key) else { return };
        let (node, client) = (wire.node, wire.client);
        if let Some(code) = wire.has_ended(self.now) {
            self.network.wires.remove(&key);
            if let Some(c) = client {
                self.trace.note(self.now, || format!("client {c}: closed with {code:?}"));
                self.clients[c].wire = None;
                let code = Some(code.close_code()).filter(|_| self.clients[c].two_way);
                self.clients[c].handle(self.now, Input::Closed { code, retry_after: None });
                self.touch(c);
            }
        } else if wire.gone_until.is_some_and(|at| at <= self.now) {
            let is_known = wire.closed.is_none();
            self.network.wires.remove(&key);
            if is_known {
                self.nodes[node].engine.detach(key);
            }
        } else if wire.closed.is_none() && wire.is_writable() && std::mem::take(&mut wire.blocked) {
            self.nodes[node].engine.writable(self.now, key);
        }
    }

    /// Does what a session says.
    pub(super) fn drive(&mut self, c: usize) -> Verdict {
        if self.clients[c].opens_at.is_some_and(|at| self.now >= at) {
            self.clients[c].opens_at = None;
            self.open(c);
        }
        let now = self.now;
        if let Some((request, _, token)) = self.clients[c].token.take_if(|(_, at, _)| *at <= now) {
            self.clients[c].handle(now, Input::Token { request, token: Some(token) });
        }
        if self.clients[c].deadline.is_some_and(|at| now + self.clients[c].clock >= at) {
            self.clients[c].handle(now, Input::Timeout);
        }
        loop {
            match self.clients[c].session.poll_output() {
                Output::Wait(deadline) => break self.clients[c].deadline = deadline,
                Output::Open { .. } => {
                    self.clients[c].reconnect();
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
                    let (wait_ms, standing) = if is_late { (31_000, "late") } else { (500, self.clients[c].standing) };
                    self.clients[c].token = Some((request, self.now + Duration::from_millis(wait_ms), format!("{standing}-{request}")));
                }
                Output::Event(event) => self.hear(c, event)?,
                _ => {}
            }
        }
        self.dues[c] = self.clients[c].due().unwrap_or(NEVER);
        if self.clients[c].is_lazy { Ok(()) } else { self.read(c, usize::MAX) }
    }

    /// The application is told something.
    fn hear(&mut self, c: usize, event: Event) -> Verdict {
        let client = &mut self.clients[c];
        match event {
            Event::Refused { subscription, symbol, code } => {
                self.trace.note(self.now, || format!("client {c}: {symbol} refused with {code:?}"));
                if code != ErrorCode::UnknownSymbol {
                    return Err(format!("client {c}: {symbol} is refused with {code:?}"));
                }
                client.subscriptions.iter_mut().filter(|one| one.id == subscription).for_each(|one| one.is_refused = true);
                self.unsettle(c);
            }
            Event::State { state, reason, .. } => {
                self.trace.note(self.now, || format!("client {c}: {state:?} {reason}"));
                self.unsettle(c);
                if state == State::Closed {
                    return Err(format!("client {c} closed: {reason}"));
                }
            }
            Event::Error(error) => {
                self.trace.note(self.now, || format!("client {c}: error {} {}", error.code, error.text));
                if error.code() == ErrorCode::ResumeExpired {
                    // What waits was said before, so it is read before.
                    self.read(c, usize::MAX)?;
                    self.clients[c].subscriptions.iter_mut().for_each(|subscription| subscription.reader.break_off());
                }
            }
            Event::Notice(notice) => client.is_slow = notice.kind() == NoticeKind::Slow,
            _ => {}
        }
        Ok(())
    }

    pub(super) fn read(&mut self, c: usize, most: usize) -> Verdict {
        let client = &mut self.clients[c];
        let verdict = client.read(self.now, self.network.wire_of(client.wire), most, &self.market);
        verdict.map_err(|error| format!("client {c} {error}"))
    }

    fn open(&mut self, c: usize) {
        let node = self.random.below(self.nodes.len() as u64) as usize;
        let latency = Duration::from_millis(1 + self.random.below(60));
        let is_slow = !self.is_quiet && self.random.one_in(4);
        let bytes_per_s = if is_slow { 2_000 + self.random.below(4_000) } else { FAST_BYTES_PER_S };
        let hidden = if is_slow && self.random.one_in(2) { 1 << (13 + self.random.below(6)) } else { 0 };
        let quality = Quality { latency, bytes_per_s, hidden };
        let key = self.network.open(node, c, quality);
        self.trace.note(self.now, || format!("client {c}: opens to {}, {quality:?}", self.nodes[node]));
        let client = &mut self.clients[c];
        let request = (!client.two_way).then(|| request_of(&client.session));
        client.wire = Some(key);
        client.heard = None;
        client.is_slow = false;
        let arrival = Arrival { encoding: client.encoding, grant: None, request, session: format!("client-{c}") };
        client.handle(self.now, Input::Opened);
        self.nodes[node].engine.attach(self.now, key, arrival);
        // Connected directly, or behind something that hides how far its frames have got.
        if !self.clients[c].two_way && self.random.one_in(2) && self.nodes[node].engine.watch(self.now, key) {
            self.network.wires.entry(key).and_modify(|wire| wire.watched = true);
        }
    }

    pub(super) fn hang_up(&mut self, c: usize) {
        let Some(key) = self.clients[c].wire.take() else { return };
        let is_unnoticed = !self.is_quiet && self.random.one_in(3);
        let Some(wire) = self.network.wires.get(&key) else { return };
        let (node, is_closed) = (wire.node, wire.closed.is_some());
        if is_unnoticed && !is_closed {
            let silence = Duration::from_millis(10_000 + self.random.below(80_000));
            return self.network.abandon(key, self.now + silence);
        }
        self.network.wires.remove(&key);
        if !is_closed {
            self.nodes[node].engine.detach(key);
        }
    }

    pub(super) fn lose_connections(&mut self, n: usize) {
        let keys: Vec<_> = self.network.wires.iter().filter(|(_, wire)| wire.node == n).map(|(key, wire)| (*key, wire.client)).collect();
        for (key, client) in keys {
            self.network.wires.remove(&key);
            if let Some(c) = client.filter(|c| self.clients[*c].wire == Some(key)) {
                self.clients[c].wire = None;
                self.clients[c].handle(self.now, Input::Closed { code: None, retry_after: None });
                self.touch(c);
            }
        }
    }
}

const NEVER: tickwire_proto::Moment = tickwire_proto::Moment::from_micros(u64::MAX);
