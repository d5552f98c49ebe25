//! Members of a pool, each of which says its name.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use doorstep_http::{NoObserver, Observer, Request, Service};
use doorstep_model::{Members as MembersSpec, Pool, Upstream};
use doorstep_net::Connector;
use doorstep_proxy::{LiveMember, Membership, PoolService};

use super::{Origin, body, upstream};

/// Answers with its name, except: `/echo/…` with the path, `/endless` with a response that does not end, `/health` as told.
pub struct Named {
    origin: Origin,
    well: Arc<AtomicBool>,
    open: Arc<AtomicUsize>,
}

pub async fn named(name: &'static str) -> Named {
    let (well, open) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let (is_well, count) = (well.clone(), open.clone());
    let origin = Origin::start(move |_, mut peer| {
        let (well, open) = (is_well.clone(), count.clone());
        async move {
            open.fetch_add(1, Ordering::SeqCst);
            while let Some(head) = peer.head().await {
                let target = head.split(' ').nth(1).unwrap_or_default();
                let answer = if target == "/endless" {
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n".to_owned()
                } else if target == "/health" && !well.load(Ordering::SeqCst) {
                    "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_owned()
                } else {
                    let text = if target.starts_with("/echo/") { target } else { name };
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len())
                };
                peer.say(&answer).await;
            }
            open.fetch_sub(1, Ordering::SeqCst);
        }
    })
    .await;
    Named { origin, well, open }
}

impl Named {
    pub fn upstream(&self) -> Upstream {
        self.origin.upstream()
    }

    pub fn set_well(&self, well: bool) {
        self.well.store(well, Ordering::SeqCst);
    }

    /// Ends when no connection is open.
    pub async fn closed(&self) {
        while self.open.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Origin {
    pub fn upstream(&self) -> Upstream {
        upstream(self.port)
    }
}

/// Several of them, in a membership under their names.
pub struct Members {
    pub membership: Membership,
    members: Vec<(&'static str, Named)>,
}

impl Members {
    pub async fn start<const N: usize>(names: [&'static str; N]) -> Self {
        let mut members = Vec::new();
        for name in names {
            members.push((name, named(name).await));
        }
        let members = Self { membership: Membership::new(), members };
        members.membership.set(members.live());
        members
    }

    pub fn live(&self) -> Vec<LiveMember> {
        self.members.iter().map(|(name, member)| LiveMember::new(name, member.upstream())).collect()
    }

    pub fn origin(&self, name: &str) -> &Named {
        &self.members.iter().find(|(known, _)| *known == name).expect("a member").1
    }
}

/// A pool of these, with defaults but for what `change` does.
pub fn pool_of(members: &Members, change: impl FnOnce(&mut Pool)) -> PoolService {
    let mut pool = Pool::new("app", MembersSpec::Fixed(Vec::new()));
    change(&mut pool);
    serve(&pool, &members.membership, Arc::new(NoObserver))
}

pub fn serve(pool: &Pool, membership: &Membership, observer: Arc<dyn Observer>) -> PoolService {
    PoolService::new(pool, membership.clone(), Arc::new(Connector::new()), observer)
}

/// Status and body of an answer.
pub async fn ask(service: &PoolService, request: Request) -> (u16, String) {
    let response = service.call(request).await;
    (response.status.as_u16(), body(response).await.unwrap())
}
