//! The task behind a [`Publisher`](super::Publisher): owns the window and one connection after the other.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::FuturesUnordered;
use futures_util::{Stream, StreamExt};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation, Event};
use prost::Message as _;
use tickwire_proto::v1::{Alive, FeedMessage, Update};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, sleep_until};
use tracing::{debug, info, warn};

use super::batcher::Batcher;
use super::brokers::Outage;
use super::settings::Settings;
use super::window::{Sending, Window};
use super::{Command, PublisherState, PublisherStats, unix_us};

/// Publishes what it is commanded, for ever.
pub(crate) struct Pump {
    settings: Settings,
    commands: mpsc::Receiver<Command>,
    state: watch::Sender<PublisherState>,
    stats: watch::Sender<PublisherStats>,
    window: Window<Arc<Outgoing>>,
    /// Updates in protobuf, and updates in JSON. At most one of both has something.
    batcher: Batcher<Update>,
    texts: Batcher<String>,
    /// Who waits for everything before a number to be stored.
    flushes: Vec<(u64, oneshot::Sender<()>)>,
    /// When the next sign of life is due.
    alive_at: Option<Instant>,
    /// Messages numbered so far.
    numbered: u64,
    /// How long the broker may owe a confirm: longer after each connection on which none came, for a broker that is only slow.
    patience: Duration,
    /// All publishers are gone and their last command was taken: end when the window is empty.
    is_drained: bool,
    /// All publishers are gone: end at this time even if something is not stored.
    end_by: Option<Instant>,
}

/// A message as it is sent, and sent again.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) key: ShortString,
    pub(crate) body: Vec<u8>,
    pub(crate) properties: BasicProperties,
}

/// What became of one sending.
type Outcome = (Sending, lapin::Result<Confirmation>);
type Outcomes = FuturesUnordered<Pin<Box<dyn Future<Output = Outcome> + Send>>>;

impl Pump {
    pub(crate) fn new(
        settings: Settings,
        commands: mpsc::Receiver<Command>,
        state: watch::Sender<PublisherState>,
        stats: watch::Sender<PublisherStats>,
    ) -> Self {
        let alive_at = settings.alive.is_some().then(Instant::now);
        let (window, batcher, texts) = (Window::new(WINDOW_MESSAGES_MAX), Batcher::default(), Batcher::default());
        Self {
            settings,
            commands,
            state,
            stats,
            window,
            batcher,
            texts,
            flushes: Vec::new(),
            alive_at,
            numbered: 0,
            patience: CONFIRM_WITHIN,
            is_drained: false,
            end_by: None,
        }
    }

