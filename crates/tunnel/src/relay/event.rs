use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use doorstep_proto::tunnel::{AgentKey, TunnelError};

use crate::registry::fingerprint;

/// What happens on a relay, for its owner. Its text is a line of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RelayEvent {
    /// A connection was not taken. The key is what it says it has; `agent` is whose it is, where that was found out.
    Refused {
        from: SocketAddr,
        key: Option<AgentKey>,
        agent: Option<Arc<str>>,
        error: TunnelError,
    },
    /// A key was admitted for an invitation.
    Joined {
        from: SocketAddr,
        key: AgentKey,
        agent: Arc<str>,
    },
    Online {
        from: SocketAddr,
        agent: Arc<str>,
        software: String,
    },
    Offline {
        from: SocketAddr,
        agent: Arc<str>,
        error: TunnelError,
    },
    /// A name or port was claimed and not granted.
    Denied {
        from: SocketAddr,
        agent: Arc<str>,
        claim: String,
        error: TunnelError,
    },
}

impl fmt::Display for RelayEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { from, key, agent, error } => {
                write!(f, "a connection from {from} was refused")?;
                if let Some(agent) = agent {
                    write!(f, ", of agent {agent}")?;
                }
                if let Some(key) = key {
                    write!(f, ", with the key {}", fingerprint(key))?;
                }
                write!(f, ": {error} (code {})", error.code.number())
            }
            Self::Joined { from, key, agent } => {
                write!(f, "agent {agent} joined from {from} with the key {}", fingerprint(key))
            }
            Self::Online { from, agent, software } => write!(f, "agent {agent} is connected from {from} ({software})"),
            Self::Offline { from, agent, error } => {
                write!(f, "the session of agent {agent} from {from} is over: {error} (code {})", error.code.number())
            }
            Self::Denied { from, agent, claim, error } => {
                write!(f, "agent {agent} does not get {claim}, from {from}: {error} (code {})", error.code.number())
            }
        }
    }
}
