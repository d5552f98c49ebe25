//! The rate limit: bytes per second for each client and for all together, in both directions.

mod body;
mod gate;
mod io;
mod pacer;

use std::sync::Arc;

use doorstep_http::{Body, BoxFuture, Request, Response, Service};
use doorstep_model::ByteRate;

use self::body::PacedBody;
use self::gate::Gate;
use self::io::PacedIo;
use self::pacer::Pacer;
use crate::client::client_key;

/// Slows bodies, and connections that were upgraded, down to a rate. What visitors send and what they get have the
/// same limit, counted apart, so that an upload does not slow a download.
pub(crate) struct RateLimit {
    down: Arc<Pacer>,
    up: Arc<Pacer>,
    inner: Arc<dyn Service>,
}

/// The pace of everything that leaves or enters this computer by doorstep, whichever site it is for: all that are
/// wrapped with one `Uplink` share its rate, evenly between clients.
#[derive(Clone)]
pub struct Uplink {
    down: Arc<Pacer>,
    up: Arc<Pacer>,
}

impl Uplink {
    pub fn new(rate: ByteRate) -> Self {
        Self { down: Arc::new(Pacer::new(rate)), up: Arc::new(Pacer::new(rate)) }
    }

    /// Goes outside of all guards, so that their own answers count too.
    pub fn wrap(&self, service: Arc<dyn Service>) -> Arc<dyn Service> {
        Arc::new(RateLimit { down: Arc::clone(&self.down), up: Arc::clone(&self.up), inner: service })
    }
}

impl RateLimit {
    pub(crate) fn new(rate: ByteRate, inner: Arc<dyn Service>) -> Self {
        let Uplink { down, up } = Uplink::new(rate);
        Self { down, up, inner }
    }

    async fn answer(&self, mut request: Request) -> Response {
        let client = client_key(&request);
        let gate = |pacer: &Arc<Pacer>| Gate::new(Arc::clone(pacer), client);
        request.body = paced(request.body.take(), gate(&self.up));
        let mut response = self.inner.call(request).await;
        response.body = paced(response.body, gate(&self.down));
        if let Some(upgrade) = response.upgrade {
            let (down, up) = (gate(&self.down), gate(&self.up));
            response.upgrade = Some(Box::new(move |io| upgrade(Box::new(PacedIo::new(io, down, up)))));
        }
        response
    }
}

impl Service for RateLimit {
    fn call<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        Box::pin(self.answer(request))
    }
}

fn paced(body: Body, gate: Gate) -> Body {
    if body.is_empty() { body } else { Body::stream(PacedBody::new(body, gate)) }
}

#[cfg(test)]
mod tests;
