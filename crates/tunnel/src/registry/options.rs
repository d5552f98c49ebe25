use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::proof::{DomainLookup, SystemLookup};

/// How a relay's registry is set up.
#[derive(Clone)]
pub struct RegistryOptions {
    /// Names are lent under it.
    pub domain: String,
    /// Where agents reach the relay: host and port, put into invitations.
    pub address: String,
    /// Where visitors find names by https, so that agents can say so; 0 is the usual port.
    pub https: u16,
    /// Ports that are lent.
    pub ports: RangeInclusive<u16>,
    /// Addresses that leased ports are bound to.
    pub bind: Vec<IpAddr>,
    /// Another process may still write the memory: nothing new is promised until [`Registry::lead`](super::Registry::lead)
    /// was called and that one has let go.
    pub standby: bool,
    /// Asks DNS who a foreign domain belongs to.
    pub lookup: Arc<dyn DomainLookup>,
}

impl RegistryOptions {
    /// Agents come to port 443 of the domain; no ports are lent.
    pub fn new(domain: &str) -> Self {
        Self {
            domain: domain.to_owned(),
            address: format!("{domain}:443"),
            https: 0,
            // Empty.
            #[expect(clippy::reversed_empty_ranges, reason = "no port is lent")]
            ports: 1..=0,
            bind: vec![Ipv6Addr::UNSPECIFIED.into(), Ipv4Addr::UNSPECIFIED.into()],
            standby: false,
            lookup: Arc::new(SystemLookup::default()),
        }
    }
}

/// What an invitation allows. What is `None` stays as it is for an agent that has joined before, and is the usual for a new one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InviteOptions {
    /// What the relay calls the agent: letters, digits, `-`, `_`, `.`.
    pub agent: String,
    /// How long it is good.
    pub expires: Option<Duration>,
    /// See [`AgentLimits`](super::AgentLimits).
    pub names: Option<Vec<String>>,
    pub most_names: Option<usize>,
    pub ports: Option<usize>,
    pub streams: Option<usize>,
    pub rate: Option<u64>,
    pub requests: Option<u32>,
    /// In seconds since 1970: how long the agent is let in.
    pub until: Option<u64>,
}
