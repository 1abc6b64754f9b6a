//! A recording as a source: the same bytes at the distances that they had, without RabbitMQ.
//!
//! Positions are those of the recording, and each start is a new life of the log, since it begins again. Blocks that are damaged are
//! gaps. At its end the log is quiet.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;

use tickwire_core::intake::Poison;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::clock::Clock;
use super::source::{FeedSource, LogMessage, SourceEvent};
use crate::recording::{Reader, Recorded, RecordingError};

/// What the thread that reads the file tells.
#[derive(Debug)]
enum Told {
    Message(Box<Recorded>),
    /// A damaged block.
    Lost,
    /// The file cannot be read at all.
    Unreadable(String),
}

/// Plays a recording on the clock.
#[derive(Debug)]
pub(crate) struct RecordedLog {
    told: mpsc::Receiver<Told>,
    /// The next one, which waits until it is due.
    next: Option<Told>,
    speed: f64,
    /// When the first message was told, and the time that it has.
    began: Option<(Instant, u64)>,
    last_seq: Option<u64>,
    has_lost: bool,
    caught_up: bool,
    /// What has to be told before anything else. A few events, then empty.
    ahead: VecDeque<SourceEvent>,
}

impl RecordedLog {
    /// Plays `file`, `speed` times as fast as it was.
    pub(crate) fn start(file: PathBuf, speed: u32, clock: Clock) -> Self {
        let (tell, told) = mpsc::channel(AHEAD_MAX);
        tokio::task::spawn_blocking(move || read_all(&file, &tell));
        let epoch = (clock.unix_us() / 1_000).to_string();
        let ahead = VecDeque::from([SourceEvent::Connected, SourceEvent::Reset { epoch }]);
        let speed = f64::from(speed.max(1));
        Self { told, next: None, speed, began: None, last_seq: None, has_lost: false, caught_up: false, ahead }
    }

    /// When a message is due.
    fn due(&mut self, time_us: u64) -> Instant {
        let (start, start_us) = *self.began.get_or_insert_with(|| (Instant::now(), time_us));
        start + Duration::from_secs_f64(time_us.saturating_sub(start_us) as f64 / 1e6 / self.speed)
    }

    /// Everything that is due now, beginning with the message that was waited for.
    fn take_due(&mut self) -> Vec<LogMessage> {
        let (mut messages, now) = (Vec::new(), Instant::now());
        while let Some(Told::Message(message)) = &self.next {
            let time_us = message.time_us;
            if messages.len() >= BATCH_MESSAGES_MAX || self.due(time_us) > now {
                break;
            }
            if let Some(Told::Message(message)) = self.next.take() {
                messages.push(log_message(*message));
            }
            self.next = self.told.try_recv().ok();
        }
        self.last_seq = messages.last().map(|last| last.seq).or(self.last_seq);
        messages
    }
}

impl FeedSource for RecordedLog {
    async fn next(&mut self) -> SourceEvent {
        loop {
            if let Some(event) = self.ahead.pop_front() {
                return event;
            }
            if self.next.is_none() {
                self.next = self.told.recv().await;
            }
            match &self.next {
                None if !self.caught_up => {
                    self.caught_up = true;
                    return SourceEvent::CaughtUp;
                }
                // The recording is over.
                None => std::future::pending().await,
                Some(Told::Unreadable(_)) => {
                    if let Some(Told::Unreadable(text)) = self.next.take() {
                        // Nothing follows, and the node must not pretend to be ready.
                        self.caught_up = true;
                        return SourceEvent::Down(text);
                    }
                }
                Some(Told::Lost) => {
                    self.next = None;
                    self.has_lost = true;
                }
                Some(Told::Message(message)) => {
                    let (seq, time_us) = (message.seq, message.time_us);
                    if std::mem::take(&mut self.has_lost) {
                        return SourceEvent::Gap { from: self.last_seq.unwrap_or(0), to: seq };
                    }
                    let due = self.due(time_us);
                    if !self.caught_up && self.began.is_some_and(|(_, first_us)| time_us > first_us) {
                        // What was said at the first moment is what there was.
                        self.caught_up = true;
                        return SourceEvent::CaughtUp;
                    }
                    sleep_until(due).await;
                    return SourceEvent::Messages(self.take_due());
                }
            }
        }
    }

    fn refuse(&mut self, _: &LogMessage, _: &[Poison]) {}
}

fn log_message(message: Recorded) -> LogMessage {
    LogMessage {
        seq: message.seq,
        routing_key: message.routing_key,
        content_type: message.content_type,
        content_encoding: message.content_encoding,
        body: message.body,
    }
}

/// Reads the file until its end, or until nobody listens any more.
fn read_all(file: &std::path::Path, tell: &mpsc::Sender<Told>) {
    let shown = file.display();
    let reader = match Reader::open(file) {
        Ok(reader) => reader,
        Err(error) => {
            warn!(file = %shown, code = error.code(), cause = %error, "the recording cannot be read");
            let _ = tell.blocking_send(Told::Unreadable(format!("the recording {error}")));
            return;
        }
    };
    info!(file = %shown, messages = reader.messages_len(), "plays a recording");
    for found in reader.messages(0, u64::MAX) {
        let told = match found {
            Ok(message) => Told::Message(Box::new(message)),
            Err(error @ RecordingError::Io(_)) => {
                warn!(file = %shown, cause = %error, "the recording cannot be read on");
                return;
            }
            Err(error) => {
                warn!(file = %shown, code = error.code(), cause = %error, "goes on with the next block of the recording");
                Told::Lost
            }
        };
        if tell.blocking_send(told).is_err() {
            return;
        }
    }
    info!(file = %shown, "the recording is read");
}

/// Messages that are read before they are due. Then reading waits.
const AHEAD_MAX: usize = 4_096;
/// Messages handed on at once, so that others get their turn.
const BATCH_MESSAGES_MAX: usize = 500;
