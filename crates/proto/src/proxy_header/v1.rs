use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{ProxyHeader, ProxyHeaderError, begins, limits::MAX_V1};

/// The line of text: `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443`.
pub fn parse(bytes: &[u8]) -> Result<Option<ProxyHeader>, ProxyHeaderError> {
    let malformed = ProxyHeaderError::Malformed;
    if begins(bytes, b"PROXY ")?.is_none() {
        return Ok(None);
    }
    let seen = bytes.get(..bytes.len().min(MAX_V1)).unwrap_or_default();
    let Some(end) = seen.windows(2).position(|two| two == b"\r\n") else {
        return if seen.len() == MAX_V1 { Err(ProxyHeaderError::TooLong(MAX_V1)) } else { Ok(None) };
    };
    let line = seen.get(6..end).and_then(|line| std::str::from_utf8(line).ok()).ok_or(malformed("not text"))?;
    let length = end + 2;
    // Whatever follows UNKNOWN is to be ignored (section 2.1).
    if line == "UNKNOWN" || line.starts_with("UNKNOWN ") {
        return Ok(Some(ProxyHeader { length, addresses: None }));
    }
    let mut words = line.split(' ');
    let mut word = || words.next().ok_or(malformed("too few words"));
    let ip: fn(&str) -> Option<IpAddr> = match word()? {
        "TCP4" => |text| text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        "TCP6" => |text| text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        _ => return Err(malformed("neither TCP4 nor TCP6")),
    };
    let from = ip(word()?).ok_or(malformed("client address"))?;
    let to = ip(word()?).ok_or(malformed("server address"))?;
    let from = SocketAddr::new(from, port(word()?).ok_or(malformed("client port"))?);
    let to = SocketAddr::new(to, port(word()?).ok_or(malformed("server port"))?);
    if words.next().is_some() {
        return Err(malformed("too many words"));
    }
    Ok(Some(ProxyHeader { length, addresses: Some((from, to)) }))
}

/// Digits only, without zeros in front.
fn port(text: &str) -> Option<u16> {
    let plain = text == "0" || (!text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()));
    text.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<ProxyHeader>, ProxyHeaderError> {
        parse(text.as_bytes())
    }

    #[test]
    fn examples_of_the_specification() {
        let header = read("PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\nGET / HTTP/1.1\r\n").unwrap().unwrap();
        assert_eq!(header.length, 47);
        assert_eq!(header.addresses.unwrap().0, "192.168.0.1:56324".parse().unwrap());
        let longest = format!("PROXY UNKNOWN {} {} 65535 65535\r\n", ["ffff"; 8].join(":"), ["ffff"; 8].join(":"));
        assert_eq!(longest.len(), MAX_V1);
        assert_eq!(read(&longest), Ok(Some(ProxyHeader { length: MAX_V1, addresses: None })));
        assert_eq!(read("PROXY UNKNOWN\r\n"), Ok(Some(ProxyHeader { length: 15, addresses: None })));
    }

    #[test]
    fn what_is_not_exact_is_refused() {
        for line in [
            "PROXY TCP4 192.168.0.1 192.168.0.11 56324\r\n",
            "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443 \r\n",
            "PROXY TCP4  192.168.0.1 192.168.0.11 56324 443\r\n",
            "PROXY TCP4 192.168.0.1 192.168.0.11 056324 443\r\n",
            "PROXY TCP4 192.168.0.1 192.168.0.11 +5 443\r\n",
            "PROXY TCP4 192.168.0.1 192.168.0.11 65536 443\r\n",
            "PROXY TCP4 ::1 ::1 1 1\r\n",
            "PROXY TCP6 127.0.0.1 127.0.0.1 1 1\r\n",
            "PROXY UDP4 127.0.0.1 127.0.0.1 1 1\r\n",
            "PROXY UNKNOWNX\r\n",
            "PROXY \r\n",
        ] {
            assert!(matches!(read(line), Err(ProxyHeaderError::Malformed(_))), "{line}");
        }
        assert_eq!(read("proxy TCP4 1"), Err(ProxyHeaderError::Missing));
        assert_eq!(read(&format!("PROXY {}", "x".repeat(200))), Err(ProxyHeaderError::TooLong(MAX_V1)));
    }
}
