//! What holds for every input.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tickwire_proto::session::{Change, Session, SessionConfig, State, SubscriptionId};
use tickwire_proto::v1::update::Body;
use tickwire_proto::wire::Encoding;

use super::world::World;

/// Steps without much sense in their order.
fn any_step() -> impl Strategy<Value = String> {
    let symbol = || prop::sample::select(vec!["A.a", "A.b", "B.a"]);
    let target = prop::sample::select(vec!["A.a", "A.b", "B.a", "A.*", "#", "A..", "A.a,B.a", "Z"]);
    let code = prop::sample::select(vec!["AUTH_EXPIRED", "RATE_LIMITED", "UNKNOWN_SYMBOL", "RESUME_EXPIRED", "INTERNAL"]);
    let close = prop::sample::select(vec!["", "1006", "4103", "4304", "4502", "503", "401"]);
    prop_oneof![
        4 => prop::sample::select(vec![
            "connect", "open", "open", "welcome", "welcome window=1 heartbeat=0", "welcome epoch=e2", "ack", "complete", "beat", "wake", "hide",
            "show", "garbage", "pong", "lose 1", "goodbye", "goodbye after=10 spread=10", "expiring 1", "notice 1", "token 1", "token 2 t",
            "feed f=STALE", "beat e1:3 f=LIVE", "error RATE_LIMITED request=last",
        ]).prop_map(str::to_owned),
        2 => (target, prop::sample::select(vec!["", "0ms", "250ms", "trades"])).prop_map(|(target, how)| format!("subscribe {target} {how}")),
        1 => (1..6_u32).prop_map(|id| format!("unsubscribe {id}")),
        1 => (1..6_u32, 0..9_000_u32).prop_map(|(id, ms)| format!("rate {id} {ms}")),
        1 => (1..6_u32, 0..4_u32).prop_map(|(id, count)| format!("read {id} {count}")),
        3 => (symbol(), 0..9_u64, 0..99_u32).prop_map(|(symbol, seq, bid)| format!("image {symbol} seq={seq} bid={bid}")),
        3 => (symbol(), 0..9_u64, 0..99_u32).prop_map(|(symbol, seq, last)| format!("delta {symbol} seq={seq} last={last}")),
        2 => (symbol(), 0..9_u64).prop_map(|(symbol, seq)| format!("event {symbol} seq={seq} phase=HALTED")),
        2 => (symbol(), 0..9_u64).prop_map(|(symbol, seq)| format!("event {symbol} seq={seq} trade=1")),
        1 => (symbol(), 0..9_u32, 0..9_u32).prop_map(|(symbol, from, to)| format!("gap {symbol} {from} {to}")),
        1 => (symbol(), 0..20_u32).prop_map(|(symbol, scale)| format!("announce {symbol} scale={scale}")),
        3 => (0..20_000_u32).prop_map(|ms| format!("wait {ms}ms")),
        1 => code.prop_map(|code| format!("error {code}")),
        1 => close.prop_map(|close| format!("cut {close}")),
        1 => any::<u16>().prop_map(|place| format!("noise {place}")),
    ]
}

