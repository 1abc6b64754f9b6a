//! The loop that gives the session a socket, a clock and a token callback. It holds no rule of its own.

use std::collections::VecDeque;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use tickwire_proto::session::{Event, Input, Output, State};
use tickwire_proto::time::Moment;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::sleep_until;
use tracing::{debug, warn};

use crate::error::{ConnectError, TokenError, TransportError};
use crate::shared::Shared;
use crate::token::{Token, TokenFuture, TokenProvider};
use crate::transport::{Loss, Request, Route, Transport, Wire};

/// Owner of the connection of one client.
pub(crate) struct Driver {
    shared: Arc<Shared>,
    route: Route,
    provider: Option<TokenProvider>,
    link: Link,
    deadline: Option<Moment>,
    asking: Option<(u32, TokenFuture)>,
    /// Who waits for the first welcome.
    welcome: Option<oneshot::Sender<Result<(), ConnectError>>>,
    /// Why the last connection or token was not to be had.
    loss: Option<ConnectError>,
    closing: Option<JoinHandle<()>>,
}

enum Link {
    Down,
    Opening(Pin<Box<dyn Future<Output = Result<Wire, Loss>> + Send>>),
    Up(Wire),
}

/// What the loop waits for.
enum Woken {
    Opened(Box<Wire>),
    Frame(Bytes),
    Lost(Loss),
    Token(u32, Result<Token, TokenError>),
    Timeout,
    /// A handle has changed the session.
    Kicked,
}

/// What the session wants done with the transport.
enum Action {
    Open,
    Send(Vec<u8>),
    Shut(u16),
    Ask(u32),
}

impl Driver {
    pub(crate) fn new(
        shared: Arc<Shared>,
        route: Route,
        provider: Option<TokenProvider>,
        welcome: Option<oneshot::Sender<Result<(), ConnectError>>>,
    ) -> Self {
        Self { shared, route, provider, link: Link::Down, deadline: None, asking: None, welcome, loss: None, closing: None }
    }

    /// Runs until the session is closed. Dropping the future drops the connection.
    pub(crate) async fn run(mut self) {
        self.enter(Input::Connect);
        while self.drain() {
            match self.wait().await {
                Woken::Opened(wire) => {
                    self.link = Link::Up(*wire);
                    self.enter(Input::Opened);
                }
                Woken::Frame(frame) => self.enter(Input::Frame(&frame)),
                Woken::Lost(loss) => self.lose(loss),
                Woken::Token(request, token) => self.answer(request, token),
                Woken::Timeout => {
                    self.deadline = None;
                    self.enter(Input::Timeout);
                }
                Woken::Kicked => {}
            }
        }
        self.link = Link::Down;
        if let Some(closing) = self.closing.take() {
            let _ = closing.await;
        }
    }

