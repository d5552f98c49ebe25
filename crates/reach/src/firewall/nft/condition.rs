use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use super::super::walk::{Match, Packet, source_in};
use super::{Sets, text};

/// Whether a `match` statement holds.
pub(super) fn condition(body: &Value, packet: &Packet, sets: &Sets<'_>) -> Match {
    let (Some(left), Some(right)) = (body.get("left"), body.get("right")) else { return Match::Maybe };
    let subject = Subject::of(left, packet);
    if subject == Subject::Absent {
        return Match::No; // Not even `!=` holds: nft checks the protocol first.
    }
    if let Some([flags, mask]) = left.get("&").and_then(Value::as_array).map(Vec::as_slice)
        && Subject::of(flags, packet) == Subject::Flags
    {
        let equal = masked_flags_are(mask, right);
        return if text(body, "op") == "!=" { equal.not() } else { equal };
    }
    match text(body, "op") {
        // `in` asks for a bit in a mask (`ct state new`), `==` with a set for membership.
        "==" | "in" => subject.is(right, packet, sets),
        "!=" => subject.is(right, packet, sets).not(),
        op @ ("<" | ">" | "<=" | ">=") => match (subject, right.as_u64()) {
            (Subject::Port, Some(bound)) => {
                let port = u64::from(packet.port);
                Match::from(match op {
                    "<" => port < bound,
                    ">" => port > bound,
                    "<=" => port <= bound,
                    _ => port >= bound,
                })
            }
            _ => Match::Maybe,
        },
        _ => Match::Maybe,
    }
}

/// What a condition asks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Port,
    Interface,
    Source,
    Destination,
    /// The protocol above IP.
    Protocol,
    /// IPv4 or IPv6.
    Family,
    ConnectionState,
    /// Whether the connection was redirected, to here or elsewhere.
    ConnectionStatus,
    ConnectionDirection,
    /// To this computer alone, or to many.
    PacketType,
    /// What this computer's routes say of the destination.
    DestinationType,
    /// The way back to the sender (reverse path filter).
    ReturnRoute,
    Flags,
    /// Does not occur in this packet: UDP ports, ICMP types, addresses of the other family.
    Absent,
    Other,
}

impl Subject {
    /// What `left` stands for, in this packet.
    pub(super) fn of(left: &Value, packet: &Packet) -> Self {
        if is_other_family(left, packet) {
            return Self::Absent;
        }
        if let Some(payload) = left.get("payload") {
            return match (text(payload, "protocol"), text(payload, "field")) {
                ("tcp" | "th", "dport") => Self::Port,
                ("tcp", "flags") => Self::Flags,
                ("ip" | "ip6", "saddr") => Self::Source,
                ("ip" | "ip6", "daddr") => Self::Destination,
                ("ip", "protocol") | ("ip6", "nexthdr") => Self::Protocol,
                ("udp" | "udplite" | "sctp" | "dccp" | "icmp" | "icmpv6" | "igmp" | "esp" | "ah" | "arp", _) => {
                    Self::Absent
                }
                _ => Self::Other,
            };
        }
        if let Some(meta) = left.get("meta") {
            return match text(meta, "key") {
                "iif" | "iifname" => Self::Interface,
                "l4proto" => Self::Protocol,
                "nfproto" | "protocol" => Self::Family,
                "pkttype" => Self::PacketType,
                _ => Self::Other,
            };
        }
        if let Some(fib) = left.get("fib") {
            let about = fib.get("flags").map(Value::to_string).unwrap_or_default();
            return match text(fib, "result") {
                "type" if about.contains("daddr") => Self::DestinationType,
                "oif" if about.contains("saddr") => Self::ReturnRoute,
                _ => Self::Other,
            };
        }
        match left.get("ct").map(|ct| text(ct, "key")) {
            Some("state") => Self::ConnectionState,
            Some("status") => Self::ConnectionStatus,
            Some("direction") => Self::ConnectionDirection,
            _ => Self::Other,
        }
    }

    /// Whether it has the value `right`, or one of its values.
    pub(super) fn is(self, right: &Value, packet: &Packet, sets: &Sets<'_>) -> Match {
        let any =
            |values: &[Value]| values.iter().fold(Match::No, |found, value| found.or(self.is(value, packet, sets)));
        let list = right.get("set").or_else(|| right.get("|")).unwrap_or(right);
        if let Some(values) = list.as_array() {
            return any(values);
        }
        if let Some(element) = right.get("elem") {
            return element.get("val").map_or(Match::Maybe, |value| self.is(value, packet, sets));
        }
        if let Some(name) = right.as_str().and_then(|text| text.strip_prefix('@')) {
            return sets.elements(name).map_or(Match::Maybe, |values| any(values));
        }
        self.has(right, packet)
    }

