//! A service on live prices: it remembers what it sees, acts on halts, and knows when its values are old.
//!
//! ```text
//! cargo run -p tickwire-examples --bin service -- 'stock.*' 'soccer.#'
//! ```
//!
//! `TICKWIRE_URL` names the server (default `http://127.0.0.1:7447`), `TICKWIRE_TOKEN` is the bearer token if it wants one.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::env;
use std::time::Duration;

use tickwire::v1::update::Body;
use tickwire::v1::{Status, TradingPhase};
use tickwire::{Change, Client, Event, State};
use tokio::time::interval;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut symbols: Vec<String> = env::args().skip(1).collect();
    if symbols.is_empty() {
        symbols.push("#".to_owned());
    }
    let url = env::var("TICKWIRE_URL").unwrap_or_else(|_| "http://127.0.0.1:7447".to_owned());

    // A tenth of a second is plenty for this service: whatever happens in between, it reads the newest state once.
    let mut builder = Client::builder(url).conflation(Duration::from_millis(100));
    if let Ok(token) = env::var("TICKWIRE_TOKEN") {
        builder = builder.token(token);
    }
    // Waits for the server's welcome; `connect_lazily` would go on at once. From here on the client keeps itself connected.
    let client = builder.connect().await?;

    // Before the subscription, so that no refusal is missed.
    let mut events = client.events();
    let mut prices = client.subscribe(&symbols).await?;
    let mut report = interval(Duration::from_secs(5));

    // Every `next` may be dropped at any time without losing anything, which is what `select!` does with the slower ones.
    loop {
        tokio::select! {
            change = prices.next() => match change {
                Some(change) => on_change(&client, &change),
                // The client was closed: by us, or by a server that refuses it for good. The last event said why.
                None => break,
            },
            event = events.next() => match event {
                Some(event) => on_event(&event),
                None => break,
            },
            _ = report.tick() => {
                let stats = client.stats();
                println!("{:?}: {} records, {} inputs merged into them", client.state(), stats.records, stats.merged);
            }
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    client.close().await;
    Ok(())
}

/// What the service does with data.
fn on_change(client: &Client, change: &Change) {
    match change {
        // The newest state, whole. A slow service sees fewer of these, never older ones.
        Change::State(instrument) => {
            let age = client.age(instrument).unwrap_or_default();
            println!("{instrument} ({} ms old)", age.as_millis());
        }
        // Never merged away, and behind the state that it ended: the price here is the one at which trading stopped.
        Change::Event { symbol, update, instrument } => match &update.body {
            Some(Body::Status(status)) if halted(status) => println!("take orders off: {symbol} stopped at {instrument}"),
            _ => println!("{change}"),
        },
        // The server told us that events are missing: ask whoever has the history.
        Change::Gap { symbol, from, to } => println!("catch up on {symbol}: events between {from} and {to} are missing"),
        _ => {}
    }
}

/// What the service does when something happens to the connection or to a feed.
fn on_event(event: &Event) {
    match event {
        Event::State { state: State::Live, .. } => println!("values are current"),
        Event::State { state: State::Stalled | State::Backoff, reason, .. } => println!("values are old: {reason}"),
        Event::State { state: State::Closed, reason, .. } => println!("closed: {reason}"),
        Event::Feed(feed) => println!("feed {} is {}", feed.feed, feed.health().as_str_name()),
        Event::Refused { symbol, code, .. } => println!("no {symbol}: {}", code.name()),
        _ => {}
    }
}

fn halted(status: &Status) -> bool {
    matches!(status.phase(), TradingPhase::Halted | TradingPhase::Suspended)
}