    /// Waits for the first of transport, token, timer and handles. Every branch is cancel-safe, so none loses what another wins.
    async fn wait(&mut self) -> Woken {
        let deadline = self.deadline.map(|moment| self.shared.instant(moment));
        let timer = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => pending().await,
            }
        };
        tokio::select! {
            woken = self.link.next() => woken,
            woken = token(&mut self.asking) => woken,
            () = timer => Woken::Timeout,
            () = self.shared.kick.notified() => Woken::Kicked,
        }
    }

    fn enter(&self, input: Input<'_>) {
        self.shared.lock().session.handle(self.shared.now(), input);
    }

    fn lose(&mut self, loss: Loss) {
        debug!(server = %self.route.endpoint, error = %loss.error, code = loss.code, "connection lost");
        self.link = Link::Down;
        self.loss = Some(ConnectError::Unreachable { url: self.route.endpoint.to_string(), source: loss.error });
        self.enter(Input::Closed { code: loss.code, retry_after: loss.retry_after });
    }

    fn answer(&mut self, request: u32, token: Result<Token, TokenError>) {
        self.asking = None;
        match token {
            Ok(token) => self.enter(Input::Token { request, token: Some(token.reveal().to_owned()) }),
            Err(error) => {
                warn!(error = %error, "no token");
                self.loss = Some(ConnectError::Token(error));
                self.enter(Input::Token { request, token: None });
            }
        }
    }

    /// Does what the session wants, until it waits. Returns false once it is closed.
    fn drain(&mut self) -> bool {
        loop {
            let actions = self.take_outputs();
            if actions.is_empty() {
                return self.shared.lock().session.state() != State::Closed;
            }
            for action in actions {
                self.act(action);
            }
        }
    }

    /// Drains the session's outputs under one lock: events and wake-ups are delivered, transport work is returned.
    fn take_outputs(&mut self) -> VecDeque<Action> {
        let (mut actions, mut wakers, mut events) = (VecDeque::new(), Vec::new(), Vec::new());
        let mut inner = self.shared.lock();
        self.deadline = loop {
            match inner.session.poll_output() {
                Output::Open { .. } => actions.push_back(Action::Open),
                Output::Send(frame) => actions.push_back(Action::Send(frame)),
                Output::Shut { code } => actions.push_back(Action::Shut(code)),
                Output::NeedToken { request } => actions.push_back(Action::Ask(request)),
                Output::Event(mut event) => {
                    self.explain(&mut event);
                    inner.publish(&event, &mut wakers);
                    events.push(event);
                }
                Output::Ready(subscription) => wakers.extend(inner.take_waker(subscription)),
                Output::Wait(deadline) => break deadline,
                // An output of a later version of the session, which comes with a later version of this crate.
                _ => {}
            }
        };
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
        events.iter().for_each(|event| self.observe(event));
        // It explained this end, and no later one.
        self.loss = None;
        actions
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Open => {
                self.shut(1_000);
                let request = match self.route.transport {
                    Transport::WebSocket => Request { query: String::new(), token: None, resume: None },
                    Transport::Sse => {
                        let inner = self.shared.lock();
                        let token = inner.session.token().map(|token| Token::new(token.to_owned()));
                        let resume = inner.session.resume_token().map(str::to_owned);
                        Request { query: inner.session.sse_query(), token, resume }
                    }
                };
                self.link = Link::Opening(Box::pin(Wire::open(self.route.clone(), request)));
            }
            Action::Send(frame) => {
                if let Link::Up(wire) = &mut self.link
                    && let Err(loss) = wire.send(frame)
                {
                    self.lose(loss);
                }
            }
            Action::Shut(code) => self.shut(code),
            Action::Ask(request) => match &self.provider {
                Some(provider) => self.asking = Some((request, provider.ask())),
                None => self.enter(Input::Token { request, token: None }),
            },
        }
    }

    /// Closes the transport in the background: a dead peer must not hold up the next try.
    fn shut(&mut self, code: u16) {
        if let Link::Up(wire) = std::mem::replace(&mut self.link, Link::Down) {
            self.closing = Some(tokio::spawn(wire.shut(code)));
        }
    }

    /// Says what happened to the transport where the session only knows that it ended.
    fn explain(&self, event: &mut Event) {
        let Event::State { state: State::Backoff | State::Closed, reason, code } = event else { return };
        match &self.loss {
            // The code says that it is a refusal.
            Some(ConnectError::Unreachable { source: TransportError::Status { text, .. }, .. }) if code.is_some() && !text.is_empty() => {
                reason.clone_from(text);
            }
            // What the server said itself is the better reason.
            Some(ConnectError::Unreachable { source: TransportError::Closed { .. } | TransportError::Ended, .. }) | None => {}
            Some(ConnectError::Unreachable { source, .. }) => *reason = source.to_string(),
            Some(other) => *reason = other.to_string(),
        }
    }

    /// Tells whoever waits in `connect` how the first try ended.
    fn observe(&mut self, event: &Event) {
        let Event::State { state, code, reason } = event else { return };
        debug!(server = %self.route.endpoint, ?state, ?code, reason, "state");
        let outcome = match (state, code) {
            (State::Syncing | State::Live | State::Degraded, _) => Ok(()),
            (State::Closed | State::Backoff, Some(code)) => Err(ConnectError::Refused { code: *code, reason: reason.clone() }),
            (State::Closed, None) => Err(self.loss.take().unwrap_or_else(|| ConnectError::Closed { reason: reason.clone() })),
            (State::Backoff, None) => Err(self.loss.take().unwrap_or_else(|| self.given_up(reason))),
            _ => return,
        };
        if let Some(welcome) = self.welcome.take() {
            let failed = outcome.is_err();
            // Nobody waits any more if the future of `connect` was dropped; its handle closes the client then.
            let _ = welcome.send(outcome);
            if failed {
                self.shared.tell(Input::Close);
            }
        }
    }

    fn given_up(&self, reason: &str) -> ConnectError {
        ConnectError::Unreachable { url: self.route.endpoint.to_string(), source: TransportError::GivenUp(reason.to_owned()) }
    }
}

impl Drop for Driver {
    /// However the driver ends, nobody must wait for it any more.
    fn drop(&mut self) {
        let wakers = self.shared.lock().end();
        wakers.into_iter().for_each(Waker::wake);
        self.shared.ended.send_replace(true);
    }
}

impl Link {
    /// What happens to the transport next. Cancel-safe.
    async fn next(&mut self) -> Woken {
        match self {
            Self::Down => pending().await,
            Self::Opening(opening) => match opening.await {
                Ok(wire) => Woken::Opened(Box::new(wire)),
                Err(loss) => Woken::Lost(loss),
            },
            Self::Up(wire) => match wire.next().await {
                Ok(frame) => Woken::Frame(frame),
                Err(loss) => Woken::Lost(loss),
            },
        }
    }
}

/// Waits for the callback, if it was asked.
async fn token(asking: &mut Option<(u32, TokenFuture)>) -> Woken {
    match asking {
        Some((request, future)) => Woken::Token(*request, future.await),
        None => pending().await,
    }
}
