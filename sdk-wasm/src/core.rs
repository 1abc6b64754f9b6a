//! The session with the names and numbers that JavaScript knows.

use std::time::Duration;

use tickwire_proto::Moment;
use tickwire_proto::session::{Input, Item, Output, Session, SessionConfig, SubscribeOptions, SubscriptionId};
use tickwire_proto::v1::ErrorCode;
use tickwire_proto::wire::Encoding;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::render::{self, InfosGiven};

/// The client session and what it needs to start again on another kind of transport.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Core {
    session: Session,
    config: SessionConfig,
    seed: u64,
    /// Few, so that a list does: a map would cost the module more than it saves. Bounded by what the application subscribed to.
    subscriptions: Vec<Subscription>,
    subscription_next: u32,
    infos_given: InfosGiven,
    /// What the newest [`Step`] carries, until it is fetched or the next one comes.
    number: f64,
    text: String,
    bytes: Vec<u8>,
}

/// One subscription, kept whole so that a new session can take it over.
#[derive(Debug)]
struct Subscription {
    /// As JavaScript knows it.
    number: u32,
    id: SubscriptionId,
    items: Vec<Item>,
    options: SubscribeOptions,
}

/// What JavaScript is to do next. What comes with it is fetched by [`Core::number`], [`Core::take_text`] and [`Core::take_bytes`].
#[wasm_bindgen]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing more. Number: call [`Core::timeout`] at this moment, in milliseconds; infinite if there is none.
    Wait = 0,
    /// Close the transport and open a new one. Number: the attempt.
    Open = 1,
    /// Write the bytes as one frame.
    Send = 2,
    /// Close the transport. Number: the close code.
    Shut = 3,
    /// Ask for a token. Number: the request.
    NeedToken = 4,
    /// Tell the application. Text: the event as JSON.
    Event = 5,
    /// Changes are there to be taken. Number: the subscription.
    Ready = 6,
}

#[wasm_bindgen]
impl Core {
    /// A session at rest. `seed` feeds the jitter of backoff.
    #[wasm_bindgen(constructor)]
    pub fn new(
        sdk: String,
        json: bool,
        conflate_ms: Option<u32>,
        heartbeat_ms: u32,
        token: Option<String>,
        refresh: bool,
        seed: f64,
    ) -> Self {
        let config = SessionConfig {
            encoding: if json { Encoding::Json } else { Encoding::Protobuf },
            two_way: true,
            sdk,
            conflate_ms,
            heartbeat_ms,
            token,
            refresh,
            ..SessionConfig::default()
        };
        let seed = seed as u64;
        Self {
            session: Session::new(config.clone(), seed),
            config,
            seed,
            subscriptions: Vec::new(),
            subscription_next: 1,
            infos_given: InfosGiven::default(),
            number: 0.0,
            text: String::new(),
            bytes: Vec::new(),
        }
    }

    /// Starts again with a session for transports of this kind: over SSE (`two_way` false) the request itself carries the subscriptions, and
    /// frames are JSON. Subscriptions stay; what is known comes anew with the first images.
    pub fn restart(&mut self, now: f64, two_way: bool, json: bool) {
        self.seed = self.seed.wrapping_add(1);
        let token = self.session.token().map(str::to_owned);
        let encoding = if json || !two_way { Encoding::Json } else { Encoding::Protobuf };
        let config = SessionConfig { two_way, encoding, token, ..self.config.clone() };
        self.session = Session::new(config, self.seed);
        self.infos_given = InfosGiven::default();
        for subscription in &mut self.subscriptions {
            subscription.id = self.session.subscribe(moment(now), &subscription.items, subscription.options);
        }
        self.session.handle(moment(now), Input::Connect);
    }

    /// The user wants a connection.
    pub fn connect(&mut self, now: f64) {
        self.session.handle(moment(now), Input::Connect);
    }

    /// The transport is open.
    pub fn opened(&mut self, now: f64) {
        self.session.handle(moment(now), Input::Opened);
    }

    /// One binary message.
    pub fn frame(&mut self, now: f64, bytes: &[u8]) {
        self.session.handle(moment(now), Input::Frame(bytes));
    }

    /// One text message, or the data of one SSE event.
    pub fn frame_text(&mut self, now: f64, text: &str) {
        self.session.handle(moment(now), Input::Frame(text.as_bytes()));
    }

    /// The transport failed or ended. `name` is the error code that a refusal named, which says more than an HTTP status.
    pub fn closed(&mut self, now: f64, code: Option<u16>, retry_after_ms: Option<f64>, name: Option<String>) {
        let named = name.and_then(|name| ErrorCode::from_str_name(&name)).map(ErrorCode::close_code);
        let retry_after = retry_after_ms.filter(|ms| *ms >= 0.0).map(|ms| Duration::from_millis(ms as u64));
        self.session.handle(moment(now), Input::Closed { code: named.or(code), retry_after });
    }

    /// The moment of the last [`Step::Wait`] has come.
    pub fn timeout(&mut self, now: f64) {
        self.session.handle(moment(now), Input::Timeout);
    }

    /// The network came back or the page was shown.
    pub fn wake(&mut self, now: f64) {
        self.session.handle(moment(now), Input::Wake);
    }

