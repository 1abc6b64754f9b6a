//! What a session tells a server, and the callback that gives it tokens.

use alloc::string::String;
use alloc::vec::Vec;

use super::link::{Link, PING_EVERY, Up, WAKE_PROBE};
use super::{Output, Session};
use crate::time::Moment;
use crate::v1::{self, client_frame::Command};
use crate::wire;

impl Session {
    /// Brings the server's knowledge to what is wanted, as fast as it allows.
    pub(super) fn reconcile(&mut self) {
        if !self.config.two_way || !self.link.is_open() {
            return;
        }
        while self.wanted.is_changed() && self.pace.free_at() <= self.now {
            if !self.send_next_wanted(self.now, false) {
                break;
            }
        }
        let (paused, now) = (self.paused, self.now);
        if let Some(peer) = self.link.peer_mut().filter(|peer| peer.paused != paused) {
            if self.pace.free_at() <= now {
                peer.paused = paused;
                self.pace.spend(now);
                let request = self.next_request();
                self.send(request, Command::Configure(v1::Configure { conflate_ms: None, paused: Some(paused) }));
            }
        }
    }

    pub(super) fn send_next_wanted(&mut self, now: Moment, held_first: bool) -> bool {
        let request = self.next_request();
        let command = self.wanted.next_command(request, self.config.conflate_ms, self.message_bytes_max, held_first);
        let sends = command.is_some();
        if let Some(command) = command {
            self.pace.spend(now);
            self.send(request, command);
        }
        sends
    }

    /// The network changed under an open connection: it has to prove itself, sooner than silence would tell.
    pub(super) fn probe(&mut self, now: Moment) {
        if let Link::Up(up) = &mut self.link {
            if up.ping.is_some() {
                up.silent_at = up.silent_at.min(now + WAKE_PROBE);
                self.ping(now);
            }
        }
    }

    pub(super) fn ping(&mut self, now: Moment) {
        let nonce = u64::from(self.next_request());
        let Link::Up(Up { ping: Some(ping), .. }) = &mut self.link else { return };
        (ping.due_at, ping.sent) = (now + PING_EVERY, Some((nonce, now)));
        self.send(0, Command::Ping(v1::Ping { nonce }));
    }

    pub(super) fn ask_token(&mut self, now: Moment) {
        if let Some(request) = self.tokens.ask(now) {
            self.outputs.push_back(Output::NeedToken { request });
        }
    }

    pub(super) fn take_token(&mut self, now: Moment, request: u32, token: Option<String>) {
        if !self.tokens.answer(now, request, token.clone()) {
            return;
        }
        match (&self.link, token) {
            (Link::Renewing { not_before, .. }, Some(_)) if now < *not_before => self.link = Link::Backoff { retry_at: *not_before },
            (Link::Renewing { .. }, Some(_)) => self.open(now),
            (Link::Renewing { .. }, None) => self.back_off(now, "there is no token"),
            (Link::Greeting { .. } | Link::Up(_), Some(token)) if self.config.two_way => {
                let request = self.next_request();
                self.send(request, Command::Authenticate(v1::Authenticate { token }));
                if let Some(unix_us) = self.clock.unix_us(now) {
                    self.tokens.plan(now, unix_us);
                }
            }
            // One-way, a token can only be given with another request.
            (link, Some(_)) if !self.config.two_way && link.has_transport() => self.reopen_at = Some(now),
            _ => {}
        }
    }

    pub(super) fn send(&mut self, request_id: u32, command: Command) {
        let mut bytes = Vec::new();
        wire::encode_client(self.config.encoding, &v1::ClientFrame { request_id, command: Some(command) }, &mut bytes);
        self.outputs.push_back(Output::Send(bytes));
    }

    /// Numbers requests from 1: 0 stands for "no answer wanted".
    pub(super) fn next_request(&mut self) -> u32 {
        self.requests = self.requests.checked_add(1).unwrap_or(1);
        self.requests
    }
}
