//! The server's side of the session: what a client's command does, apart from subscribing.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::ToString;
use alloc::sync::Arc;
use core::time::Duration;

use tickwire_proto::time::Moment;
use tickwire_proto::v1::{self, ErrorCode, client_frame::Command, server_frame::Control};
use tickwire_proto::wire::decode_client;

use super::connection::{Connection, Expiry, HELD_MAX, Phase};
use super::credit::Credit;
use super::dispatch::error;
use super::rate::RateClass;
use super::{Engine, RATE_CLASSES_MS, millis, token};
use crate::access::Grant;

impl Engine {
    /// Does what a client's message asks for.
    pub(super) fn command(&mut self, now: Moment, slot: u32, message: &[u8]) {
        let Some(connection) = self.roster.get(slot).filter(|connection| connection.closing.is_none()) else { return };
        let frame = match decode_client(connection.encoding, message) {
            Ok(frame) => frame,
            Err(cause) => return self.end(slot, ErrorCode::BadMessage, &cause.to_string()),
        };
        let request_id = frame.request_id;
        match (connection.phase, &frame.command) {
            (_, None) => return self.end(slot, ErrorCode::BadMessage, "frame has no known command"),
            (Phase::Greeting { .. }, Some(Command::Hello(_))) => {}
            (Phase::Greeting { .. }, Some(_)) => return self.end(slot, ErrorCode::BadMessage, "the first frame has to be Hello"),
            (_, Some(Command::Hello(_))) => return self.end(slot, ErrorCode::BadMessage, "Hello came twice"),
            (_, Some(_)) => {}
        }
        if !self.is_within_limits(now, slot, &frame) {
            return;
        }
        if let Some(command) = frame.command {
            self.obey(now, slot, request_id, command);
        }
    }

    /// Does what a command asks for, or keeps it while Welcome is held back.
    pub(super) fn obey(&mut self, now: Moment, slot: u32, request_id: u32, command: Command) {
        let Some(connection) = self.roster.get_mut(slot).filter(|connection| connection.closing.is_none()) else { return };
        if matches!(connection.phase, Phase::Awaiting { .. }) {
            if connection.rare().held.len() < HELD_MAX {
                return connection.rare().held.push(v1::ClientFrame { request_id, command: Some(command) });
            }
            self.welcome_awaiting(now, slot);
        }
        match command {
            Command::Hello(hello) => self.greet(now, slot, hello),
            Command::Subscribe(subscribe) => self.subscribe(now, slot, request_id, subscribe),
            Command::Unsubscribe(unsubscribe) => self.unsubscribe(now, slot, request_id, unsubscribe),
            Command::Configure(configure) => self.configure(now, slot, request_id, configure),
            Command::Authenticate(authenticate) => self.authenticate(now, slot, request_id, &authenticate.token),
            Command::Progress(progress) => self.take_report(now, slot, progress.cseq),
            Command::Ping(ping) => {
                let pong = v1::Pong { nonce: ping.nonce, server_ts_us: self.unix_us(now) };
                self.tell(slot, Control::Pong(pong));
            }
        }
    }

    /// Takes a command from the connection's budget. Reports of progress have one of their own.
    fn is_within_limits(&mut self, now: Moment, slot: u32, frame: &v1::ClientFrame) -> bool {
        let (per_s, burst) = (self.config.commands_per_s, self.config.commands_burst);
        let Some(connection) = self.roster.get_mut(slot) else { return false };
        let taken = match frame.command {
            Some(Command::Progress(_)) => connection.reports.take(now, REPORTS_PER_S, REPORTS_BURST),
            _ => connection.commands.take(now, per_s, burst),
        };
        let Err(wait) = taken else {
            connection.refusals = 0;
            return true;
        };
        connection.refusals += 1;
        if connection.refusals > burst.max(1) {
            self.end(slot, ErrorCode::RateLimited, "too many commands, also after being told");
        } else {
            // Rounded up: a client that comes back at that time gets through.
            let after = millis(wait + Duration::from_micros(999));
            self.tell(slot, error(frame.request_id, ErrorCode::RateLimited, "too many commands", Some(after)));
        }
        false
    }

