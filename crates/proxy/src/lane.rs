use std::io::ErrorKind;
use std::sync::Arc;

use doorstep_http::{Request, Response};
use doorstep_model::Upstream;
use doorstep_net::Connect;
use http::{Method, StatusCode};

use crate::client::{Connection, Failure, Upload, exchange};
use crate::headers::{HeadPlan, Origins, came_from_us, offered_protocols, write_head};
use crate::idle::{self, Home, PoolKey};
use crate::relay::{Back, expects_continue, prepare_fields, respond, switch};
use crate::{ProxyError, limits};

/// Passes requests on as they are to one upstream that is another doorstep, or stands for one: the `Host` stays, nothing is
/// translated, and whoever owns the lane has words of their own for what goes wrong.
///
/// Its idle connections are its own, in each thread: they end with it, a few seconds later at most.
pub struct Lane {
    upstream: Upstream,
    origins: Origins,
    connect: Arc<dyn Connect>,
    key: PoolKey,
    /// Idle connections kept per thread.
    most_idle: usize,
}

impl Lane {
    /// `connect` may wait as long as a request may.
    pub fn new(upstream: Upstream, connect: Arc<dyn Connect>) -> Self {
        let origins = Origins::new(&upstream);
        Self { upstream, origins, connect, key: PoolKey::unique(), most_idle: limits::LANE_IDLE }
    }

    /// The same for the requests of one visitor only: no connection is kept.
    pub fn of_one_visitor(upstream: Upstream, connect: Arc<dyn Connect>) -> Self {
        Self { most_idle: 0, ..Self::new(upstream, connect) }
    }

    /// Passes a request on; its body is taken. A second attempt is made where that is safe.
    ///
    /// # Errors
    /// Why there is no answer. A response that breaks off later is an error of its body.
    pub async fn pass(&self, request: &mut Request) -> Result<Response, ProxyError> {
        if came_from_us(&request.headers) {
            return Err(ProxyError::Loop);
        }
        let hold = expects_continue(request);
        let mut upload = Upload::prepare(request.body.take(), hold).await?;
        let upgrade = offered_protocols(request);
        // An idle connection; where the request could not be sent twice, one that is certainly alive.
        let certain = !request.method.is_idempotent() || !upload.is_repeatable();
        let mut connection = idle::take(self.key, certain);
        for again in 0.. {
            let mut ready = match connection.take() {
                Some(pooled) => pooled,
                None => Connection::new(self.connect.connect(&self.upstream).await?),
            };
            let framing = upload.framing();
            let plan = HeadPlan {
                origins: &self.origins,
                host: &request.authority,
                translate: false,
                keep_origin: true,
                hide_host: false,
                framing,
                expect: upload.is_held(),
                upgrade: upgrade.as_deref(),
            };
            write_head(&mut ready.out, request, &plan);
            match exchange(ready, upload, &request.method, &request.interim, limits::LANE_HEAD).await {
                Ok(answer) if answer.head.status == StatusCode::SWITCHING_PROTOCOLS => {
                    return switch(answer, upgrade.as_deref(), &mut None);
                }
                Ok(mut answer) => {
                    prepare_fields(request, answer.head.status, &mut answer.head.headers, None);
                    let home = Home { key: self.key, most: self.most_idle, lease: None };
                    let back = Back { home, most_idle: limits::BODY_IDLE, inspect: None };
                    return Ok(respond(request, answer, framing, back));
                }
                Err(failure) => {
                    let broke = failure.is_broken();
                    upload = repeatable(failure, &request.method, hold, again)?;
                    if broke {
                        // Others of the same way may break in this moment.
                        tokio::time::sleep(limits::LANE_AGAIN).await;
                    }
                }
            }
        }
        Err(ProxyError::Closed)
    }
}

/// The body for another attempt. Safe where the other side cannot have seen the request; or where it closed the idle
/// connection that it was sent by, or the way to it broke, and twice does no more than once (RFC 9110 section 9.2.2).
fn repeatable(failure: Failure, method: &Method, hold: bool, again: u32) -> Result<Upload, ProxyError> {
    let stale = failure.stale && (failure.reused || failure.is_broken()) && method.is_idempotent();
    let unheard = stale || failure.reused && failure.unsent;
    let safe = again < limits::LANE_RETRIES && (unheard || failure.error.is_unheard());
    match failure.upload.rewound(hold) {
        Some(upload) if safe => Ok(upload),
        _ => Err(failure.error),
    }
}

impl Failure {
    /// Whether it was not the other side's own wish: its end would have come in order.
    fn is_broken(&self) -> bool {
        matches!(&self.error, ProxyError::Broken(error) if error.kind() == ErrorKind::ConnectionReset)
    }
}
