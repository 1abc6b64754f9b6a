//! What a session does with the frames of a server.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::link::{Leave, Link, PING_FIRST, Ping, Up, silence_max};
use super::progress::Progress;
use super::wanted::Refusal;
use super::{Event, Output, Session, State};
use crate::planted::{Fault, planted};
use crate::time::Moment;
use crate::v1::client_frame::Command;
use crate::v1::server_frame::Control;
use crate::v1::{self, ErrorCode, Retry};
use crate::wire;

impl Session {
    /// Takes one frame of an open connection.
    pub(super) fn receive(&mut self, now: Moment, bytes: &[u8]) {
        if !self.link.is_open() {
            return;
        }
        self.stats.frames += 1;
        self.stats.bytes += bytes.len() as u64;
        let frame = match wire::decode_server(self.config.encoding, bytes, &|id| self.table.scales(id)) {
            Ok(frame) => frame,
            Err(error) => return self.fail(now, format!("a frame cannot be read: {error}")),
        };
        let Some(peer) = self.link.peer_mut() else { return };
        if frame.cseq != peer.cseq + 1 && !planted(Fault::ClientIgnoresHole) {
            let reason = format!("frame {} came after {}", frame.cseq, peer.cseq);
            return self.fail(now, reason);
        }
        peer.cseq = frame.cseq;
        peer.last_words = None;
        if let Link::Up(up) = &mut self.link {
            up.heard(now);
        }
        for info in frame.infos {
            self.table.announce(info, &self.wanted, &mut self.stats);
        }
        let is_heartbeat = matches!(frame.control, Some(Control::Heartbeat(_)));
        if let Some(control) = frame.control {
            self.control(now, control);
        }
        self.take_feeds(frame.feeds, is_heartbeat);
        for update in &frame.updates {
            self.table.apply(update, &mut self.stats, &mut self.outputs);
        }
        self.settle(now);
        if let Link::Up(Up { progress: Some(progress), .. }) = &mut self.link {
            progress.took(now, bytes.len());
        }
        self.tell_progress(now);
    }

    fn control(&mut self, now: Moment, control: Control) {
        match control {
            Control::Welcome(welcome) => self.welcome(now, welcome),
            Control::SubscribeAck(ack) => {
                let mut refusals = Vec::new();
                self.wanted.acknowledge(&ack, !self.config.two_way, &mut refusals);
                self.refuse(refusals);
                self.table.serve(&self.wanted);
            }
            Control::SnapshotComplete(done) => {
                self.wanted.complete(done.request_id, !self.config.two_way);
                self.table.serve(&self.wanted);
                self.table.mend_trades(&self.wanted, &mut self.stats, &mut self.outputs);
                if self.wanted.is_settled() {
                    self.table.drop_outdated(&mut self.stats, &mut self.outputs);
                }
            }
            Control::Heartbeat(heartbeat) => {
                // Before the images of what is held are complete, a newer token would skip them.
                if !heartbeat.token.is_empty() && (self.wanted.is_caught_up() || planted(Fault::ClientTakesTokenEarly)) {
                    self.resume = Some(heartbeat.token);
                    self.wanted.take_token();
                }
            }
            Control::Gap(gap) => self.table.gap(&gap, &mut self.stats, &mut self.outputs),
            Control::Notice(notice) => self.outputs.push_back(Output::Event(Event::Notice(notice))),
            Control::Error(error) => self.take_error(now, error),
            Control::TokenExpiring(_) => self.ask_token(now),
            Control::Goodbye(goodbye) => self.take_goodbye(now, goodbye),
            Control::Pong(pong) => self.take_pong(now, pong),
            Control::UnsubscribeAck(_) | Control::Ack(_) => {}
        }
    }

