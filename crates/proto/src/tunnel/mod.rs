//! doorstep's own tunnel (`docs/protocol/tunnel.md`): how an *agent* on the private side lends a *relay* on the public side
//! its targets, and how the relay hands it visitors' connections.
//!
//! Four machines without IO, each for one connection and owned by whoever owns that connection, so that none is shared
//! between threads:
//! - [`AgentGreeting`] and [`RelayGreeting`] begin every connection: version, proof of the key, purpose. What they leave
//!   over is the next machine's first input.
//! - [`AgentSession`] and [`RelaySession`] are the control connection: claims and their leases, heartbeat, how many data
//!   connections are wanted, going away.
//! - [`DataLink`] is a data connection of either side: streams and flows of datagrams.
//!
//! [`ClaimTable`] is the relay's memory of who holds what; [`Pool`] chooses the data connection for a new stream.

mod claim_table;
mod data;
mod decode;
mod encode;
mod error;
mod fields;
mod greeting;
mod invitation;
pub mod limits;
mod message;
mod pool;
mod session;

pub use claim_table::{ClaimTable, Quota, Taken};
pub use data::{DataInput, DataLink, DataOutput, OpenError, Role};
pub use decode::{Decoded, Decoder};
pub use encode::{data_header, encode};
pub use error::{Code, Retry, TunnelError};
pub use greeting::{AgentGreeting, AgentGreetingOutput, Authenticate, RelayGreeting, RelayGreetingOutput, transcript};
pub use invitation::Invitation;
pub use message::{
    ALPN, AgentKey, Claim, EXPORTER_LABEL, Exporter, Frame, Grant, Hello, Open, ProbeAsk, ProbeKind, ProbeOutcome,
    Purpose, SessionId, Sharing, Signature, VERSION, VisitorTls, Welcome,
};
pub use pool::{Demand, Pool};
pub use session::{AgentInput, AgentOutput, AgentSession, RelayInput, RelayOutput, RelaySession};
