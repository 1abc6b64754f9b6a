//! What whole-system tests and the demo start, pause, kill and remove: a private RabbitMQ node, and a Python with pika.

mod broker;
mod python;

pub use broker::Broker;
pub use python::python;