    /// Runs until all publishers are gone and everything is stored.
    pub(crate) async fn run(mut self) {
        let mut wait = BACKOFF_FIRST;
        let mut said: Option<Instant> = None;
        while !self.has_ended() {
            let connected = Instant::now();
            let error = match self.session().await {
                Ok(()) => break,
                Err(error) => error,
            };
            self.state.send_replace(error.state());
            self.settings.brokers.pass_on();
            let again = self.window.disconnected();
            self.count(|stats| stats.resent += again as u64);
            if said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
                said = Some(Instant::now());
                warn!(publisher = %self.settings.name, cause = %error, unconfirmed = self.window.len(), "cannot publish; keeps trying");
            }
            if connected.elapsed() >= BACKOFF_RESET_AFTER {
                wait = BACKOFF_FIRST;
            }
            if self.commands.is_closed() {
                self.end_by.get_or_insert(Instant::now() + CLOSE_WITHIN);
            }
            sleep(if matches!(error, Outage::Refused(_)) { REFUSED_WAIT } else { jittered(wait) }).await;
            wait = (wait * 2).min(BACKOFF_LONGEST);
        }
        if self.window.len() > 0 {
            warn!(publisher = %self.settings.name, messages = self.window.len(), "ends before the broker has stored everything");
        }
        self.state.send_replace(PublisherState::Closed);
    }

    /// One connection. Ends well when there is nothing left to do.
    async fn session(&mut self) -> Result<(), Outage> {
        let name = format!("tickwire publisher {}", self.settings.name);
        let connection = self.settings.brokers.connect(&name).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        info!(publisher = %self.settings.name, "publishes");
        self.state.send_replace(PublisherState::Publishing);
        let events: Pin<Box<dyn Stream<Item = Event> + Send>> = Box::pin(connection.events_listener());
        self.publish(&channel, events).await?;
        // Everything is confirmed: the broker has nothing to say that would matter.
        let _ = connection.close(CLOSE_OK, "done".into()).await;
        Ok(())
    }

    async fn publish(&mut self, channel: &Channel, mut events: Pin<Box<dyn Stream<Item = Event> + Send>>) -> Result<(), Outage> {
        let mut outcomes = Outcomes::new();
        // A message that came back is not sent again before this.
        let mut hold_until: Option<Instant> = None;
        // Since when the broker owes us a word.
        let mut owed_since: Option<Instant> = None;
        loop {
            self.close_batches();
            if hold_until.is_none() {
                self.send(channel, &outcomes);
            }
            let is_blocked = matches!(*self.state.borrow(), PublisherState::Blocked(_));
            owed_since = if outcomes.is_empty() || is_blocked { None } else { owed_since.or_else(|| Some(Instant::now())) };
            self.answer_flushes();
            if self.has_ended() {
                return Ok(());
            }
            let (takes, due) = (self.has_room() && !self.is_drained, self.due());
            tokio::select! {
                Some((sending, outcome)) = outcomes.next(), if !outcomes.is_empty() => {
                    (owed_since, self.patience) = (None, CONFIRM_WITHIN);
                    if !self.settle(sending, outcome?) {
                        hold_until = Some(Instant::now() + RETURNED_WAIT);
                    }
                }
                command = self.commands.recv(), if takes => self.take(command),
                Some(event) = events.next() => self.note(event)?,
                () = until(due) => {}
                () = until(hold_until) => hold_until = None,
                // A broker that has just started may swallow a message for good: neither stored nor returned.
                () = until(owed_since.map(|since| since + self.patience)) => {
                    self.patience = (self.patience * 2).min(PATIENCE_LONGEST);
                    return Err(Outage::Mute);
                }
            }
        }
    }

    /// Hands everything that may leave to the channel. lapin writes in the order of the first polls, which is the order of pushing.
    fn send(&mut self, channel: &Channel, outcomes: &Outcomes) {
        while let Some((sending, outgoing)) = self.window.next() {
            let (channel, outgoing, exchange) = (channel.clone(), outgoing.clone(), self.settings.exchange.clone());
            outcomes.push(Box::pin(async move {
                let options = BasicPublishOptions { mandatory: true, immediate: false };
                let properties = outgoing.properties.clone();
                let sent = channel.basic_publish(exchange, outgoing.key.clone(), options, &outgoing.body, properties).await;
                match sent {
                    Ok(confirm) => (sending, confirm.await),
                    Err(error) => (sending, Err(error)),
                }
            }));
        }
    }

    /// Notes what became of a sending. Returns whether it was stored. A message that came back counts as confirmed for the broker, and is
    /// lost all the same.
    fn settle(&mut self, sending: Sending, confirmation: Confirmation) -> bool {
        if matches!(confirmation, Confirmation::Ack(None) | Confirmation::NotRequested) {
            self.window.stored(sending);
            self.count(|stats| stats.confirmed += 1);
            return true;
        }
        let again = self.window.failed(sending);
        debug!(publisher = %self.settings.name, number = sending.number, again, "a message came back");
        self.count(|stats| {
            stats.returned += 1;
            stats.resent += again as u64;
        });
        false
    }

    fn take(&mut self, command: Option<Command>) {
        match command {
            Some(Command::Update(symbol, update)) => {
                self.count(|stats| stats.updates += 1);
                self.close_texts();
                if let Some(key) = self.batcher.add(Instant::now(), symbol, *update) {
                    let batch = self.batcher.close(&key);
                    self.push_batch(batch);
                }
            }
            Some(Command::Json(symbol, update)) => {
                self.count(|stats| stats.updates += 1);
                self.close_updates();
                if let Some(key) = self.texts.add(Instant::now(), symbol, update) {
                    let batch = self.texts.close(&key);
                    self.push_texts(batch);
                }
            }
            Some(Command::Raw(outgoing)) => {
                self.close_all_batches();
                self.push_outgoing(*outgoing);
            }
            Some(Command::Message(key, message)) => {
                // What was said before about the same instrument must leave before.
                self.close_all_batches();
                self.count(|stats| stats.updates += message.updates.len() as u64);
                self.push(&key, *message);
            }
            Some(Command::Flush(done)) => {
                self.close_all_batches();
                self.flushes.push((self.window.next_number(), done));
            }
            None => {
                self.close_all_batches();
                self.is_drained = true;
                self.end_by.get_or_insert(Instant::now() + CLOSE_WITHIN);
            }
        }
    }

    fn note(&mut self, event: Event) -> lapin::Result<()> {
        match event {
            Event::ConnectionBlocked(reason) => {
                warn!(publisher = %self.settings.name, reason, "the broker blocks publishers");
                self.state.send_replace(PublisherState::Blocked(reason));
            }
            Event::ConnectionUnblocked => {
                info!(publisher = %self.settings.name, "the broker no longer blocks publishers");
                self.state.send_replace(PublisherState::Publishing);
            }
            Event::Error(error) => return Err(error),
            _ => {}
        }
        Ok(())
    }

    /// Closes batches that have waited long enough, and gives the sign of life that is due.
    fn close_batches(&mut self) {
        let now = Instant::now();
        if self.batches_due().is_some_and(|due| due <= now) {
            self.close_all_batches();
        }
        if self.alive_at.is_some_and(|due| due <= now) && self.has_room() {
            self.give_sign_of_life(now);
        }
    }

    fn give_sign_of_life(&mut self, now: Instant) {
        let Some((key, interval)) = self.settings.alive.clone() else { return };
        self.alive_at = Some(now + interval);
        let interval_ms = u32::try_from(interval.as_millis()).unwrap_or(u32::MAX);
        let alive = Alive { publisher: self.settings.name.clone(), interval_ms };
        self.push(&key, FeedMessage { alive: Some(alive), ..Default::default() });
    }

    fn close_all_batches(&mut self) {
        self.close_updates();
        self.close_texts();
    }

    fn close_updates(&mut self) {
        while let Some(batch) = self.batcher.close_any() {
            self.push_batch(Some(batch));
        }
    }

    fn close_texts(&mut self) {
        while let Some(batch) = self.texts.close_any() {
            self.push_texts(Some(batch));
        }
    }

    fn push_batch(&mut self, batch: Option<(String, Vec<Update>)>) {
        if let Some((key, updates)) = batch {
            self.push(&key, FeedMessage { updates, ..Default::default() });
        }
    }

    fn push_texts(&mut self, batch: Option<(String, Vec<String>)>) {
        let Some((key, updates)) = batch else { return };
        self.numbered += 1;
        let (updates, number, now_us) = (updates.join(","), self.numbered, unix_us());
        let publisher = serde_json::Value::from(self.settings.name.as_str());
        let body = format!(r#"{{"updates":[{updates}],"publisher":{publisher},"publisher_seq":"{number}","ts_publish_us":"{now_us}"}}"#);
        self.push_body(&key, body.into_bytes(), JSON_TYPE);
    }

    /// Numbers a message and puts it into the window.
    fn push(&mut self, key: &str, message: FeedMessage) {
        self.numbered += 1;
        let ts_publish_us = if message.ts_publish_us == 0 { unix_us() } else { message.ts_publish_us };
        let message = FeedMessage { publisher: self.settings.name.clone(), publisher_seq: self.numbered, ts_publish_us, ..message };
        self.push_body(key, message.encode_to_vec(), PROTOBUF_TYPE);
    }

    fn push_body(&mut self, key: &str, body: Vec<u8>, content_type: &'static str) {
        // The key was checked as a symbol, which is shorter than what AMQP allows, and so is the prefix.
        let key = ShortString::try_new(format!("{}{key}", self.settings.prefix)).unwrap_or_default();
        let properties = BasicProperties::default().with_delivery_mode(PERSISTENT).with_content_type(content_type.into());
        self.push_outgoing(Outgoing { key, body, properties });
    }

    fn push_outgoing(&mut self, outgoing: Outgoing) {
        self.window.push(Arc::new(outgoing));
        self.count(|stats| stats.messages += 1);
    }

    fn answer_flushes(&mut self) {
        let window = &self.window;
        for (_, done) in self.flushes.extract_if(.., |(before, _)| window.is_stored_before(*before)) {
            // Who has gone away does not wait.
            let _ = done.send(());
        }
    }

    /// Room for a message, and for what the batches hold.
    fn has_room(&self) -> bool {
        self.window.room() > self.batcher.len() + self.texts.len()
    }

    fn due(&self) -> Option<Instant> {
        let alive_at = self.alive_at.filter(|_| self.has_room());
        [self.batches_due(), alive_at, self.end_by].into_iter().flatten().min()
    }

    fn batches_due(&self) -> Option<Instant> {
        self.batcher.due().or(self.texts.due())
    }

    fn has_ended(&self) -> bool {
        (self.is_drained && self.window.len() == 0) || self.end_by.is_some_and(|end_by| Instant::now() >= end_by)
    }

    fn count(&self, change: impl FnOnce(&mut PublisherStats)) {
        self.stats.send_modify(change);
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => pending().await,
    }
}

