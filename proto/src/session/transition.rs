//! The way from one state of the link to the next.

use alloc::string::{String, ToString};
use core::time::Duration;

use super::ending::Ending;
use super::link::{Link, OPEN_WAIT, PROVEN_AFTER, Peer, Up, WELCOME_WAIT};
use super::token::ANSWER_WAIT;
use super::{Event, Output, Session, State};
use crate::planted::{Fault, planted};
use crate::time::Moment;
use crate::v1::{self, ErrorCode, Retry, client_frame::Command};

impl Session {
    pub(super) fn connect(&mut self, now: Moment) {
        if !self.config.two_way && self.wanted.is_empty() {
            self.link = Link::Parked;
            self.show(State::Idle, None, String::from("nothing is wanted yet"));
        } else if self.tokens.is_missing() {
            self.ask_token(now);
            self.link = Link::Renewing { not_before: now, give_up_at: now + ANSWER_WAIT };
            self.show(State::Connecting, None, String::from("waiting for a token"));
        } else {
            self.open(now);
        }
    }

    pub(super) fn open(&mut self, now: Moment) {
        self.table.reconnect();
        self.wanted.forget_told();
        self.pace.restart();
        self.reopen_at = None;
        if !self.config.two_way {
            self.asked_query = self.sse_query();
            self.wanted.all_asked(self.config.conflate_ms);
        }
        self.link = Link::Opening { since: now, give_up_at: now + OPEN_WAIT };
        self.show(State::Connecting, None, String::new());
        self.outputs.push_back(Output::Open { attempt: self.backoff.attempt() });
    }

    /// The transport is open: Hello, and what is wanted right behind it.
    pub(super) fn greet(&mut self, now: Moment, since: Moment) {
        self.stats.connects += 1;
        let greeted_at = if self.config.two_way { now } else { since };
        self.link = Link::Greeting { peer: Peer::new(greeted_at), give_up_at: now + WELCOME_WAIT };
        if !self.config.two_way {
            return;
        }
        let resume = self.resume.clone().filter(|_| self.wanted.holds_any());
        let resumes = resume.is_some();
        let hello = v1::Hello {
            protocol: PROTOCOL,
            sdk: self.config.sdk.clone(),
            token: self.tokens.current().map(ToString::to_string),
            resume,
            conflate_ms: self.config.conflate_ms,
            heartbeat_ms: Some(self.config.heartbeat_ms),
            credit: true,
        };
        self.send(0, Command::Hello(hello));
        if resumes {
            // The token counts for the first Subscribe alone, so what has no images yet goes into another one.
            self.send_next_wanted(now, true);
        }
    }

    /// The application wants something else than before.
    pub(super) fn wanted_changed(&mut self, now: Moment) {
        self.now = self.now.max(now);
        if !self.config.two_way {
            if matches!(self.link, Link::Parked) {
                self.connect(self.now);
            } else if self.link.has_transport() {
                // What was refused and is wanted anew reads the same, and deserves another answer.
                let differs = self.sse_query() != self.asked_query || self.wanted.has_unasked();
                self.reopen_at = differs.then(|| self.reopen_at.unwrap_or(self.now + REOPEN_AFTER));
            }
        }
        self.settle(self.now);
    }

    /// The transport ended by itself.
    pub(super) fn transport_ended(&mut self, now: Moment, close: Option<u16>, retry_after: Option<Duration>) {
        if !self.link.has_transport() {
            return;
        }
        self.forgive(now);
        let last_words = self.link.peer_mut().and_then(|peer| peer.last_words.take());
        let mut ending = Ending::of_transport(close, last_words.as_ref(), self.tokens.can_renew());
        ending.wait = retry_after.or(ending.wait).map(|wait| wait + self.backoff.next());
        if let Link::Up(Up { leave: Some(leave), .. }) = &self.link {
            if ending.code.is_none() || ending.code == leave.code {
                let wait = leave.at.since(now);
                ending = Ending::new(leave.code, String::from("the server said goodbye"));
                ending.wait = Some(wait);
            }
        }
        self.link = Link::Idle;
        self.retry(now, ending);
    }

    /// The session gives the connection up.
    pub(super) fn fail(&mut self, now: Moment, reason: String) {
        self.end(now, None, reason, None);
    }

