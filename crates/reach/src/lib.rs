//! How this computer can be reached: its interfaces and addresses, its name on the local network, the firewall in
//! front of a port, and who else holds one.
//!
//! Deciding is kept apart from looking: what an interface is for ([`interfaces`]), whether a rule set drops a port
//! ([`firewall`]) and what a host name may look like ([`mdns`]) are pure functions, fed by thin readers of the
//! operating system. Nothing here changes the computer, apart from the mDNS records that [`mdns::Publisher`]
//! announces and withdraws.

mod error;
pub mod firewall;
pub mod interfaces;
mod limits;
pub mod mdns;
mod open_url;
pub mod ports;

pub use error::ReachError;
pub use open_url::open_url;
