use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where the machines of the clouds tell their own secrets, outside of the link-local range: Alibaba, Oracle, Azure.
const METADATA_V4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192), Ipv4Addr::new(168, 63, 129, 16)];
/// The same of AWS and Google.
const METADATA_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];

/// Addresses that no target may have, nor a name that a target has: link-local ones (where clouds have their metadata, and
/// routers their settings), metadata services elsewhere, multicast and broadcast.
pub fn is_forbidden(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_multicast() || ip.is_broadcast() || METADATA_V4.contains(&ip),
        IpAddr::V6(ip) => {
            let inner = embedded(ip).is_some_and(|inner| is_forbidden(IpAddr::V4(inner)));
            inner || ip.is_unicast_link_local() || ip.is_multicast() || METADATA_V6.contains(&ip)
        }
    }
}

/// The IPv4 address that a translator would make of it (NAT64, RFC 6052 section 2.1), or that is in it by 6to4 (RFC 3056).
fn embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = ip.segments();
    let from = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match [a, b, c, d, e, f] {
        [0x64, 0xff9b, 0, 0, 0, 0] | [0, 0, 0, 0, 0, 0] => Some(from(g, h)),
        [0x2002, ..] => Some(from(b, c)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_and_link_local_in_every_disguise() {
        for ip in [
            "169.254.169.254",
            "169.254.0.1",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "fe80::1",
            "febf::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "224.0.0.251",
            "ff02::fb",
            "255.255.255.255",
        ] {
            assert!(is_forbidden(ip.parse().unwrap()), "{ip}");
        }
        for ip in ["127.0.0.1", "::1", "192.168.1.5", "10.0.0.1", "fd12::1", "8.8.8.8", "100.64.0.1", "0.0.0.0", "::"] {
            assert!(!is_forbidden(ip.parse().unwrap()), "{ip}");
        }
    }
}
