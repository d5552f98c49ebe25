use doorstep_proto::pagekite::{Arrival, recognise as arrival};

/// Whether a connection is for the PageKite front-end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recognised {
    Yes,
    No,
    /// More bytes will tell.
    Maybe,
}

/// Judges the first bytes of a connection, in the clear or inside TLS. Ours are: tunnels, probes (`HEAD /ping`, for the
/// host `ping.pagekite`), and every `CONNECT`: a visitor of a raw kite, or a back-end that wants TLS for its tunnel. An
/// HTTP server has no other use for that method.
pub fn recognise(bytes: &[u8]) -> Recognised {
    const CONNECT: &[u8] = b"CONNECT ";
    let known = bytes.len().min(CONNECT.len());
    if bytes.get(..known) == CONNECT.get(..known) {
        return if known == CONNECT.len() { Recognised::Yes } else { Recognised::Maybe };
    }
    match arrival(bytes) {
        Some(Arrival::Tunnel | Arrival::Probe) => Recognised::Yes,
        Some(Arrival::Other) => Recognised::No,
        None => Recognised::Maybe,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visitors_are_told_by_their_first_byte() {
        for no in [&b"G"[..], b"POST /", b"\x16\x03\x01", b"HEAD / HTTP/1.1", b"CONNECTED", b"COPY", b"PRI * HTTP/2.0"]
        {
            assert_eq!(recognise(no), Recognised::No, "{no:?}");
        }
        for maybe in [&b""[..], b"C", b"CONNECT", b"HEAD /ping", b"HEAD /ping HTTP/1.1\r\nHost: ping.pagekite\r\n"] {
            assert_eq!(recognise(maybe), Recognised::Maybe, "{maybe:?}");
        }
        let probe = b"HEAD /ping HTTP/1.1\r\nHost: ping.pagekite\r\n\r\n";
        for yes in [&b"CONNECT "[..], b"CONNECT PageKite:1 HTTP/1.0\r\n", b"CONNECT a.example:22 HTTP/1.1\r\n", probe] {
            assert_eq!(recognise(yes), Recognised::Yes, "{yes:?}");
        }
    }
}