    /// The page was hidden or shown.
    pub fn pause(&mut self, now: f64, paused: bool) {
        self.session.handle(moment(now), Input::Paused(paused));
    }

    /// The answer to [`Step::NeedToken`].
    pub fn token(&mut self, now: f64, request: u32, token: Option<String>) {
        self.session.handle(moment(now), Input::Token { request, token });
    }

    /// The user closes.
    pub fn close(&mut self, now: f64) {
        self.session.handle(moment(now), Input::Close);
    }

    /// Adds a subscription and gives its number.
    pub fn subscribe(&mut self, now: f64, targets: Vec<String>, conflate_ms: Option<u32>, trades: bool) -> u32 {
        let items: Vec<Item> = targets.into_iter().map(|target| Item { target }).collect();
        let options = SubscribeOptions { conflate_ms, trades };
        let id = self.session.subscribe(moment(now), &items, options);
        let number = self.subscription_next;
        self.subscription_next += 1;
        self.subscriptions.push(Subscription { number, id, items, options });
        number
    }

    /// Changes the rate of a subscription; `None` is the session's default.
    pub fn set_conflation(&mut self, now: f64, subscription: u32, conflate_ms: Option<u32>) {
        if let Some(known) = self.subscriptions.iter_mut().find(|known| known.number == subscription) {
            known.options.conflate_ms = conflate_ms;
            self.session.set_conflation(moment(now), known.id, conflate_ms);
        }
    }

    /// Ends a subscription.
    pub fn unsubscribe(&mut self, now: f64, subscription: u32) {
        if let Some(index) = self.subscriptions.iter().position(|known| known.number == subscription) {
            let known = self.subscriptions.swap_remove(index);
            self.session.unsubscribe(moment(now), known.id);
        }
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Step {
        loop {
            let (step, number) = match self.session.poll_output() {
                Output::Wait(until) => (Step::Wait, until.map_or(f64::INFINITY, milliseconds)),
                Output::Open { attempt } => (Step::Open, f64::from(attempt)),
                Output::Send(bytes) => {
                    self.bytes = bytes;
                    (Step::Send, 0.0)
                }
                Output::Shut { code } => (Step::Shut, f64::from(code)),
                Output::NeedToken { request } => (Step::NeedToken, f64::from(request)),
                Output::Event(event) => {
                    self.text = render::event(&event, |id| self.number_of(id));
                    (Step::Event, 0.0)
                }
                // A subscription that was dropped meanwhile has nobody to read it.
                Output::Ready(id) => match self.number_of(id) {
                    Some(number) => (Step::Ready, f64::from(number)),
                    None => continue,
                },
                // A step that this version does not know asks for nothing.
                _ => continue,
            };
            self.number = number;
            return step;
        }
    }

    /// What came with the newest step.
    pub fn number(&self) -> f64 {
        self.number
    }

    /// What came with the newest step.
    pub fn take_text(&mut self) -> String {
        std::mem::take(&mut self.text)
    }

    /// What came with the newest step.
    pub fn take_bytes(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// Up to `max` changes of a subscription as a JSON array; nothing if there are none.
    pub fn changes(&mut self, subscription: u32, max: u32) -> Option<String> {
        let id = self.subscriptions.iter().find(|known| known.number == subscription)?.id;
        let mut batch = render::Batch::default();
        for _ in 0..max {
            let Some(change) = self.session.next_change(id) else { break };
            batch.push(&change, &mut self.infos_given);
        }
        batch.finish()
    }

    /// The newest state of an instrument, as one change in JSON.
    pub fn latest(&mut self, symbol: &str) -> Option<String> {
        let instrument = self.session.latest(symbol)?;
        Some(render::latest(instrument, &mut self.infos_given))
    }

    /// Milliseconds since the newest record of `symbol` happened, by the server's clock.
    pub fn age(&self, now: f64, symbol: &str) -> Option<f64> {
        let instrument = self.session.latest(symbol)?;
        self.session.age(moment(now), instrument).map(|age| age.as_secs_f64() * 1_000.0)
    }

    /// Every feed's newest state, as a JSON array.
    pub fn feeds(&self) -> String {
        render::feeds(self.session.feeds())
    }

    /// Counters, as a JSON object.
    pub fn stats(&self) -> String {
        render::stats(&self.session.stats())
    }

    /// When the next try begins, while waiting for it, in milliseconds.
    pub fn retry_at(&self) -> Option<f64> {
        self.session.retry_at().map(milliseconds)
    }

    /// The newest bearer token, for an SSE request.
    pub fn bearer(&self) -> Option<String> {
        self.session.token().map(str::to_owned)
    }

    /// The newest resume token, for an SSE request.
    pub fn resume_token(&self) -> Option<String> {
        self.session.resume_token().map(str::to_owned)
    }

    /// Query of the SSE request for everything that is wanted now.
    pub fn sse_query(&self) -> String {
        self.session.sse_query()
    }
}

impl Core {
    fn number_of(&self, id: SubscriptionId) -> Option<u32> {
        self.subscriptions.iter().find(|known| known.id == id).map(|known| known.number)
    }
}

/// `performance.now()` as the session counts.
fn moment(now_ms: f64) -> Moment {
    Moment::from_micros((now_ms * 1_000.0) as u64)
}

fn milliseconds(moment: Moment) -> f64 {
    moment.as_micros() as f64 / 1_000.0
}
