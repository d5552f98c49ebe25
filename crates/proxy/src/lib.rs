//! The reverse proxy: passes requests to an app and its answers back, and makes the app's own address and the
//! visitor's the same place for both.
//!
//! [`ReverseProxy`] is the service for one app, [`PoolService`] the one for upstreams that can stand for each other, [`Lane`] what
//! passes requests on as they are. The
//! client side of HTTP/1.1 is in `client`, that of HTTP/2 in `h2`, what becomes of header fields in `headers`, idle connections in `idle`, the
//! way back in `relay`. [`framework`] knows development servers.

mod client;
mod down;
mod error;
pub mod framework;
mod h2;
mod headers;
mod idle;
mod lane;
pub mod limits;
mod pool;
mod relay;
mod service;
mod tunnel;

pub use down::{Down, down_page, refusal};
pub use error::{ProxyError, Unheard};
pub use lane::Lane;
pub use pool::{LiveMember, MemberState, MemberStatus, Membership, PoolService};
pub use service::ReverseProxy;
