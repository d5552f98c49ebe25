//! One try of a request with one member.

use std::sync::Arc;

use doorstep_http::{Request, Response};
use doorstep_model::{Pool, Upstream, UpstreamProtocol};
use doorstep_net::{Connect, ConnectError, Dial, Io};
use http::StatusCode;

use super::member::{InFlight, Member};
use super::membership::Membership;
use super::preamble;
use crate::client::{Connection, Upload, exchange};
use crate::h2::{self, Terms, Unanswered};
use crate::headers::{HeadPlan, NEXT_ACTION, write_head};
use crate::idle::{self, Home};
use crate::relay::{Back, prepare_fields, respond, switch};
use crate::{ProxyError, limits};

/// What stays the same over all attempts of a request.
pub struct Task<'a> {
    pub pool: &'a Pool,
    pub membership: &'a Membership,
    pub connect: &'a dyn Connect,
    pub request: &'a Request,
    /// Whether the body waits for `100 Continue`.
    pub hold: bool,
    /// Protocols that the client offers to switch to.
    pub upgrade: Option<&'a str>,
}

/// An attempt without a response.
pub struct Failed {
    pub error: ProxyError,
    pub member: Arc<Member>,
    /// The body from its beginning, if the request may be sent again (RFC 9110 section 9.2.2).
    pub again: Option<Upload>,
}

impl Task<'_> {
    /// Sends the request to the member. A connection that had been idle and turns out to be closed says nothing about
    /// its member: a new one is tried then.
    pub async fn attempt(&self, lease: InFlight, upload: Upload) -> Result<Response, Failed> {
        let name = lease.member().id.clone();
        let outcome = match lease.member().upstream.protocol {
            UpstreamProtocol::Http1 => self.by_http1(lease, upload).await,
            // Boxed: it is the rarer one, and all requests would have to make room for it.
            UpstreamProtocol::Http2 => Box::pin(self.by_http2(lease, upload)).await,
        };
        outcome.map(|response| Response { upstream: Some(name), ..response })
    }

    async fn by_http1(&self, lease: InFlight, mut upload: Upload) -> Result<Response, Failed> {
        let (method, interim) = (&self.request.method, &self.request.interim);
        let mut pooled = self.pooled(lease.member(), &upload);
        loop {
            let member = lease.member();
            let mut connection = match pooled.take() {
                Some(pooled) => pooled,
                None => match self.open(&member.upstream).await {
                    Ok(io) => Connection::new(io),
                    // Nothing was sent, and nothing of the body was taken.
                    Err(error) => {
                        let (member, again) = (member.clone(), upload.rewound(self.hold));
                        return Err(Failed { error: error.into(), member, again });
                    }
                },
            };
            let framing = upload.framing();
            write_head(&mut connection.out, self.request, &self.plan(member, &upload));
            match exchange(connection, upload, method, interim, self.pool.timeouts.response).await {
                Ok(mut answer) => {
                    self.answered(member);
                    if answer.head.status == StatusCode::SWITCHING_PROTOCOLS {
                        let (member, mut lease) = (member.clone(), Some(lease));
                        let switched = switch(answer, self.upgrade, &mut lease);
                        return switched.map_err(|error| Failed { error, member, again: None });
                    }
                    let translating = (!self.pool.keep_host).then_some(&member.origins);
                    prepare_fields(self.request, answer.head.status, &mut answer.head.headers, translating);
                    return Ok(respond(self.request, answer, framing, self.back(lease)));
                }
                Err(failure) => {
                    let unanswered = matches!(failure.error, ProxyError::Closed | ProxyError::Broken(_));
                    let safe = failure.unsent || (unanswered && method.is_idempotent());
                    let again = failure.upload.rewound(self.hold).filter(|_| safe);
                    match again {
                        Some(again) if failure.reused => upload = again,
                        again => return Err(Failed { error: failure.error, member: member.clone(), again }),
                    }
                }
            }
        }
    }

    async fn by_http2(&self, lease: InFlight, mut upload: Upload) -> Result<Response, Failed> {
        let member = lease.member().clone();
        let mut lease = Some(lease);
        // As many as there may be connections that turn out to be over, and a new one.
        let mut left = limits::H2_LINES;
        loop {
            match self.by_line(&member, &mut lease, upload).await {
                Ok(response) => {
                    self.answered(&member);
                    return Ok(response);
                }
                Err(Unanswered { error, upload: rest, untouched, stale }) => {
                    let lost = matches!(&error, ProxyError::Http2(error) if error.is_io() || error.is_go_away());
                    let safe = untouched || (lost && self.request.method.is_idempotent());
                    match rest.rewound(self.hold).filter(|_| safe) {
                        Some(again) if stale && left > 0 => upload = again,
                        again => return Err(Failed { error, member, again }),
                    }
                    left -= 1;
                }
            }
        }
    }

    async fn by_line(
        &self,
        member: &Arc<Member>,
        lease: &mut Option<InFlight>,
        upload: Upload,
    ) -> Result<Response, Unanswered> {
        let open = self.open(&member.upstream);
        let line = match self.pool.send_proxy {
            None => h2::line(member, open).await,
            Some(_) => match open.await {
                Ok(io) => h2::own_line(io).await,
                Err(error) => Err(error.into()),
            },
        };
        let line = match line {
            Ok(line) => line,
            Err(error) => return Err(Unanswered { error, upload, untouched: true, stale: false }),
        };
        let terms = Terms {
            request: self.request,
            plan: self.plan(member, &upload),
            member,
            response: self.pool.timeouts.response,
            idle: self.pool.timeouts.idle,
        };
        h2::exchange(line, upload, terms, lease).await
    }

    /// An idle connection. Where the request could not be sent twice, one that is certainly alive.
    fn pooled(&self, member: &Member, upload: &Upload) -> Option<Connection> {
        let certain = !self.request.method.is_idempotent() || !upload.is_repeatable();
        idle::take(member.key, certain)
    }

    async fn open(&self, to: &Upstream) -> Result<Io, ConnectError> {
        let preamble =
            self.pool.send_proxy.map(|form| preamble::of_client(form, &self.request.conn)).unwrap_or_default();
        self.connect.connect_as(to, Dial { within: self.pool.timeouts.connect, preamble: &preamble }).await
    }

    fn plan<'a>(&'a self, member: &'a Member, upload: &Upload) -> HeadPlan<'a> {
        let keep_host = self.pool.keep_host && !self.request.authority.is_empty();
        HeadPlan {
            origins: &member.origins,
            host: if keep_host { &self.request.authority } else { &member.upstream.authority },
            translate: !self.pool.keep_host,
            // Next.js compares Origin with X-Forwarded-Host for its server actions.
            keep_origin: self.request.headers.contains_key(NEXT_ACTION),
            hide_host: false,
            framing: upload.framing(),
            expect: upload.is_held(),
            upgrade: self.upgrade,
        }
    }

    /// What remains to be done after an answer's head, the member's account included.
    fn back(&self, lease: InFlight) -> Back {
        // A connection that named its client is of use to nobody else.
        let most = if self.pool.send_proxy.is_some() { 0 } else { self.pool.keep_alive };
        let home = Home { key: lease.member().key, most, lease: Some(lease) };
        Back { home, most_idle: self.pool.timeouts.idle, inspect: None }
    }

    fn answered(&self, member: &Member) {
        if member.succeeded() {
            self.membership.refresh();
        }
    }
}
