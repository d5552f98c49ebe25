use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use doorstep_net::BoxFuture;
use doorstep_proto::tunnel::{Claim, SessionId, TunnelError};
use doorstep_tunnel::registry::{Admission, Agent, AgentLimits, Registry};
use doorstep_tunnel::{Carrier, OpenFailed};
use parking_lot::Mutex;

use crate::limits::MAX_OWNERS;

/// Where kites become names that visitors can ask for.
pub trait Lending: Send + Sync {
    /// A back-end is here with the secret of `owner`, which is a name of the configuration.
    ///
    /// # Errors
    /// With the code of what there is too much of.
    fn begin(&self, owner: &str, from: SocketAddr) -> Result<Arc<dyn LendingSession>, TunnelError>;
}

/// What a back-end lends with one secret. It is over when this is dropped.
pub trait LendingSession: Send + Sync {
    /// Lends what `claim` names, which the owner's secret is good for: streams to it are opened by the number `id`.
    ///
    /// # Errors
    /// With the code of what is against it.
    fn claim(&self, id: u32, claim: Claim, carrier: Arc<dyn Carrier>) -> BoxFuture<'_, Result<(), TunnelError>>;

    /// Leave for a visitor of a raw kite of `host`, which is no claim.
    ///
    /// # Errors
    /// With the code of what is against it.
    fn admit(&self, host: &str) -> Result<Admission, OpenFailed>;
}

/// A relay's registry: each name of the configuration is an agent there, called `pagekite/NAME`.
pub struct RegistryLending {
    registry: Registry,
    limits: Mutex<AgentLimits>,
    agents: Mutex<HashMap<String, Agent>>,
}

impl RegistryLending {
    /// Each has these limits.
    pub fn new(registry: Registry, limits: AgentLimits) -> Self {
        Self { registry, limits: Mutex::new(limits), agents: Mutex::default() }
    }

    /// Other limits, for back-ends that come from now on.
    pub fn set_limits(&self, limits: AgentLimits) {
        let mut own = self.limits.lock();
        if *own != limits {
            *own = limits;
            self.agents.lock().clear();
        }
    }

    /// The same each time, since what an agent uses is counted in it.
    fn agent(&self, owner: &str) -> Agent {
        let limits = self.limits.lock();
        let mut agents = self.agents.lock();
        if let Some(agent) = agents.get(owner) {
            return agent.clone();
        }
        if agents.len() >= MAX_OWNERS {
            // Those of earlier configurations.
            agents.clear();
        }
        // Beneath the relay's domain, an agent may have what its name says and nothing else.
        let label = owner.strip_suffix(self.registry.domain().as_str()).and_then(|label| label.strip_suffix('.'));
        let names = label.map(str::to_owned).into_iter().collect();
        let agent = Agent::configured("pagekite", owner, AgentLimits { names, ..limits.clone() });
        agents.insert(owner.to_owned(), agent.clone());
        agent
    }
}

impl Lending for RegistryLending {
    fn begin(&self, owner: &str, from: SocketAddr) -> Result<Arc<dyn LendingSession>, TunnelError> {
        let agent = self.agent(owner);
        let session = self.registry.begin_session(&agent, from, "PageKite")?;
        Ok(Arc::new(Held { registry: self.registry.clone(), agent, session }))
    }
}

struct Held {
    registry: Registry,
    agent: Agent,
    session: SessionId,
}

impl LendingSession for Held {
    fn claim(&self, id: u32, claim: Claim, carrier: Arc<dyn Carrier>) -> BoxFuture<'_, Result<(), TunnelError>> {
        Box::pin(async move {
            // Whom it evicts was told to go by the kite's own judgement, or is gone.
            let granted = self.registry.claim(self.session, id, &self.agent, &claim, carrier).await;
            granted.map(drop)
        })
    }

    fn admit(&self, host: &str) -> Result<Admission, OpenFailed> {
        self.registry.admit(&self.agent, host)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.registry.end_session(self.session);
    }
}
