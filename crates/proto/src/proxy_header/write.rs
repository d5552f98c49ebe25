use std::net::{IpAddr, SocketAddr};

use super::v2::SIGNATURE;

/// Writes a version 1 header: a connection `from` a client `to` a server. `UNKNOWN` if the two are of different families.
pub fn write_v1(out: &mut Vec<u8>, from: SocketAddr, to: SocketAddr) {
    let family = match (from.ip(), to.ip()) {
        (IpAddr::V4(_), IpAddr::V4(_)) => "TCP4",
        (IpAddr::V6(_), IpAddr::V6(_)) => "TCP6",
        _ => return write_unknown_v1(out),
    };
    let line = format!("PROXY {family} {} {} {} {}\r\n", plain(from.ip()), plain(to.ip()), from.port(), to.port());
    out.extend_from_slice(line.as_bytes());
}

/// Writes a version 2 header without TLVs. `AF_UNSPEC` if the two are of different families.
pub fn write_v2(out: &mut Vec<u8>, from: SocketAddr, to: SocketAddr) {
    out.extend_from_slice(&SIGNATURE);
    match (from.ip(), to.ip()) {
        (IpAddr::V4(client), IpAddr::V4(server)) => {
            out.extend_from_slice(&[0x21, 0x11, 0, 12]);
            out.extend_from_slice(&client.octets());
            out.extend_from_slice(&server.octets());
        }
        (IpAddr::V6(client), IpAddr::V6(server)) => {
            out.extend_from_slice(&[0x21, 0x21, 0, 36]);
            out.extend_from_slice(&client.octets());
            out.extend_from_slice(&server.octets());
        }
        _ => return out.extend_from_slice(&[0x21, 0x00, 0, 0]),
    }
    out.extend_from_slice(&from.port().to_be_bytes());
    out.extend_from_slice(&to.port().to_be_bytes());
}

/// Writes a version 1 header of a connection that has no client.
pub fn write_unknown_v1(out: &mut Vec<u8>) {
    out.extend_from_slice(b"PROXY UNKNOWN\r\n");
}

/// Writes a version 2 header of a proxy that speaks for itself, as in a health check.
pub fn write_local_v2(out: &mut Vec<u8>) {
    out.extend_from_slice(&SIGNATURE);
    out.extend_from_slice(&[0x20, 0x00, 0, 0]);
}

/// Eight groups: some readers do not know the forms with a dotted IPv4 address in them.
fn plain(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => v6.segments().map(|group| format!("{group:x}")).join(":"),
    }
}
