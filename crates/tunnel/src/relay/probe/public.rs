use std::net::IpAddr;

use crate::is_forbidden;

/// Whether an address is one of the internet: nothing that means another computer here than it means elsewhere, and nothing
/// that a translator makes another address of.
pub(super) fn is_public(ip: IpAddr) -> bool {
    if is_forbidden(ip) {
        return false;
    }
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            let shared = a == 100 && (64..128).contains(&b);
            let protocols = a == 192 && b == 0 && c == 0;
            !(ip.is_private() || ip.is_loopback() || shared || protocols || a == 0 || a >= 224)
        }
        IpAddr::V6(ip) => {
            let [a, b, ..] = ip.segments();
            // 2000::/3 without 6to4 (RFC 3056) and Teredo (RFC 4380), which have IPv4 addresses inside.
            a & 0xe000 == 0x2000 && a != 0x2002 && !(a == 0x2001 && b == 0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_another_computer_elsewhere_is_not_looked_at() {
        for ip in ["11.0.0.20", "8.8.8.8", "2001:db8::1", "2a00::1"] {
            assert!(is_public(ip.parse().unwrap()), "{ip}");
        }
        for ip in [
            "127.0.0.1",
            "10.0.0.1",
            "172.17.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "100.127.255.255",
            "169.254.169.254",
            "0.0.0.0",
            "192.0.0.8",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "2002:a00:1::1",
            "2001:0:1::1",
            "64:ff9b::a00:1",
            "::ffff:10.0.0.1",
        ] {
            assert!(!is_public(ip.parse::<IpAddr>().unwrap().to_canonical()), "{ip}");
        }
    }
}
