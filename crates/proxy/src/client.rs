//! The client side of HTTP/1.1: one request and its response on one connection, without tasks or channels.

mod body;
mod connection;
mod exchange;
mod upload;

pub use body::{Inspect, UpstreamBody};
pub use connection::Connection;
pub use exchange::{Answer, Failure, exchange};
pub use upload::{Upload, UploadFraming};
