//! Tunnels: an *agent* on the private side lends its targets to a *relay* on the public side, which hands it visitors'
//! connections.
//!
//! What all carriers (doorstep's own, ssh, PageKite) have in common is here: on the relay's side a [`Carrier`] opens streams
//! to an agent's targets; on the agent's side an agent serves its [`Target`]s ([`Delivery`]), and says how it fares by
//! [`AgentEvent`]s.

pub mod agent;
mod carrier;
mod deliver;
pub mod identity;
pub mod limits;
pub mod link;
mod ports;
pub mod registry;
pub mod relay;
mod target;

pub use carrier::{Carrier, OpenFailed, Visitor};
pub use deliver::{Delivery, both_ways, is_forbidden};
pub use registry::Registry;
pub use target::{AgentEvent, Sink, Target};
