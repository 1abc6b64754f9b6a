//! The real server with real sockets.
#![expect(clippy::unwrap_used, reason = "a test that fails to unwrap has failed, also in its helpers")]

mod bench;
mod door;
mod examples;
mod grpc;
mod leaving;
mod narrow_link;
mod peer;
mod recordings;
mod refusals;
mod sdk;
mod sessions;
mod settings;
mod slow_proxy;
mod tls;
mod tokens;
mod vectors;
mod watch;
mod wire;