    pub(super) fn end(&mut self, now: Moment, code: Option<ErrorCode>, reason: String, wait: Option<Duration>) {
        self.forgive(now);
        self.shut(CLOSE_RETRYING);
        self.link = Link::Idle;
        self.retry(now, Ending { wait, ..Ending::new(code, reason) });
    }

    /// There is no transport any more: what comes next?
    pub(super) fn retry(&mut self, now: Moment, ending: Ending) {
        let Ending { code, retry, reason, wait } = ending;
        let renews = retry == Retry::WithNewToken;
        if retry == Retry::Never || (renews && !self.tokens.can_renew()) {
            return self.finish(code, reason);
        }
        let retry_at = now + wait.unwrap_or_else(|| self.backoff.next());
        self.link = if renews {
            self.ask_token(now);
            Link::Renewing { not_before: retry_at, give_up_at: retry_at.max(now + ANSWER_WAIT) }
        } else {
            Link::Backoff { retry_at }
        };
        self.show(State::Backoff, code, reason);
    }

    /// A connection that was Live for long enough makes up for the failures before it.
    pub(super) fn forgive(&mut self, now: Moment) {
        let proven_after = if planted(Fault::ClientForgivesEarly) { Duration::ZERO } else { PROVEN_AFTER };
        if matches!(&self.link, Link::Up(Up { live_since: Some(since), .. }) if now.since(*since) >= proven_after) {
            self.backoff.reset();
        }
    }

    pub(super) fn finish(&mut self, code: Option<ErrorCode>, reason: String) {
        self.shut(CLOSE_NORMAL);
        self.link = Link::Closed;
        self.tokens.stop();
        self.show(State::Closed, code, reason);
    }

    pub(super) fn back_off(&mut self, now: Moment, reason: &str) {
        self.link = Link::Backoff { retry_at: now + self.backoff.next() };
        self.show(State::Backoff, None, reason.to_string());
    }

    /// Deadlines that have passed.
    pub(super) fn expire(&mut self, now: Moment) {
        if let Some(request) = self.tokens.expire(now) {
            self.outputs.push_back(Output::NeedToken { request });
        }
        if self.reopen_at.is_some_and(|at| now >= at) && self.link.has_transport() {
            self.shut(CLOSE_RETRYING);
            return self.connect(now);
        }
        match &mut self.link {
            Link::Backoff { retry_at } if now >= *retry_at => self.connect(now),
            Link::Opening { give_up_at, .. } if now >= *give_up_at => self.fail(now, String::from("the transport did not open in time")),
            Link::Greeting { give_up_at, .. } if now >= *give_up_at => self.fail(now, String::from("no welcome in time")),
            Link::Renewing { give_up_at, .. } if now >= *give_up_at => self.back_off(now, "no token in time"),
            Link::Up(up) if now >= up.silent_at => {
                let reason = String::from("the server is silent");
                self.show(State::Stalled, None, reason.clone());
                self.fail(now, reason);
            }
            Link::Up(up) => match &up.leave {
                Some(leave) if now >= leave.at => {
                    let code = leave.code;
                    self.end(now, code, String::from("the server said goodbye"), Some(Duration::ZERO));
                }
                _ => {
                    if up.ping.as_ref().is_some_and(|ping| now >= ping.due_at) {
                        self.ping(now);
                    }
                    self.tell_progress(now);
                }
            },
            _ => {}
        }
    }

    pub(super) fn show(&mut self, state: State, code: Option<ErrorCode>, reason: String) {
        if self.shown != state {
            self.shown = state;
            self.outputs.push_back(Output::Event(Event::State { state, code, reason }));
        }
    }

    pub(super) fn shut(&mut self, code: u16) {
        if self.link.has_transport() {
            self.outputs.push_back(Output::Shut { code });
        }
    }
}

/// Version of the protocol, for Hello.
const PROTOCOL: u32 = 1;
/// Close code of a session that ends.
const CLOSE_NORMAL: u16 = 1_000;
/// Close code of a connection that is given up for another one. Browsers allow 1000 and 3000 to 4999; servers use 4000 and up.
const CLOSE_RETRYING: u16 = 3_000;
/// One-way: wait for further changes of the wanted set before a new request takes the place of the old one.
const REOPEN_AFTER: Duration = Duration::from_millis(20);
