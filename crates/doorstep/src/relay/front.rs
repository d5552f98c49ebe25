//! The relay's own name: what it is, and the way in for agents whose networks let through HTTPS only.

use std::sync::Arc;

use arc_swap::ArcSwap;
use doorstep_http::{BoxFuture, Request, Response, Service};
use doorstep_model::Hostname;
use doorstep_net::{BoxIo, Drain, Io};
use doorstep_proto::tunnel::ALPN;
use doorstep_tunnel::relay::Relay;
use http::header::{self, HeaderValue};
use http::{HeaderMap, StatusCode};

use super::pages::Pages;
use super::settings::Settings;

/// Where agents ask for the tunnel (docs/protocol/tunnel.md).
pub const TUNNEL: &str = "/.doorstep/tunnel";

pub struct Front {
    pub relay: Relay,
    pub domain: Hostname,
    pub settings: Arc<ArcSwap<Settings>>,
    /// A site of this name, which answers for everything else.
    pub site: Option<Arc<dyn Service>>,
    pub drain: Drain,
}

impl Front {
    fn tunnel(&self, request: &Request, pages: &Pages<'_>) -> Response {
        let exporter = request.conn.tls.as_ref().and_then(|tls| tls.exporter.clone());
        let refused = |status, detail| pages.problem(request, status, detail);
        if !offers(&request.headers) || !request.upgradable {
            let detail = "Only doorstep's agents come here: doorstep share --via, doorstep join.";
            let mut response = refused(StatusCode::UPGRADE_REQUIRED, detail);
            response.headers.insert(header::UPGRADE, HeaderValue::from_static(ALPN));
            return response;
        }
        let Some(exporter) = exporter else {
            let detail =
                "The tunnel needs TLS 1.3 from the agent to this relay, with nothing in between that decrypts it.";
            return refused(StatusCode::FORBIDDEN, detail);
        };
        let (relay, info, drain) = (self.relay.clone(), request.conn.clone(), self.drain.clone());
        let mut response = Response::new(StatusCode::SWITCHING_PROTOCOLS)
            .with(header::CONNECTION, HeaderValue::from_static("Upgrade"))
            .with(header::UPGRADE, HeaderValue::from_static(ALPN));
        response.upgrade = Some(Box::new(move |io: BoxIo| {
            Box::pin(async move { relay.serve(Io::Other(io), info, *exporter.reveal(), drain).await })
        }));
        response
    }
}

fn offers(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::UPGRADE).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|protocol| protocol.trim().eq_ignore_ascii_case(ALPN))
}

impl Service for Front {
    fn call<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        let pages = Pages { settings: self.settings.load_full(), domain: &self.domain };
        if request.path == TUNNEL {
            let response = self.tunnel(&request, &pages);
            return Box::pin(std::future::ready(response));
        }
        if let Some(site) = &self.site {
            return site.call(request);
        }
        let response = match request.path.as_str() {
            "/" => pages.front(&request),
            _ => pages.unknown(&request),
        };
        Box::pin(std::future::ready(response))
    }
}
