//! Where this computer stands, seen from the internet: what its own addresses, its router and somebody outside say, taken together.

use std::net::{IpAddr, Ipv4Addr};

use crate::outside::is_public;

/// What is known of IPv4. Whatever was not asked or not answered is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// This computer's own address on the way to the internet.
    pub own: Option<Ipv4Addr>,
    /// What the router says its address outside is.
    pub router: Option<Ipv4Addr>,
    /// The router refused to say, for want of an address.
    pub router_has_none: bool,
    /// The address that somebody outside saw.
    pub seen: Option<Ipv4Addr>,
}

/// What follows from that, and no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No IPv4 at all.
    NoIpv4,
    /// This computer's own address is one of the internet.
    Own(Ipv4Addr),
    /// This computer's own address is one of the internet, and others see it at another one.
    OwnAndOther { own: Ipv4Addr, seen: Ipv4Addr },
    /// Behind one router, which has this address of the internet; `sure` if somebody outside saw the same.
    Router { outside: Ipv4Addr, sure: bool },
    /// The provider shares its addresses among customers (100.64.0.0/10, RFC 6598).
    Shared { router: Ipv4Addr, seen: Option<Ipv4Addr> },
    /// The router's address is a private one: another router is in front of it.
    SecondRouter { router: Option<Ipv4Addr>, seen: Option<Ipv4Addr> },
    /// The router says that it has an address of the internet, and others see another one: it lies, or the way out is
    /// another one (a VPN, a second line).
    Differs { router: Ipv4Addr, seen: Ipv4Addr },
    /// Somebody outside sees this address; whose it is cannot be told without the router.
    SeenOnly(Ipv4Addr),
    /// There is a private address, and nobody who could say more.
    Unknown(Ipv4Addr),
}

pub fn judge(evidence: &Evidence) -> Standing {
    let Evidence { own, router, router_has_none, seen } = *evidence;
    let Some(own) = own else { return Standing::NoIpv4 };
    if is_public(IpAddr::V4(own)) {
        return match seen {
            Some(seen) if seen != own => Standing::OwnAndOther { own, seen },
            _ => Standing::Own(own),
        };
    }
    match (router, seen) {
        (Some(router), seen) if matches!(router.octets(), [100, 64..128, ..]) => Standing::Shared { router, seen },
        (Some(router), seen) if !is_public(IpAddr::V4(router)) => Standing::SecondRouter { router: Some(router), seen },
        (Some(router), Some(seen)) if router != seen => Standing::Differs { router, seen },
        (Some(router), seen) => Standing::Router { outside: router, sure: seen.is_some() },
        (None, seen) if router_has_none => Standing::SecondRouter { router: None, seen },
        (None, Some(seen)) => Standing::SeenOnly(seen),
        (None, None) => Standing::Unknown(own),
    }
}

