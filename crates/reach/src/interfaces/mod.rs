//! This computer's network interfaces and addresses, and which of them a visitor would use.

use std::net::IpAddr;

use ipnet::IpNet;

mod classify;
mod share;
mod system;

pub use classify::{Facts, Medium, kind_of, scope_of};
pub use share::{ShareAddress, share_addresses};
pub(crate) use system::kind_by_name;
pub use system::list;

/// One network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The system's name for it: `eth0`, `wlp3s0`, `en0`.
    pub name: String,
    pub kind: Kind,
    /// Switched on, and with a carrier where it needs one.
    pub up: bool,
    /// The way to the internet leads through it.
    pub has_default_route: bool,
    /// In the order of the system, IPv4 first. Addresses that cannot be used yet or no longer (duplicate address
    /// detection) are left out.
    pub addresses: Vec<Address>,
}

/// What an interface is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only this computer.
    Loopback,
    /// A real network: Ethernet, Wi-Fi, or a bridge over them.
    Lan,
    /// A modem: the network of a mobile carrier.
    Mobile,
    /// Containers and virtual machines on this computer.
    Container,
    /// A VPN or overlay network.
    Vpn,
    /// Everything else, such as the peer-to-peer interfaces of phones and Macs.
    Other,
}

/// One address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    pub ip: IpAddr,
    /// The network that the address lies in.
    pub network: IpNet,
    pub scope: Scope,
}

/// From where an address can be reached, and how lasting it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Loopback,
    /// Only on the same cable or radio (169.254.0.0/16, fe80::/10).
    LinkLocal,
    /// Private IPv4 (RFC 1918).
    Private,
    /// Shared between carrier and customer (100.64.0.0/10, RFC 6598); Tailscale numbers its network from it too.
    Shared,
    /// Private IPv6 (fc00::/7, RFC 4193).
    UniqueLocal,
    Global,
    /// IPv6 privacy address, gone tomorrow (RFC 8981).
    Temporary,
    /// Still answers, should not be handed out any more (RFC 4862 section 5.5.4).
    Deprecated,
}
