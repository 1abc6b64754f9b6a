//! A load generator for servers of live data: many connections on one thread, and what they measure.
//!
//! It is made to cost little, so that on a small machine the server is what is measured: one epoll loop, no buffer per idle connection,
//! and of each record only what tells whether it is the right one. Every [`SAMPLE_EVERY`]th frame is decoded whole and compared with the
//! market, if the market is the steady one.
//!
//! [`Crowd`] is the loop. It speaks Tickwire through [`Ticker`]; other protocols are other [`Conversation`]s. [`workload`] has the
//! workloads of `tickwire bench`.

mod conversation;
mod crowd;
mod descriptors;
mod encryption;
mod ledger;
mod probe;
mod process;
mod progress;
mod report;
mod server;
mod tally;
mod target;
mod ticker;
pub mod websocket;
pub mod workload;

pub use conversation::{Conversation, Stamp};
pub use crowd::{Crowd, Gathering, Pace};
pub use descriptors::allow_descriptors;
pub use encryption::Encryption;
pub use ledger::{Ledger, Record, Seen, read_protobuf};
pub use probe::{Group, Probe, Sample};
pub use process::Meter;
pub use progress::Progress;
pub use report::{Figures, Percentiles, ServerFigures, median};
pub use server::Server;
pub use tally::{Faults, Tally};
pub use target::Target;
pub use ticker::{Manner, SAMPLE_EVERY, Ticker, Wire};
