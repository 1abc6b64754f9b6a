//! A log of the test's own, as a pattern for others: a list of what happens.

use prost::Message as _;
use tickwire_core::checkpoint::Part;
use tickwire_core::engine::EngineConfig;
use tickwire_proto::v1::FeedHealth;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::*;
use crate::auth::Gate;
use crate::config::AuthConfig;
use crate::ingest::default_intake;

/// Tells what it is told, and says what it is asked.
struct Script {
    events: mpsc::UnboundedReceiver<SourceEvent>,
    heard: mpsc::UnboundedSender<Heard>,
    /// Positions at which a checkpoint is wanted.
    wanted: Vec<u64>,
}

#[derive(Debug, PartialEq)]
enum Heard {
    Refused(u64, Vec<Cause>),
    Kept(v1::Checkpoint),
}

impl FeedSource for Script {
    async fn next(&mut self) -> SourceEvent {
        match self.events.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }

    fn refuse(&mut self, message: &LogMessage, poison: &[Poison]) {
        let causes = poison.iter().map(|poison| poison.cause).collect();
        self.heard.send(Heard::Refused(message.seq, causes)).unwrap();
    }

    fn wants_checkpoint(&mut self, seq: u64) -> bool {
        let before = self.wanted.len();
        self.wanted.retain(|wanted| *wanted != seq);
        self.wanted.len() < before
    }

    fn keep(&mut self, checkpoint: Vec<Part>) {
        self.heard.send(Heard::Kept(v1::Checkpoint::decode(&checkpoint[0].encode()[..]).unwrap())).unwrap();
    }
}

/// A node that reads a script.
struct Node {
    script: mpsc::UnboundedSender<SourceEvent>,
    heard: mpsc::UnboundedReceiver<Heard>,
    readiness: watch::Receiver<Readiness>,
    shards: Shards,
    metrics: Arc<Metrics>,
    _stop: tokio_util::sync::DropGuard,
}

impl Node {
    fn start(wanted: &[u64]) -> Self {
        let (shards, _) = Shards::start(1, &EngineConfig::default(), &Gate::new(AuthConfig::default()), 65_536).unwrap();
        let (tell, readiness) = watch::channel(Readiness::NotReady("new".to_owned()));
        let (metrics, stop) = (Arc::new(Metrics::default()), CancellationToken::new());
        let feeder = Feeder::new(default_intake(), shards.clone(), metrics.clone(), Clock::start(), tell);
        let (script, events) = mpsc::unbounded_channel();
        let (said, heard) = mpsc::unbounded_channel();
        tokio::spawn(feeder.run(Script { events, heard: said, wanted: wanted.to_vec() }, stop.clone()));
        Self { script, heard, readiness, shards, metrics, _stop: stop.drop_guard() }
    }

    fn tell(&self, events: impl IntoIterator<Item = SourceEvent>) {
        events.into_iter().for_each(|event| self.script.send(event).unwrap());
    }

    async fn hears(&mut self) -> Heard {
        timeout(WITHIN, self.heard.recv()).await.expect("the source is asked").unwrap()
    }

    async fn is(&mut self, wanted: impl Fn(&Readiness) -> bool) {
        let met = timeout(WITHIN, self.readiness.wait_for(wanted)).await.is_ok();
        assert!(met, "{:?}", self.readiness.borrow());
    }

    /// Waits until the book is at a position; its last prices then, by symbol.
    async fn book_at(&self, seq: u64) -> Vec<(String, i64)> {
        let found = timeout(WITHIN, async {
            loop {
                let book = self.shards.images().await;
                if book.seq == seq {
                    return book;
                }
                sleep(Duration::from_millis(5)).await;
            }
        });
        prices(&found.await.expect("the book gets there").instruments)
    }
}

fn prices(instruments: &[CheckpointInstrument]) -> Vec<(String, i64)> {
    let quotes = instruments.iter().filter_map(|kept| {
        let quote = kept.images.iter().find_map(|image| match image.body {
            Some(v1::update::Body::Quote(quote)) => quote.last,
            _ => None,
        });
        Some((kept.info.as_ref()?.symbol.clone(), quote?))
    });
    quotes.collect()
}

