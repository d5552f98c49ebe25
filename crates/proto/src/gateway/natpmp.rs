//! The NAT Port Mapping Protocol (RFC 6886).

use std::net::Ipv4Addr;

use super::{DatagramError, Protocol, u16_at, u32_at};

const VERSION: u8 = 0;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// The gateway's own address outside (section 3.2).
    ExternalAddress,
    /// A mapping, renewed or new; `lifetime` 0 seconds removes it, and then `external` is 0 (sections 3.3 and 3.4).
    Map { protocol: Protocol, internal: u16, external: u16, lifetime: u32 },
}

/// What is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response {
    /// Seconds since the gateway's mappings began anew: less than expected means that they are gone (section 3.6).
    pub epoch: u32,
    pub outcome: Result<Answer, Refusal>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    ExternalAddress(Ipv4Addr),
    Mapped { protocol: Protocol, internal: u16, external: u16, lifetime: u32 },
}

/// Result codes (section 3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("it speaks another version of NAT-PMP")]
    UnsupportedVersion,
    #[error("it does not allow port mappings")]
    NotAuthorized,
    #[error("it has no address on the internet itself")]
    NetworkFailure,
    #[error("it has no room for another mapping")]
    OutOfResources,
    #[error("it does not know this request")]
    UnsupportedOpcode,
    #[error("it gave the error {0}")]
    Other(u16),
}

pub fn encode(request: &Request) -> Vec<u8> {
    match request {
        Request::ExternalAddress => vec![VERSION, 0],
        Request::Map { protocol, internal, external, lifetime } => {
            let mut out = vec![VERSION, opcode(*protocol), 0, 0];
            out.extend_from_slice(&internal.to_be_bytes());
            out.extend_from_slice(&external.to_be_bytes());
            out.extend_from_slice(&lifetime.to_be_bytes());
            out
        }
    }
}

/// Reads the gateway's answer to `request`.
///
/// # Errors
/// A datagram that is not such an answer, and is to be ignored.
pub fn decode(bytes: &[u8], request: &Request) -> Result<Response, DatagramError> {
    let (version, op) = (*bytes.first().ok_or(DatagramError::Short)?, *bytes.get(1).ok_or(DatagramError::Short)?);
    let result = u16_at(bytes, 2).ok_or(DatagramError::Short)?;
    if op & 0x80 == 0 {
        return Err(DatagramError::NoAnswer);
    }
    // A gateway that only knows PCP answers in its own version (RFC 6887 section 9.1), and with nothing else of use.
    if version != VERSION {
        return Err(DatagramError::Version(version));
    }
    let asked = match request {
        Request::ExternalAddress => 0,
        Request::Map { protocol, .. } => opcode(*protocol),
    };
    if op & 0x7f != asked {
        return Err(DatagramError::Other);
    }
    let epoch = u32_at(bytes, 4).ok_or(DatagramError::Short)?;
    if let Some(refusal) = refusal(result) {
        return Ok(Response { epoch, outcome: Err(refusal) });
    }
    let answer = match request {
        Request::ExternalAddress => {
            Answer::ExternalAddress(Ipv4Addr::from(u32_at(bytes, 8).ok_or(DatagramError::Short)?))
        }
        Request::Map { protocol, internal, .. } => {
            let mapped = u16_at(bytes, 8).ok_or(DatagramError::Short)?;
            if mapped != *internal {
                return Err(DatagramError::Other);
            }
            let external = u16_at(bytes, 10).ok_or(DatagramError::Short)?;
            let lifetime = u32_at(bytes, 12).ok_or(DatagramError::Short)?;
            Answer::Mapped { protocol: *protocol, internal: mapped, external, lifetime }
        }
    };
    Ok(Response { epoch, outcome: Ok(answer) })
}

fn opcode(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Udp => 1,
        Protocol::Tcp => 2,
    }
}

fn refusal(code: u16) -> Option<Refusal> {
    Some(match code {
        0 => return None,
        1 => Refusal::UnsupportedVersion,
        2 => Refusal::NotAuthorized,
        3 => Refusal::NetworkFailure,
        4 => Refusal::OutOfResources,
        5 => Refusal::UnsupportedOpcode,
        other => Refusal::Other(other),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAP: Request = Request::Map { protocol: Protocol::Tcp, internal: 8080, external: 80, lifetime: 3600 };

    #[test]
    fn a_mapping_is_asked_for_and_granted() {
        assert_eq!(encode(&MAP), [0, 2, 0, 0, 0x1f, 0x90, 0, 80, 0, 0, 0x0e, 0x10]);
        let answer = [0, 0x82, 0, 0, 0, 0, 0, 9, 0x1f, 0x90, 0x1f, 0x91, 0, 0, 0, 120];
        let mapped = Answer::Mapped { protocol: Protocol::Tcp, internal: 8080, external: 8081, lifetime: 120 };
        assert_eq!(decode(&answer, &MAP), Ok(Response { epoch: 9, outcome: Ok(mapped) }));
        assert_eq!(decode(&answer, &Request::ExternalAddress), Err(DatagramError::Other));
        let of_another_port = Request::Map { protocol: Protocol::Tcp, internal: 8081, external: 80, lifetime: 3600 };
        assert_eq!(decode(&answer, &of_another_port), Err(DatagramError::Other));
    }

    #[test]
    fn a_refusal_needs_no_more_than_its_head() {
        let answer = [0, 0x82, 0, 3, 0, 0, 0, 9];
        assert_eq!(decode(&answer, &MAP), Ok(Response { epoch: 9, outcome: Err(Refusal::NetworkFailure) }));
        assert_eq!(decode(&[2, 0x80, 0, 1, 0, 0, 0, 0], &MAP), Err(DatagramError::Version(2)));
        assert_eq!(decode(&encode(&MAP), &MAP), Err(DatagramError::NoAnswer));
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes: Vec<u8>) {
            let _ = decode(&bytes, &MAP);
            let _ = decode(&bytes, &Request::ExternalAddress);
        }
    }
}