    fn welcome(&mut self, now: Moment, welcome: v1::Welcome) {
        let peer = match core::mem::replace(&mut self.link, Link::Idle) {
            Link::Greeting { peer, .. } => peer,
            // A second Welcome says nothing new.
            other => return self.link = other,
        };
        self.judge_epoch(&welcome);
        if welcome.node != self.node && !planted(Fault::ClientKeepsClock) {
            self.clock.forget();
            self.node = welcome.node;
        }
        self.clock.sample(peer.greeted_at, now, welcome.server_ts_us);
        if let Some(unix_us) = self.clock.unix_us(now) {
            self.tokens.plan(now, unix_us);
        }
        if let Some(limits) = &welcome.limits {
            self.pace.adopt(limits);
            self.message_bytes_max = message_budget(limits.message_bytes_max);
        }
        let silence_max = silence_max(welcome.heartbeat_ms);
        self.link = Link::Up(Up {
            peer,
            session: welcome.session,
            silence_max,
            silent_at: now + silence_max,
            synced: false,
            live_since: None,
            ping: self.config.two_way.then(|| Ping { due_at: now + PING_FIRST, sent: None }),
            progress: (self.config.two_way && welcome.window_bytes > 0).then(|| Progress::new(now)),
            leave: None,
        });
    }

    /// What held values are worth on this connection.
    fn judge_epoch(&mut self, welcome: &v1::Welcome) {
        let resumed = welcome.resume() == v1::Resume::Resumed;
        // A token that was resumed is of this epoch, so positions go on even if no Welcome has named it yet.
        if resumed || welcome.epoch == self.epoch {
            self.table.go_on(resumed, &self.wanted);
        } else {
            let had_values = self.table.has_values();
            self.table.new_epoch();
            if had_values {
                let text = String::from("another log; images follow");
                let error = v1::Error { code: ErrorCode::ResumeExpired as i32, text, ..v1::Error::default() };
                self.outputs.push_back(Output::Event(Event::Error(error)));
            }
        }
        self.epoch.clone_from(&welcome.epoch);
    }

    fn take_feeds(&mut self, feeds: Vec<v1::FeedState>, complete: bool) {
        if complete && !feeds.is_empty() {
            // A heartbeat names every feed. One that is not named is gone, and must not degrade us for ever.
            self.feeds.retain(|known| feeds.iter().any(|feed| feed.feed == known.feed));
        }
        for feed in feeds {
            let changed = match self.feeds.iter().position(|known| known.feed == feed.feed) {
                Some(n) => {
                    let known = core::mem::replace(&mut self.feeds[n], feed.clone());
                    (known.health, &known.reason) != (feed.health, &feed.reason)
                }
                None if self.feeds.len() >= FEEDS_MAX => false,
                None => {
                    self.feeds.push(feed.clone());
                    true
                }
            };
            if changed {
                self.outputs.push_back(Output::Event(Event::Feed(feed)));
            }
        }
    }

    /// Shows what the newest frame has made of the state.
    pub(super) fn settle(&mut self, now: Moment) {
        let Link::Up(up) = &mut self.link else { return };
        up.synced = up.synced || self.wanted.is_settled();
        if up.synced {
            up.live_since.get_or_insert(now);
        }
        let ill = self.feeds.iter().find(|feed| feed.health() != v1::FeedHealth::Live);
        let state = match (up.synced, ill) {
            (false, _) => State::Syncing,
            (true, None) => State::Live,
            (true, Some(_)) => State::Degraded,
        };
        if state != self.shown {
            let reason = match (state, ill) {
                (State::Syncing, _) => format!("welcomed as {}", up.session),
                (_, Some(feed)) => format!("feed {} is {}", feed.feed, feed.health().as_str_name()),
                _ => String::new(),
            };
            self.show(state, None, reason);
        }
    }

    fn take_error(&mut self, now: Moment, error: v1::Error) {
        let code = ErrorCode::try_from(error.code).unwrap_or_default();
        let wait = error.retry_after_ms.map(|ms| Duration::from_millis(u64::from(ms)));
        let again = retry_of(&error) != Retry::Never;
        if code == ErrorCode::ResumeExpired {
            // The log was reset under us. A server that does not name the new one leaves that to the next Welcome.
            self.table.new_epoch();
            self.epoch.clone_from(&error.epoch);
        }
        if code == ErrorCode::RateLimited || (again && error.request_id != 0) {
            self.pace.hold(now + wait.unwrap_or(REPEAT_WAIT));
        }
        if matches!(code, ErrorCode::AuthInvalid | ErrorCode::AuthExpired) {
            // A renewal that was refused leaves the old token in force for a while: time to ask again.
            self.tokens.refused(now);
        }
        if error.request_id == 0 {
            if let Some(peer) = self.link.peer_mut().filter(|_| may_end(code)) {
                peer.last_words = Some(error.clone());
            }
        } else {
            let mut refusals = Vec::new();
            self.wanted.reject(error.request_id, again, code, &mut refusals);
            self.refuse(refusals);
        }
        self.outputs.push_back(Output::Event(Event::Error(error)));
    }

