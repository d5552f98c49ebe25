//! One try of a request with one member.

use std::net::IpAddr;
use std::sync::Arc;

use doorstep_http::{Request, Response};
use doorstep_model::{Pool, ProxyHeader, Upstream, UpstreamProtocol};
use doorstep_net::{ConnInfo, Connect, ConnectError, Dial, Io};
use doorstep_proto::proxy_header::{write_v1, write_v2};
use http::StatusCode;

use super::member::{InFlight, Member};
use crate::client::{Connection, Upload, exchange};
use crate::h2::{self, Terms, Unanswered};
use crate::headers::{HeadPlan, write_head};
use crate::idle::{self, Home};
use crate::relay::{Back, respond, switch};
use crate::{ProxyError, limits};

/// What stays the same over all attempts of a request.
pub struct Task<'a> {
    pub pool: &'a Pool,
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
    /// The body from its beginning, if the request may be sent again (RFC 9110 section 9.2.2).
    pub again: Option<Upload>,
}

impl Task<'_> {
    /// Sends the request to the member. A connection that had been idle and turns out to be closed says nothing about
    /// its member: a new one is tried then.
    pub async fn attempt(&self, lease: InFlight, upload: Upload) -> Result<Response, Failed> {
        let member = lease.member().clone();
        match member.upstream.protocol {
            UpstreamProtocol::Http1 => self.by_http1(member, lease, upload).await,
            // Boxed: it is the rarer one, and all requests would have to make room for it.
            UpstreamProtocol::Http2 => Box::pin(self.by_http2(member, lease, upload)).await,
        }
    }

    async fn by_http1(&self, member: Arc<Member>, lease: InFlight, mut upload: Upload) -> Result<Response, Failed> {
        let mut pooled = self.pooled(&member, &upload);
        loop {
            let mut connection = match pooled.take() {
                Some(pooled) => pooled,
                None => match self.open(&member.upstream).await {
                    Ok(io) => Connection::new(io),
                    // Nothing was sent, and nothing of the body was taken.
                    Err(error) => return Err(Failed { error: error.into(), again: upload.rewound(self.hold) }),
                },
            };
            let framing = upload.framing();
            write_head(&mut connection.out, self.request, &self.plan(&member, &upload));
            let Request { method, interim, .. } = self.request;
            match exchange(connection, upload, method, interim, self.pool.timeouts.response).await {
                Ok(answer) if answer.head.status == StatusCode::SWITCHING_PROTOCOLS => {
                    return switch(answer, self.upgrade, Some(lease)).map_err(|error| Failed { error, again: None });
                }
                Ok(answer) => {
                    return Ok(respond(self.request, answer, framing, self.back(&member, lease)).0);
                }
                Err(failure) => {
                    let unanswered = matches!(failure.error, ProxyError::Closed | ProxyError::Broken(_));
                    let safe = failure.unsent || (unanswered && method.is_idempotent());
                    let again = failure.upload.rewound(self.hold).filter(|_| safe);
                    match again {
                        Some(again) if failure.reused => upload = again,
                        again => return Err(Failed { error: failure.error, again }),
                    }
                }
            }
        }
    }

    async fn by_http2(&self, member: Arc<Member>, lease: InFlight, mut upload: Upload) -> Result<Response, Failed> {
        let mut lease = Some(lease);
        // As many as there may be connections that turn out to be over, and a new one.
        for _ in 0..limits::H2_LINES {
            match self.by_line(&member, &mut lease, upload).await {
                Ok(response) => return Ok(response),
                Err((failed, false)) => return Err(failed),
                Err((Failed { error, again }, true)) => match again {
                    Some(again) => upload = again,
                    None => return Err(Failed { error, again: None }),
                },
            }
        }
        self.by_line(&member, &mut lease, upload).await.map_err(|(failed, _)| failed)
    }

    /// The flag says whether it was the connection's fault, so that another may do better.
    async fn by_line(
        &self,
        member: &Arc<Member>,
        lease: &mut Option<InFlight>,
        upload: Upload,
    ) -> Result<Response, (Failed, bool)> {
        let open = self.open(&member.upstream);
        let line = match self.pool.send_proxy {
            None => h2::line(member, open).await,
            // A connection that named its client is of use to nobody else.
            Some(_) => match open.await {
                Ok(io) => h2::own_line(io).await,
                Err(error) => Err(error.into()),
            },
        };
        let line = match line {
            Ok(line) => line,
            Err(error) => return Err((Failed { error, again: upload.rewound(self.hold) }, false)),
        };
        let terms = Terms {
            request: self.request,
            plan: self.plan(member, &upload),
            member,
            response: self.pool.timeouts.response,
            idle: self.pool.timeouts.idle,
        };
        h2::exchange(line, upload, terms, lease).await.map_err(|Unanswered { error, upload, untouched, stale }| {
            let lost = matches!(&error, ProxyError::Http2(error) if error.is_io() || error.is_go_away());
            let safe = untouched || (lost && self.request.method.is_idempotent());
            (Failed { error, again: upload.rewound(self.hold).filter(|_| safe) }, stale)
        })
    }

    /// An idle connection. Where the request could not be sent twice, one that is certainly alive.
    fn pooled(&self, member: &Member, upload: &Upload) -> Option<Connection> {
        let certain = !self.request.method.is_idempotent() || !upload.is_repeatable();
        idle::take(member.key, certain)
    }

    async fn open(&self, to: &Upstream) -> Result<Io, ConnectError> {
        let preamble = self.pool.send_proxy.map(|form| preamble(form, &self.request.conn)).unwrap_or_default();
        self.connect.connect_as(to, Dial { within: self.pool.timeouts.connect, preamble: &preamble }).await
    }

    fn plan<'a>(&'a self, member: &'a Member, upload: &Upload) -> HeadPlan<'a> {
        let keep_host = self.pool.keep_host && !self.request.authority.is_empty();
        HeadPlan {
            origins: &member.origins,
            host: if keep_host { &self.request.authority } else { &member.upstream.authority },
            translate: !self.pool.keep_host,
            // Next.js compares Origin with X-Forwarded-Host for its server actions.
            keep_origin: self.request.headers.contains_key("next-action"),
            hide_host: false,
            framing: upload.framing(),
            expect: upload.is_held(),
            upgrade: self.upgrade,
        }
    }

    fn back<'a>(&self, member: &'a Member, lease: InFlight) -> Back<'a> {
        // A connection that named its client is of use to nobody else.
        let most = if self.pool.send_proxy.is_some() { 0 } else { self.pool.keep_alive };
        Back {
            home: Home { key: member.key, most, lease: Some(lease) },
            translating: (!self.pool.keep_host).then_some(&member.origins),
            most_idle: self.pool.timeouts.idle,
            inspect: None,
        }
    }
}

/// What an upstream is told of the client before anything else.
fn preamble(form: ProxyHeader, conn: &ConnInfo) -> Vec<u8> {
    let (mut peer, mut local) = (conn.peer, conn.local);
    peer.set_ip(peer.ip().to_canonical());
    local.set_ip(local.ip().to_canonical());
    // The header has one family for both; a client that a proxy before us named may be of the other one.
    if peer.is_ipv4() != local.is_ipv4() {
        for address in [&mut peer, &mut local] {
            if let IpAddr::V4(v4) = address.ip() {
                address.set_ip(IpAddr::V6(v4.to_ipv6_mapped()));
            }
        }
    }
    let mut out = Vec::new();
    match form {
        ProxyHeader::V1 => write_v1(&mut out, peer, local),
        ProxyHeader::V2 => write_v2(&mut out, peer, local),
    }
    out
}
