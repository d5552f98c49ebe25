//! The control connection, on both sides.

mod agent;
mod relay;
mod wire;

pub use agent::{AgentInput, AgentOutput, AgentSession};
pub use relay::{RelayInput, RelayOutput, RelaySession};
