use std::collections::BTreeSet;

use super::agent::AgentLimits;

/// What may be changed while a relay runs.
#[derive(Clone, Debug, Default)]
pub struct RegistrySettings {
    /// For agents whose invitation says nothing else, and for ssh keys that were added. Limits of agents that are known
    /// already stay as they are.
    pub limits: AgentLimits,
    /// Host names that are not lent: sites that stand beside the relay.
    pub reserved: BTreeSet<String>,
}
