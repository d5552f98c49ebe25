use std::net::IpAddr;

use super::{Kind, Scope};

/// What the system says about an interface, as far as [`kind_of`] needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts<'a> {
    pub name: &'a str,
    pub medium: Medium,
    /// Linux `DEVTYPE`: `bridge`, `wlan`, `wireguard`, `vlan`, `bond`, …
    pub devtype: Option<&'a str>,
    /// A TUN or TAP device.
    pub tun: bool,
    /// For a bridge: whether hardware is among its ports. `None`: no bridge, or not known.
    pub bridges_hardware: Option<bool>,
}

/// What an interface is made of, as far as the system says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Medium {
    #[default]
    Unknown,
    Loopback,
    Ethernet,
    Wifi,
    Modem,
    PointToPoint,
}

/// Names that container and virtual machine software gives to its interfaces.
const CONTAINER_NAMES: [&str; 17] = [
    "docker",
    "br-",
    "veth",
    "virbr",
    "vnet",
    "lxc",
    "lxd",
    "incus",
    "cni",
    "podman",
    "cali",
    "flannel",
    "vboxnet",
    "vmnet",
    "kube-",
    "weave",
    "vEthernet",
];

/// Names that VPN and overlay network software gives to its interfaces.
const VPN_NAMES: [&str; 12] =
    ["tun", "wg", "tailscale", "zt", "utun", "ppp", "ipsec", "nebula", "tinc", "nordlynx", "proton", "gpd"];

/// Names of interfaces that are neither a network nor a VPN: Apple's peer-to-peer radios, tunnels of the kernel's own.
const OTHER_NAMES: [&str; 12] =
    ["awdl", "llw", "anpi", "ap1", "sit", "gif", "stf", "ip6tnl", "dummy", "ifb", "teql", "p2p-"];

/// What an interface is for. What the system knows for certain goes before what the name suggests, since names are
/// free to choose: the only interface of a container is a `veth` that is called `eth0`, and it is that computer's LAN.
pub fn kind_of(facts: &Facts<'_>) -> Kind {
    let named = |names: &[&str]| names.iter().any(|prefix| facts.name.starts_with(prefix));
    if facts.medium == Medium::Loopback || facts.name == "lo" {
        return Kind::Loopback;
    }
    if facts.bridges_hardware == Some(true) {
        return Kind::Lan;
    }
    match facts.devtype {
        Some("wireguard") => return Kind::Vpn,
        Some("wwan") => return Kind::Mobile,
        Some("bridge") => return Kind::Container,
        Some("vxlan" | "geneve") if !named(&VPN_NAMES) => return Kind::Container,
        _ => {}
    }
    if named(&CONTAINER_NAMES) || facts.bridges_hardware == Some(false) || apple_vm_bridge(facts.name) {
        return Kind::Container;
    }
    if named(&OTHER_NAMES) {
        return Kind::Other;
    }
    if named(&VPN_NAMES) || facts.tun {
        return Kind::Vpn;
    }
    match facts.medium {
        Medium::Modem => Kind::Mobile,
        Medium::PointToPoint => Kind::Vpn,
        Medium::Ethernet | Medium::Wifi => Kind::Lan,
        Medium::Unknown if facts.name.starts_with("ww") || facts.name.starts_with("rmnet") => Kind::Mobile,
        Medium::Unknown | Medium::Loopback => Kind::Lan,
    }
}

/// macOS numbers the bridges of its virtual machines from 100; `bridge0` is Thunderbolt networking.
fn apple_vm_bridge(name: &str) -> bool {
    name.strip_prefix("bridge").and_then(|number| number.parse::<u32>().ok()).is_some_and(|number| number >= 100)
}

