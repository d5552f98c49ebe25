use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use doorstep_proto::gateway::{PORT, ssdp};

/// Where gateways are to be looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surroundings {
    pub roads: Vec<Road>,
    /// UDP port of NAT-PMP and PCP.
    pub port: u16,
    /// Where a search for UPnP devices is sent.
    pub search: SocketAddrV4,
}

/// A way out of this computer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Road {
    /// This computer's address on it.
    pub local: IpAddr,
    /// Who passes its packets on.
    pub gateway: IpAddr,
    /// The interface's number, for a gateway with a link-local address; else 0.
    pub scope: u32,
}

impl Road {
    /// The gateway's socket address.
    pub fn to(&self, port: u16) -> SocketAddr {
        match self.gateway {
            IpAddr::V4(ip) => SocketAddr::from((ip, port)),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, self.scope).into(),
        }
    }

    pub fn is_ipv4(&self) -> bool {
        self.local.is_ipv4()
    }
}

impl Surroundings {
    /// As the system tells. Reads from it for some milliseconds: not for the data plane.
    pub fn now() -> Self {
        let mut roads = Vec::new();
        for interface in netdev::get_interfaces() {
            let Some(gateway) = &interface.gateway else { continue };
            if !interface.is_up() || interface.is_loopback() {
                continue;
            }
            let v4 = gateway.ipv4.first().zip(interface.ipv4.first());
            roads.extend(v4.map(|(gateway, local)| Road {
                local: local.addr().into(),
                gateway: (*gateway).into(),
                scope: 0,
            }));
            // The lasting address: a temporary one would take its pinhole along.
            let lasting = interface.ipv6.iter().enumerate().find(|(index, network)| {
                let flags = interface.ipv6_addr_flags.get(*index).copied().unwrap_or_default();
                is_global(network.addr())
                    && !flags.temporary
                    && !flags.deprecated
                    && !flags.tentative
                    && !flags.duplicated
            });
            let v6 = gateway.ipv6.first().zip(lasting);
            roads.extend(v6.map(|(gateway, (_, local))| Road {
                local: local.addr().into(),
                gateway: (*gateway).into(),
                scope: if gateway.is_unicast_link_local() { interface.index } else { 0 },
            }));
        }
        Self { roads, ..Self::none() }
    }

    /// Nowhere.
    pub(crate) fn none() -> Self {
        Self { roads: Vec::new(), port: PORT, search: SocketAddrV4::new(ssdp::GROUP, ssdp::PORT) }
    }

    /// Whether `ip` passes packets of this computer on.
    pub fn is_gateway(&self, ip: IpAddr) -> bool {
        self.roads.iter().any(|road| road.gateway == ip)
    }

    pub(crate) fn v4(&self) -> impl Iterator<Item = (Ipv4Addr, Road)> {
        self.roads.iter().filter_map(|road| match road.local {
            IpAddr::V4(local) => Some((local, *road)),
            IpAddr::V6(_) => None,
        })
    }
}

/// 2000::/3 is all that is handed out for the internet (RFC 4291 section 2.4).
fn is_global(ip: Ipv6Addr) -> bool {
    ip.octets()[0] & 0xe0 == 0x20
}