    /// Answers Hello: who is it, and what may it do. A resume token waits until it can be judged: a client whose token counted as foreign
    /// only because the node had just started would be told of losses that never were.
    fn greet(&mut self, now: Moment, slot: u32, hello: v1::Hello) {
        if hello.protocol != PROTOCOL {
            return self.end(slot, ErrorCode::Unsupported, &format!("protocol {} is not supported, {PROTOCOL} is", hello.protocol));
        }
        let unix_s = self.unix_us(now) / 1_000_000;
        let Some(connection) = self.roster.get_mut(slot) else { return };
        let grant = match (connection.grant.take(), hello.token.as_deref()) {
            (Some(grant), None) => Ok(Arc::unwrap_or_clone(grant)),
            (_, token) => self.authority.grant(token, unix_s),
        };
        let grant = match grant {
            Ok(grant) => grant,
            Err(code) => return self.end(slot, code, refusal(code)),
        };
        if !self.adopt(now, slot, grant) {
            return self.end(slot, ErrorCode::AuthExpired, refusal(ErrorCode::AuthExpired));
        }
        let Some(connection) = self.roster.get_mut(slot).filter(|_| self.epoch.is_empty() && hello.resume.is_some()) else {
            return self.welcome(now, slot, &hello);
        };
        connection.phase = Phase::Awaiting { until: now + EPOCH_WITHIN };
        connection.rare().held.push(v1::ClientFrame { request_id: 0, command: Some(Command::Hello(hello)) });
    }

    /// Says the Welcome that was held back, then obeys what came meanwhile.
    pub(super) fn welcome_awaiting(&mut self, now: Moment, slot: u32) {
        let waits = |connection: &&mut Connection| matches!(connection.phase, Phase::Awaiting { .. }) && connection.closing.is_none();
        let Some(connection) = self.roster.get_mut(slot).filter(waits) else { return };
        for frame in connection.take_held() {
            match frame.command {
                Some(Command::Hello(hello)) => self.welcome(now, slot, &hello),
                Some(command) => self.obey(now, slot, frame.request_id, command),
                None => {}
            }
        }
        self.rearm(slot);
    }

    fn welcome(&mut self, now: Moment, slot: u32, hello: &v1::Hello) {
        let position = hello.resume.as_deref().and_then(|text| token::read(text, &self.epoch));
        let resume = match (&hello.resume, position) {
            (None, _) => v1::Resume::Fresh,
            (Some(_), Some(_)) => v1::Resume::Resumed,
            (Some(_), None) => v1::Resume::Images,
        };
        let config = &self.config;
        let server_ts_us = self.clock.unix_us.saturating_add(now.since(self.clock.at).as_micros() as u64);
        let Some(connection) = self.roster.get_mut(slot) else { return };
        connection.phase = Phase::Live;
        connection.rare().resume = position;
        connection.rate = RateClass::granted(hello.conflate_ms.unwrap_or(config.conflate_ms_default), 0);
        let heartbeat = hello.heartbeat_ms.map_or(config.heartbeat, |ms| Duration::from_millis(u64::from(ms)));
        connection.heartbeat_ms = heartbeat.clamp(HEARTBEAT_MIN, HEARTBEAT_MAX).as_millis() as u16;
        connection.last_written = now;
        connection.last_heartbeat = now;
        if hello.credit && config.credit_bytes_max > 0 {
            let credit = Credit::new(now, config.credit_bytes_max);
            self.stats.note_credit(&credit);
            connection.credit = Some(Box::new(credit));
        }
        let welcome = v1::Welcome {
            session: core::mem::take(&mut connection.rare().session).into(),
            node: config.node.clone(),
            epoch: self.epoch.clone(),
            limits: Some(v1::Limits {
                subscriptions_max: subscriptions_max(config.subscriptions_max, connection.grant.as_deref()),
                message_bytes_max: config.message_bytes_max,
                commands_per_s: config.commands_per_s,
                commands_burst: config.commands_burst,
                conflate_ms_min: connection.granted(Some(RateClass::granted(0, 0)), config.conflate_ms_min).millis(),
            }),
            heartbeat_ms: millis(connection.heartbeat()),
            rate_classes: RATE_CLASSES_MS.to_vec(),
            resume: resume as i32,
            server_ts_us,
            // Who is watched has nothing to report.
            window_bytes: connection.credit.as_deref().filter(|credit| !credit.is_watched()).map_or(0, Credit::window),
        };
        self.dispatch.push_control(slot, Control::Welcome(welcome));
        self.list_feeds(slot);
        if let Some(connection) = self.roster.get(slot) {
            self.dispatch.set_open(slot, connection.is_open());
            self.dispatch.set_room(slot, connection.room());
        }
    }

    /// Makes `grant` the connection's, with deadlines on the monotonic clock: a jump of the wall clock ends no session. Returns false if
    /// it has expired.
    fn adopt(&mut self, now: Moment, slot: u32, grant: Grant) -> bool {
        let unix_us = self.unix_us(now);
        let Some(connection) = self.roster.get_mut(slot) else { return false };
        connection.expiry = None;
        if let Some(expires_at_s) = grant.expires_at_s {
            let left = Duration::from_micros(expires_at_s.saturating_mul(1_000_000).saturating_sub(unix_us));
            if left.is_zero() {
                return false;
            }
            let at = now + left;
            connection.expiry = Some(Box::new(Expiry { at, warn_at: Some(at - TOKEN_EXPIRING_BEFORE.min(left / 5)) }));
        }
        let shared = self.grant.take().filter(|shared| **shared == grant).unwrap_or_else(|| Arc::new(grant));
        connection.grant = Some(shared.clone());
        self.grant = Some(shared);
        true
    }

