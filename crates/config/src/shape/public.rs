use super::format::{DURATION, SERVER_NAME};
use super::{Key, Kind, Shape};

/// `[public]`.
pub(super) const PUBLIC: Shape = Shape {
    name: "public",
    about: "Straight from the internet to this computer, behind a home router and with an address that changes: ports of the router, and names that follow.",
    keys: &[&[
        Key::new(
            "map",
            Kind::Either(&[Kind::Bool, Kind::List(&Kind::Integer(1, 65535))]),
            "false",
            "Ask the router (UPnP, NAT-PMP, PCP) to send visitors of these ports here, and its firewall to let IPv6 through; `true` is every port of `[listen]`.",
            "map = true",
        ),
        Key::new(
            "names",
            Kind::Either(&[Kind::Bool, Kind::Many(&Kind::Text(&SERVER_NAME))]),
            "",
            "Names that are kept leading here, by the provider of `dns`; `true` is the name of every site.",
            "names = [\"home.example.com\"]",
        ),
        Key::new("ipv4", Kind::Bool, "true", "Whether these names have an IPv4 address.", "ipv4 = false"),
        Key::new("ipv6", Kind::Bool, "true", "Whether these names have an IPv6 address.", "ipv6 = false"),
        Key::new(
            "ttl",
            Kind::Text(&DURATION),
            "\"1m\"",
            "How long others may remember these addresses, where the provider lets that be said.",
            "ttl = \"5m\"",
        ),
    ]],
};
