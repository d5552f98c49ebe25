//! Upstreams that can stand for each other: who they are just now, which of them gets a request, how they are, and
//! what becomes of requests while none is ready.
//!
//! [`Membership`] is shared by all workers. A request reads a snapshot of it, without a lock; what changes it (members
//! that come and go, verdicts about their health) makes a new snapshot.

mod attempt;
mod balance;
mod choose;
mod health;
mod key;
mod member;
mod membership;
mod preamble;
mod queue;
mod service;
mod snapshot;
mod status;

pub(crate) use member::{InFlight, Member};
pub use membership::{LiveMember, Membership};
pub use service::PoolService;
pub use status::{MemberState, MemberStatus};
