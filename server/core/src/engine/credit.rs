//! Credit: how many bytes a client may have under way, so that no buffer between us and it hoards a backlog.
//!
//! The client reports what it has processed. What was sent and not reported is under way: in the kernel, in a proxy, on the link, in a busy
//! page. More than the *window* is not written. The window follows what the client was seen to take:
//!
//! ```text
//! window = rate × (round trip + queue),  between WINDOW_MIN and the configured limit
//! ```
//!
//! As in BBR (draft-ietf-ccwg-bbr), rate and shortest round trip are measured apart, and a rate that the sender chose itself teaches
//! nothing about the link: it is learned downward only while the window or a queue was what held data back, upward always. The window is
//! larger than what fits into a round trip, so on a link that takes more, the next measurement is higher: it grows by itself.
//!
//! A client that cannot report (an event stream) may be *watched*: the shell tells what the other end of its socket has acknowledged. That
//! sees the link, though neither a proxy behind it nor a busy page.

use alloc::collections::VecDeque;
use core::time::Duration;

use tickwire_proto::planted::{Fault, planted};
use tickwire_proto::time::Moment;

use crate::watch::{SHARE_BYTES, UNSEEN_AFTER};

/// What one client that reports progress may be sent.
#[derive(Debug)]
pub(super) struct Credit {
    /// Bytes a second that it takes, as measured, once `measured`. Before, as the first window has it.
    rate: u32,
    measured: bool,
    /// Told by the shell, which looks only while there is something to see.
    watched: bool,
    window: u32,
    window_max: u32,
    /// Shortest time from a frame to the report of it, microseconds; [`u32::MAX`] before the first.
    trip_us: u32,
    /// When a report came so soon.
    trip_at: Moment,
    /// Bytes of all frames so far ...
    sent: u64,
    /// ... and of those that were reported.
    acked: u64,
    /// The newest frame that was reported.
    told: u64,
    /// Up to here there was room to spare when the bytes were sent: their pace was the feed's, not the link's.
    spare: u64,
    /// When the running measurement began, and with how many bytes reported.
    begun: (Moment, u64),
    /// Frames that were not reported, at most [`FLIGHT_MAX`] entries.
    flight: VecDeque<Flight>,
    probe: Probe,
    /// The running round is over when so many bytes are reported; the rate when it began.
    round: (u64, u32),
    /// Rounds in a row that ended with no higher rate, up to [`ROUNDS_FLAT`]: the link is full.
    flat: u8,
    /// Something has been waiting for room since then.
    waiting: Option<Moment>,
}

/// One frame under way, or several that are reported together.
#[derive(Clone, Copy, Debug)]
struct Flight {
    /// Of the last frame.
    cseq: u64,
    /// Bytes of all frames up to and with it.
    end: u64,
    /// When the first of them was written.
    at: Moment,
}

/// Under load every report is late by the queue, so now and then the queue has to empty for the round trip to be seen: less than what fits
/// into a round trip is let under way, so that the link stays busy. Where that is less than a window, everything is reported once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Probe {
    Off,
    /// Nothing is written until no more than `to` bytes are under way, or nothing but controls: everything up to `end` was reported.
    Emptying {
        to: u32,
        end: u64,
    },
    /// The report of what was written since `from` tells the round trip. No more than `to` bytes are under way, if `to` is not 0.
    Measuring {
        to: u32,
        from: u64,
    },
}

/// What a report of progress came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// More has been processed.
    Progress,
    /// It says nothing new, or names a frame that was never sent.
    Ignored,
}

impl Credit {
    /// Bytes that it holds beside itself.
    pub(super) fn bytes_held(&self) -> usize {
        self.flight.capacity() * size_of::<Flight>()
    }

