use std::sync::Arc;

use doorstep_net::BoxIo;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};

use crate::{Body, BoxFuture, Outcome};

/// A response to be. The engine frames it (Content-Length, chunks, DATA), adds `Date`, and drops the body where HTTP has none.
pub struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Body,
    /// With status 101: takes over the connection's bytes.
    pub upgrade: Option<Upgrade>,
    pub kind: Kind,
    /// Called by the engine once the response is over; dropped uncalled where it never was sent.
    pub finished: Option<Finished>,
    /// The upstream that answered, for logs.
    pub upstream: Option<Arc<str>>,
}

/// What a response is, for logs and for `--once`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Made by doorstep: a listing, a login form, an error page, an asset of these.
    #[default]
    Page,
    /// What the user shares: a file, a zip of a folder.
    Content,
    /// A part of it: 206, 304.
    Partial,
    /// An app's answer.
    Proxied,
    /// The answer to doorstep's own question whether an address leads here; not logged.
    Beacon,
}

/// Gets the connection's bytes both ways once the 101 is written; bytes that the client sent early come first.
pub type Upgrade = Box<dyn FnOnce(BoxIo) -> BoxFuture<'static, ()> + Send>;

/// Told how a response ended, and how many bytes of its body were handed to the kernel. Must not block.
pub type Finished = Box<dyn FnOnce(Outcome, u64) + Send>;

impl Response {
    pub fn new(status: StatusCode) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            body: Body::Empty,
            upgrade: None,
            kind: Kind::Page,
            finished: None,
            upstream: None,
        }
    }

    pub fn html(status: StatusCode, page: String) -> Self {
        Self::new(status)
            .with(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"))
            .with_body(page)
    }

    pub fn text(status: StatusCode, text: impl Into<String>) -> Self {
        Self::new(status)
            .with(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))
            .with_body(text.into())
    }

    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    #[must_use]
    pub fn with_body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    #[must_use]
    pub fn with_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }
}
