//! What every decoder and state machine must survive: the bodies of the fuzz targets.
//!
//! One body serves two runners: `libfuzzer/` runs it under cargo-fuzz (`cargo xtask fuzz`), and `tests/replay.rs` runs it on stable Rust
//! over the committed corpora and some mutations of them, in bounded time. A body panics when a promise is broken.

mod checkpoint;
#[cfg(feature = "config")]
mod config;
pub mod corpus;
mod decoders;
mod door;
mod engine;
mod framing;
mod images;
mod intake;
mod mapping;
pub mod mutate;
mod names;
mod packed;
#[cfg(feature = "config")]
mod recording;
mod session;
mod tape;

// Where the server's files look for it.
use framing::server::websocket;

/// One thing that can be fuzzed.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Name on the command line, of its corpus, and of its program.
    pub name: &'static str,
    /// Takes any bytes; panics when a promise is broken.
    pub run: fn(&[u8]),
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "decode_client", run: decoders::client },
    Target { name: "decode_server", run: decoders::server },
    Target { name: "names", run: names::run },
    Target { name: "images", run: images::run },
    Target { name: "intake", run: intake::run },
    Target { name: "mapping", run: mapping::run },
    Target { name: "packed", run: packed::run },
    Target { name: "checkpoint", run: checkpoint::run },
    Target { name: "event_stream", run: framing::event_stream },
    Target { name: "chunks", run: framing::chunks },
    Target { name: "head", run: door::run },
    Target { name: "websocket", run: framing::websocket },
    Target { name: "session", run: session::run },
    Target { name: "engine", run: engine::run },
    #[cfg(feature = "config")]
    Target { name: "config", run: config::run },
    #[cfg(feature = "config")]
    Target { name: "recording", run: recording::run },
];

/// The target of this name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().copied().find(|target| target.name == name)
}
