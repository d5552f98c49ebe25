use std::net::IpAddr;

use super::{Interface, Kind, Scope};

/// An address that a visitor could use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareAddress {
    pub ip: IpAddr,
    pub scope: Scope,
    /// The name of the interface.
    pub interface: String,
    pub kind: Kind,
    /// What to say beside the address when it is not simply "your network": `VPN (wg0)`.
    pub label: Option<String>,
}

/// The addresses worth telling a visitor, best first: real networks by number, then their global IPv6, then VPN and
/// mobile interfaces with a label. Left out: interfaces that are down, loopback, containers, and addresses of little use to others
/// (link-local IPv6, temporary ones where a lasting one exists, private IPv6 or link-local IPv4 where there is something better).
pub fn share_addresses(interfaces: &[Interface]) -> Vec<ShareAddress> {
    let rank = |kind: Kind| match kind {
        Kind::Lan => Some(0),
        Kind::Vpn => Some(1),
        Kind::Mobile => Some(2),
        Kind::Loopback | Kind::Container | Kind::Other => None,
    };
    let mut found: Vec<((u8, bool, bool), ShareAddress)> = Vec::new();
    for interface in interfaces.iter().filter(|interface| interface.up) {
        let Some(rank) = rank(interface.kind) else { continue };
        let label = match interface.kind {
            Kind::Vpn => Some(format!("VPN ({})", interface.name)),
            Kind::Mobile => Some(format!("mobile network ({})", interface.name)),
            _ => None,
        };
        for address in useful(interface) {
            found.push((
                (rank, address.0.is_ipv6(), !interface.has_default_route),
                ShareAddress {
                    ip: address.0,
                    scope: address.1,
                    interface: interface.name.clone(),
                    kind: interface.kind,
                    label: label.clone(),
                },
            ));
        }
    }
    found.sort_by_key(|(order, _)| *order);
    found.into_iter().map(|(_, address)| address).collect()
}

/// The addresses of one interface that a visitor could type.
fn useful(interface: &Interface) -> Vec<(IpAddr, Scope)> {
    let all: Vec<(IpAddr, Scope)> = interface.addresses.iter().map(|a| (a.ip, a.scope)).collect();
    let of = |v6: bool, scopes: &[Scope]| -> Vec<(IpAddr, Scope)> {
        all.iter().filter(|(ip, scope)| ip.is_ipv6() == v6 && scopes.contains(scope)).copied().collect()
    };
    let first_of = |choices: [Vec<(IpAddr, Scope)>; 2]| -> Vec<(IpAddr, Scope)> {
        choices.into_iter().find(|choice| !choice.is_empty()).unwrap_or_default()
    };
    let v4 = first_of([of(false, &[Scope::Private, Scope::Global, Scope::Shared]), of(false, &[Scope::LinkLocal])]);
    let mut v6 = first_of([of(true, &[Scope::Global]), of(true, &[Scope::Temporary])]);
    if v4.is_empty() && v6.is_empty() {
        v6 = of(true, &[Scope::UniqueLocal]);
    }
    v4.into_iter().chain(v6).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Address, scope_of};
    use super::*;

    fn interface(name: &str, kind: Kind, default: bool, addresses: &[&str]) -> Interface {
        let address = |text: &&str| {
            let (text, temporary) = text.strip_prefix("temp:").map_or((*text, false), |rest| (rest, true));
            let ip: IpAddr = text.parse().unwrap();
            Address { ip, network: ip.into(), scope: scope_of(ip, temporary, false) }
        };
        Interface {
            name: name.into(),
            kind,
            up: true,
            has_default_route: default,
            addresses: addresses.iter().map(address).collect(),
        }
    }

    fn shared(interfaces: &[Interface]) -> Vec<String> {
        let text = |a: ShareAddress| a.label.map_or(a.ip.to_string(), |label| format!("{} {label}", a.ip));
        share_addresses(interfaces).into_iter().map(text).collect()
    }

    #[test]
    fn a_laptop_with_everything() {
        let interfaces = [
            interface("lo", Kind::Loopback, false, &["127.0.0.1", "::1"]),
            interface("wg0", Kind::Vpn, false, &["10.8.0.2"]),
            interface("docker0", Kind::Container, false, &["172.17.0.1"]),
            interface("eth0", Kind::Lan, false, &["10.1.1.5", "fe80::5"]),
            interface(
                "wlan0",
                Kind::Lan,
                true,
                &["192.168.1.23", "temp:2001:db8::beef", "2001:db8::23", "fd00::23", "fe80::23"],
            ),
        ];
        assert_eq!(shared(&interfaces), ["192.168.1.23", "10.1.1.5", "2001:db8::23", "10.8.0.2 VPN (wg0)"]);
    }

    #[test]
    fn second_best_is_told_only_when_there_is_nothing_better() {
        let cable = [interface("eth0", Kind::Lan, false, &["169.254.9.9", "fe80::9"])];
        assert_eq!(shared(&cable), ["169.254.9.9"]);
        let private_v6 = [interface("eth0", Kind::Lan, true, &["fd00::9", "fe80::9"])];
        assert_eq!(shared(&private_v6), ["fd00::9"]);
        let privacy = [interface("eth0", Kind::Lan, true, &["192.168.0.2", "temp:2001:db8::9"])];
        assert_eq!(shared(&privacy), ["192.168.0.2", "2001:db8::9"]);
    }

    #[test]
    fn what_is_down_is_not_told() {
        let mut unplugged = interface("eth0", Kind::Lan, true, &["192.168.1.5"]);
        unplugged.up = false;
        assert_eq!(shared(&[unplugged]), Vec::<String>::new());
    }
}
