//! The real server with real sockets.

mod vectors;
