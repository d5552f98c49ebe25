//! The way from a request to an agent: a lane for each name that is lent, by which its streams are used again.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use doorstep_model::{Upstream, UpstreamAddr};
use doorstep_net::{BoxFuture, ConnInfo, Connect, ConnectError, Io};
use doorstep_proto::tunnel::{Claim, Code, VisitorTls};
use doorstep_proxy::{Lane, ProxyError};
use doorstep_tunnel::registry::{Found, Lent};
use doorstep_tunnel::{OpenFailed, Visitor};

use super::hold::Waiting;
use crate::limits::RELAY_AGAIN;

/// The lane of what is lent; it ends with it. So no stream to one agent is ever used for another. Where a stream is for one
/// visitor only, it is the request's own.
pub fn of(lent: &Arc<Lent>, conn: &ConnInfo, waiting: &Arc<Waiting>, hold: Duration) -> Arc<Lane> {
    let road = |visitor| {
        let host = lent.host.clone();
        Arc::new(Road { lent: Arc::downgrade(lent), host, visitor, waiting: waiting.clone(), hold })
    };
    let upstream = || Upstream::plain(UpstreamAddr::Tcp { host: lent.host.to_string(), port: 80 }, &lent.host);
    if lent.carrier.one_request_each() {
        return Arc::new(Lane::of_one_visitor(upstream(), road(somebody(conn))));
    }
    lent.attached(|| Lane::new(upstream(), road(anybody())))
}

/// Why no stream could be opened, if that is what went wrong.
pub fn why(error: &ProxyError) -> Option<OpenFailed> {
    match error {
        ProxyError::Connect(ConnectError::Io { source, .. }) => source.get_ref()?.downcast_ref().copied(),
        _ => None,
    }
}

/// Opens streams to the agent that has a name: to the one that has it now, or in a moment.
struct Road {
    lent: Weak<Lent>,
    host: Arc<str>,
    visitor: Visitor,
    waiting: Arc<Waiting>,
    hold: Duration,
}

/// A stream that is wanted.
pub struct Wish<'w> {
    pub host: &'w str,
    pub visitor: Visitor,
    /// For TLS that ends at the agent; otherwise for requests.
    pub is_tls: bool,
    /// How long it may wait for an agent that is just coming back.
    pub hold: Duration,
    pub waiting: &'w Waiting,
}

/// A stream to `lent`, or to whoever has its name next, within a moment.
///
/// # Errors
/// What the last attempt came to.
pub async fn open(mut lent: Option<Arc<Lent>>, wish: Wish<'_>) -> Result<Io, OpenFailed> {
    let until = Instant::now() + wish.hold;
    let mut last = OpenFailed { code: Code::Lost, retriable: true };
    loop {
        if let Some(lent) = &lent {
            match lent.open(wish.visitor.clone()).await {
                Ok(io) => return Ok(io),
                Err(failed) if failed.retriable && is_of_the_session(failed.code) => last = failed,
                Err(failed) => return Err(failed),
            }
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(last);
        }
        // A session that breaks may not have noticed yet.
        let before = lent.as_ref().map(|lent| lent.session);
        match wish.waiting.returned(wish.host, left).await {
            Some(Found::Lent(now)) if matches!(now.claim, Claim::Tls { .. }) == wish.is_tls => {
                if before == Some(now.session) {
                    tokio::time::sleep(RELAY_AGAIN).await;
                }
                lent = Some(now);
            }
            _ => return Err(last),
        }
    }
}

impl Connect for Road {
    fn connect<'a>(&'a self, _: &'a Upstream) -> BoxFuture<'a, Result<Io, ConnectError>> {
        Box::pin(async move {
            let (host, visitor) = (&*self.host, self.visitor.clone());
            let wish = Wish { host, visitor, is_tls: false, hold: self.hold, waiting: &self.waiting };
            open(self.lent.upgrade(), wish).await.map_err(|failed| ConnectError::Io {
                address: self.host.to_string(),
                source: io::Error::new(io::ErrorKind::NotConnected, failed),
            })
        })
    }
}

/// Whether the session is to blame, so that the next one may do better; an app that does not answer will not do so the sooner.
fn is_of_the_session(code: Code) -> bool {
    !matches!(
        code,
        Code::DialRefused | Code::DialTimeout | Code::DialForbidden | Code::TooManyStreams | Code::UnknownClaim
    )
}

fn somebody(conn: &ConnInfo) -> Visitor {
    let tls = conn.tls.as_ref().map(|tls| VisitorTls {
        // Nobody asks which one; an older one is not spoken.
        version: 0x0303,
        server_name: tls.sni.clone().unwrap_or_default(),
        alpn: String::new(),
    });
    Visitor { peer: conn.peer, local: conn.local, tls }
}

/// A stream for requests serves many visitors; who each is stands in the request.
fn anybody() -> Visitor {
    let nobody = SocketAddr::from(([0, 0, 0, 0], 0));
    Visitor { peer: nobody, local: nobody, tls: None }
}
