//! The client session, driven by any inputs in any order at any time.

use std::time::Duration;

use tickwire_proto::session::{Event, Input, Item, Output, Session, SessionConfig, State, SubscribeOptions, SubscriptionId};
use tickwire_proto::v1::{self, server_frame::Control, update::Body};
use tickwire_proto::wire::{self, Encoding};
use tickwire_proto::{Moment, Scale};

use crate::decoders::encode;
use crate::tape::Tape;

/// Three bytes of settings, then steps.
pub(crate) fn run(bytes: &[u8]) {
    let mut tape = Tape::new(bytes);
    let mut driver = Driver::new(&mut tape);
    for _ in 0..STEPS_MAX {
        if tape.is_over() {
            break;
        }
        driver.step(&mut tape);
        driver.drain();
    }
    driver.settle();
}

struct Driver {
    session: Session,
    encoding: Encoding,
    two_way: bool,
    now: Moment,
    /// When the session asks for the next Timeout.
    deadline: Option<Moment>,
    subscriptions: Vec<SubscriptionId>,
    /// The newest request for a token.
    token_request: u32,
    cseq: u64,
}

impl Driver {
    fn new(tape: &mut Tape<'_>) -> Self {
        let two_way = tape.flag() || tape.flag();
        let encoding = if two_way && tape.flag() { Encoding::Protobuf } else { Encoding::Json };
        let refresh = tape.flag();
        let config = SessionConfig { encoding, two_way, refresh, events_max: EVENTS_MAX, ..SessionConfig::default() };
        let session = Session::new(config, 7);
        Self { session, encoding, two_way, now: Moment::ZERO, deadline: None, subscriptions: Vec::new(), token_request: 0, cseq: 0 }
    }

    fn step(&mut self, tape: &mut Tape<'_>) {
        let now = self.now;
        match tape.below(16) {
            0 => self.session.handle(now, Input::Connect),
            1 | 2 => {
                self.cseq = 0;
                self.session.handle(now, Input::Opened);
            }
            3 => {
                let code =
                    tape.pick(&[None, Some(1_006), Some(1_000), Some(4_103), Some(4_304), Some(4_502), Some(503), Some(401), Some(4_201)]);
                let retry_after = tape.maybe(|tape| Duration::from_millis(tape.number()));
                self.session.handle(now, Input::Closed { code, retry_after });
            }
            4 | 5 => self.wait(Duration::from_millis(u64::from(tape.byte()) << tape.below(10))),
            6 => match tape.below(8) {
                0 => self.session.handle(now, Input::Wake),
                1 => self.session.handle(now, Input::Paused(true)),
                2 => self.session.handle(now, Input::Paused(false)),
                3 => self.session.handle(now, Input::Timeout),
                4 if tape.below(8) == 0 => self.session.handle(now, Input::Close),
                _ => {
                    let request = if tape.flag() { self.token_request } else { tape.number() as u32 };
                    let token = tape.maybe(|tape| String::from_utf8_lossy(tape.piece()).into_owned());
                    self.session.handle(now, Input::Token { request, token });
                }
            },
            7 => self.session.handle(now, Input::Frame(tape.piece())),
            8 if self.subscriptions.len() < SUBSCRIPTIONS_MAX => {
                let targets =
                    (0..tape.below(4)).map(|_| Item { target: tape.pick(&["s.0", "s.1", "s.*", "#", "x", "", "s..", "s.2"]).into() });
                let items: Vec<_> = targets.collect();
                let options = SubscribeOptions { conflate_ms: tape.maybe(|tape| tape.number() as u32), trades: tape.flag() };
                self.subscriptions.push(self.session.subscribe(now, &items, options));
            }
            9 => {
                let subscription = SubscriptionId(tape.below(8).into());
                match tape.below(4) {
                    0 => self.session.unsubscribe(now, subscription),
                    1 => self.session.set_conflation(now, subscription, tape.maybe(|tape| tape.number() as u32)),
                    _ => drop((0..tape.below(8)).map_while(|_| self.session.next_change(subscription)).count()),
                }
            }
            _ => self.frame(tape),
        }
    }

    /// Plays the driver: Timeout exactly when it is asked for.
    fn wait(&mut self, span: Duration) {
        let end = self.now + span;
        for round in 0.. {
            let Some(due) = self.deadline.filter(|due| *due <= end) else { break };
            assert!(round < TIMEOUTS_MAX, "a storm of timers at {:?} in {:?}", self.now, self.session.state());
            self.now = self.now.max(due);
            self.session.handle(self.now, Input::Timeout);
            self.drain();
        }
        self.now = end;
    }

