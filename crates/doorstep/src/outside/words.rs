//! What people are told of direct ways.

use std::net::{IpAddr, Ipv4Addr};

use doorstep_proto::tunnel::ProbeOutcome;

/// What the way by the home router is called.
pub(super) const ROUTER: &str = "your router";
/// What the way by this computer's own IPv6 address is called.
pub(super) const IPV6: &str = "IPv6";

/// Whether a way is one of these, and no tunnel.
pub fn is_direct(via: &str) -> bool {
    via == ROUTER || via == IPV6
}

/// Why visitors do not get to `at`, as somebody outside saw it.
pub(super) fn unreached(outcome: &ProbeOutcome, at: &str, mapped: bool) -> String {
    match outcome {
        ProbeOutcome::TimedOut if mapped => format!(
            "the router opened the port, and still nothing gets through to {at}: another router or the provider is in between, \
             or a firewall of this computer"
        ),
        ProbeOutcome::TimedOut => format!("nothing from outside gets through to {at}: the router's firewall is closed"),
        ProbeOutcome::Refused => format!("{at} refuses visitors from outside"),
        ProbeOutcome::WrongAnswer => format!("somebody else answers at {at}"),
        ProbeOutcome::Unreachable => format!("{at} cannot be reached from outside"),
        ProbeOutcome::TlsFailed(why) => format!("TLS with {at} fails from outside: {why}"),
        ProbeOutcome::Limited(seconds) => format!("the relay looks again in {seconds} s"),
        ProbeOutcome::Forbidden => format!("the relay does not look at {at}"),
        ProbeOutcome::Answered { .. } => String::new(),
    }
}

/// Why an address that the router says it has outside is none that visitors could come to.
pub fn not_public(ip: Option<IpAddr>) -> String {
    match ip {
        Some(IpAddr::V4(ip)) if is_shared(ip) => format!(
            "its address {ip} is one that the provider shares among customers (carrier-grade NAT), so nobody can come to it. \
             Ask the provider for a public address, or use a relay"
        ),
        Some(ip) => format!(
            "its address {ip} is a private one: there is another router in front of it. Open the port there as well, or make \
             one of them a bridge"
        ),
        None => "it does not say which address it has on the internet, and no relay is there to see it".to_owned(),
    }
}

/// 100.64.0.0/10 (RFC 6598).
fn is_shared(ip: Ipv4Addr) -> bool {
    matches!(ip.octets(), [100, 64..128, ..])
}

/// Whether visitors from the internet could come to it.
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            !(ip.is_private()
                || is_shared(ip)
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_unspecified()
                || ip.is_multicast())
        }
        IpAddr::V6(ip) => ip.segments()[0] & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_router_s_address_tells() {
        let told = |ip: &str| not_public(ip.parse().ok());
        assert!(told("100.64.0.2").contains("provider shares"));
        assert!(told("192.168.178.20").contains("another router"));
        assert!(told("").contains("does not say"));
        for (ip, public) in [
            ("11.0.0.20", true),
            ("100.63.0.1", true),
            ("100.127.1.1", false),
            ("10.1.1.1", false),
            ("fd00::1", false),
            ("2001:db8::1", true),
        ] {
            assert_eq!(is_public(ip.parse().unwrap()), public, "{ip}");
        }
    }
}
