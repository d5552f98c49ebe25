//! From a request to the service that answers it.

mod dynamic;
mod glob;
mod hosts;
mod matcher;
mod nested;

use std::sync::Arc;

use doorstep_model::{HostPattern, HostPolicy, HttpsPolicy, Matcher, Site};
use http::StatusCode;
use http::header::{self, HeaderValue};
use ipnet::IpNet;

pub use self::dynamic::DynamicHosts;
use self::hosts::{Hosts, Named};
pub use self::matcher::anchored;
pub use self::nested::Routes;
use crate::{Kind, Request, Response, Service, pages};

/// Finds the service for a request. Immutable once in use; replaced as a whole.
#[derive(Default)]
pub struct RouteTable {
    options: TableOptions,
    hosts: Hosts,
    sites: Vec<Entry>,
}

/// What holds for all sites of a table. The default is what `doorstep share` needs.
#[derive(Clone, Default)]
pub struct TableOptions {
    /// `GET /.doorstep/ping/NONCE` is answered with the nonce under every host name: how doorstep checks that an
    /// address leads to itself before it prints it.
    pub beacon: Option<String>,
    /// Answers `/.well-known/acme-challenge/TOKEN` under every host name, before any redirect.
    pub challenges: Option<Challenges>,
    /// The port that `https:` addresses name where it is not 443.
    pub https_port: Option<u16>,
    /// Peers whose `X-Forwarded-For`, `-Proto` and `-Host`, and whose `X-Request-Id`, are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Give each request an `X-Request-Id`.
    pub request_ids: bool,
    pub strangers: Strangers,
    /// Hosts that come and go while the table is in use: asked for those that no site has by name.
    pub dynamic: Option<Arc<dyn DynamicHosts>>,
}

/// The key authorization for an http-01 token (RFC 8555 section 8.3). Called on the data plane: must not wait.
pub type Challenges = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What a request for an unknown host is told; it reaches no service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strangers {
    /// How to share under that name.
    #[default]
    Hint,
    /// Nothing about what there is.
    Quiet,
}

/// A site with its services.
pub struct SiteRoutes {
    /// What [`crate::Exchange::site`] says.
    pub name: Option<String>,
    pub hosts: HostPolicy,
    /// Names that lead by a redirect to the first of `hosts` that is no wildcard.
    pub redirect_from: Vec<HostPattern>,
    pub https: HttpsPolicy,
    /// Only connections on which the client has shown a certificate for this very site may come in.
    pub client_auth: bool,
    /// First match in order; what none matches is a 404.
    pub routes: Vec<(Matcher, Arc<dyn Service>)>,
}

impl SiteRoutes {
    /// A site without a name, TLS rules, or aliases.
    pub fn new(hosts: HostPolicy, routes: Vec<(Matcher, Arc<dyn Service>)>) -> Self {
        Self { name: None, hosts, redirect_from: Vec::new(), https: HttpsPolicy::Optional, client_auth: false, routes }
    }

    /// What `site` says, with a service for each of its routes, in their order.
    pub fn of(site: &Site, services: impl IntoIterator<Item = Arc<dyn Service>>) -> Self {
        Self {
            name: Some(site.name.clone()),
            hosts: site.hosts.clone(),
            redirect_from: site.redirect_from.clone(),
            https: site.https,
            client_auth: site.client_ca.is_some(),
            routes: site.routes.iter().map(|route| route.matcher.clone()).zip(services).collect(),
        }
    }
}

/// Why a site's routes or a service's rules cannot be used. The configuration is at fault; it is meant to have been
/// checked before.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    #[error("the pattern {0:?} cannot be used: {1}")]
    Pattern(String, Box<regex::Error>),
    #[error("{0:?} is no request method")]
    Method(String),
    #[error("{0:?} is no name of a header field")]
    Field(String),
    #[error("the status {0} does not belong here")]
    Status(u16),
    #[error("{0}")]
    Template(#[from] crate::TemplateError),
}

struct Entry {
    name: Option<Arc<str>>,
    /// Where aliases lead: its first name that is no wildcard. Without one they are names like others.
    canonical: Option<Box<str>>,
    https: HttpsPolicy,
    client_auth: bool,
    routes: Routes,
}

/// What the table says of a request.
pub struct Routed<'a> {
    /// The name of the site, where the host belongs to one that has a name.
    pub site: Option<&'a Arc<str>>,
    pub to: Destination<'a>,
}

pub enum Destination<'a> {
    Service(&'a dyn Service),
    /// Answered by the table itself.
    Answer(Response),
}

impl RouteTable {
    pub fn new(options: TableOptions) -> Self {
        Self { options, ..Self::default() }
    }

    /// Adds a site. Its place decides only between sites that claim the same name.
    ///
    /// # Errors
    /// A matcher that cannot be compiled.
    pub fn add_site(&mut self, site: SiteRoutes) -> Result<(), RouteError> {
        let canonical = match &site.hosts {
            HostPolicy::Names(names) => names.iter().find_map(|name| match name {
                HostPattern::Exact(name) => Some(name.as_str().into()),
                HostPattern::Wildcard(_) => None,
            }),
            HostPolicy::Any | HostPolicy::Local { .. } => None,
        };
        let entry = Entry {
            name: site.name.map(Arc::from),
            canonical,
            https: site.https,
            client_auth: site.client_auth,
            routes: Routes::new(site.routes)?,
        };
        self.hosts.add(self.sites.len(), &site.hosts, &site.redirect_from);
        self.sites.push(entry);
        Ok(())
    }

    pub(crate) fn options(&self) -> &TableOptions {
        &self.options
    }

