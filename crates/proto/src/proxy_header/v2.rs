use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{ProxyHeader, ProxyHeaderError, begins, limits::MAX_V2};

pub const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const FIXED: usize = 16;

/// The binary form. Its TLVs are skipped.
pub fn parse(bytes: &[u8]) -> Result<Option<ProxyHeader>, ProxyHeaderError> {
    let malformed = ProxyHeaderError::Malformed;
    if begins(bytes, &SIGNATURE)?.is_none() {
        return Ok(None);
    }
    let Some(&[command, family, high, low]) = bytes.get(SIGNATURE.len()..FIXED) else { return Ok(None) };
    if command >> 4 != 2 {
        return Err(malformed("its version is not 2"));
    }
    let length = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if length > MAX_V2 {
        return Err(ProxyHeaderError::TooLong(MAX_V2));
    }
    let Some(block) = bytes.get(FIXED..length) else { return Ok(None) };
    let addresses = match (command & 0x0f, family) {
        // LOCAL: the proxy speaks for itself, whatever the rest says.
        (0, _) => None,
        // TCP over IPv4 and IPv6.
        (1, 0x11) => Some(v4(block).ok_or(malformed("its addresses are cut off"))?),
        (1, 0x21) => Some(v6(block).ok_or(malformed("its addresses are cut off"))?),
        // AF_UNSPEC, AF_UNIX and datagrams name nobody that we could.
        (1, 0x00 | 0x10 | 0x12 | 0x20 | 0x22 | 0x30 | 0x31 | 0x32) => None,
        (1, _) => return Err(malformed("address family")),
        _ => return Err(malformed("command")),
    };
    Ok(Some(ProxyHeader { length, addresses }))
}

fn v4(block: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let (from, rest) = block.split_first_chunk::<4>()?;
    let (to, rest) = rest.split_first_chunk::<4>()?;
    pair(Ipv4Addr::from(*from), Ipv4Addr::from(*to), rest)
}

fn v6(block: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let (from, rest) = block.split_first_chunk::<16>()?;
    let (to, rest) = rest.split_first_chunk::<16>()?;
    pair(Ipv6Addr::from(*from), Ipv6Addr::from(*to), rest)
}

fn pair<T: Into<std::net::IpAddr>>(from: T, to: T, ports: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let [a, b, c, d] = *ports.first_chunk::<4>()?;
    let (from_port, to_port) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    Some((SocketAddr::new(from.into(), from_port), SocketAddr::new(to.into(), to_port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, block].concat()
    }

    #[test]
    fn commands_and_families() {
        let block = [192, 0, 2, 1, 198, 51, 100, 1, 0, 80, 1, 187];
        let tlvs = [&block[..], &[4, 0, 3, 1, 2, 3]].concat();
        let addresses = Some(("192.0.2.1:80".parse().unwrap(), "198.51.100.1:443".parse().unwrap()));
        assert_eq!(parse(&header(0x21, 0x11, &block)), Ok(Some(ProxyHeader { length: 28, addresses })));
        assert_eq!(parse(&header(0x21, 0x11, &tlvs)), Ok(Some(ProxyHeader { length: 34, addresses })));
        for (command, family) in [(0x20, 0x11), (0x20, 0x00), (0x21, 0x00), (0x21, 0x31), (0x21, 0x12)] {
            assert_eq!(parse(&header(command, family, &block)), Ok(Some(ProxyHeader { length: 28, addresses: None })));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (command, family) in [(0x11, 0x11), (0x22, 0x11), (0x2f, 0x11), (0x21, 0x13), (0x21, 0x41)] {
            assert!(parse(&header(command, family, &[0; 40])).is_err(), "{command:x} {family:x}");
        }
        assert!(parse(&header(0x21, 0x21, &[0; 35])).is_err());
        assert_eq!(parse(&header(0x21, 0x11, &[0; 5000])[..20]), Err(ProxyHeaderError::TooLong(MAX_V2)));
    }
}