fn message(seq: u64, symbol: &str, body: &str) -> LogMessage {
    LogMessage { seq, routing_key: symbol.to_owned(), content_type: None, content_encoding: None, body: body.as_bytes().to_vec() }
}

fn last(seq: u64, symbol: &str, price: &str) -> LogMessage {
    message(seq, symbol, &format!("{{\"quote\":{{\"last\":\"{price}\"}}}}"))
}

fn epoch(name: &str) -> String {
    name.to_owned()
}

#[tokio::test]
async fn another_log_needs_nothing_but_the_trait() {
    let mut node = Node::start(&[9, 12]);
    node.tell([SourceEvent::Down("gone fishing".to_owned())]);
    node.is(|readiness| *readiness == Readiness::NotReady("gone fishing".to_owned())).await;
    assert_eq!(node.shards.feeds()[0].health(), FeedHealth::Down);

    // A past, in order, with holes between positions and several messages at once.
    node.tell([
        SourceEvent::Connected,
        SourceEvent::Reset { epoch: epoch("life-1") },
        SourceEvent::Behind { tail: 9 },
        SourceEvent::Messages(vec![last(2, "a.A", "1.25"), last(3, "a.B", "2.5")]),
    ]);
    node.is(|readiness| matches!(readiness, Readiness::CatchingUp(progress) if progress.seq == Some(3) && progress.tail == Some(9))).await;
    assert_eq!(node.shards.feeds()[0].health(), FeedHealth::Recovering);
    node.tell([SourceEvent::Messages(vec![last(9, "a.A", "1.5")]), SourceEvent::CaughtUp]);
    node.is(|readiness| *readiness == Readiness::Ready).await;
    assert_eq!(node.book_at(9).await, [("a.A".to_owned(), 150), ("a.B".to_owned(), 25)]);

    // The book can be kept only when it is complete, and carries what it takes to go on behind it.
    let Heard::Kept(kept) = node.hears().await else { panic!("no checkpoint") };
    assert_eq!((kept.epoch.as_str(), kept.seq, kept.body_hash), ("life-1", 9, body_hash(&last(9, "a.A", "1.5").body)));

    // What cannot be used is given back to the source, and the position moves on.
    node.tell([SourceEvent::Messages(vec![message(10, "a..B", "{}")])]);
    assert_eq!(node.hears().await, Heard::Refused(10, vec![Cause::BadSymbol]));
    assert_eq!(node.book_at(10).await.len(), 2);
    assert_eq!(node.metrics.feed_messages.get(), 4);

    // A loss that nothing stands for: the book stays, under another name.
    node.tell([SourceEvent::Down("cut".to_owned()), SourceEvent::Connected, SourceEvent::Interrupted { epoch: epoch("life-2") }]);
    node.tell([SourceEvent::CaughtUp, SourceEvent::Gap { from: 10, to: 12 }]);
    node.is(|readiness| *readiness == Readiness::Ready).await;
    assert_eq!(node.book_at(10).await, [("a.A".to_owned(), 150), ("a.B".to_owned(), 25)]);
    node.tell([SourceEvent::Messages(vec![last(12, "a.C", "3")])]);
    let Heard::Kept(renewed) = node.hears().await else { panic!("no checkpoint") };
    assert_eq!((renewed.epoch.as_str(), renewed.seq), ("life-2", 12));
    assert_eq!(prices(&renewed.instruments).len(), 3);

    // A checkpoint stands for everything before it.
    node.tell([SourceEvent::Connected, SourceEvent::Restore(Box::new(kept))]);
    node.tell([SourceEvent::Messages(vec![last(13, "a.B", "2.75")]), SourceEvent::CaughtUp]);
    assert_eq!(node.book_at(13).await, [("a.A".to_owned(), 150), ("a.B".to_owned(), 275)]);
    node.is(|readiness| *readiness == Readiness::Ready).await;
}

/// Time for anything to happen, on a loaded machine.
const WITHIN: Duration = Duration::from_secs(20);
