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
