//! The reverse proxy: passes requests to an app and its answers back, and makes the app's own address and the
//! visitor's the same place for both.
//!
//! [`ReverseProxy`] is the service. Its client side is in `client`, what becomes of header fields in `headers`, idle
//! connections in `pool`. [`framework`] knows development servers.

mod client;
mod down;
mod error;
pub mod framework;
mod headers;
pub mod limits;
mod pool;
mod service;
mod tunnel;

pub use error::ProxyError;
pub use service::ReverseProxy;
