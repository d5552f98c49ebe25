//! The HTTP engine. Bytes come in by a `Conn`, become a [`Request`], find their [`Service`] by the route table,
//! and the [`Response`] goes out again: HTTP/1.1 by our own codec, HTTP/2 by `h2`.
//!
//! A service never sees a connection and the engine never sees a folder or an app: they meet in the trait [`Service`].

pub mod body;
mod date;
mod engine;
mod h1;
mod h2;
pub mod limits;
pub mod observe;
mod pace;
pub mod pages;
pub mod path;
mod record;
mod request;
mod response;
mod route;
mod sendfile;
mod service;
mod timer;

pub use body::{Body, BodyError};
pub use engine::Engine;
pub use observe::{Exchange, NoObserver, Observer, Outcome, Transfer};
pub use request::{Interim, Request, Vouched};
pub use response::{Finished, Kind, Response, Upgrade};
pub use route::{RouteTable, Routed};
pub use service::{BoxFuture, Service};
pub use timer::Timer;