    /// Credit of a connection that begins at `now`.
    pub(super) fn new(now: Moment, window_max: u32) -> Self {
        let window_max = window_max.max(WINDOW_MIN);
        let window = WINDOW_FIRST.min(window_max);
        let mut credit = Self {
            rate: 0,
            measured: false,
            watched: false,
            window,
            window_max,
            trip_us: u32::MAX,
            trip_at: now,
            sent: 0,
            acked: 0,
            told: 0,
            spare: 0,
            begun: (now, 0),
            flight: VecDeque::new(),
            probe: Probe::Off,
            round: (0, 0),
            flat: 0,
            waiting: None,
        };
        credit.rate = pace(u64::from(window), credit.span());
        credit
    }

    /// The same for a client that is watched.
    pub(super) fn watched(now: Moment, window_max: u32) -> Self {
        Self { watched: true, ..Self::new(now, window_max) }
    }

    pub(super) const fn is_watched(&self) -> bool {
        self.watched
    }

    pub(super) const fn window(&self) -> u32 {
        self.window
    }

    /// Bytes that may be written now.
    pub(super) fn room(&self) -> u32 {
        if planted(Fault::IgnoreWindow) {
            return u32::MAX;
        }
        let under_way = self.sent - self.acked;
        let window = match self.probe {
            Probe::Emptying { to, .. } if under_way > u64::from(to) => 0,
            Probe::Measuring { to, .. } if to > 0 => to,
            Probe::Emptying { .. } | Probe::Measuring { .. } | Probe::Off => self.window,
        };
        u64::from(window).saturating_sub(under_way) as u32
    }

    /// Bytes after which a frame ends: a report acknowledges whole frames, and should come while there is still something under way.
    pub(super) const fn frame_bytes_max(&self) -> usize {
        let part = self.window as usize / FRAMES_PER_WINDOW;
        if part < FRAME_BYTES_MIN { FRAME_BYTES_MIN } else { part }
    }

    /// A frame was written.
    pub(super) fn sent(&mut self, now: Moment, cseq: u64, bytes: usize) {
        let unseen = self.watched && self.sent == self.acked && bytes < SHARE_BYTES && now.since(self.begun.0) >= UNSEEN_AFTER;
        if unseen && !planted(Fault::AwaitUnseen) {
            // A heartbeat, or a record of a market that hardly moves: the shell does not look for it.
            self.sent += bytes as u64;
            (self.acked, self.begun) = (self.sent, (now, self.sent));
            return;
        }
        if self.flight.len() >= FLIGHT_MAX {
            // Every second one goes: its bytes are reported with the next.
            let mut even = false;
            self.flight.retain(|_| {
                even = !even;
                !even
            });
        }
        let start = self.flight.iter().nth_back(1).map_or(self.acked, |before| before.end);
        self.sent += bytes as u64;
        let part_max = u64::from(self.window / FLIGHT_PARTS);
        match self.flight.back_mut().filter(|last| now.since(last.at) < FLIGHT_WITHIN && self.sent - start <= part_max) {
            Some(last) => (last.cseq, last.end) = (cseq, self.sent),
            None => self.flight.push_back(Flight { cseq, end: self.sent, at: now }),
        }
    }

    /// How the connection stands after a write: whether something is left to be told to it. Returns whether that waits for room.
    pub(super) fn settle(&mut self, now: Moment, untold: bool) -> bool {
        if !untold {
            self.spare = self.sent;
        }
        let waits = untold && self.room() == 0;
        if waits {
            self.waiting.get_or_insert(now);
        }
        waits
    }

