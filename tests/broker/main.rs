//! Whole-system tests with a real, private RabbitMQ.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod publisher;
