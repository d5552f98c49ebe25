use std::sync::Arc;

use doorstep_proto::tunnel::{AgentKey, SessionId, TunnelError};

/// What those who keep sessions and certificates have to know. Whoever is told that it missed some (`Lagged`) looks at
/// [`Registry::names`](super::Registry::names) again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryEvent {
    /// An agent's name is served from now on. With `tls`, its certificate is the agent's own matter.
    NameClaimed { host: Arc<str>, tls: bool },
    /// Nobody owns the name any more.
    NameForgotten { host: Arc<str> },
    /// End the sessions of this key with [`Code::RevokedKey`](doorstep_proto::tunnel::Code::RevokedKey).
    AgentRevoked { key: AgentKey, name: Arc<str> },
    /// Tell the session that its claim is over: `RelayInput::Deny`. The registry has released it already.
    ClaimWithdrawn { session: SessionId, id: u32, error: TunnelError },
}