    /// Takes a report. `newest` is the last frame that was sent.
    pub(super) fn report(&mut self, now: Moment, cseq: u64, newest: u64) -> Report {
        if (cseq > newest || cseq <= self.told) && !planted(Fault::BelieveFalseProgress) {
            return Report::Ignored;
        }
        self.told = cseq;
        let mut last = None;
        while let Some(flight) = self.flight.front().copied().filter(|flight| flight.cseq <= cseq) {
            self.flight.pop_front();
            last = Some(flight);
        }
        // It may name one of several frames that are reported together.
        let Some(last) = last else { return Report::Progress };
        self.acked = last.end;
        self.measure_trip(now, last);
        self.measure_rate(now, last.at);
        if self.measured {
            self.end_round();
            self.window = take(u64::from(self.rate), self.span()).clamp(u64::from(WINDOW_MIN), u64::from(self.window_max)) as u32;
        } else {
            self.rate = pace(u64::from(self.window), self.span());
        }
        Report::Progress
    }

    /// Whether something waits for room.
    pub(super) const fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// What waited for room goes on, or is gone. Returns since when it waited.
    pub(super) fn resume(&mut self) -> Option<Moment> {
        self.waiting.take()
    }

    /// When the client counts as stalled: something is under way, and nothing was reported for `stalled_max`. Whom the shell watches says
    /// nothing by itself, and is stalled only while something waits for it.
    pub(super) fn stalled_at(&self, stalled_max: Duration) -> Option<Moment> {
        if self.watched && !self.is_waiting() && !planted(Fault::StallWatched) {
            return None;
        }
        self.flight.front().map(|oldest| oldest.at.max(self.begun.0) + stalled_max)
    }

    /// Gives memory back while nothing is under way.
    pub(super) fn rest(&mut self) {
        if self.flight.is_empty() {
            self.flight = VecDeque::new();
        }
    }

    /// The time that a window's bytes may take: there, back, and in a queue that keeps the link busy between two reports. While the rate
    /// grows with the window, it is longer, so that both grow faster.
    fn span(&self) -> Duration {
        let trip = if self.trip_us == u32::MAX { self.trip_min() } else { self.trip().max(self.trip_min()) };
        let more = if self.flat < ROUNDS_FLAT { trip * 3 / 2 } else { trip / 2 };
        trip + more.max(if self.watched { QUEUE_WATCHED } else { QUEUE })
    }

    fn trip_min(&self) -> Duration {
        if self.watched { TRIP_MIN_WATCHED } else { TRIP_MIN }
    }

    fn trip(&self) -> Duration {
        Duration::from_micros(u64::from(self.trip_us))
    }

    fn measure_trip(&mut self, now: Moment, last: Flight) {
        let trip_us = u32::try_from(now.since(last.at).as_micros()).unwrap_or(u32::MAX - 1);
        let under_way = self.sent - self.acked;
        let mut is_told = trip_us <= self.trip_us;
        match self.probe {
            Probe::Off if under_way > 0 && self.is_waiting() && now.since(self.trip_at) >= TRIP_KEPT => {
                let to = take(u64::from(self.rate), self.trip().max(self.trip_min())) * 3 / 4;
                let to = if to < u64::from(WINDOW_MIN) { 0 } else { to.min(u64::from(self.window)) as u32 };
                self.probe = Probe::Emptying { to, end: self.sent };
            }
            Probe::Emptying { to, end } if under_way <= u64::from(to) || self.acked >= end => {
                self.probe = Probe::Measuring { to, from: self.sent };
                // The link is left idle on purpose.
                self.spare = self.sent;
            }
            Probe::Measuring { to, from } if last.end > from => {
                self.spare = self.sent;
                // A client that has little to report takes its time.
                let is_loaded = self.is_waiting();
                // What is under way may be more than fits into a round trip, if the link has become slower. Emptied, it shows.
                let is_doubtful = to > 0 && trip_us > self.trip_us.max(self.trip_min().as_micros() as u32) / 4 * 5;
                self.probe = if is_loaded && is_doubtful { Probe::Emptying { to: 0, end: self.sent } } else { Probe::Off };
                is_told |= is_loaded && !is_doubtful;
            }
            Probe::Off | Probe::Emptying { .. } | Probe::Measuring { .. } => {}
        }
        if is_told {
            (self.trip_us, self.trip_at) = (trip_us, now);
        }
    }

