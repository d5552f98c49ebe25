//! Visitors of names that are lent: which agent a request is for, and what is said where there is none.

use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use doorstep_certs::CertTable;
use doorstep_http::{BoxFuture, DynamicHosts, Request, Response, Service};
use doorstep_model::{Hostname, HttpsPolicy};
use doorstep_proto::tunnel::Claim;
use doorstep_proxy::ProxyError;
use doorstep_tunnel::registry::{Found, Lent, Registry};
use http::header::{HeaderName, HeaderValue};

use super::hold::Waiting;
use super::lanes;
use super::pages::Pages;
use super::settings::Settings;

const ROBOTS: HeaderName = HeaderName::from_static("x-robots-tag");

/// The hosts of a relay.
pub struct Visitors {
    domain: Hostname,
    registry: Registry,
    certificates: CertTable,
    settings: Arc<ArcSwap<Settings>>,
    waiting: Arc<Waiting>,
    /// Answers for the relay's own name.
    own: Arc<dyn Service>,
    site: Arc<str>,
}

impl Visitors {
    pub fn new(
        registry: Registry,
        certificates: CertTable,
        settings: Arc<ArcSwap<Settings>>,
        own: Arc<dyn Service>,
    ) -> Self {
        let domain = registry.domain().clone();
        let site = domain.as_str().into();
        let waiting = Arc::new(Waiting::new(registry.clone()));
        Self { domain, registry, certificates, settings, waiting, own, site }
    }

    pub fn waiting(&self) -> &Arc<Waiting> {
        &self.waiting
    }

    async fn answer(&self, mut request: Request) -> Response {
        if host(&request) == self.domain.as_str() {
            return self.own.call(request).await;
        }
        let found = match self.registry.find(host(&request)) {
            Found::Away { since } => self.returned(host(&request), since).await,
            found => found,
        };
        match found {
            Found::Lent(lent) => self.pass(&lent, &mut request).await,
            Found::Away { .. } => self.pages().away(&request),
            Found::Stopped => self.pages().stopped(&request),
            Found::Unknown => self.pages().unknown(&request),
        }
    }

    fn pages(&self) -> Pages<'_> {
        Pages { settings: self.settings.load_full(), domain: &self.domain }
    }

    /// An agent that has just gone, or that a relay which has just started does not know yet, is waited for.
    async fn returned(&self, host: &str, since: Option<SystemTime>) -> Found {
        let away = match since {
            Some(since) => since.elapsed().unwrap_or_default(),
            None => self.waiting.uptime(),
        };
        let left = self.settings.load().hold.saturating_sub(away);
        match self.waiting.returned(host, left).await {
            Some(found) => found,
            None => Found::Away { since },
        }
    }

    async fn pass(&self, lent: &Arc<Lent>, request: &mut Request) -> Response {
        if let Claim::Tls { .. } = lent.claim {
            return self.pages().elsewhere(request);
        }
        if let Err(wait) = lent.request() {
            return self.pages().too_many_requests(request, wait);
        }
        // Looked at and let go: each request that held on to them would pass a cache line from core to core.
        let (hold, noindex) = {
            let settings = self.settings.load();
            (settings.hold, settings.noindex)
        };
        let lane = lanes::of(lent, &request.conn, &self.waiting, hold);
        let mut response = match lane.pass(request).await {
            Ok(response) => response,
            Err(error) => self.refusal(request, &error),
        };
        if noindex {
            response.headers.append(ROBOTS, HeaderValue::from_static("noindex"));
        }
        response
    }

    fn refusal(&self, request: &Request, error: &ProxyError) -> Response {
        match lanes::why(error) {
            Some(failed) => self.pages().not_opened(request, failed),
            None => doorstep_proxy::refusal(request, error),
        }
    }
}

fn host(request: &Request) -> &str {
    request.host().strip_suffix('.').unwrap_or(request.host())
}

impl DynamicHosts for Visitors {
    fn policy(&self, host: &str, secure: bool) -> Option<HttpsPolicy> {
        let host = host.strip_suffix('.').unwrap_or(host);
        let ours = host.strip_suffix(self.domain.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        if ours && secure {
            return Some(HttpsPolicy::Redirect);
        }
        let tls = match self.registry.find(host) {
            Found::Unknown if !ours => return None,
            Found::Lent(lent) => matches!(lent.claim, Claim::Tls { .. }),
            _ => false,
        };
        // Where there is no certificate yet, a redirect would lead to an error that says nothing.
        Some(if tls || self.certificates.serves(host) { HttpsPolicy::Redirect } else { HttpsPolicy::Optional })
    }

    fn service(&self) -> &dyn Service {
        self
    }

    fn site(&self) -> &Arc<str> {
        &self.site
    }
}

impl Service for Visitors {
    fn call<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        Box::pin(self.answer(request))
    }
}
