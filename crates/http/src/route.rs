use std::sync::Arc;

use doorstep_model::{HostPolicy, Hostname, Matcher, PathMatcher, ip_literal};
use http::StatusCode;

use crate::{Kind, Request, Response, Service, pages};

/// Finds the service for a request. Immutable; replaced as a whole.
#[derive(Default)]
pub struct RouteTable {
    sites: Vec<Site>,
    beacon: Option<String>,
}

struct Site {
    hosts: HostPolicy,
    routes: Vec<(Matcher, Arc<dyn Service>)>,
}

/// What the table says of a request.
pub enum Routed<'a> {
    Service(&'a dyn Service),
    /// Answered by the table itself.
    Answer(Response),
}

impl RouteTable {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a site; first match in order of adding.
    pub fn add_site(&mut self, hosts: HostPolicy, routes: Vec<(Matcher, Arc<dyn Service>)>) {
        self.sites.push(Site { hosts, routes });
    }

    /// Answers `GET /.doorstep/ping/NONCE` with the nonce under every host name: how doorstep checks that an address
    /// leads to itself before it prints it.
    pub fn set_beacon(&mut self, nonce: &str) {
        self.beacon = Some(nonce.to_owned());
    }

    pub fn find(&self, request: &Request) -> Routed<'_> {
        if let Some(nonce) = &self.beacon
            && request.path.strip_prefix("/.doorstep/ping/") == Some(nonce)
        {
            return Routed::Answer(Response::text(StatusCode::OK, nonce.as_str()).with_kind(Kind::Beacon));
        }
        let Some(site) = self.sites.iter().find(|site| admits(&site.hosts, request.host())) else {
            return Routed::Answer(misdirected(request));
        };
        match site.routes.iter().find(|(matcher, _)| matches(matcher, &request.path)) {
            Some((_, service)) => Routed::Service(service.as_ref()),
            None => Routed::Answer(pages::problem(request, StatusCode::NOT_FOUND, "There is nothing at this address.")),
        }
    }
}

fn admits(policy: &HostPolicy, host: &str) -> bool {
    let named = |names: &[Hostname]| names.iter().any(|name| name.as_str() == host.trim_end_matches('.'));
    match policy {
        HostPolicy::Any => true,
        HostPolicy::Names(names) => names.iter().any(|name| name.matches(host.trim_end_matches('.'))),
        // An HTTP/1.0 client without Host is no browser, so no page can have sent it here.
        HostPolicy::Local { also } => {
            host.is_empty()
                || ip_literal(host).is_some()
                || named(also)
                || host.parse::<Hostname>().is_ok_and(|name| name.is_local())
        }
    }
}

fn matches(matcher: &Matcher, path: &str) -> bool {
    match &matcher.path {
        PathMatcher::Prefix(prefix) => {
            path.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
        _ => true,
    }
}

fn misdirected(request: &Request) -> Response {
    let detail = format!(
        "This server does not answer to the name {:?}. If it is yours, share with: --host {}",
        request.host(),
        request.host()
    );
    pages::problem(request, StatusCode::MISDIRECTED_REQUEST, &detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_no_foreign_page_can_claim() {
        let policy = HostPolicy::Local { also: vec!["blog.example.com".parse().unwrap()] };
        for host in
            ["localhost", "127.0.0.1", "[::1]", "192.168.1.23", "nas", "my-laptop.local", "blog.example.com", ""]
        {
            assert!(admits(&policy, host), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "example.com", "192.168.1.23.nip.io"] {
            assert!(!admits(&policy, host), "{host}");
        }
    }

    #[test]
    fn a_prefix_ends_at_a_segment() {
        let matcher = Matcher::prefix("/api");
        assert!(matches(&matcher, "/api") && matches(&matcher, "/api/x"));
        assert!(!matches(&matcher, "/apix") && !matches(&matcher, "/"));
    }
}
