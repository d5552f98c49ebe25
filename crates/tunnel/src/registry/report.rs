use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::agent::AgentLimits;
use super::meter::Usage;

/// What the relay knows of an agent, for its owner.
#[derive(Clone, Debug)]
pub struct AgentReport {
    pub name: Arc<str>,
    pub keys: Vec<KeyReport>,
    /// None of its keys is let in any more.
    pub revoked: bool,
    pub joined: SystemTime,
    pub limits: Arc<AgentLimits>,
    pub usage: Usage,
    pub sessions: Vec<SessionReport>,
    /// In order, with those that nobody serves right now.
    pub names: Vec<String>,
    /// `tcp/20000`, `udp/20001`.
    pub ports: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyReport {
    pub fingerprint: String,
    /// How it came here: `doorstep join`, or the comment of an ssh key.
    pub comment: String,
    pub revoked: bool,
}

#[derive(Clone, Debug)]
pub struct SessionReport {
    pub fingerprint: String,
    pub since: SystemTime,
    pub from: SocketAddr,
    pub software: String,
    pub round_trip: Option<Duration>,
}

/// A name or port with its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameReport {
    /// A host name, `tcp/20000`, or `udp/20000`.
    pub name: String,
    pub agent: Arc<str>,
    /// Served right now.
    pub lent: bool,
    /// Its TLS ends at the agent.
    pub tls: bool,
    /// Switched off by the relay's owner.
    pub stopped: bool,
}