    fn has(self, value: &Value, packet: &Packet) -> Match {
        let word = value.as_str();
        if word == Some("*") {
            return Match::Yes;
        }
        match self {
            Self::Port => port_is(value, packet.port),
            Self::Interface => word.map_or(Match::Maybe, |name| match name.strip_suffix('*') {
                Some(prefix) => packet.interface.starts_with(prefix).into(),
                None => (packet.interface == name).into(),
            }),
            Self::Source => network(value).map_or(Match::Maybe, |network| source_in(&packet.source, &network)),
            Self::Destination => {
                network(value).map_or(Match::Maybe, |network| network.contains(&packet.destination).into())
            }
            Self::Protocol => {
                word.map_or_else(|| value.as_u64().map_or(Match::Maybe, |n| (n == 6).into()), |w| (w == "tcp").into())
            }
            Self::Family => match word {
                Some("ipv4" | "ip") => packet.destination.is_ipv4().into(),
                Some("ipv6" | "ip6") => packet.destination.is_ipv6().into(),
                Some(_) => Match::No,
                None => Match::Maybe,
            },
            Self::ConnectionState => word.map_or(Match::Maybe, |state| (state == "new").into()),
            Self::ConnectionStatus => match word {
                Some("dnat" | "snat" | "assured" | "confirmed" | "seen-reply" | "expected" | "dying") => Match::No,
                _ => Match::Maybe,
            },
            Self::ConnectionDirection => word.map_or(Match::Maybe, |way| (way == "original").into()),
            Self::PacketType => word.map_or(Match::Maybe, |to| matches!(to, "host" | "unicast").into()),
            Self::DestinationType => word.map_or(Match::Maybe, |kind| (kind == "local").into()),
            // A neighbour on the local network always has one; `false` asks for senders without.
            Self::ReturnRoute => value.as_bool().map_or(Match::Maybe, Match::from),
            Self::Flags => word.map_or(Match::Maybe, |flag| (flag == "syn").into()),
            Self::Absent => Match::No,
            Self::Other => Match::Maybe,
        }
    }
}

/// A condition on IPv4 does not hold for IPv6, nor the other way round.
fn is_other_family(left: &Value, packet: &Packet) -> bool {
    match left.get("payload").map(|payload| text(payload, "protocol")) {
        Some("ip") => packet.destination.is_ipv6(),
        Some("ip6") => packet.destination.is_ipv4(),
        _ => false,
    }
}

/// `tcp flags & (fin | syn | rst | ack) == syn`, for a packet whose only flag is SYN.
fn masked_flags_are(mask: &Value, wanted: &Value) -> Match {
    let flags = |value: &Value| -> Option<Vec<String>> {
        let list = value.get("|").unwrap_or(value);
        match list.as_array() {
            Some(list) => list.iter().map(|flag| flag.as_str().map(str::to_owned)).collect(),
            None if list.as_u64() == Some(0) => Some(Vec::new()),
            None => list.as_str().map(|flag| vec![flag.to_owned()]),
        }
    };
    let (Some(mask), Some(wanted)) = (flags(mask), flags(wanted)) else { return Match::Maybe };
    let seen: Vec<String> = mask.into_iter().filter(|flag| flag == "syn").collect();
    (seen == wanted).into()
}

fn port_is(value: &Value, port: u16) -> Match {
    let number = |value: &Value| value.as_u64().or_else(|| service_port(value.as_str()?).map(u64::from));
    let port = u64::from(port);
    if let Some(range) = value.get("range").and_then(Value::as_array) {
        return match (range.first().and_then(number), range.get(1).and_then(number)) {
            (Some(low), Some(high)) => (low..=high).contains(&port).into(),
            _ => Match::Maybe,
        };
    }
    number(value).map_or(Match::Maybe, |wanted| (wanted == port).into())
}

/// nft prints numbers, unless it was told to print names.
fn service_port(name: &str) -> Option<u16> {
    match name {
        "ssh" => Some(22),
        "http" => Some(80),
        "https" => Some(443),
        "http-alt" => Some(8080),
        _ => name.parse().ok(),
    }
}

fn network(value: &Value) -> Option<IpNet> {
    if let Some(prefix) = value.get("prefix") {
        let address: IpAddr = text(prefix, "addr").parse().ok()?;
        return IpNet::new(address, u8::try_from(prefix.get("len")?.as_u64()?).ok()?).ok();
    }
    value.as_str()?.parse::<IpAddr>().ok().map(IpNet::from)
}
