//! Active checks: one task for all workers asks each member from time to time whether it is well.

use std::sync::Arc;

use doorstep_http::{Interim, Request};
use doorstep_model::{Blame, Finding, HealthCheck, Severity, UpstreamProtocol};
use doorstep_net::{Dial, Io, upstream_address};
use http::header::{self, HeaderValue};
use http::{Method, StatusCode};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::member::Member;
use super::preamble;
use super::service::PoolService;
use crate::client::{Connection, Upload, UploadFraming, exchange};
use crate::h2::{self, Terms};
use crate::headers::HeadPlan;
use crate::{ProxyError, limits};

const USER_AGENT: &str = concat!("doorstep/", env!("CARGO_PKG_VERSION"), " (health check)");

impl PoolService {
    /// Asks all members as [`doorstep_model::Pool::health`] says, for ever; ends at once where it says nothing. To be
    /// spawned once, on any runtime; dropping it ends the checks.
    pub async fn check_health(self: Arc<Self>) {
        let Some(check) = self.pool.health.clone() else { return };
        let mut every = interval(check.every.max(limits::CHECK_EVERY_LEAST));
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let at_once = Arc::new(Semaphore::new(limits::CHECKS_AT_ONCE));
        loop {
            every.tick().await;
            let mut checks = JoinSet::new();
            for entry in self.membership.entries().into_iter().filter(|entry| !entry.member.is_leaving()) {
                let (service, check, at_once) = (self.clone(), check.clone(), at_once.clone());
                checks.spawn(async move {
                    let Ok(_permit) = at_once.acquire().await else { return };
                    service.check(&entry.member, &check).await;
                });
            }
            while checks.join_next().await.is_some() {}
        }
    }

    async fn check(&self, member: &Member, check: &HealthCheck) {
        let outcome = match timeout(check.timeout, self.ask(member, check)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("no answer to {} within {:?}", check.path, check.timeout)),
        };
        let ill = outcome.as_ref().err().cloned();
        if !member.checked(outcome, check.healthy_after, check.unhealthy_after) {
            return;
        }
        self.membership.refresh();
        if let Some(error) = ill {
            self.observer.found(Finding {
                severity: Severity::Warning,
                blame: Blame::Upstream,
                id: "upstream-unwell",
                what: format!(
                    "{}: {} fails its health check: {error}.",
                    self.pool.name,
                    upstream_address(&member.upstream)
                ),
                why: "It gets no requests while others are well.".to_owned(),
                fix: String::new(),
            });
        }
    }

    /// `Err` says in words what is wrong.
    async fn ask(&self, member: &Member, check: &HealthCheck) -> Result<(), String> {
        let preamble = self.pool.send_proxy.map(preamble::of_ourselves).unwrap_or_default();
        let dial = Dial { within: check.timeout, preamble: &preamble };
        let io = self.connect.connect_as(&member.upstream, dial).await.map_err(|error| error.to_string())?;
        let asked = match member.upstream.protocol {
            UpstreamProtocol::Http1 => by_http1(io, member, check).await,
            UpstreamProtocol::Http2 => by_http2(io, member, check).await,
        };
        judge(asked.map_err(|error| error.to_string())?, check)
    }
}

async fn by_http1(io: Io, member: &Member, check: &HealthCheck) -> Result<StatusCode, ProxyError> {
    let mut connection = Connection::new(io);
    let upstream = &member.upstream;
    let head = format!(
        "GET {}{} HTTP/1.1\r\nHost: {}\r\nUser-Agent: {USER_AGENT}\r\nConnection: close\r\n\r\n",
        upstream.base_path, check.path, upstream.authority,
    );
    connection.out.extend_from_slice(head.as_bytes());
    let answer = exchange(connection, Upload::none(), &Method::GET, &Interim::default(), check.timeout).await;
    answer.map(|answer| answer.head.status).map_err(|failure| failure.error)
}

async fn by_http2(io: Io, member: &Member, check: &HealthCheck) -> Result<StatusCode, ProxyError> {
    let mut request = Request::get(&check.path);
    request.headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    let plan = HeadPlan {
        origins: &member.origins,
        host: &member.upstream.authority,
        translate: false,
        keep_origin: false,
        hide_host: false,
        framing: UploadFraming::None,
        expect: false,
        upgrade: None,
    };
    let terms = Terms { request: &request, plan, member, response: check.timeout, idle: check.timeout };
    let answer = h2::exchange(h2::own_line(io).await?, Upload::none(), terms, &mut None).await;
    answer.map(|answer| answer.status).map_err(|unanswered| unanswered.error)
}

fn judge(status: StatusCode, check: &HealthCheck) -> Result<(), String> {
    let well = match check.status {
        Some(expected) => status.as_u16() == expected,
        None => status.is_success() || status.is_redirection(),
    };
    if well { Ok(()) } else { Err(format!("{} answers {}", check.path, status.as_u16())) }
}
