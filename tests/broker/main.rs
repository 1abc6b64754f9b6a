//! Whole-system tests with a real, private RabbitMQ.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod catch_up;
mod cluster;
mod crash;
mod dead;
mod encrypted;
mod feeds;
mod holes;
mod honesty;
mod house;
mod links;
mod log_faults;
mod many;
mod mapped;
mod node;
mod oracle;
mod pace;
mod poison;
mod proxy;
mod publish;
mod publisher;
mod queue_mode;
mod recorder;
mod recording;
mod refusals;
mod restart;
mod silence;
mod snapshot;
mod story;
mod topology;
mod values;
mod view;
mod watch_sdk;
mod watch_sse;
mod watch_ws;