    fn drain(&mut self) {
        for round in 0.. {
            assert!(round < OUTPUTS_MAX, "outputs without end");
            let was_closed = self.session.state() == State::Closed;
            match self.session.poll_output() {
                Output::Wait(deadline) => {
                    assert!(deadline.is_none() || !was_closed, "nothing is waited for after the end");
                    self.deadline = deadline;
                    break;
                }
                Output::Send(frame) => {
                    assert!(self.two_way, "nothing can be sent one-way");
                    assert!(frame.len() <= MESSAGE_BYTES_MAX, "a message of {} bytes", frame.len());
                    wire::decode_client(self.encoding, &frame).expect("what is sent can be read");
                }
                Output::NeedToken { request } => self.token_request = request,
                Output::Open { .. } => assert!(!was_closed, "nothing is opened after the end"),
                Output::Event(Event::State { state, .. }) => {
                    assert!(state == State::Closed || !was_closed || state == self.session.state())
                }
                _ => {}
            }
        }
        for subscription in &self.subscriptions {
            assert!(self.session.waiting(*subscription) <= EVENTS_MAX + INSTRUMENTS + GAPS_MAX, "a queue beyond its bound");
        }
    }

    /// A frame that makes sense by itself.
    fn frame(&mut self, tape: &mut Tape<'_>) {
        self.cseq = if tape.below(32) == 0 { tape.number() } else { self.cseq.saturating_add(1) };
        let mut frame = v1::ServerFrame { cseq: self.cseq, ts_send_us: tape.number(), ..Default::default() };
        frame.control = tape.maybe(control);
        if tape.flag() {
            frame.infos.push(info(tape));
        }
        if tape.below(4) == 0 {
            let feed = tape.pick(&["f", "g"]).into();
            frame.feeds.push(v1::FeedState { feed, health: tape.below(7).into(), ..Default::default() });
        }
        frame.updates = (0..tape.below(4)).map(|_| update(tape)).collect();
        let bytes = encode(self.encoding, &frame);
        self.session.handle(self.now, Input::Frame(&bytes));
    }

    /// Whatever has happened: what waits can be read, and is gone then; and with silence around it, the session neither storms nor hangs.
    fn settle(&mut self) {
        self.drain();
        self.wait(Duration::from_secs(120));
        for subscription in self.subscriptions.clone() {
            let most = EVENTS_MAX + INSTRUMENTS + GAPS_MAX;
            let read = (0..=most).map_while(|_| self.session.next_change(subscription)).count();
            assert!(read <= most && self.session.waiting(subscription) == 0);
        }
        match self.session.state() {
            State::Idle | State::Closed => {}
            state => assert!(self.deadline.is_some() || state == State::Connecting, "{state:?} waits for nothing"),
        }
    }
}

fn info(tape: &mut Tape<'_>) -> v1::InstrumentInfo {
    let id = tape.below(INSTRUMENTS as u8).into();
    let scale = |tape: &mut Tape<'_>| u32::from(tape.byte()) % (Scale::MAX + 2);
    v1::InstrumentInfo {
        symbol: format!("s.{}", tape.below(4)),
        id,
        price_scale: scale(tape),
        quantity_scale: scale(tape),
        ..Default::default()
    }
}

/// An update of an instrument that may be known.
pub(crate) fn update(tape: &mut Tape<'_>) -> v1::Update {
    let body = match tape.below(7) {
        0 | 1 => Body::Quote(v1::Quote {
            bid: tape.maybe(Tape::signed),
            last: tape.maybe(Tape::signed),
            volume: tape.maybe(Tape::signed),
            interval_high: tape.maybe(Tape::signed),
            ..Default::default()
        }),
        2 => Body::Status(v1::Status { phase: tape.below(10).into(), resume_us: tape.maybe(Tape::number), ..Default::default() }),
        3 => Body::Score(v1::Score {
            home: tape.maybe(|tape| tape.byte().into()),
            r#final: tape.maybe(Tape::flag),
            extra: (0..tape.below(3)).map(|_| (format!("k{}", tape.below(40)), tape.signed())).collect(),
            ..Default::default()
        }),
        4 => Body::Odds(v1::Odds {
            outcomes: (0..tape.below(4))
                .map(|_| v1::Outcome {
                    id: tape.number() as u32,
                    back: tape.maybe(Tape::signed),
                    active: tape.maybe(Tape::flag),
                    ..Default::default()
                })
                .collect(),
            line: tape.maybe(Tape::signed),
            ..Default::default()
        }),
        5 => {
            let [start_us, trades] = [tape.number(), tape.number()];
            Body::Bar(v1::Bar {
                start_us,
                length_s: tape.byte().into(),
                close: tape.signed(),
                trades,
                r#final: tape.flag(),
                ..Default::default()
            })
        }
        _ => {
            Body::Trade(v1::Trade { price: tape.signed(), bust: tape.below(4) == 0, correction: tape.below(4) == 0, ..Default::default() })
        }
    };
    v1::Update {
        id: tape.below(INSTRUMENTS as u8).into(),
        seq: tape.number(),
        ts_event_us: tape.number(),
        merged: tape.number() as u32,
        clear: (0..tape.below(3)).map(|_| tape.number() as u32).collect(),
        flags: tape.below(16).into(),
        symbol: String::new(),
        body: Some(body),
    }
}

