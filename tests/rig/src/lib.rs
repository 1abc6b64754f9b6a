//! What whole-system tests, measurements and the demo start, pause, kill and remove: the real program, a private RabbitMQ node, a narrow
//! link with NGINX in front of it, and a Python with pika.

mod broker;
mod http;
mod narrow;
mod nginx;
mod python;
mod tickwire;

pub use broker::Broker;
pub use http::{get, metric};
pub use narrow::{End, NarrowLink};
pub use nginx::Nginx;
pub use python::python;
pub use tickwire::Tickwire;