/// Up or down by 30 %, so that publishers do not come back in step.
fn jittered(wait: Duration) -> Duration {
    let chance = getrandom::u32().map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX));
    wait.mul_f64(0.7 + 0.6 * chance)
}

/// Messages that are not known to be stored. While it is full, publishing waits; more would only pile up in the broker.
const WINDOW_MESSAGES_MAX: usize = 1_000;
/// Between two tries at a broker that refuses us.
const REFUSED_WAIT: Duration = Duration::from_secs(5);
const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_LONGEST: Duration = Duration::from_secs(1);
/// A connection that lived this long was a good one: the next wait is the shortest again.
const BACKOFF_RESET_AFTER: Duration = Duration::from_secs(10);
/// Time for the next confirm while messages are under way and the broker takes them, at first. Then a new connection sends them again.
const CONFIRM_WITHIN: Duration = Duration::from_secs(10);
/// The longest that [`CONFIRM_WITHIN`] grows to, while a broker confirms nothing on one connection after the other.
const PATIENCE_LONGEST: Duration = Duration::from_secs(60);
/// Before a message that came back is sent again: the log of a broker that starts takes some tenths of a second.
const RETURNED_WAIT: Duration = Duration::from_millis(50);
/// Time for the last messages to be stored when all publishers are gone. What is not stored then is lost, and a warning says so.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);
/// Between two log lines about the same outage.
const SAY_EVERY: Duration = Duration::from_secs(10);
pub(crate) const PERSISTENT: u8 = 2;
const PROTOBUF_TYPE: &str = "application/x-protobuf";
const JSON_TYPE: &str = "application/json";
const CLOSE_OK: u16 = 200;
