//! The Port Control Protocol (RFC 6887): the MAP opcode, for IPv4 mappings and IPv6 pinholes alike.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{DatagramError, Protocol, u16_at, u32_at};

const VERSION: u8 = 2;
const ANNOUNCE: u8 = 0;
const MAP: u8 = 1;
/// A request or answer of MAP without options (sections 7 and 11.1).
const LENGTH: usize = 60;

/// Ties a mapping to whoever made it (section 11.1): renewing and removing take the same one.
pub type Nonce = [u8; 12];

/// A mapping, renewed or new; `lifetime` 0 seconds removes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// This computer's address, as the gateway sees it.
    pub client: IpAddr,
    pub nonce: Nonce,
    pub protocol: Protocol,
    pub internal: u16,
    /// The port wished for.
    pub external: u16,
    /// The address wished for; `None` for any.
    pub external_ip: Option<IpAddr>,
    /// Seconds.
    pub lifetime: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response {
    /// Seconds since the gateway's mappings began anew (section 8.5).
    pub epoch: u32,
    pub outcome: Result<Mapped, Refusal>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    pub external: u16,
    /// `None` where the gateway says that it has none.
    pub external_ip: Option<IpAddr>,
    /// Seconds.
    pub lifetime: u32,
}

/// Why there is no mapping, and for how many seconds asking again is of no use (section 7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}")]
pub struct Refusal {
    pub code: ResultCode,
    pub for_seconds: u32,
}

/// Result codes (section 7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResultCode {
    #[error("it speaks another version of PCP")]
    UnsupportedVersion,
    #[error("it does not allow port mappings")]
    NotAuthorized,
    #[error("it did not understand the request")]
    MalformedRequest,
    #[error("it does not know this kind of request")]
    UnsupportedOpcode,
    #[error("it does not know an option of the request")]
    UnsupportedOption,
    #[error("it did not understand an option of the request")]
    MalformedOption,
    #[error("it has no address on the internet itself")]
    NetworkFailure,
    #[error("it has no room for another mapping")]
    NoResources,
    #[error("it does not map this protocol")]
    UnsupportedProtocol,
    #[error("this computer has as many mappings as it is allowed")]
    UserExceededQuota,
    #[error("it cannot give the port that was asked for")]
    CannotProvideExternal,
    #[error("there is another router between it and this computer")]
    AddressMismatch,
    #[error("it has too many peers")]
    ExcessiveRemotePeers,
    #[error("it gave the error {0}")]
    Other(u8),
}

pub fn encode(request: &Request) -> Vec<u8> {
    let mut out = Vec::with_capacity(LENGTH);
    out.extend_from_slice(&[VERSION, MAP, 0, 0]);
    out.extend_from_slice(&request.lifetime.to_be_bytes());
    out.extend_from_slice(&sixteen(request.client));
    out.extend_from_slice(&request.nonce);
    out.extend_from_slice(&[protocol_number(request.protocol), 0, 0, 0]);
    out.extend_from_slice(&request.internal.to_be_bytes());
    out.extend_from_slice(&request.external.to_be_bytes());
    // "Any" is said in the family that is meant (section 11.1).
    let any = if request.client.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    out.extend_from_slice(&sixteen(request.external_ip.unwrap_or(any)));
    out
}

/// Asks a gateway whether it speaks PCP at all, and since when (the ANNOUNCE opcode, section 14.1).
pub fn encode_announce(client: IpAddr) -> Vec<u8> {
    let mut out = vec![VERSION, ANNOUNCE, 0, 0, 0, 0, 0, 0];
    out.extend_from_slice(&sixteen(client));
    out
}

/// The epoch that answers [`encode_announce`].
///
/// # Errors
/// A datagram that is no such answer; [`DatagramError::Version`] says that the gateway knows NAT-PMP only.
pub fn decode_announce(bytes: &[u8]) -> Result<u32, DatagramError> {
    match bytes {
        [version, ..] if *version != VERSION => Err(DatagramError::Version(*version)),
        [_, op, ..] if *op == ANNOUNCE | 0x80 => u32_at(bytes, 8).ok_or(DatagramError::Short),
        [_, _, ..] => Err(DatagramError::Other),
        _ => Err(DatagramError::Short),
    }
}

