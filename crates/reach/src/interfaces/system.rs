use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;
use netdev::interface::state::OperState;
use netdev::interface::types::InterfaceType;

use super::classify::{Facts, Medium, kind_of, scope_of};
use super::{Address, Interface, Kind};

/// All interfaces of this computer, those with the way to the internet first. Empty if the system does not tell.
///
/// Reads from the system for some milliseconds: not for the data plane.
pub fn list() -> Vec<Interface> {
    let mut interfaces: Vec<Interface> = netdev::get_interfaces().into_iter().map(from_netdev).collect();
    // A stable sort: the system's own order stands for the rest.
    interfaces.sort_by_key(|interface| !interface.has_default_route);
    interfaces
}

/// The kind of the interface called `name`, from its name and what the kernel says of it.
pub(crate) fn kind_by_name(name: &str, point_to_point: bool) -> Kind {
    let medium = if point_to_point { Medium::PointToPoint } else { Medium::Unknown };
    kind_with(name, medium)
}

fn from_netdev(found: netdev::Interface) -> Interface {
    let medium = match found.if_type {
        _ if found.is_loopback() => Medium::Loopback,
        InterfaceType::Wireless80211 => Medium::Wifi,
        InterfaceType::Wwan | InterfaceType::Wwanpp | InterfaceType::Wwanpp2 => Medium::Modem,
        InterfaceType::Ppp | InterfaceType::Tunnel => Medium::PointToPoint,
        _ if found.is_point_to_point() => Medium::PointToPoint,
        InterfaceType::Ethernet | InterfaceType::GigabitEthernet | InterfaceType::Bridge => Medium::Ethernet,
        _ => Medium::Unknown,
    };
    let no_carrier = matches!(found.oper_state, OperState::Down | OperState::LowerLayerDown | OperState::NotPresent);
    let v4 = found.ipv4.iter().map(|net| address(IpNet::V4(*net), false, false));
    let v6 = found.ipv6.iter().enumerate().filter_map(|(index, net)| {
        let flags = found.ipv6_addr_flags.get(index).copied().unwrap_or_default();
        (!flags.tentative && !flags.duplicated).then(|| address(IpNet::V6(*net), flags.temporary, flags.deprecated))
    });
    Interface {
        kind: kind_with(&found.name, medium),
        up: found.is_up() && found.is_running() && !no_carrier,
        has_default_route: found.default || found.gateway.is_some(),
        addresses: v4.chain(v6).collect(),
        name: found.name,
    }
}

fn address(network: IpNet, temporary: bool, deprecated: bool) -> Address {
    let ip: IpAddr = network.addr();
    Address { ip, network: network.trunc(), scope: scope_of(ip, temporary, deprecated) }
}

fn kind_with(name: &str, medium: Medium) -> Kind {
    let device = Path::new("/sys/class/net").join(name);
    let uevent = std::fs::read_to_string(device.join("uevent")).unwrap_or_default();
    let devtype = uevent.lines().find_map(|line| line.strip_prefix("DEVTYPE="));
    let bridges_hardware = std::fs::read_dir(device.join("brif")).ok().map(|ports| {
        ports.flatten().any(|port| Path::new("/sys/class/net").join(port.file_name()).join("device").exists())
    });
    let tun = device.join("tun_flags").exists();
    kind_of(&Facts { name, medium, devtype, tun, bridges_hardware })
}

#[cfg(test)]
mod tests {
    use super::super::Scope;
    use super::*;

    #[test]
    fn loopback_is_found_and_known_as_such() {
        let interfaces = list();
        let lo = interfaces.iter().find(|i| i.kind == Kind::Loopback).expect("every computer has a loopback interface");
        assert!(lo.addresses.iter().all(|a| a.scope != Scope::Loopback || a.network.contains(&a.ip)));
        assert!(!lo.has_default_route);
    }
}
