//! A real shard with a subscriber: which batches wake it, and that those that do not are told all the same.

use std::future::poll_fn;

use bytes::{Buf as _, Bytes};
use futures_util::FutureExt as _;
use mio::{Poll, Token, Waker};
use tickwire_core::access::Grant;
use tickwire_proto::wire::{Encoding, decode_server};
use tickwire_proto::{Scale, v1::update::Body};
use tokio::time::{sleep, timeout};

use super::handle::WAITING_MAX;
use super::rest::Rest;
use super::*;
use crate::accept::Admission;
use crate::auth::Gate;
use crate::config::AuthConfig;

#[tokio::test]
async fn changes_that_can_wait_wake_nobody_and_are_told() {
    let mut node = Node::start().await;
    // Nobody subscribes to the second, so that its changes can always wait once it is known.
    let mut reader = node.subscribe("s.A", 5_000).await;
    node.apply(quote(1, 2)).await;
    node.apply(quote(2, 3)).await;
    node.sleeps(&[2]).await;
    for seq in 4..4 + WAITING_MAX as u64 {
        assert!(!node.apply(quote(2, seq)).await, "woken for nothing by {seq}");
    }
    // One more than may wait, and it has to get up, if it has not done so by itself.
    node.apply(quote(2, 100)).await;
    assert_eq!(node.shards.images().await.seq, 100);
    // The first is told at once, the second at the end of its interval, for which the shard gets up by itself.
    node.sleeps(&[]).await;
    node.apply(quote(1, 101)).await;
    node.sleeps(&[1, 2]).await;
    for seq in 102..110 {
        assert!(!node.apply(quote(1, seq)).await, "woken for nothing by {seq}");
    }
    assert_eq!(node.told(&mut reader, 109).await, 109);
}

#[tokio::test]
async fn events_feeds_and_what_leaves_at_once_wake() {
    let mut node = Node::start().await;
    let mut reader = node.subscribe("s.A", 0).await;
    let status = v1::Status { phase: v1::TradingPhase::Halted as i32, ..Default::default() };
    let halt = |seq| Entry::Update(v1::Update { id: 2, seq, body: Some(Body::Status(status.clone())), ..Default::default() });
    let feed = |_| Entry::Feed(v1::FeedState { feed: "f".into(), ..Default::default() });
    node.apply(quote(2, 2)).await;
    let entries: [(&str, &dyn Fn(u64) -> Entry); 3] = [("a change at class 0", &|seq| quote(1, seq)), ("a halt", &halt), ("a feed", &feed)];
    for (what, entry) in entries {
        let mut was_woken = false;
        // It may have got up by itself just then.
        for seq in 3..6 {
            node.sleeps(&[2]).await;
            was_woken |= node.apply(entry(seq)).await;
        }
        assert!(was_woken, "{what} has to wait");
    }
    assert_eq!(node.told(&mut reader, 5).await, 5);
}

#[tokio::test]
async fn so_many_entries_wait_for_a_shard_that_stands_still_and_no_more() {
    let (shards, mut received) = alone();
    let batch = |entries: u32| Batch { entries: (0..entries).map(|seq| Entry::Position(u64::from(seq))).collect() };
    for _ in 0..2 {
        shards.apply(batch(ENTRIES_MAX / 2)).await;
    }
    assert!(shards.apply(batch(1)).now_or_never().is_none(), "it waits");
    received.try_recv().unwrap();
    assert!(shards.apply(batch(1)).now_or_never().is_some());
    // One that is larger than all of the room goes when there is nothing else.
    assert!(shards.apply(batch(ENTRIES_MAX + 1)).now_or_never().is_none());
    while received.try_recv().is_ok() {}
    assert!(shards.apply(batch(ENTRIES_MAX + 1)).now_or_never().is_some());
}

#[tokio::test]
async fn a_shard_that_sleeps_on_all_of_the_room_is_woken() {
    let (shards, mut received) = alone();
    let rest = shards.0.handles[0].rest();
    rest.note_waits(0, 1 << 1);
    assert!(rest.lie_down(|| true));
    let batch = |entries: u32| Batch { entries: (1..=u64::from(entries)).map(|seq| quote(1, seq)).collect() };
    shards.apply(batch(ENTRIES_MAX)).await;
    assert!(!rest.is_up(), "this can wait");
    assert!(shards.apply(batch(1)).now_or_never().is_none(), "there is no room");
    assert!(rest.is_up(), "until it has looked at what lies before it");
    received.try_recv().unwrap();
    assert!(shards.apply(batch(1)).now_or_never().is_some());
}

