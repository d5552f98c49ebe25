use std::net::IpAddr;

use doorstep_gateway::upnp_text;
use doorstep_proto::gateway::{Protocol, natpmp, pcp, ssdp};

/// The first byte says what the rest is an answer to.
pub fn check(data: &[u8]) {
    let Some((kind, data)) = super::split_off_byte(data) else { return };
    let map = natpmp::Request::Map { protocol: Protocol::Tcp, internal: 8080, external: 443, lifetime: 600 };
    match kind % 6 {
        0 => drop(natpmp::decode(data, &natpmp::Request::ExternalAddress)),
        1 => {
            if let Ok(natpmp::Response { outcome: Ok(natpmp::Answer::Mapped { internal, .. }), .. }) =
                natpmp::decode(data, &map)
            {
                assert_eq!(internal, 8080, "an answer to somebody else");
            }
        }
        2 => mapped(data),
        3 => drop(pcp::decode_announce(data)),
        4 => {
            if let Some(found) = ssdp::parse(data) {
                assert!(!found.location.is_empty() && found.location.len() <= ssdp::LONGEST);
            }
        }
        _ => upnp_text(&String::from_utf8_lossy(data)),
    }
}

fn mapped(data: &[u8]) {
    let request = pcp::Request {
        client: IpAddr::from([192, 168, 1, 10]),
        nonce: *b"twelve bytes",
        protocol: Protocol::Tcp,
        internal: 8080,
        external: 443,
        external_ip: None,
        lifetime: 600,
    };
    if let Ok(pcp::Response { outcome: Ok(_), .. }) = pcp::decode(data, &request) {
        assert_eq!(data.get(24..36), Some(&b"twelve bytes"[..]), "an answer to somebody else");
    }
}