    /// A round is what was under way when it began. A link that is not full has a higher rate after it, as the window was larger.
    fn end_round(&mut self) {
        let (end, rate) = self.round;
        if self.acked < end {
            return;
        }
        if u64::from(self.rate) * 4 >= u64::from(rate) * 5 {
            self.flat = 0;
        } else if self.is_waiting() {
            self.flat = (self.flat + 1).min(ROUNDS_FLAT);
        }
        self.round = (self.sent, self.rate);
    }

    fn measure_rate(&mut self, now: Moment, sent_at: Moment) {
        let (begun_at, begun_with) = self.begun;
        let span = now.since(begun_at);
        if span < MEASURE_MIN {
            return;
        }
        let bytes = self.acked - begun_with;
        // The link was busy all the time if nothing before the measurement was sent with room to spare, or if the frame was in a queue.
        let busy = begun_with > self.spare || begun_at >= sent_at + self.trip().max(self.trip_min());
        let weight = if pace(bytes, span) >= self.rate { WEIGHT_UP } else { WEIGHT_DOWN };
        if busy || weight == WEIGHT_UP {
            self.rate = pace(take(u64::from(self.rate), weight) + bytes, weight + span).max(1);
            self.measured = true;
        }
        self.begun = (now, self.acked);
    }
}

/// Bytes a second.
fn pace(bytes: u64, span: Duration) -> u32 {
    let per_s = u128::from(bytes) * 1_000_000 / span.as_micros().max(1);
    u32::try_from(per_s).unwrap_or(u32::MAX)
}

/// Bytes that `rate` takes in `span`.
fn take(rate: u64, span: Duration) -> u64 {
    u64::try_from(u128::from(rate) * span.as_micros() / 1_000_000).unwrap_or(u64::MAX)
}

/// The smallest window: a few records are always under way.
const WINDOW_MIN: u32 = 4 << 10;
/// The window before anything was measured: two thirds of a second at 400 kbit/s, while a fast link grows it to 1 MB in five reports.
const WINDOW_FIRST: u32 = 32 << 10;
/// Time in the queue that is allowed for, or half a round trip if that is more.
const QUEUE: Duration = Duration::from_millis(100);
/// The same for who is watched: looks come every 20 ms, also where a client would wait for more to report. JSON needs it, whose records are large.
const QUEUE_WATCHED: Duration = Duration::from_millis(80);
/// Round trips count as at least this: clients report no more often.
const TRIP_MIN: Duration = Duration::from_millis(50);
/// The same for who is watched: looks are no closer.
const TRIP_MIN_WATCHED: Duration = Duration::from_millis(20);
/// The shortest round trip is believed for so long; then, under load, the queue is emptied to see it again.
const TRIP_KEPT: Duration = Duration::from_secs(10);
/// Rounds after which a rate that does not grow is that of the link.
const ROUNDS_FLAT: u8 = 3;
/// A measurement of the rate covers at least this.
const MEASURE_MIN: Duration = Duration::from_millis(20);
/// How long what was known before weighs against a measurement that is higher ...
const WEIGHT_UP: Duration = Duration::from_millis(100);
/// ... or lower.
const WEIGHT_DOWN: Duration = Duration::from_millis(300);
/// Frames that a full window is cut into at least.
const FRAMES_PER_WINDOW: usize = 8;
/// No frame is cut shorter than this, so that its head stays a small part of it.
const FRAME_BYTES_MIN: usize = 512;
/// Small frames that leave within this time count as one, up to this part of the window.
const FLIGHT_WITHIN: Duration = Duration::from_millis(10);
/// See [`FLIGHT_WITHIN`].
const FLIGHT_PARTS: u32 = 16;
/// Frames under way that are told apart. With more, pairs are reported together.
const FLIGHT_MAX: usize = 128;

#[cfg(test)]
mod tests;