    fn take_goodbye(&mut self, now: Moment, goodbye: v1::Goodbye) {
        let code = ErrorCode::try_from(goodbye.code).ok().filter(|code| *code != ErrorCode::Unspecified);
        let [retry_after, spread] = [goodbye.retry_after_ms, goodbye.spread_ms].map(|ms| Duration::from_millis(u64::from(ms)));
        let chosen = retry_after + self.backoff.spread(spread);
        // A server that names no time at all must not be visited again and again.
        let wait = if (retry_after + spread).is_zero() { self.backoff.next() } else { chosen };
        match &mut self.link {
            Link::Up(up) => up.leave = Some(Leave { at: now + wait, code }),
            _ => self.end(now, code, String::from("goodbye"), Some(wait)),
        }
    }

    fn take_pong(&mut self, now: Moment, pong: v1::Pong) {
        let Link::Up(Up { ping: Some(ping), .. }) = &mut self.link else { return };
        if let Some((_, sent_at)) = ping.sent.take_if(|(nonce, _)| *nonce == pong.nonce) {
            self.clock.sample(sent_at, now, pong.server_ts_us);
        }
    }

    /// Tells what has been processed, if the server wants to know and it is time to.
    pub(super) fn tell_progress(&mut self, now: Moment) {
        let Link::Up(Up { peer, progress: Some(progress), .. }) = &mut self.link else { return };
        let cseq = peer.cseq;
        if progress.due_at(cseq).is_some_and(|due_at| due_at <= now) {
            progress.tell(now, cseq);
            self.send(0, Command::Progress(v1::Progress { cseq }));
        }
    }

    pub(super) fn refuse(&mut self, refusals: Vec<Refusal>) {
        for Refusal { subscription, symbol, code } in refusals {
            self.outputs.push_back(Output::Event(Event::Refused { subscription, symbol, code }));
        }
    }
}

/// Whether an error may be the last word of a connection. The others are about items or data: if the network fails just then, they are
/// not why.
fn may_end(code: ErrorCode) -> bool {
    !matches!(
        code,
        ErrorCode::NotEntitled
            | ErrorCode::UnknownSymbol
            | ErrorCode::BadSymbol
            | ErrorCode::TooManySubscriptions
            | ErrorCode::Gap
            | ErrorCode::ResumeExpired
            | ErrorCode::SymbolRetired
    )
}

/// What an error asks for: by its code, or by what the server says of a code that is not known here.
pub(super) fn retry_of(error: &v1::Error) -> Retry {
    match ErrorCode::try_from(error.code) {
        Ok(code) if code != ErrorCode::Unspecified => code.retry(),
        _ => error.retry(),
    }
}

/// Bytes of items in one message, of what the server takes.
pub(super) fn message_budget(bytes_max: u32) -> usize {
    let bytes_max = if bytes_max == 0 { MESSAGE_BYTES_MAX } else { bytes_max };
    (bytes_max as usize * 3 / 4).max(MESSAGE_BUDGET_MIN)
}

/// Feeds that are remembered. Further ones are ignored; a server has a handful.
const FEEDS_MAX: usize = 1_024;
/// Wait before a refused request is sent again, if the server names none.
const REPEAT_WAIT: Duration = Duration::from_secs(1);
/// Bytes of a client message that servers take unless they say otherwise.
pub(super) const MESSAGE_BYTES_MAX: u32 = 65_536;
/// Room for at least a few items, whatever the server says.
const MESSAGE_BUDGET_MIN: usize = 1_024;
