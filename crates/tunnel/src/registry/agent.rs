use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorstep_proto::tunnel::{AgentKey, Quota};

use super::meter::Meter;
use crate::limits::{AGENT_NAMES, AGENT_PORTS, AGENT_STREAMS};

/// Somebody whom this relay lends to, as its key was recognised. What it owns belongs to its name: several keys of one agent
/// have the same names and ports.
#[derive(Clone)]
pub struct Agent {
    /// Ed25519; or, for ssh keys of other kinds, the SHA-256 of the public key's blob.
    pub key: AgentKey,
    pub name: Arc<str>,
    pub limits: Arc<AgentLimits>,
    /// What all its keys and sessions use of the limits together.
    pub meter: Arc<Meter>,
}

impl Agent {
    /// An agent that the configuration lets in, and no invitation: a PageKite back-end, for instance. `kind` keeps its name
    /// apart from those of other kinds. Keep it and clone it: what it uses is counted in it.
    pub fn configured(kind: &str, name: &str, limits: AgentLimits) -> Self {
        let name: Arc<str> = format!("{kind}/{name}").into();
        let meter = Arc::new(Meter::new(&limits));
        Self { key: owner_id(&name), name, limits: Arc::new(limits), meter }
    }

    /// Under which what it has is owned in the table of claims.
    pub(super) fn owner(&self) -> AgentKey {
        owner_id(&self.name)
    }

    pub(super) fn is_configured(&self) -> bool {
        is_configured(&self.name)
    }

    pub(super) fn quota(&self) -> Quota {
        let limits = &self.limits;
        Quota { names: limits.most_names, ports: limits.ports, patterns: limits.names.clone() }
    }
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Agent({:?}, {})", self.name, fingerprint(&self.key))
    }
}

/// What an agent may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentLimits {
    /// Patterns with at most one `*` for its names under the relay's domain, like `studio-*`; empty is any.
    pub names: Vec<String>,
    pub most_names: usize,
    /// Leased ports, TCP and UDP together.
    pub ports: usize,
    /// Streams at once.
    pub streams: usize,
    /// Bytes per second, each way; `None` is any.
    pub rate: Option<u64>,
    /// Requests per second; `None` is any.
    pub requests: Option<u32>,
    /// In seconds since 1970: from then on it is not let in any more.
    pub until: Option<u64>,
}

impl Default for AgentLimits {
    fn default() -> Self {
        Self {
            names: Vec::new(),
            most_names: AGENT_NAMES,
            ports: AGENT_PORTS,
            streams: AGENT_STREAMS,
            rate: None,
            requests: None,
            until: None,
        }
    }
}

/// What people compare and put into DNS instead of a key: 22 letters and digits (128 bits of its SHA-256).
pub fn fingerprint(key: &AgentKey) -> String {
    URL_SAFE_NO_PAD.encode(&digest(&SHA256, key).as_ref()[..16])
}

/// Names of agents that join have no `/`.
pub(super) fn is_configured(name: &str) -> bool {
    name.contains('/')
}

pub(super) fn owner_id(name: &str) -> AgentKey {
    sha256(format!("doorstep agent\0{name}").as_bytes())
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}
