use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use doorstep_http::{Body, BoxFuture, Observer, Request, Response, Service};
use doorstep_model::{Blame, Proxy};
use doorstep_net::Connect;
use http::header;
use http::{Method, StatusCode};

use crate::client::{Answer, Connection, Failure, Upload, UploadFraming, exchange};
use crate::framework::{Framework, Learnt, inspector};
use crate::headers::{HeadPlan, NEXT_ACTION, Origins, Presented, came_from_us, offered_protocols, write_head};
use crate::idle::{self, Home, PoolKey};
use crate::relay::{Back, expects_continue, prepare_fields, respond, switch};
use crate::{ProxyError, down, limits};

/// Passes requests to one app.
pub struct ReverseProxy {
    proxy: Proxy,
    origins: Origins,
    connect: Arc<dyn Connect>,
    observer: Arc<dyn Observer>,
    key: PoolKey,
    learnt: Arc<Learnt>,
    down: AtomicBool,
}

impl ReverseProxy {
    pub fn new(proxy: Proxy, connect: Arc<dyn Connect>, observer: Arc<dyn Observer>) -> Self {
        let origins = Origins::new(&proxy.upstream);
        let (key, learnt) = (PoolKey::unique(), Arc::new(Learnt::default()));
        Self { proxy, origins, connect, observer, key, learnt, down: AtomicBool::new(false) }
    }

    async fn answer(&self, mut request: Request) -> Response {
        let outcome = if came_from_us(&request.headers) {
            Err(ProxyError::Loop)
        } else {
            let body = request.body.take();
            self.pass(&mut request, body).await
        };
        match outcome {
            Ok(response) => {
                // Looked at first: a store would pass the cache line from core to core with each request.
                if self.down.load(Ordering::Relaxed) {
                    self.down.store(false, Ordering::Relaxed);
                }
                response
            }
            Err(error) => {
                if error.blame() != Blame::Client && !self.down.swap(true, Ordering::Relaxed) {
                    self.observer.found(down::finding(&self.proxy.upstream, &error));
                }
                down::answer(&request, Some(&self.proxy.upstream), &error)
            }
        }
    }

    async fn pass(&self, request: &mut Request, body: Body) -> Result<Response, ProxyError> {
        let hold = expects_continue(request);
        let mut upload = Upload::prepare(body, hold).await?;
        let upgrade = offered_protocols(request);
        let mut connection = self.pooled(request, &upload);
        loop {
            let mut ready = match connection.take() {
                Some(pooled) => pooled,
                None => Connection::new(self.connect.connect(&self.proxy.upstream).await?),
            };
            let framing = upload.framing();
            write_head(&mut ready.out, request, &self.plan(request, framing, upload.is_held(), upgrade.as_deref()));
            match exchange(ready, upload, &request.method, &request.interim, limits::RESPONSE_HEAD).await {
                Ok(answer) if answer.head.status == StatusCode::SWITCHING_PROTOCOLS => {
                    return switch(answer, upgrade.as_deref(), &mut None);
                }
                Ok(answer) => return Ok(self.respond(request, answer, framing)),
                Err(failure) => upload = again(failure, &request.method, hold)?,
            }
        }
    }

    /// An idle connection. Where the request could not be sent twice, one that is certainly alive.
    fn pooled(&self, request: &Request, upload: &Upload) -> Option<Connection> {
        let certain = !request.method.is_idempotent() || !upload.is_repeatable();
        idle::take(self.key, certain)
    }

    fn plan<'a>(
        &'a self,
        request: &'a Request,
        framing: UploadFraming,
        expect: bool,
        upgrade: Option<&'a str>,
    ) -> HeadPlan<'a> {
        let keep_host = self.proxy.keep_host && !request.authority.is_empty();
        let hide_host = self.learnt.hides_host();
        // Rails, and Next.js for its server actions, compare Origin with X-Forwarded-Host.
        let knows_host =
            (self.learnt.framework() == Framework::Rails && !hide_host) || request.headers.contains_key(NEXT_ACTION);
        HeadPlan {
            origins: &self.origins,
            host: if keep_host { &request.authority } else { &self.proxy.upstream.authority },
            translate: !self.proxy.keep_host,
            keep_origin: knows_host,
            hide_host,
            framing,
            expect,
            upgrade,
        }
    }

    fn respond(&self, request: &Request, mut answer: Answer, framing: UploadFraming) -> Response {
        self.learnt.look_at(&answer.head.headers);
        let own_origin = || {
            let origin = request.header(header::ORIGIN)?;
            matches!(self.origins.present(origin, request), Presented::Own(_)).then(|| origin.to_owned())
        };
        let (status, headers) = (answer.head.status, &mut answer.head.headers);
        let inspect = inspector(&self.learnt, &self.observer, status, headers, &request.authority, own_origin);
        let translated = prepare_fields(request, status, headers, (!self.proxy.keep_host).then_some(&self.origins));
        if translated.cookie_made_insecure {
            self.learnt.tell_insecure_cookie(self.observer.as_ref());
        }
        let home = Home { key: self.key, most: limits::POOL_SIZE, lease: None };
        respond(request, answer, framing, Back { home, most_idle: limits::BODY_IDLE, inspect })
    }
}

impl Service for ReverseProxy {
    fn call<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        Box::pin(self.answer(request))
    }
}

/// The body for a second attempt, where one is safe (RFC 9110 section 9.2.2): the app cannot have seen the request, or
/// had closed the idle connection that it was sent by, and the method says that twice does no more than once.
fn again(failure: Failure, method: &Method, hold: bool) -> Result<Upload, ProxyError> {
    let safe = failure.reused && (failure.unsent || (failure.stale && method.is_idempotent()));
    match failure.upload.rewound(hold) {
        Some(upload) if safe => Ok(upload),
        _ => Err(failure.error),
    }
}
