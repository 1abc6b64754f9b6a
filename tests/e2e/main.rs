//! The real server with real sockets.

mod examples;
mod vectors;
