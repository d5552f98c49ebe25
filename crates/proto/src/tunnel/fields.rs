//! The fields of messages: numbers in network order, texts and addresses with their length in front.

use std::net::{IpAddr, SocketAddr};

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::limits::MAX_TEXT;
use super::{Code, TunnelError};

/// Reads fields from a message's payload. Whatever is missing is an error; whatever follows the known fields is a later
/// version's and is ignored.
pub(super) struct Reader(pub Bytes);

fn short() -> TunnelError {
    TunnelError::new(Code::Malformed, "a message ends in the middle of a field")
}

impl Reader {
    pub fn u8(&mut self) -> Result<u8, TunnelError> {
        self.0.try_get_u8().map_err(|_| short())
    }

    pub fn u16(&mut self) -> Result<u16, TunnelError> {
        self.0.try_get_u16().map_err(|_| short())
    }

    pub fn u32(&mut self) -> Result<u32, TunnelError> {
        self.0.try_get_u32().map_err(|_| short())
    }

    pub fn u64(&mut self) -> Result<u64, TunnelError> {
        self.0.try_get_u64().map_err(|_| short())
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], TunnelError> {
        let mut array = [0; N];
        self.0.try_copy_to_slice(&mut array).map_err(|_| short())?;
        Ok(array)
    }

    pub fn bytes(&mut self, most: usize) -> Result<Bytes, TunnelError> {
        let length = usize::from(self.u16()?);
        if length > most {
            return Err(TunnelError::new(Code::Oversized, "a field is longer than this protocol allows"));
        }
        if length > self.0.len() {
            return Err(short());
        }
        Ok(self.0.split_to(length))
    }

    pub fn text(&mut self) -> Result<String, TunnelError> {
        let bytes = self.bytes(MAX_TEXT)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| TunnelError::new(Code::Malformed, "a text is not UTF-8"))?;
        if text.chars().any(char::is_control) {
            return Err(TunnelError::new(Code::Malformed, "a text has control characters"));
        }
        Ok(text.to_owned())
    }

    pub fn address(&mut self) -> Result<SocketAddr, TunnelError> {
        let ip = match self.u8()? {
            4 => IpAddr::from(self.array::<4>()?),
            6 => IpAddr::from(self.array::<16>()?),
            _ => return Err(TunnelError::new(Code::Malformed, "an address of an unknown family")),
        };
        Ok(SocketAddr::new(ip, self.u16()?))
    }
}

pub(super) fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    let length = bytes.len().min(usize::from(u16::MAX));
    out.put_u16(length as u16);
    out.put_slice(&bytes[..length]);
}

/// Writes a text, without control characters and cut at the bound, so that the other side always takes it.
pub(super) fn put_text(out: &mut BytesMut, text: &str) {
    let clean: String = text.chars().filter(|c| !c.is_control()).collect();
    put_bytes(out, &clean.as_bytes()[..clean.floor_char_boundary(MAX_TEXT)]);
}

pub(super) fn put_address(out: &mut BytesMut, address: SocketAddr) {
    match address.ip() {
        IpAddr::V4(ip) => {
            out.put_u8(4);
            out.put_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            out.put_u8(6);
            out.put_slice(&ip.octets());
        }
    }
    out.put_u16(address.port());
}
