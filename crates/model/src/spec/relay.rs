use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::{CertificateSource, HostPattern};
use crate::{Hostname, Secret};

/// A public address that is lent to agents: names beneath a domain, ports, and what agents may take of both.
#[derive(Clone, Debug)]
pub struct RelaySpec {
    /// Agents are lent names one label beneath it, and come to this name themselves.
    pub domain: Hostname,
    /// TCP and UDP ports that may be lent.
    pub ports: RangeInclusive<u16>,
    /// For the domain and all names that are lent. With [`CertificateSource::Auto`] and a DNS provider, one certificate for
    /// `*.domain`; without, one for each name once an agent has claimed it.
    pub certificate: CertificateSource,
    /// Where stock ssh clients arrive.
    pub ssh: Vec<SocketAddr>,
    /// Where stock PageKite back-ends arrive.
    pub pagekite: Option<PageKiteSpec>,
    /// Whom to tell of abuse: a mail address or an URL, on the pages of the relay itself.
    pub abuse: Option<String>,
    /// Ask search engines to leave the lent names out (`X-Robots-Tag: noindex`).
    pub noindex: bool,
    /// For agents whose invitation says nothing else.
    pub limits: RelayLimits,
    /// Look from here, for an agent that asks, whether it can be reached at its own address.
    pub probe: bool,
    /// How long requests wait for an agent that has just gone to come back.
    pub hold: Duration,
}

/// What one agent may take at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayLimits {
    /// Names lent at once.
    pub names: usize,
    /// Ports lent at once.
    pub ports: usize,
    /// Visitors' connections (streams) open at once.
    pub streams: usize,
    /// Requests per second of all visitors together.
    pub requests: Option<u32>,
    /// Bytes per second, each way.
    pub bandwidth: Option<u64>,
}

impl Default for RelayLimits {
    fn default() -> Self {
        Self { names: 100, ports: 3, streams: 2048, requests: None, bandwidth: None }
    }
}

/// Back-ends of PageKite, who show that they may by a secret that they share with the relay.
#[derive(Clone, Debug)]
pub struct PageKiteSpec {
    pub listen: Vec<SocketAddr>,
    /// Names, or all names beneath one, each with its secret. The most specific one counts.
    pub kites: Vec<(HostPattern, Secret<String>)>,
}