/// From where `ip` can be reached. `temporary` and `deprecated` are what the system says of an IPv6 address.
pub fn scope_of(ip: IpAddr, temporary: bool, deprecated: bool) -> Scope {
    match ip {
        _ if ip.is_loopback() => Scope::Loopback,
        IpAddr::V4(v4) if v4.is_link_local() => Scope::LinkLocal,
        IpAddr::V4(v4) if v4.is_private() => Scope::Private,
        IpAddr::V4(v4) if v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64 => Scope::Shared,
        IpAddr::V4(_) => Scope::Global,
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Scope::LinkLocal,
        IpAddr::V6(_) if deprecated => Scope::Deprecated,
        IpAddr::V6(v6) if v6.is_unique_local() => Scope::UniqueLocal,
        IpAddr::V6(_) if temporary => Scope::Temporary,
        IpAddr::V6(_) => Scope::Global,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(name: &str, medium: Medium) -> Facts<'_> {
        Facts { name, medium, ..Facts::default() }
    }

    #[test]
    fn kinds_by_name_and_medium() {
        use Medium::*;
        for (name, medium, kind) in [
            ("lo", Unknown, Kind::Loopback),
            ("lo0", Loopback, Kind::Loopback),
            ("eth0", Ethernet, Kind::Lan),
            ("enp0s31f6", Ethernet, Kind::Lan),
            ("eno1", Unknown, Kind::Lan),
            ("wlp3s0", Wifi, Kind::Lan),
            ("en0", Wifi, Kind::Lan),
            ("bridge0", Ethernet, Kind::Lan),
            ("bond0", Ethernet, Kind::Lan),
            ("docker0", Ethernet, Kind::Container),
            ("br-5f0c2d9ab1e3", Ethernet, Kind::Container),
            ("veth91d2f0a", Ethernet, Kind::Container),
            ("virbr0", Ethernet, Kind::Container),
            ("lxcbr0", Ethernet, Kind::Container),
            ("incusbr0", Ethernet, Kind::Container),
            ("cni0", Ethernet, Kind::Container),
            ("podman1", Ethernet, Kind::Container),
            ("vEthernet (WSL)", Ethernet, Kind::Container),
            ("bridge100", Ethernet, Kind::Container),
            ("tun0", PointToPoint, Kind::Vpn),
            ("wg0", PointToPoint, Kind::Vpn),
            ("tailscale0", PointToPoint, Kind::Vpn),
            ("ztuzethv5a", Ethernet, Kind::Vpn),
            ("utun4", PointToPoint, Kind::Vpn),
            ("ppp0", PointToPoint, Kind::Vpn),
            ("mullvad", PointToPoint, Kind::Vpn),
            ("wwp0s20f0u6i12", Unknown, Kind::Mobile),
            ("wwan0", Modem, Kind::Mobile),
            ("awdl0", Ethernet, Kind::Other),
            ("llw0", Wifi, Kind::Other),
            ("dummy0", Ethernet, Kind::Other),
            ("sit0", Unknown, Kind::Other),
        ] {
            assert_eq!(kind_of(&facts(name, medium)), kind, "{name}");
        }
    }

    #[test]
    fn what_the_system_knows_goes_before_the_name() {
        let home_server =
            Facts { devtype: Some("bridge"), bridges_hardware: Some(true), ..facts("br0", Medium::Ethernet) };
        assert_eq!(kind_of(&home_server), Kind::Lan);
        let lab = Facts { devtype: Some("bridge"), bridges_hardware: Some(false), ..facts("lab", Medium::Ethernet) };
        assert_eq!(kind_of(&lab), Kind::Container);
        let renamed = Facts { devtype: Some("wireguard"), ..facts("home", Medium::Unknown) };
        assert_eq!(kind_of(&renamed), Kind::Vpn);
        let tap = Facts { tun: true, ..facts("office", Medium::Ethernet) };
        assert_eq!(kind_of(&tap), Kind::Vpn);
    }

    #[test]
    fn scopes() {
        for (ip, temporary, deprecated, scope) in [
            ("127.0.0.1", false, false, Scope::Loopback),
            ("::1", false, false, Scope::Loopback),
            ("169.254.7.7", false, false, Scope::LinkLocal),
            ("fe80::1", false, false, Scope::LinkLocal),
            ("192.168.1.23", false, false, Scope::Private),
            ("172.31.0.1", false, false, Scope::Private),
            ("172.32.0.1", false, false, Scope::Global),
            ("100.64.0.1", false, false, Scope::Shared),
            ("100.127.255.255", false, false, Scope::Shared),
            ("100.128.0.1", false, false, Scope::Global),
            ("fd12:3456::1", false, false, Scope::UniqueLocal),
            ("fd12:3456::1", true, false, Scope::UniqueLocal),
            ("2001:db8::1", false, false, Scope::Global),
            ("2001:db8::1", true, false, Scope::Temporary),
            ("2001:db8::1", true, true, Scope::Deprecated),
        ] {
            assert_eq!(scope_of(ip.parse().unwrap(), temporary, deprecated), scope, "{ip}");
        }
    }
}
