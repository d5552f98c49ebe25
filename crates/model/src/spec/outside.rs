use std::time::Duration;

use super::DnsProvider;
use crate::Hostname;

/// Names that follow this computer's public addresses (dynamic DNS), all at one provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynamicDns {
    /// Its settings may name the zone; else it is found.
    pub provider: DnsProvider,
    pub names: Vec<Hostname>,
    /// How long others may remember an answer, where the provider lets it be said.
    pub ttl: Duration,
    /// Whether to publish A records.
    pub ipv4: bool,
    /// Whether to publish AAAA records.
    pub ipv6: bool,
}

/// Who may be asked from outside which address a connection of this computer comes from. Nobody, unless named: doorstep
/// sends nothing to a third party that it was not told to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressSources {
    /// STUN servers (RFC 8489): host and port.
    pub stun: Vec<(String, u16)>,
    /// `https://` or `http://` addresses whose answer is nothing but the address.
    pub urls: Vec<String>,
}