/// One shard without a thread.
fn alone() -> (Shards, mpsc::Receiver<ShardCommand>) {
    let poll = Poll::new().unwrap();
    let waker = Arc::new(Waker::new(poll.registry(), Token(0)).unwrap());
    let (commands, received) = mpsc::channel(COMMANDS_MAX);
    (Shards::of(vec![Handle::new(commands, Arc::new(Rest::new()), waker, Arc::default())]), received)
}

struct Node {
    shards: Shards,
    admission: Admission,
}

impl Node {
    async fn start() -> Self {
        let gate = Gate::new(AuthConfig::default());
        let (shards, _) = Shards::start(1, &EngineConfig::default(), &gate, 65_536).unwrap();
        let mut node = Self { shards, admission: Admission::new(10, None) };
        let info =
            |id, symbol: &str| Entry::Instrument(v1::InstrumentInfo { id, symbol: symbol.into(), price_scale: 2, ..Default::default() });
        for entry in [Entry::Reset { epoch: "e".into() }, info(1, "s.A"), info(2, "s.B"), quote(1, 1), Entry::Synced] {
            node.apply(entry).await;
        }
        node
    }

    async fn apply(&mut self, entry: Entry) -> bool {
        let room = self.shards.0.room.clone().acquire_owned().await.unwrap();
        self.shards.0.handles[0].apply(&Arc::new(UnderWay { batch: Batch { entries: vec![entry] }, _room: room })).await
    }

    /// Someone gets the images of one symbol.
    async fn subscribe(&mut self, symbol: &str, conflate_ms: u32) -> PipeReader {
        let (writer, mut reader) = pipe();
        let item = v1::SubscribeItem {
            target: Some(v1::subscribe_item::Target::Symbol(symbol.into())),
            conflate_ms: Some(conflate_ms),
            trades: false,
        };
        let hello = v1::Hello { protocol: 1, heartbeat_ms: Some(30_000), ..Default::default() };
        let grant = Grant {
            subject: "a".into(),
            patterns: vec![Pattern::parse("#").unwrap()],
            expires_at_s: None,
            conflate_ms_min: 0,
            subscriptions_max: None,
        };
        let request = Some((hello, v1::Subscribe { items: vec![item], replace: false }));
        let arrival = Arrival { encoding: Encoding::Protobuf, grant: Some(grant), request, session: "a".into() };
        let visitor = self.admission.visitor([127, 0, 0, 1].into()).unwrap();
        let (carrier, transport) = (Carrier::Pipe(writer), TransportKind::Grpc);
        self.shards.attach(Newcomer { carrier, visitor, transport, arrival, preface: Vec::new(), early: Vec::new() }).await;
        self.told(&mut reader, 1).await;
        reader
    }

    /// Reads until a record of at least this position; which it is.
    async fn told(&self, reader: &mut PipeReader, seq: u64) -> u64 {
        let mut given = Bytes::new();
        let reading = async {
            loop {
                while !given.is_empty() {
                    let len = given.get_u32() as usize;
                    let known = |_| Some((Scale::new(2).unwrap(), Scale::new(0).unwrap()));
                    let frame = decode_server(Encoding::Protobuf, &given.split_to(len), &known).unwrap();
                    if let Some(told) = frame.updates.iter().find(|update| update.seq >= seq) {
                        return told.seq;
                    }
                }
                given = poll_fn(|cx| reader.poll_next(cx)).await.unwrap();
            }
        };
        timeout(WITHIN, reading).await.expect("the record comes")
    }

    /// Waits until the shard sleeps and lets changes of these wait.
    async fn sleeps(&self, ids: &[u32]) {
        let rest = self.shards.0.handles[0].rest();
        let asleep = async {
            while self.is_up() || !ids.iter().all(|id| rest.lets_wait(tickwire_core::InstrumentId(*id))) {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(WITHIN, asleep).await.expect("the shard sleeps");
    }

    fn is_up(&self) -> bool {
        self.shards.0.handles[0].rest().is_up()
    }
}

fn quote(id: u32, seq: u64) -> Entry {
    let body = Body::Quote(v1::Quote { bid: Some(seq as i64), ..Default::default() });
    Entry::Update(v1::Update { id, seq, body: Some(body), ..Default::default() })
}

/// Time for anything to happen, on a loaded machine.
const WITHIN: Duration = Duration::from_secs(20);