fn control(tape: &mut Tape<'_>) -> Control {
    let request_id = u32::from(tape.byte()) % 8;
    match tape.below(12) {
        0 | 1 => Control::Welcome(v1::Welcome {
            session: "n1-1".into(),
            node: tape.pick(&["n1", "n2"]).into(),
            epoch: tape.pick(&["e1", "e2", ""]).into(),
            limits: tape.maybe(|tape| v1::Limits {
                subscriptions_max: tape.number() as u32,
                message_bytes_max: tape.number() as u32,
                commands_per_s: tape.number() as u32,
                commands_burst: tape.number() as u32,
                conflate_ms_min: 0,
            }),
            heartbeat_ms: tape.number() as u32,
            window_bytes: tape.number() as u32,
            resume: tape.below(5).into(),
            server_ts_us: tape.number(),
            rate_classes: Vec::new(),
        }),
        2 => Control::SubscribeAck(v1::SubscribeAck {
            request_id,
            images_follow: tape.byte().into(),
            results: (0..tape.below(4))
                .map(|_| v1::SubscribeResult {
                    symbol: tape.pick(&["s.0", "s.1", "s.*", "#", "?"]).into(),
                    id: tape.below(INSTRUMENTS as u8).into(),
                    code: tape.pick(&[0, 1_004, 2_004, 3_001]),
                    ..Default::default()
                })
                .collect(),
        }),
        3 => Control::SnapshotComplete(v1::SnapshotComplete { request_id }),
        4 => Control::UnsubscribeAck(v1::UnsubscribeAck { request_id, removed: tape.byte().into() }),
        5 => Control::Heartbeat(v1::Heartbeat { token: tape.pick(&["", "e1:1", "e1:9", "e2:3", "?"]).into() }),
        6 => Control::Gap(v1::Gap { id: tape.below(INSTRUMENTS as u8).into(), from: tape.number(), to: tape.number() }),
        7 => Control::Notice(v1::Notice { kind: tape.byte().into(), ..Default::default() }),
        8 => Control::Error(v1::Error {
            request_id,
            code: tape.pick(&[1_001, 1_003, 2_001, 2_004, 3_002, 3_004, 4_002, 5_001, 9_999]),
            retry: tape.below(6).into(),
            retry_after_ms: tape.maybe(|tape| tape.number() as u32),
            ..Default::default()
        }),
        9 => Control::TokenExpiring(v1::TokenExpiring { in_ms: tape.number() as u32 }),
        10 => Control::Goodbye(v1::Goodbye { code: 5_002, retry_after_ms: tape.number() as u32, spread_ms: tape.number() as u32 }),
        _ => Control::Pong(v1::Pong { nonce: tape.number(), server_ts_us: tape.number() }),
    }
}

const STEPS_MAX: usize = 400;
const EVENTS_MAX: usize = 4;
const SUBSCRIPTIONS_MAX: usize = 6;
/// Instrument ids that frames speak of.
const INSTRUMENTS: usize = 6;
/// Gaps that may stand in a queue beside its events: one for each instrument.
const GAPS_MAX: usize = INSTRUMENTS;
/// Bytes that the server takes.
const MESSAGE_BYTES_MAX: usize = 64 * 1_024;
/// Outputs of one input.
const OUTPUTS_MAX: usize = 64;
/// Timers of one wait, at least a millisecond apart on average.
const TIMEOUTS_MAX: u32 = 2_000;
