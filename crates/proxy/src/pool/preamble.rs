//! What an upstream is told before anything else, where it wants that (the PROXY protocol).

use std::net::IpAddr;

use doorstep_model::ProxyHeader;
use doorstep_net::ConnInfo;
use doorstep_proto::proxy_header::{write_local_v2, write_unknown_v1, write_v1, write_v2};

/// What an upstream is told of the client.
pub fn of_client(form: ProxyHeader, conn: &ConnInfo) -> Vec<u8> {
    let (mut peer, mut local) = (conn.peer, conn.local);
    peer.set_ip(peer.ip().to_canonical());
    local.set_ip(local.ip().to_canonical());
    // The header has one family for both; a client that a proxy before us named may be of the other one.
    if peer.is_ipv4() != local.is_ipv4() {
        for address in [&mut peer, &mut local] {
            if let IpAddr::V4(v4) = address.ip() {
                address.set_ip(IpAddr::V6(v4.to_ipv6_mapped()));
            }
        }
    }
    let mut out = Vec::new();
    match form {
        ProxyHeader::V1 => write_v1(&mut out, peer, local),
        ProxyHeader::V2 => write_v2(&mut out, peer, local),
    }
    out
}

/// That we speak for ourselves.
pub fn of_ourselves(form: ProxyHeader) -> Vec<u8> {
    let mut out = Vec::new();
    match form {
        ProxyHeader::V1 => write_unknown_v1(&mut out),
        ProxyHeader::V2 => write_local_v2(&mut out),
    }
    out
}