    /// Renews the token in place. A refused one leaves the old grant in force until it ends.
    fn authenticate(&mut self, now: Moment, slot: u32, request_id: u32, token: &str) {
        let unix_s = self.unix_us(now) / 1_000_000;
        let granted = self.authority.grant(Some(token), unix_s);
        let Some(connection) = self.roster.get(slot) else { return };
        let before = connection.grant.as_deref().map(|grant| grant.subject.clone());
        let expiry = connection.expiry.clone();
        let granted = match granted {
            Ok(grant) if before.as_deref().is_some_and(|subject| subject != grant.subject) => Err(ErrorCode::AuthInvalid),
            other => other,
        };
        let code = match granted {
            Ok(grant) => {
                if self.adopt(now, slot, grant) {
                    self.revise(now, slot);
                    return self.acknowledge(slot, request_id);
                }
                ErrorCode::AuthExpired
            }
            Err(code) => code,
        };
        if let Some(connection) = self.roster.get_mut(slot) {
            connection.expiry = expiry;
        }
        self.tell(slot, error(request_id, code, refusal(code), None));
    }

    fn configure(&mut self, now: Moment, slot: u32, request_id: u32, configure: v1::Configure) {
        let Some(connection) = self.roster.get_mut(slot) else { return };
        if let Some(paused) = configure.paused {
            connection.paused = paused;
            self.dispatch.set_open(slot, connection.is_open());
            self.dispatch.touch(slot);
        }
        if let Some(conflate_ms) = configure.conflate_ms {
            connection.rate = RateClass::granted(conflate_ms, 0);
            self.reclass(now, slot);
        }
        self.acknowledge(slot, request_id);
    }

    fn acknowledge(&mut self, slot: u32, request_id: u32) {
        let Some(connection) = self.roster.get(slot) else { return };
        let conflate_ms = connection.granted(None, self.config.conflate_ms_min).millis();
        self.tell(slot, Control::Ack(v1::Ack { request_id, conflate_ms }));
    }

    /// Keeps a command until the book is complete.
    pub(super) fn hold(&mut self, slot: u32, frame: v1::ClientFrame) {
        let Some(connection) = self.roster.get_mut(slot) else { return };
        if connection.rare().held.len() < HELD_MAX {
            connection.rare().held.push(frame);
        } else {
            let text = "the node is still reading the log";
            self.tell(slot, error(frame.request_id, ErrorCode::RateLimited, text, Some(HELD_RETRY_MS)));
        }
    }

    /// Answers what was held back.
    pub(super) fn answer_held(&mut self, now: Moment, slot: u32) {
        let Some(connection) = self.roster.get_mut(slot).filter(|connection| connection.is_live()) else { return };
        for frame in connection.take_held() {
            match frame.command {
                Some(Command::Subscribe(subscribe)) => self.subscribe(now, slot, frame.request_id, subscribe),
                Some(Command::Unsubscribe(unsubscribe)) => self.unsubscribe(now, slot, frame.request_id, unsubscribe),
                _ => {}
            }
        }
    }
}

/// Instruments that a connection may have.
pub(super) fn subscriptions_max(server: u32, grant: Option<&Grant>) -> u32 {
    grant.and_then(|grant| grant.subscriptions_max).map_or(server, |granted| granted.min(server))
}

fn refusal(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::AuthRequired => "a token is needed",
        ErrorCode::AuthExpired => "the token has expired",
        _ => "the token is not acceptable",
    }
}

/// The version of the protocol that this engine speaks.
const PROTOCOL: u32 = 1;
/// Welcome waits this long at most for the log to have a name: half of what clients wait for it. Then the token counts as foreign.
const EPOCH_WITHIN: Duration = Duration::from_secs(5);
/// Shortest and longest heartbeat that may be asked for.
const HEARTBEAT_MIN: Duration = Duration::from_millis(500);
/// See [`HEARTBEAT_MIN`].
const HEARTBEAT_MAX: Duration = Duration::from_secs(30);
/// The client is told that its token expires this long before, or at four fifths of its life if that is later.
const TOKEN_EXPIRING_BEFORE: Duration = Duration::from_secs(60);
/// Reports of progress a second, and at once. A client sends at most 50; more are refused like commands.
const REPORTS_PER_S: u32 = 100;
/// See [`REPORTS_PER_S`].
const REPORTS_BURST: u32 = 200;
/// When to try again with a command that could not be held.
const HELD_RETRY_MS: u32 = 1_000;
