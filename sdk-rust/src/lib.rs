//! Live prices and scores from a Tickwire server: the newest state of each instrument, as
//! often as you ask for and your link can take.
//!
//! # Connect and read
//!
//! ```no_run
//! use tickwire::Client;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::builder("wss://ticks.example/v1/ws").token("…").connect().await?;
//! let mut quotes = client.subscribe(["stock.AAPL", "soccer.#"]).await?;
//! while let Some(change) = quotes.next().await {
//!     println!("{change}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! [`Subscription`] is a [`Stream`](futures_util::Stream) of [`Change`]s:
//!
//! - [`Change::State`] is the newest state of one instrument, whole. What happened in between was merged into it, by the server at the
//!   rate asked for and here while you did not read; `merged` says how much, and totals, highs and lows stay exact.
//! - [`Change::Event`] is something that is never merged away: a halt, a final score, a settlement, a correction, a closed bar.
//! - [`Change::Gap`] says that such events were lost, and between which positions.
//!
//! A slow reader gets fewer changes, never old ones, and needs no more memory than a fast one.
//!
//! # Prices are exact
//!
//! A [`Price`] is an integer with a decimal point. [`Instrument::bid`], [`ask`](Instrument::ask), [`last`](Instrument::last) and
//! [`volume`](Instrument::volume) give it; the rest is in [`Instrument::image`], as integers for [`Instrument::price`] and
//! [`Instrument::quantity`]:
//!
//! ```no_run
//! # fn example(instrument: &tickwire::Instrument) {
//! if let Some(high) = instrument.image.quote.and_then(|quote| quote.high) {
//!     println!("{} high {}", instrument.symbol, instrument.price(high));
//! }
//! # }
//! ```
//!
//! # Know how good the data is
//!
//! Four things are told apart: your connection ([`Client::state`]), each feed ([`Client::feeds`]), the market ([`Instrument::phase`]) and
//! the age of a value ([`Client::age`]). [`Client::events`] tells when the first two change:
//!
//! ```no_run
//! # async fn example(client: tickwire::Client) {
//! use tickwire::{Event, State};
//!
//! let mut events = client.events();
//! while let Some(event) = events.next().await {
//!     match event {
//!         Event::State { state: State::Live, .. } => println!("values are current"),
//!         Event::State { state, reason, .. } => println!("{state:?}: {reason}"),
//!         Event::Feed(feed) => println!("feed {} is {}", feed.feed, feed.health().as_str_name()),
//!         Event::Refused { symbol, code, .. } => println!("{symbol}: {}", code.name()),
//!         _ => {}
//!     }
//! }
//! # }
//! ```
//!
//! # Connections come and go
//!
//! The client reconnects by itself, with a random backoff, resumes where it was, and keeps the last values meanwhile. It ends only when
//! you close it or the server refuses it for good. [`Builder::token_provider`] renews tokens without a break.
//! [`Builder::connect_lazily`] does not even need the server to be there yet.
//!
//! Everything needs a running [tokio] runtime with time and I/O. All futures of this crate may be dropped at any await point.
//!
//! # Features
//!
//! - `publish`: the publisher kit for feeds, which publishes to RabbitMQ and loses nothing on the way.

mod builder;
mod client;
mod driver;
mod endpoint;
mod error;
mod events;
#[cfg(feature = "publish")]
pub mod publish;
mod shared;
mod subscription;
mod token;
mod transport;

pub use builder::Builder;
pub use client::Client;
pub use endpoint::UrlError;
pub use error::{ConnectError, SubscribeError, TokenError, TransportError};
pub use events::Events;
pub use subscription::Subscription;
pub use tickwire_proto::session::{Change, Event, Instrument, State, Stats, SubscribeOptions, SubscriptionId};
pub use tickwire_proto::v1::{self, ErrorCode, Retry};
pub use tickwire_proto::wire::Encoding;
pub use tickwire_proto::{Pattern, Price, Scale, Symbol};
pub use transport::Transport;

/// Name and version of this library, as servers see it.
const SDK: &str = concat!("tickwire-rust/", env!("CARGO_PKG_VERSION"));
