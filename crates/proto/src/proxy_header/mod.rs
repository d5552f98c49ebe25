//! The PROXY protocol, versions 1 and 2 (haproxy.org, `proxy-protocol.txt`): who opened a connection that a proxy passes
//! on, said before its first byte.

pub mod limits;
mod v1;
mod v2;
mod write;

use std::net::SocketAddr;

pub use write::{write_local_v2, write_unknown_v1, write_v1, write_v2};

/// A header that was read whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyHeader {
    /// Bytes that it took; what follows is the connection's own.
    pub length: usize,
    /// Client and server address of the original connection. `None` where the proxy speaks for itself (`LOCAL`, a health
    /// check) or does not say (`UNKNOWN`, unix sockets): the connection's own addresses count then.
    pub addresses: Option<(SocketAddr, SocketAddr)>,
}

/// Why the beginning of a connection is no PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyHeaderError {
    #[error("the connection does not begin with a PROXY protocol header")]
    Missing,
    #[error("malformed PROXY protocol header: {0}")]
    Malformed(&'static str),
    #[error("the PROXY protocol header is longer than {0} bytes")]
    TooLong(usize),
}

/// Reads a header of either version from the beginning of `bytes`; `None` while more bytes are needed.
///
/// # Errors
/// As soon as the bytes cannot become a header any more.
pub fn parse(bytes: &[u8]) -> Result<Option<ProxyHeader>, ProxyHeaderError> {
    match bytes.first() {
        None => Ok(None),
        Some(b'P') => v1::parse(bytes),
        Some(b'\r') => v2::parse(bytes),
        Some(_) => Err(ProxyHeaderError::Missing),
    }
}

/// Whether `bytes` begin with `signature`; `None` while that is open.
fn begins(bytes: &[u8], signature: &[u8]) -> Result<Option<()>, ProxyHeaderError> {
    let known = bytes.len().min(signature.len());
    if bytes.get(..known) != signature.get(..known) {
        return Err(ProxyHeaderError::Missing);
    }
    Ok((known == signature.len()).then_some(()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address() -> impl Strategy<Value = SocketAddr> {
        prop_oneof![
            (any::<[u8; 4]>(), any::<u16>()).prop_map(SocketAddr::from),
            (any::<[u8; 16]>(), any::<u16>()).prop_map(SocketAddr::from),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(from in address(), to in address(), after: Vec<u8>) {
            for write in [write_v1, write_v2] {
                let mut bytes = Vec::new();
                write(&mut bytes, from, to);
                let length = bytes.len();
                bytes.extend_from_slice(&after);
                let addresses = (from.is_ipv4() == to.is_ipv4()).then_some((from, to));
                prop_assert_eq!(parse(&bytes), Ok(Some(ProxyHeader { length, addresses })));
                for cut in 0..length {
                    prop_assert_eq!(parse(&bytes[..cut]), Ok(None), "cut at {}", cut);
                }
            }
        }

        #[test]
        fn any_bytes_are_judged(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }

        #[test]
        fn any_end_of_a_header_is_judged(rest in proptest::collection::vec(any::<u8>(), 0..300)) {
            for start in [&b"PROXY TCP4 "[..], b"PROXY TCP6 ::1 ", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", b"\r\n\r\n\0\r\nQUIT\n"] {
                let bytes = [start, &rest].concat();
                if let Ok(Some(header)) = parse(&bytes) {
                    prop_assert!(header.length <= bytes.len());
                    // More bytes behind it change nothing.
                    prop_assert_eq!(parse(&bytes[..header.length]), Ok(Some(header)));
                }
            }
        }
    }

    #[test]
    fn a_proxy_that_speaks_for_itself_names_nobody() {
        for write in [write_local_v2, write_unknown_v1] {
            let mut bytes = Vec::new();
            write(&mut bytes);
            assert_eq!(parse(&bytes), Ok(Some(ProxyHeader { length: bytes.len(), addresses: None })));
        }
    }

    #[test]
    fn http_is_no_header() {
        for text in ["GET / HTTP/1.1\r\n", "POST / HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n", "\x16\x03\x01"] {
            assert_eq!(parse(text.as_bytes()), Err(ProxyHeaderError::Missing), "{text}");
        }
    }
}
