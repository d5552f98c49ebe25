//! What a computer says to its gateway to be let through: NAT-PMP, PCP, and finding UPnP devices by SSDP.

pub mod natpmp;
pub mod pcp;
pub mod ssdp;

/// UDP port on which gateways speak NAT-PMP and PCP (RFC 6886 section 3, RFC 6887 section 19).
pub const PORT: u16 = 5351;

/// What a mapping carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    Tcp,
    Udp,
}

/// A datagram that is none of the protocol's, or none of an answer to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatagramError {
    #[error("it is cut short")]
    Short,
    #[error("it is of protocol version {0}")]
    Version(u8),
    #[error("it is no answer")]
    NoAnswer,
    #[error("it answers something else")]
    Other,
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}