fn config(two_way: bool, encoding: Encoding, refresh: bool) -> SessionConfig {
    let encoding = if two_way { encoding } else { Encoding::Json };
    SessionConfig { two_way, encoding, refresh, events_max: EVENTS_MAX, ..SessionConfig::default() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Nothing panics, timers and outputs do not storm, and queues keep their bound.
    #[test]
    fn any_story_ends_well(
        steps in prop::collection::vec(any_step(), 1..120),
        two_way in any::<bool>(),
        json in any::<bool>(),
        refresh in any::<bool>(),
    ) {
        let mut world = World::new(config(two_way, if json { Encoding::Json } else { Encoding::Protobuf }, refresh));
        for step in ["subscribe #", "connect"].into_iter().chain(steps.iter().map(String::as_str)) {
            world.step(step);
            for id in 1..6 {
                prop_assert!(world.session.waiting(SubscriptionId(id)) <= EVENTS_MAX + INSTRUMENTS);
            }
        }
        // Whatever waits can be read to the end, and is then gone.
        for id in 1..6 {
            while world.session.next_change(SubscriptionId(id)).is_some() {}
            prop_assert_eq!(world.session.waiting(SubscriptionId(id)), 0);
        }
    }

    /// However subscriptions come, change and go, and connections with them: in the end the server knows exactly what is wanted.
    #[test]
    fn the_server_learns_exactly_what_is_wanted(
        turns in prop::collection::vec((0..9_u8, 0..6_usize, prop::sample::select(vec![None, Some(0), Some(100), Some(1_000)]), any::<bool>()), 1..60),
    ) {
        let mut world = World::new(SessionConfig::default());
        let mut wishes: Vec<Option<Wish>> = Vec::new();
        world.step("live");
        for (turn, n, conflate_ms, trades) in turns {
            match turn {
                0..=2 => {
                    let targets = [&["A"][..], &["B", "C"], &["A", "B", "A"], &["A.*"], &["#", "C"], &["D"]][n];
                    let rate = conflate_ms.map_or(String::new(), |ms| format!("{ms}ms"));
                    world.step(&format!("subscribe {} {rate} {}", targets.join(","), if trades { "trades" } else { "" }));
                    wishes.push(Some(Wish { targets, conflate_ms, trades }));
                }
                3 | 4 => {
                    world.step(&format!("unsubscribe {}", n + 1));
                    wishes.iter_mut().skip(n).take(1).for_each(|wish| *wish = None);
                }
                5 => {
                    world.step(&format!("rate {} {}", n + 1, conflate_ms.map_or("-".into(), |ms: u32| ms.to_string())));
                    wishes.iter_mut().skip(n).take(1).flatten().for_each(|wish| wish.conflate_ms = conflate_ms);
                }
                6 => world.step("error RATE_LIMITED request=last after=500"),
                7 => world.step("wait 200ms"),
                _ => {
                    world.step("cut");
                    while world.session.state() != State::Connecting {
                        world.step("wait 50ms");
                    }
                    ["open", "welcome", "ack", "complete", "beat e1:9"].iter().for_each(|step| world.step(step));
                }
            }
        }
        world.step("wait 8s");
        let mut expected: BTreeMap<String, (Option<u32>, bool)> = BTreeMap::new();
        for Wish { targets, conflate_ms, trades } in wishes.into_iter().flatten() {
            for target in targets {
                let (rate, all) = expected.entry((*target).into()).or_insert((conflate_ms, false));
                *all |= trades;
                if conflate_ms.unwrap_or(250) < rate.unwrap_or(250) {
                    *rate = conflate_ms;
                }
            }
        }
        prop_assert_eq!(&world.subscribed, &expected);
    }

    /// Against a model of one instrument: the newest state is always right in the end, no state turns back, and every event is read once
    /// and in order, or covered by a gap. Connections are cut, frames are lost with them, and the application reads when it likes.
    #[test]
    fn what_is_read_is_what_was_said(
        turns in prop::collection::vec((0..10_u8, 0..4_u8), 1..200),
        json in any::<bool>(),
        events_max in 1..6_usize,
    ) {
        let encoding = if json { Encoding::Json } else { Encoding::Protobuf };
        let mut world = World::new(SessionConfig { encoding, events_max, ..SessionConfig::default() });
        let mut model = Model::default();
        for step in ["subscribe A", "connect", "open", "welcome", "ack", "complete", "beat e1:0"] {
            world.step(step);
        }
        for (turn, size) in turns {
            match turn {
                0..=3 => model.quote(&mut world),
                4 | 5 => model.halt(&mut world),
                6 => model.token_if_heard(&mut world),
                7 => model.deaf = true,
                8 => model.reconnect(&mut world),
                _ => model.read(&mut world.session, usize::from(size)),
            }
        }
        model.reconnect(&mut world);
        model.read(&mut world.session, usize::MAX);
        prop_assert_eq!(model.read_events_to, model.seq_of_last_event(), "every event was read or is covered by a gap");
        prop_assert_eq!(model.read_bid, model.bid);
    }
}

/// A subscription that stands.
struct Wish {
    targets: &'static [&'static str],
    conflate_ms: Option<u32>,
    trades: bool,
}

/// The truth about instrument `A`, and what the application has read of it.
#[derive(Default)]
struct Model {
    seq: u64,
    bid: Option<u64>,
    quote_seq: u64,
    /// Positions of all events.
    events: Vec<u64>,
    token: u64,
    /// What the server says is lost on the way, until the connection is cut.
    deaf: bool,
    read_bid: Option<u64>,
    read_events_to: u64,
}

impl Model {
    fn quote(&mut self, world: &mut World) {
        self.seq += 1;
        (self.bid, self.quote_seq) = (Some(self.seq), self.seq);
        if !self.deaf {
            world.step(&format!("delta A seq={0} bid={0}", self.seq));
        }
    }

    fn halt(&mut self, world: &mut World) {
        self.seq += 1;
        self.events.push(self.seq);
        if !self.deaf {
            world.step(&format!("event A seq={} phase=HALTED", self.seq));
        }
    }

    fn token_if_heard(&mut self, world: &mut World) {
        if !self.deaf {
            self.token = self.seq;
            world.step(&format!("beat e1:{}", self.token));
        }
    }

    /// The server's side of a resume: images of what changed since the token, and the events after it.
    fn reconnect(&mut self, world: &mut World) {
        world.step("cut");
        while world.session.state() != State::Connecting {
            world.step("wait 50ms");
        }
        for step in ["open", "welcome", "ack"] {
            world.step(step);
        }
        if self.quote_seq > self.token {
            world.step(&format!("image A seq={} bid={}", self.seq, self.quote_seq));
        }
        for seq in self.events.iter().filter(|seq| **seq > self.token) {
            world.step(&format!("event A seq={seq} phase=HALTED"));
        }
        world.step("complete");
        self.deaf = false;
        self.token_if_heard(world);
    }

    fn read(&mut self, session: &mut Session, most: usize) {
        for _ in 0..most {
            let Some(change) = session.next_change(SubscriptionId(1)) else { break };
            if let Some(bid) = change.instrument().and_then(|instrument| instrument.image.quote?.bid).map(|bid| bid as u64 / 100) {
                assert!(self.read_bid.is_none_or(|before| before <= bid), "{bid} came after {:?}", self.read_bid);
                self.read_bid = Some(bid);
            }
            match change {
                Change::Event { update, .. } => {
                    assert!(matches!(update.body, Some(Body::Status(_))));
                    let next = self.events.iter().find(|seq| **seq > self.read_events_to);
                    assert_eq!(Some(&update.seq), next, "the next event is read next");
                    self.read_events_to = update.seq;
                }
                Change::Gap { from, to, .. } => {
                    assert!(from < to);
                    let lost = self.events.iter().filter(|seq| **seq < to).max();
                    self.read_events_to = self.read_events_to.max(lost.copied().unwrap_or(0));
                }
                _ => {}
            }
        }
    }

    fn seq_of_last_event(&self) -> u64 {
        self.events.last().copied().unwrap_or(0)
    }
}

const EVENTS_MAX: usize = 4;
/// Instruments that the steps name.
const INSTRUMENTS: usize = 4;