/// Reads the gateway's answer to `request`.
///
/// # Errors
/// A datagram that is not such an answer, and is to be ignored; [`DatagramError::Version`] says that the gateway knows
/// NAT-PMP only (section 9).
pub fn decode(bytes: &[u8], request: &Request) -> Result<Response, DatagramError> {
    let [version, op, _, result, ..] = bytes else { return Err(DatagramError::Short) };
    if op & 0x80 == 0 {
        return Err(DatagramError::NoAnswer);
    }
    if *version != VERSION {
        return Err(DatagramError::Version(*version));
    }
    if op & 0x7f != MAP {
        return Err(DatagramError::Other);
    }
    let lifetime = u32_at(bytes, 4).ok_or(DatagramError::Short)?;
    let epoch = u32_at(bytes, 8).ok_or(DatagramError::Short)?;
    // What the gateway refuses it sends back with the opcode's part as it came, if it could read that far.
    let ours = bytes.get(24..36) == Some(&request.nonce[..])
        && bytes.get(36) == Some(&protocol_number(request.protocol))
        && u16_at(bytes, 40) == Some(request.internal);
    if let Some(code) = result_code(*result) {
        if bytes.len() >= LENGTH && !ours {
            return Err(DatagramError::Other);
        }
        return Ok(Response { epoch, outcome: Err(Refusal { code, for_seconds: lifetime }) });
    }
    if bytes.len() < LENGTH {
        return Err(DatagramError::Short);
    }
    if !ours {
        return Err(DatagramError::Other);
    }
    let external = u16_at(bytes, 42).ok_or(DatagramError::Short)?;
    let ip: [u8; 16] = bytes.get(44..60).and_then(|ip| ip.try_into().ok()).ok_or(DatagramError::Short)?;
    let ip = Ipv6Addr::from(ip).to_canonical();
    Ok(Response {
        epoch,
        outcome: Ok(Mapped { external, external_ip: (!ip.is_unspecified()).then_some(ip), lifetime }),
    })
}

/// IPv4 addresses in their mapped form (section 5).
fn sixteen(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

fn protocol_number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
    }
}

fn result_code(code: u8) -> Option<ResultCode> {
    Some(match code {
        0 => return None,
        1 => ResultCode::UnsupportedVersion,
        2 => ResultCode::NotAuthorized,
        3 => ResultCode::MalformedRequest,
        4 => ResultCode::UnsupportedOpcode,
        5 => ResultCode::UnsupportedOption,
        6 => ResultCode::MalformedOption,
        7 => ResultCode::NetworkFailure,
        8 => ResultCode::NoResources,
        9 => ResultCode::UnsupportedProtocol,
        10 => ResultCode::UserExceededQuota,
        11 => ResultCode::CannotProvideExternal,
        12 => ResultCode::AddressMismatch,
        13 => ResultCode::ExcessiveRemotePeers,
        other => ResultCode::Other(other),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(client: &str) -> Request {
        Request {
            client: client.parse().unwrap(),
            nonce: *b"twelve bytes",
            protocol: Protocol::Tcp,
            internal: 8080,
            external: 443,
            external_ip: None,
            lifetime: 3600,
        }
    }

    /// As a gateway that grants `external` would answer.
    fn granted(request: &Request, external: u16, ip: &str) -> Vec<u8> {
        let mut bytes = encode(request);
        bytes[1] |= 0x80;
        bytes[8..12].copy_from_slice(&77u32.to_be_bytes());
        bytes[12..24].fill(0);
        bytes[42..44].copy_from_slice(&external.to_be_bytes());
        bytes[44..60].copy_from_slice(&sixteen(ip.parse().unwrap()));
        bytes
    }

    #[test]
    fn another_port_may_be_granted() {
        for (client, outside) in [("192.168.1.10", "11.0.0.20"), ("2001:db8::10", "2001:db8::10")] {
            let request = request(client);
            let mapped = Mapped { external: 1024, external_ip: Some(outside.parse().unwrap()), lifetime: 3600 };
            let answer = granted(&request, 1024, outside);
            assert_eq!(decode(&answer, &request), Ok(Response { epoch: 77, outcome: Ok(mapped) }));
            let of_another = Request { nonce: *b"twelve other", ..request };
            assert_eq!(decode(&answer, &of_another), Err(DatagramError::Other));
        }
        let mut without = granted(&request("192.168.1.10"), 443, "0.0.0.0");
        assert_eq!(decode(&without, &request("192.168.1.10")).unwrap().outcome.unwrap().external_ip, None);
        without.truncate(50);
        assert_eq!(decode(&without, &request("192.168.1.10")), Err(DatagramError::Short));
    }

    #[test]
    fn refusals_say_for_how_long() {
        let request = request("192.168.1.10");
        let mut answer = granted(&request, 443, "0.0.0.0");
        answer[3] = 8;
        answer[4..8].copy_from_slice(&1800u32.to_be_bytes());
        let refusal = Refusal { code: ResultCode::NoResources, for_seconds: 1800 };
        assert_eq!(decode(&answer, &request).unwrap().outcome, Err(refusal));
        // RFC 6887 section 9: what a gateway of NAT-PMP says to a request of PCP.
        assert_eq!(decode(&[0, 0x81, 0, 1, 0, 0, 0, 0], &request), Err(DatagramError::Version(0)));
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes: Vec<u8>) {
            let _ = decode(&bytes, &request("192.168.1.10"));
        }

        #[test]
        fn a_cut_answer_is_none(cut in 0usize..60) {
            let request = request("2001:db8::10");
            prop_assert!(decode(&granted(&request, 1, "2001:db8::10")[..cut], &request).is_err());
        }
    }
}
