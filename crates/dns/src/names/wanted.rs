use std::net::IpAddr;

use doorstep_model::Hostname;

use super::Addresses;
use crate::Kind;

/// What a name is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Nothing is known: what there is stays.
    Nothing,
    Addresses(Vec<IpAddr>),
    Alias(String),
}

impl Wanted {
    /// `families` are those that are to be published: IPv4, IPv6.
    pub fn of(addresses: &Addresses, name: &Hostname, families: (bool, bool), may_alias: bool) -> Self {
        let v4 = addresses.v4.filter(|_| families.0).map(IpAddr::V4);
        let v6 = addresses.v6.filter(|_| families.1).map(IpAddr::V6);
        let ips: Vec<IpAddr> = v4.into_iter().chain(v6).collect();
        let alias = addresses.aliases.iter().find(|(of, _)| of == name).map(|(_, alias)| alias.to_string());
        // Where IPv4 is wished for and gone, most visitors would find nobody at the IPv6 address alone.
        match alias.filter(|_| may_alias && (ips.is_empty() || families.0 && v4.is_none())) {
            Some(alias) => Self::Alias(alias),
            None if ips.is_empty() => Self::Nothing,
            None => Self::Addresses(ips),
        }
    }

    /// In zone file's words.
    pub fn values(&self) -> Vec<String> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Alias(alias) => vec![format!("CNAME {alias}")],
            Self::Addresses(ips) => {
                let of = |ip: &IpAddr| format!("{} {ip}", if ip.is_ipv4() { Kind::A } else { Kind::Aaaa });
                ips.iter().map(of).collect()
            }
        }
    }

    /// The types of its records.
    pub fn kinds(&self) -> &'static [Kind] {
        match self {
            Self::Nothing => &[],
            Self::Alias(_) => &[Kind::Cname],
            Self::Addresses(_) => &[Kind::A, Kind::Aaaa],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(v4: Option<&str>, v6: Option<&str>, families: (bool, bool), alias: bool, may_alias: bool) -> Vec<String> {
        let name: Hostname = "home.example.com".parse().unwrap();
        let aliases = if alias { vec![(name.clone(), "home.tun.example.net".parse().unwrap())] } else { Vec::new() };
        let addresses =
            Addresses { v4: v4.map(|ip| ip.parse().unwrap()), v6: v6.map(|ip| ip.parse().unwrap()), aliases };
        Wanted::of(&addresses, &name, families, may_alias).values()
    }

    #[test]
    fn addresses_before_aliases_and_nothing_for_nothing() {
        let both = (true, true);
        assert_eq!(of(Some("192.0.2.1"), Some("2001:db8::1"), both, true, true), ["A 192.0.2.1", "AAAA 2001:db8::1"]);
        assert_eq!(of(Some("192.0.2.1"), Some("2001:db8::1"), (true, false), false, true), ["A 192.0.2.1"]);
        assert_eq!(of(None, Some("2001:db8::1"), both, false, true), ["AAAA 2001:db8::1"]);
        assert_eq!(of(None, Some("2001:db8::1"), both, true, true), ["CNAME home.tun.example.net"]);
        assert_eq!(of(None, Some("2001:db8::1"), (false, true), true, true), ["AAAA 2001:db8::1"]);
        assert_eq!(of(None, None, both, true, true), ["CNAME home.tun.example.net"]);
        assert!(of(None, None, both, true, false).is_empty() && of(None, None, both, false, true).is_empty());
    }
}
