//! The HTTP engine. Bytes come in by a `Conn`, become a [`Request`], find their [`Service`] by the route table,
//! and the [`Response`] goes out again: HTTP/1.1 by our own codec, HTTP/2 by `h2`.
//!
//! A service never sees a connection and the engine never sees a folder or an app: they meet in the trait [`Service`].

pub mod actions;
pub mod body;
mod captures;
pub mod coding;
mod date;
mod engine;
mod forwarded;
mod h1;
mod h2;
pub mod limits;
pub mod observe;
mod pace;
pub mod pages;
pub mod path;
mod record;
mod request;
mod request_id;
mod response;
mod route;
mod sendfile;
mod service;
mod template;
mod timer;

pub use body::{Body, BodyError};
pub use captures::{Captures, GroupNames};
pub use engine::Engine;
pub use observe::{Exchange, NoObserver, Observer, Outcome, Transfer};
pub use request::{Interim, Request, RequestParts, Vouched};
pub use request_id::RequestId;
pub use response::{Finished, Kind, Response, Upgrade};
pub use route::{
    Challenges, Destination, DynamicHosts, RouteError, RouteTable, Routed, Routes, SiteRoutes, Strangers, TableOptions,
    anchored,
};
pub use service::{BoxFuture, Service};
pub use template::{Place, Template, TemplateError};
pub use timer::Timer;
