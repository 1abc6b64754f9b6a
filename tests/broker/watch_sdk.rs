//! The Rust SDK as a client.

use std::net::SocketAddr;
use std::time::Duration;

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
                change = changes.next() => match change.unwrap() {
                    Change::State(instrument) => view.send_modify(|view| {
                        if let Some(quote) = instrument.image.quote {
                            view.quote(instrument.symbol.as_str(), quote, prove);
                        }
                    }),
                    other => view.send_modify(|view| view.faults.push(format!("{other:?}"))),
                },
                event = events.next() => match event.unwrap() {
                    Event::State { state: State::Syncing, .. } => view.send_modify(|view| view.connections += 1),
                    Event::Feed(feed) => view.send_modify(|view| view.health(&feed.feed, feed.health())),
                    _ => {}
                },
            }
        }
    });
    seen
}
