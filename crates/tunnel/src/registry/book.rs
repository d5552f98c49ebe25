use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use doorstep_proto::tunnel::{AgentKey, ClaimTable, SessionId, Taken};

use super::agent::{Agent, AgentLimits, owner_id};
use super::ledger::Ledger;
use super::meter::Meter;

/// Everything that the registry knows, but for what the data plane asks. Behind a lock that is held for moments only.
pub(super) struct Book {
    pub agents: BTreeMap<Arc<str>, AgentRecord>,
    /// Whose a key is, revoked or not.
    pub keys: HashMap<AgentKey, Arc<str>>,
    pub invitations: BTreeMap<[u8; 16], InvitationRecord>,
    pub claims: ClaimTable,
    /// The names of those who own something in `claims`.
    pub owners: HashMap<AgentKey, Arc<str>>,
    /// Switched off by the relay's owner.
    pub stopped: BTreeSet<String>,
    pub sessions: HashMap<SessionId, SessionRecord>,
    /// Foreign domains, whose they are, and since when that is known.
    pub proven: HashMap<String, (AgentKey, Instant)>,
    /// Ports that turned out to be in use by other programs.
    pub unusable: HashSet<Taken>,
    /// What of `agents` and `invitations` is not on the disk yet.
    pub agents_ledger: Ledger,
    /// The same of `claims` and `stopped`.
    pub names_ledger: Ledger,
    /// Which change made the owner of a thing, as long as that is not on the disk.
    pub unsaved: HashMap<Taken, u64>,
    pub stage: Stage,
}

/// Who may write the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Perhaps another process; nobody told us to.
    Standby,
    /// We, once the one before has let go.
    Waiting,
    Leading,
    /// Another one, from now on.
    Retired,
}

#[derive(Clone, Debug)]
pub(super) struct AgentRecord {
    pub keys: Vec<KeyRecord>,
    /// Seconds since 1970.
    pub joined: u64,
    pub limits: Arc<AgentLimits>,
    pub meter: Arc<Meter>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyRecord {
    pub key: AgentKey,
    pub comment: String,
    /// Seconds since 1970.
    pub added: u64,
    pub revoked: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InvitationRecord {
    pub agent: Arc<str>,
    /// Seconds since 1970.
    pub expires: u64,
    pub limits: AgentLimits,
    pub used_by: Option<AgentKey>,
}

#[derive(Clone)]
pub(super) struct SessionRecord {
    pub agent: Agent,
    pub from: SocketAddr,
    pub software: String,
    pub since: SystemTime,
    pub round_trip: Option<Duration>,
    /// It was asked to go elsewhere: whoever takes over from it takes its claims, not its streams.
    pub going: bool,
}

impl AgentRecord {
    pub fn new(limits: AgentLimits, joined: u64) -> Self {
        let meter = Arc::new(Meter::new(&limits));
        Self { keys: Vec::new(), joined, limits: Arc::new(limits), meter }
    }

    pub fn is_revoked(&self) -> bool {
        self.keys.iter().all(|key| key.revoked)
    }

    /// Held to other limits from now on. What was used so far stays counted for those who are connected already.
    pub fn set_limits(&mut self, limits: AgentLimits) {
        if *self.limits != limits {
            self.meter = Arc::new(Meter::new(&limits));
            self.limits = Arc::new(limits);
        }
    }
}

impl Book {
    pub fn new(domain: &str, ports: RangeInclusive<u16>) -> Self {
        Self {
            agents: BTreeMap::new(),
            keys: HashMap::new(),
            invitations: BTreeMap::new(),
            claims: ClaimTable::new(domain, ports),
            owners: HashMap::new(),
            stopped: BTreeSet::new(),
            sessions: HashMap::new(),
            proven: HashMap::new(),
            unusable: HashSet::new(),
            agents_ledger: Ledger::default(),
            names_ledger: Ledger::default(),
            unsaved: HashMap::new(),
            stage: Stage::Standby,
        }
    }

    /// The agent of a key that may come in.
    pub fn agent(&self, key: &AgentKey) -> Option<(Agent, bool)> {
        let name = self.keys.get(key)?;
        let record = self.agents.get(name)?;
        let revoked = record.keys.iter().any(|one| one.key == *key && one.revoked);
        let agent = Agent { key: *key, name: name.clone(), limits: record.limits.clone(), meter: record.meter.clone() };
        Some((agent, revoked))
    }

    pub fn owner(&mut self, name: &Arc<str>) -> AgentKey {
        let owner = owner_id(name);
        self.owners.entry(owner).or_insert_with(|| name.clone());
        owner
    }
}

/// `tcp/20000`, or the host name.
pub(super) fn shown(taken: &Taken) -> String {
    match taken {
        Taken::Name(name) => name.clone(),
        Taken::Tcp(port) => format!("tcp/{port}"),
        Taken::Udp(port) => format!("udp/{port}"),
    }
}

/// The other way round; a host name without a dot is one under `domain`.
pub(super) fn read_shown(text: &str, domain: &str) -> Taken {
    let port = |kind: &str| text.strip_prefix(kind).and_then(|port| port.parse().ok());
    if let Some(port) = port("tcp/") {
        return Taken::Tcp(port);
    }
    if let Some(port) = port("udp/") {
        return Taken::Udp(port);
    }
    let name = text.trim_end_matches('.').to_ascii_lowercase();
    Taken::Name(if name.contains('.') { name } else { format!("{name}.{domain}") })
}