impl Standing {
    /// Stable, for programs.
    pub fn id(&self) -> &'static str {
        match self {
            Self::NoIpv4 => "no-ipv4",
            Self::Own(_) => "own-address",
            Self::OwnAndOther { .. } => "own-and-other",
            Self::Router { .. } => "behind-router",
            Self::Shared { .. } => "carrier-nat",
            Self::SecondRouter { .. } => "second-router",
            Self::Differs { .. } => "differs",
            Self::SeenOnly(_) => "seen-only",
            Self::Unknown(_) => "unknown",
        }
    }

    /// In a sentence, and what to do about it.
    pub fn words(&self) -> (String, String) {
        let public = "doorstep share 8000 --public".to_owned();
        let relay = "Use a relay (`--via`), or ask the provider for a public IPv4 address.".to_owned();
        match self {
            Self::NoIpv4 => ("This computer has no IPv4 address on the way to the internet.".to_owned(), String::new()),
            Self::Own(own) => (
                format!(
                    "{own} is an address of the internet: visitors come straight here, as far as firewalls let them."
                ),
                "doorstep share 8000".to_owned(),
            ),
            Self::OwnAndOther { own, seen } => (
                format!(
                    "{own} is an address of the internet, and others see this computer at {seen}: its way out is another one than its way in."
                ),
                public,
            ),
            Self::Router { outside, sure: true } => {
                (format!("Visitors can come to {outside}, if the router sends them here."), public)
            }
            Self::Router { outside, sure: false } => (
                format!(
                    "Visitors can come to {outside}, if the router sends them here; so it says, and nobody outside was asked."
                ),
                public,
            ),
            Self::Shared { router, .. } => (
                format!(
                    "The router's address {router} is one that the provider shares among customers (carrier-grade NAT): nobody can come to it."
                ),
                relay,
            ),
            Self::SecondRouter { router, .. } => {
                let what = match router {
                    Some(ip) => format!(
                        "The router's address is {ip}, a private one: there is another router in front of it, or the provider's."
                    ),
                    None => "The router has no address of the internet: another router or the provider's is in front of it, \
                             or its line is down."
                        .to_owned(),
                };
                (what, "Open the port in both, make one of them a bridge, or use a relay (`--via`).".to_owned())
            }
            Self::Differs { router, seen } => (
                format!(
                    "The router says that its address is {router}, and others see {seen}: it is wrong, or the way out is a VPN or a second line."
                ),
                "doorstep share 8000 --public  (looks whether visitors get here)".to_owned(),
            ),
            Self::SeenOnly(seen) => (
                format!(
                    "Others see {seen}. Whether visitors could come to it, the router does not say: it answers neither UPnP nor NAT-PMP nor PCP."
                ),
                "Switch on UPnP in the router's settings, or use a relay (`--via`).".to_owned(),
            ),
            Self::Unknown(own) => (
                format!(
                    "{own} means something in your network only. The router does not say which address it has, and nobody outside was asked."
                ),
                "Switch on UPnP in the router's settings, or use a relay (`--via`).".to_owned(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Option<Ipv4Addr> {
        (!text.is_empty()).then(|| text.parse().unwrap())
    }

    #[test]
    fn no_more_is_said_than_the_evidence_allows() {
        let worlds = [
            ("", "", "", "no-ipv4"),
            ("", "", "11.0.0.20", "no-ipv4"),
            ("11.0.0.30", "", "", "own-address"),
            ("11.0.0.30", "", "11.0.0.30", "own-address"),
            ("11.0.0.30", "", "11.0.0.99", "own-and-other"),
            ("192.168.1.10", "11.0.0.20", "11.0.0.20", "behind-router"),
            ("192.168.1.10", "11.0.0.20", "", "behind-router"),
            ("192.168.1.10", "100.64.0.2", "11.0.0.25", "carrier-nat"),
            ("192.168.1.10", "100.127.255.2", "", "carrier-nat"),
            ("192.168.1.10", "100.128.0.2", "100.128.0.2", "behind-router"),
            ("192.168.1.10", "192.168.100.2", "11.0.0.20", "second-router"),
            ("192.168.1.10", "10.0.0.2", "", "second-router"),
            ("192.168.1.10", "11.0.0.20", "11.0.0.25", "differs"),
            ("192.168.1.10", "", "11.0.0.20", "seen-only"),
            ("192.168.1.10", "", "", "unknown"),
            ("100.64.3.4", "", "", "unknown"),
            ("169.254.1.1", "", "", "unknown"),
        ];
        for (own, router, seen, id) in worlds {
            let evidence = Evidence { own: ip(own), router: ip(router), router_has_none: false, seen: ip(seen) };
            let standing = judge(&evidence);
            assert_eq!(standing.id(), id, "{evidence:?}");
            let (sentence, _) = standing.words();
            assert!(sentence.ends_with('.') && sentence.len() < 200, "{sentence}");
        }
        let none = Evidence { own: ip("192.168.1.10"), router_has_none: true, ..Evidence::default() };
        assert_eq!(judge(&none).id(), "second-router");
        let sure = |seen: &str| {
            judge(&Evidence { own: ip("10.0.0.5"), router: ip("11.0.0.20"), router_has_none: false, seen: ip(seen) })
        };
        assert!(
            sure("").words().0.contains("nobody outside was asked") && !sure("11.0.0.20").words().0.contains("nobody")
        );
    }
}
