//! Who is who: the lasting key of a relay, and the key that an agent has for each of its relays.

mod agent;
mod agent_file;
mod relay;

pub use agent::AgentKeyPair;
pub use agent_file::{AgentIdentity, IdentityError, agent_identities_dir};
pub use relay::RelayIdentity;

pub(crate) use relay::make_once;