    /// Decides by host and canonical path, and notes the path's captures in the request.
    pub fn find(&self, request: &mut Request) -> Routed<'_> {
        if let Some(response) = self.for_every_host(request) {
            return Routed { site: None, to: Destination::Answer(response) };
        }
        let named = self.hosts.find_named(request.host());
        if named.is_none()
            && let Some(dynamic) = self.options.dynamic.as_deref()
            && let Some(policy) = dynamic.policy(request.host(), request.conn.tls.is_some())
        {
            let to = match self.not_by_this_road(request, policy) {
                Some(response) => Destination::Answer(response),
                None => Destination::Service(dynamic.service()),
            };
            return Routed { site: Some(dynamic.site()), to };
        }
        let named = named.or_else(|| self.hosts.find_unnamed(request.host()));
        let Some((named, site)) = named.and_then(|named| Some((named, self.sites.get(named.site)?))) else {
            return Routed { site: None, to: Destination::Answer(self.stranger(request)) };
        };
        let to = match self.not_here(request, named, site) {
            Some(response) => Destination::Answer(response),
            None => match site.routes.find(request) {
                Some(service) => Destination::Service(service),
                None => Destination::Answer(pages::nothing_here(request)),
            },
        };
        Routed { site: site.name.as_ref(), to }
    }

    fn for_every_host(&self, request: &Request) -> Option<Response> {
        if let Some(nonce) = &self.options.beacon
            && request.path.strip_prefix("/.doorstep/ping/") == Some(nonce)
        {
            return Some(Response::text(StatusCode::OK, nonce.as_str()).with_kind(Kind::Beacon));
        }
        let challenges = self.options.challenges.as_ref()?;
        let token = request.path.strip_prefix("/.well-known/acme-challenge/")?;
        let answer = challenges(token)?;
        let octets = HeaderValue::from_static("application/octet-stream");
        Some(Response::new(StatusCode::OK).with(header::CONTENT_TYPE, octets).with_body(answer))
    }

    fn stranger(&self, request: &Request) -> Response {
        let detail = match self.options.strangers {
            Strangers::Hint => format!(
                "This server does not answer to the name {:?}. If it is yours, share with: --host {}",
                request.host(),
                request.host()
            ),
            Strangers::Quiet => "This server does not answer to this name.".to_owned(),
        };
        pages::problem(request, StatusCode::MISDIRECTED_REQUEST, &detail)
    }

    /// The answer to a request that must come by another way: another scheme, name or connection.
    fn not_here(&self, request: &Request, named: Named, site: &Entry) -> Option<Response> {
        let tls = request.conn.tls.as_ref();
        if let Some(sni) = tls.and_then(|tls| tls.sni.as_deref()) {
            // The connection speaks for the site that it was opened to and for no other: certificates, client
            // certificates and ciphers are chosen per site (RFC 9110 section 7.4, RFC 9113 section 9.1.2).
            let same = sni == request.host() || self.hosts.find(sni).is_some_and(|other| other.site == named.site);
            if !same {
                let detail = "This connection was opened to another site.";
                return Some(pages::problem(request, StatusCode::MISDIRECTED_REQUEST, detail));
            }
        } else if site.client_auth && (tls.is_some() || site.https == HttpsPolicy::Optional) {
            let detail = "This site needs a certificate of yours, which a direct HTTPS connection to it asks for.";
            return Some(pages::problem(request, StatusCode::FORBIDDEN, detail));
        }
        if tls.is_none() && site.https == HttpsPolicy::Redirect {
            return Some(self.to_https(request, named, site));
        }
        if named.is_alias {
            let host = site.canonical.as_deref()?;
            let port = port_of(&request.authority).map_or(String::new(), |port| format!(":{port}"));
            return Some(moved(request, request.scheme(), host, &port));
        }
        None
    }

    /// The same for a host that no site has.
    fn not_by_this_road(&self, request: &Request, policy: HttpsPolicy) -> Option<Response> {
        let tls = request.conn.tls.as_ref();
        if tls.is_none() && policy == HttpsPolicy::Redirect {
            return Some(self.redirected(request, request.host()));
        }
        let sni = tls.and_then(|tls| tls.sni.as_deref())?;
        (sni != request.host()).then(|| {
            let detail = "This connection was opened to another site.";
            pages::problem(request, StatusCode::MISDIRECTED_REQUEST, detail)
        })
    }

    /// To `https:`, and at once to the site's own name.
    fn to_https(&self, request: &Request, named: Named, site: &Entry) -> Response {
        let host = if named.is_alias { site.canonical.as_deref().unwrap_or(request.host()) } else { request.host() };
        self.redirected(request, host)
    }

    fn redirected(&self, request: &Request, host: &str) -> Response {
        if host.is_empty() {
            let detail = "This site is there by HTTPS only.";
            return pages::problem(request, StatusCode::BAD_REQUEST, detail);
        }
        let port = match self.options.https_port {
            None | Some(443) => String::new(),
            Some(port) => format!(":{port}"),
        };
        moved(request, "https", host, &port)
    }
}

fn port_of(authority: &str) -> Option<&str> {
    authority.rsplit_once(':').map(|(_, port)| port).filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The same path elsewhere. Method and body stay (RFC 9110 section 15.4.9).
fn moved(request: &Request, scheme: &str, host: &str, port: &str) -> Response {
    let target = request.target.path_and_query().map_or("/", |target| target.as_str());
    let target = if target.starts_with('/') { target } else { "/" };
    pages::elsewhere(request, StatusCode::PERMANENT_REDIRECT, &format!("{scheme}://{host}{port}{target}"))
}

#[cfg(test)]
mod tests;
