//! What whole-system tests and the demo start, pause, kill and remove: the real program, a private RabbitMQ node, and a Python with pika.

mod broker;
mod python;
mod tickwire;

pub use broker::Broker;
pub use python::python;
pub use tickwire::Tickwire;
