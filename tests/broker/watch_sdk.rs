//! The Rust SDK as a client.

use std::net::SocketAddr;
use std::time::Duration;

use tickwire::v1::update::Body;
use tickwire::{Change, Client, Event, State, Transport};
use tokio::sync::watch;

use super::view::View;

/// Watches a pattern for ever; the SDK reconnects by itself.
pub(crate) fn watch(address: SocketAddr, pattern: &'static str, transport: Transport, prove: bool) -> watch::Receiver<View> {
    let (view, seen) = watch::channel(View::default());
    tokio::spawn(async move {
        let path = if transport == Transport::Sse { "sse" } else { "ws" };
        let scheme = if transport == Transport::Sse { "http" } else { "ws" };
        let builder = Client::builder(format!("{scheme}://{address}/v1/{path}")).transport(transport).conflation(Duration::ZERO);
        let builder = builder.heartbeat(Duration::from_millis(500)).backoff(Duration::from_millis(50), Duration::from_secs(1));
        let client = builder.connect_lazily().await.unwrap();
        let mut events = client.events();
        let mut changes = client.subscribe([pattern]).await.unwrap();
        while !view.is_closed() {
            tokio::select! {
                // The two are read apart. What a log says comes after its name, so that is looked for first.
                biased;
                event = events.next() => match event.unwrap() {
                    // It does not say to which log it has come back: the other clients judge what is lost between connections.
                    Event::State { state: State::Syncing, .. } => view.send_modify(|view| {
                        view.connections += 1;
                        view.another_log();
                    }),
                    Event::Error(error) if !error.epoch.is_empty() => view.send_modify(View::another_log),
                    Event::Feed(feed) => view.send_modify(|view| view.health(&feed.feed, feed.health())),
                    _ => {}
                },
                change = changes.next() => match change.unwrap() {
                    Change::State(instrument) => view.send_modify(|view| {
                        if let Some(quote) = instrument.image.quote {
                            view.quote(instrument.symbol.as_str(), quote, prove);
                        }
                        if let Some(status) = &instrument.image.status {
                            view.status(instrument.symbol.as_str(), instrument.seq, status, true);
                        }
                    }),
                    Change::Event { symbol, update, .. } => view.send_modify(|view| {
                        if let Some(Body::Status(status)) = &update.body {
                            view.status(symbol.as_str(), update.seq, status, false);
                        }
                    }),
                    Change::Gap { symbol, from, to } => view.send_modify(|view| view.gap(symbol.as_str(), from, to)),
                    other => view.send_modify(|view| view.faults.push(format!("{other:?}"))),
                },
            }
        }
    });
    seen
}
