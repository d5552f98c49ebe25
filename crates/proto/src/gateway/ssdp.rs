//! Finding UPnP devices (UPnP Device Architecture 1.1 and 2.0, section 1.3): a search by multicast, answers by unicast.

use std::net::Ipv4Addr;

/// Where a search goes.
pub const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 255, 250);
/// UDP port of the group.
pub const PORT: u16 = 1900;
/// What a gateway answers to. Some answer to only one of them.
pub const TARGETS: [&str; 5] = [
    "urn:schemas-upnp-org:device:InternetGatewayDevice:2",
    "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
    "urn:schemas-upnp-org:service:WANIPConnection:1",
    "urn:schemas-upnp-org:service:WANPPPConnection:1",
    "upnp:rootdevice",
];
/// The longest answer that is looked at, in bytes.
pub const LONGEST: usize = 4096;

/// A search for `target`, to be answered within a second.
pub fn search(target: &str) -> String {
    format!("M-SEARCH * HTTP/1.1\r\nHOST: {GROUP}:{PORT}\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: {target}\r\n\r\n")
}

/// What of an answer is of use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where the description is.
    pub location: String,
    /// What was found: as in `ST`.
    pub target: String,
    /// Grows at each restart of the device (UPnP Device Architecture 1.1).
    pub boot_id: Option<u32>,
    /// What the device says it is made of.
    pub server: String,
}

/// Reads an answer; `None` for anything else, or without a location.
pub fn parse(bytes: &[u8]) -> Option<Found> {
    let text = std::str::from_utf8(bytes.get(..bytes.len().min(LONGEST))?).ok()?;
    let mut lines = text.split('\n').map(str::trim);
    let mut status = lines.next()?.split_ascii_whitespace();
    let is_answer = status.next()?.starts_with("HTTP/1.") && status.next()? == "200";
    if !is_answer {
        return None;
    }
    let mut found = Found { location: String::new(), target: String::new(), boot_id: None, server: String::new() };
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        match name.trim().to_ascii_lowercase().as_str() {
            "location" => value.clone_into(&mut found.location),
            "st" => value.clone_into(&mut found.target),
            "server" => value.clone_into(&mut found.server),
            "bootid.upnp.org" => found.boot_id = value.parse().ok(),
            _ => {}
        }
    }
    (!found.location.is_empty()).then_some(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn answers_are_read_however_they_are_written() {
        let answer = "HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=1800\r\nst:upnp:rootdevice\r\nLocation: http://192.168.1.1:5000/d.xml\r\n\
                      SERVER: x UPnP/1.1\r\nBOOTID.UPNP.ORG: 17\r\n\r\n";
        let found = parse(answer.as_bytes()).unwrap();
        assert_eq!(found.location, "http://192.168.1.1:5000/d.xml");
        assert_eq!((found.target.as_str(), found.boot_id), ("upnp:rootdevice", Some(17)));
        // Bare line feeds and no final empty line, as small devices write them.
        assert!(parse(b"HTTP/1.0 200 OK\nLOCATION: http://192.168.1.1/").is_some());
        for none in [
            "",
            "M-SEARCH * HTTP/1.1\r\nLOCATION: x\r\n",
            "HTTP/1.1 404 No\r\nLOCATION: x\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
        ] {
            assert_eq!(parse(none.as_bytes()), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }
    }
}
