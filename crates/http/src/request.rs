use std::net::{IpAddr, SocketAddr};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use doorstep_net::ConnInfo;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode, Uri, Version};
use parking_lot::Mutex;

use crate::{Body, Captures, RequestId};

/// One canonical request: what routing, access and services all decide by. A handle to [`RequestParts`], so that to pass
/// it on, through services and their futures, is to pass on a pointer.
pub struct Request(Box<RequestParts>);

/// What a [`Request`] consists of.
pub struct RequestParts {
    pub method: Method,
    /// Path and query as the client sent them, always in origin form (`/a%20b?c=d`) and with one slash at the start, or `*`
    /// for `OPTIONS *`.
    pub target: Uri,
    /// The decoded path ([`crate::path::canonical`]): no `..`, no `.`, no empty segments, no NUL. Starts with `/`, a trailing
    /// slash is kept; `*` for `OPTIONS *`.
    pub path: String,
    /// The host the client asked for, lower case, with its port if it named one: `example.com:8080`, `[::1]`.
    /// HTTP/1.0 without a Host gives an empty one.
    pub authority: String,
    pub version: Version,
    pub headers: HeaderMap,
    pub body: Body,
    /// As the client sees it: where a trusted proxy is in between, with what that says of address and scheme.
    pub conn: Arc<ConnInfo>,
    /// Sends 1xx responses ahead of the final one.
    pub interim: Interim,
    /// Whether the client asked to switch protocols and may get a 101 (HTTP/1.1 `Upgrade`), or, on HTTP/2, sent an
    /// extended CONNECT (RFC 8441), which is presented as the HTTP/1.1 request that it stands for.
    pub upgradable: bool,
    pub vouched: Vouched,
    /// What the variable parts of the route's path stood for.
    pub captures: Captures,
    /// What the request is called, where requests are given names; also in its `X-Request-Id`.
    pub id: Option<RequestId>,
}

/// What a guard found out about the client, kept apart from what the client itself says.
#[derive(Clone, Debug, Default)]
pub struct Vouched {
    /// Fields for the app, such as `X-Remote-User`. Whoever forwards the request drops the client's fields of the same
    /// names ([`Vouched::shadows`]) and then writes these, whatever the client's `Connection` says of them.
    pub headers: HeaderMap,
    /// An `Authorization` that a guard accepted and took away, for guards further in: apps never see it.
    pub authorization: Option<HeaderValue>,
}

impl Vouched {
    /// Whether the client's field `name` must not be passed on: an app that does not tell `-` from `_` (as CGI and WSGI
    /// do not) could take it for one of ours.
    pub fn shadows(&self, name: &HeaderName) -> bool {
        let alike = |ours: &HeaderName| {
            let (ours, theirs) = (ours.as_str().as_bytes(), name.as_str().as_bytes());
            let plain = |byte: u8| if byte.is_ascii_alphanumeric() { byte } else { b'-' };
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(a, b)| plain(*a) == plain(*b))
        };
        !self.headers.is_empty() && self.headers.keys().any(alike)
    }

    /// Sets a field for the app, replacing what another guard set under this name.
    pub fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.headers.insert(name, value);
    }
}

impl Request {
    /// A request as a test, or a service of our own, would make it: GET over plain HTTP/1.1 from 127.0.0.1, no headers.
    pub fn get(target: &str) -> Self {
        let target: Uri = target.parse().unwrap_or_default();
        let nobody = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::from(RequestParts {
            method: Method::GET,
            path: crate::path::canonical(target.path()).unwrap_or_default(),
            target,
            authority: "localhost".to_owned(),
            version: Version::HTTP_11,
            headers: HeaderMap::new(),
            body: Body::Empty,
            conn: Arc::new(ConnInfo {
                peer: nobody,
                local: nobody,
                tls: None,
                relayed: false,
                accepted: std::time::Instant::now(),
            }),
            interim: Interim::default(),
            upgradable: false,
            vouched: Vouched::default(),
            captures: Captures::default(),
            id: None,
        })
    }

    pub fn peer_ip(&self) -> IpAddr {
        self.conn.peer.ip().to_canonical()
    }

    /// `http` or `https`, as the client sees it.
    pub fn scheme(&self) -> &'static str {
        if self.conn.tls.is_some() { "https" } else { "http" }
    }

    pub fn host(&self) -> &str {
        host_of(&self.authority)
    }

    /// A header's value where it is there once or first, and is visible ASCII.
    pub fn header(&self, name: impl http::header::AsHeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether the client would rather read HTML than anything else: a person with a browser.
    pub fn wants_html(&self) -> bool {
        self.header(http::header::ACCEPT).is_some_and(|accept| accept.contains("text/html"))
    }
}

impl From<RequestParts> for Request {
    fn from(parts: RequestParts) -> Self {
        Self(Box::new(parts))
    }
}

impl Deref for Request {
    type Target = RequestParts;

    fn deref(&self) -> &RequestParts {
        &self.0
    }
}

impl DerefMut for Request {
    fn deref_mut(&mut self) -> &mut RequestParts {
        &mut self.0
    }
}

/// The host of an authority, its port left out: `[::1]:80` gives `[::1]`.
pub fn host_of(authority: &str) -> &str {
    if authority.starts_with('[') {
        return authority.find(']').map_or(authority, |end| &authority[..=end]);
    }
    authority.split_once(':').map_or(authority, |(host, _)| host)
}

/// Sends 1xx responses (100, 103 …) ahead of the final response. They go out in order, as soon as the service yields.
#[derive(Clone, Default)]
pub struct Interim(Arc<Mutex<Vec<(StatusCode, HeaderMap)>>>);

/// The most 1xx responses waiting at once; further ones are dropped.
const MAX_INTERIM: usize = 8;

impl Interim {
    /// # Panics
    /// Never; a status that is not 1xx, or 101, is ignored.
    pub fn send(&self, status: StatusCode, headers: HeaderMap) {
        let mut waiting = self.0.lock();
        if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS && waiting.len() < MAX_INTERIM {
            waiting.push((status, headers));
        }
    }

    pub(crate) fn is_waiting(&self) -> bool {
        !self.0.lock().is_empty()
    }

    /// Gets ready for the next request. What a service of the last one may still send is lost.
    pub(crate) fn renew(&mut self) {
        match Arc::get_mut(&mut self.0) {
            Some(waiting) => waiting.get_mut().clear(),
            None => *self = Self::default(),
        }
    }

    /// Takes what waits. The engine calls this after each poll of the service.
    pub fn take(&self) -> Vec<(StatusCode, HeaderMap)> {
        std::mem::take(&mut *self.0.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vouched_field_shadows_its_twins() {
        let mut vouched = Vouched::default();
        let name = |text: &'static str| HeaderName::from_static(text);
        assert!(!vouched.shadows(&name("x-remote-user")));
        vouched.set(name("x-remote-user"), HeaderValue::from_static("ann"));
        for twin in ["x-remote-user", "x_remote_user", "x-remote_user", "x.remote.user"] {
            assert!(vouched.shadows(&name(twin)), "{twin}");
        }
        for other in ["x-remote-users", "x-remote-use", "remote-user"] {
            assert!(!vouched.shadows(&name(other)), "{other}");
        }
    }
}
