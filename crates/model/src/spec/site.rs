use std::net::SocketAddr;

use ipnet::IpNet;

use super::{CertificateSource, Filters, Guards, PemPair, Route};
use crate::Hostname;

/// A socket to be bound, with its TLS policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    pub address: SocketAddr,
    pub tls: TlsPolicy,
    /// The most connections open at once on this listener; `None` is the engine's own bound.
    pub max_connections: Option<usize>,
    /// Connections from these peers begin with a PROXY protocol header (v1 or v2), which says who the client is.
    /// From all others such a header is a malformed request.
    pub proxy_from: Vec<IpNet>,
    /// The router is asked to send this port's visitors here (UPnP, NAT-PMP, PCP), and its firewall to let IPv6 through.
    pub map: bool,
}

/// How a listener speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsPolicy {
    /// HTTP in the clear.
    Plain,
    /// HTTPS with a certificate that this computer signed itself (`doorstep share --tls`).
    LocalCertificate,
    /// HTTPS with the certificate of the site that the client names by SNI.
    Sites,
}

/// Host names, who may come in, and routes.
#[derive(Clone, Debug)]
pub struct Site {
    /// What logs, metrics and `doorstep status` call it: its first host name, or `default`.
    pub name: String,
    pub hosts: HostPolicy,
    /// Further names, answered with a redirect to [`Site::name`].
    pub redirect_from: Vec<HostPattern>,
    pub https: HttpsPolicy,
    pub certificate: CertificateSource,
    /// Only clients with a certificate signed by one of these may come in (mutual TLS): certificates as PEM.
    pub client_ca: Option<PemPair>,
    pub guards: Guards,
    /// Around all routes.
    pub filters: Filters,
    /// First match in order.
    pub routes: Vec<Route>,
    /// Whether requests appear in the access log.
    pub access_log: bool,
}

impl Site {
    /// A site without guards, filters or TLS of its own.
    pub fn new(name: &str, hosts: HostPolicy, routes: Vec<Route>) -> Self {
        Self {
            name: name.to_owned(),
            hosts,
            redirect_from: Vec::new(),
            https: HttpsPolicy::Optional,
            certificate: CertificateSource::None,
            client_ca: None,
            guards: Guards::default(),
            filters: Filters::default(),
            routes,
            access_log: true,
        }
    }
}

impl Site {
    /// Whether it has this very name.
    pub fn answers_to(&self, name: &Hostname) -> bool {
        let is = |pattern: &HostPattern| matches!(pattern, HostPattern::Exact(known) if known == name);
        matches!(&self.hosts, HostPolicy::Names(names) if names.iter().any(is))
    }
}

/// Which `Host` values reach a site. All others are answered 421.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPolicy {
    /// Whatever the client says and no other site answers to.
    Any,
    /// IP addresses, names that only mean something locally ([`Hostname::is_local`]), and these. This is what
    /// keeps a web page elsewhere from reaching the site through its visitor's browser (DNS rebinding).
    Local { also: Vec<Hostname> },
    /// Exactly these.
    Names(Vec<HostPattern>),
}

/// A name that a site answers to. The most specific one wins, whatever the order of sites: exact before wildcard, and
/// of wildcards the longest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    Exact(Hostname),
    /// `*.example.com`: one label or more before this name; not the name itself. Certificates for it cover one label
    /// (RFC 6125 section 6.4.3).
    Wildcard(Hostname),
}

impl HostPattern {
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => name.as_str() == host,
            Self::Wildcard(name) => host
                .strip_suffix(name.as_str())
                .and_then(|rest| rest.strip_suffix('.'))
                .is_some_and(|rest| !rest.is_empty()),
        }
    }
}

impl std::fmt::Display for HostPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(name) => write!(f, "{name}"),
            Self::Wildcard(name) => write!(f, "*.{name}"),
        }
    }
}

impl std::str::FromStr for HostPattern {
    type Err = crate::HostnameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("*.") {
            Some(rest) => rest.parse().map(Self::Wildcard),
            None => text.parse().map(Self::Exact),
        }
    }
}

/// What a site does with requests that came without TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HttpsPolicy {
    /// Sends them to the same address with `https:` (308). The ACME challenge is answered before.
    Redirect,
    /// Answers them like others.
    #[default]
    Optional,
}
