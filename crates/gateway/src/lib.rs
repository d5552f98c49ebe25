//! The home router, asked to let visitors in: port mappings for IPv4 (UPnP IGD 1 and 2, NAT-PMP, PCP), pinholes for IPv6
//! (UPnP IGD 2, PCP).
//!
//! [`find`] looks who is there; a [`Mapper`] keeps mappings for as long as it lives; [`remove`] takes back what an earlier one
//! left behind. The protocols' own code rather than a library's, because what routers do wrong is most of the work.

mod datagram;
mod error;
mod gateway;
mod limits;
mod mapper;
mod remove;
mod surroundings;
mod upnp;

/// What routers show beside our mappings, and by which we know them again.
pub const DESCRIPTION: &str = "doorstep";

/// Reads a text as a device's description and as its answer to an action. For fuzzing.
#[doc(hidden)]
pub fn upnp_text(text: &str) {
    upnp::read_any(text);
}

pub use doorstep_proto::gateway::Protocol;
pub use error::GatewayError;
pub use gateway::{Gateway, find};
pub use mapper::{Family, Mapped, Mapper, MappingStatus, News, Options, State, Want};
pub use remove::{Removed, remove};
pub use surroundings::{Road, Surroundings};
pub use upnp::Entry;
