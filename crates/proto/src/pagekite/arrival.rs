//! What comes before a tunnel: telling its connections from visitors', the probe, and the request for TLS.

use super::error::PageKiteError;
use super::fields::{Fields, shown, split_block};
use super::kite::{Kite, parse_port};
use super::limits::MAX_HEAD;

/// What a back-end asks of a port where visitors come as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Is this a front-end? To be answered with [`probe_answer`].
    Probe,
    /// A tunnel: for a [`super::FrontEnd`].
    Tunnel,
    /// Not a back-end.
    Other,
}

const TUNNEL: &[u8] = b"CONNECT PageKite:1 HTTP/1.";
const PROBE: &[u8] = b"HEAD /ping HTTP/1.";
const PROBE_HOST: &str = "ping.pagekite";

/// Judges the first bytes of a connection; `None` while more are needed.
pub fn recognise(bytes: &[u8]) -> Option<Arrival> {
    let begins = |start: &[u8]| {
        let known = bytes.len().min(start.len());
        (bytes.get(..known) == start.get(..known)).then_some(known == start.len())
    };
    match (begins(TUNNEL), begins(PROBE)) {
        (Some(true), _) => Some(Arrival::Tunnel),
        (_, Some(true)) => {
            let Some((end, _)) = split_block(bytes) else {
                return (bytes.len() >= MAX_HEAD).then_some(Arrival::Other);
            };
            let fields = bytes.get(..end).and_then(|head| {
                let line = memchr::memchr(b'\n', head)?;
                Fields::parse(head.get(line..)?).ok()
            });
            let is_probe = fields.is_some_and(|fields| fields.first("Host") == Some(PROBE_HOST));
            Some(if is_probe { Arrival::Probe } else { Arrival::Other })
        }
        (None, None) => Some(Arrival::Other),
        _ => None,
    }
}

/// What a back-end asks, on a connection of its own, before it trusts a front-end with a tunnel.
pub fn probe_request() -> &'static [u8] {
    b"HEAD /ping HTTP/1.1\r\nHost: ping.pagekite\r\n\r\n"
}

/// What a front-end answers to it. The connection ends then.
pub fn probe_answer(uuid: &str, overloaded: bool) -> String {
    let overloaded = if overloaded { "X-PageKite-Overloaded: Yes\r\n" } else { "" };
    format!(
        "HTTP/1.1 503 Unavailable\r\nX-PageKite-UUID: {uuid}\r\n{overloaded}Content-Type: text/html; charset=utf-8\r\n\
         Cache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
}

/// What a front-end said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    pub uuid: Option<String>,
    /// It would rather not have another back-end.
    pub overloaded: bool,
}

/// Reads the answer to a probe; `None` while more bytes are needed.
///
/// # Errors
/// When it is not that of a front-end.
pub fn parse_probe(bytes: &[u8]) -> Result<Option<Probe>, PageKiteError> {
    let Some(fields) = answer(bytes, "HTTP/1.1 503 Unavailable")? else { return Ok(None) };
    let overloaded = fields.first("X-PageKite-Overloaded").is_some();
    Ok(Some(Probe { uuid: fields.text("X-PageKite-UUID"), overloaded }))
}

/// What somebody asks of a front-end with `CONNECT`: a visitor of a raw kite, or a back-end that wants TLS for its tunnel
/// (then the host is the name of the front-end's certificate). Answered with [`CONNECT_ANSWER`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// Lower-case.
    pub host: String,
    pub port: u16,
    /// Bytes that the request took; what follows is for whoever is connected to.
    pub length: usize,
}

/// What a front-end answers when it does what a `CONNECT` asked.
pub const CONNECT_ANSWER: &[u8] = b"HTTP/1.1 200 Tunnel Established\r\n\r\n";

/// Reads a `CONNECT` request; `None` while more bytes are needed.
///
/// # Errors
/// When it is none, or not for a host name and a port.
pub fn parse_connect(bytes: &[u8]) -> Result<Option<Connect>, PageKiteError> {
    const START: &[u8] = b"CONNECT ";
    let known = bytes.len().min(START.len());
    let malformed = PageKiteError::Handshake("a CONNECT request is for host:port");
    if bytes.get(..known) != START.get(..known) {
        return Err(malformed);
    }
    let Some((end, length)) = split_block(bytes) else {
        return if bytes.len() > MAX_HEAD { Err(PageKiteError::HeadTooLarge) } else { Ok(None) };
    };
    let line = bytes.get(..end).and_then(|head| head.split(|&byte| byte == b'\r').next()).unwrap_or_default();
    let line = std::str::from_utf8(line).map_err(|_| malformed.clone())?;
    let words: Vec<&str> = line.split(' ').collect();
    let [_, target, "HTTP/1.0" | "HTTP/1.1"] = *words.as_slice() else { return Err(malformed) };
    let (host, port) = target.rsplit_once(':').ok_or(malformed.clone())?;
    let port = parse_port(port).ok_or(malformed.clone())?;
    // The rules for names are those of kites.
    let kite = Kite::new("raw", host).map_err(|_| malformed)?;
    Ok(Some(Connect { host: kite.domain().to_owned(), port, length }))
}

/// What a back-end asks before it begins TLS for a tunnel, for the certificate of `name`.
pub fn tls_request(name: &str) -> String {
    format!("CONNECT {name}:443 HTTP/1.1\r\n\r\n")
}

/// Reads the answer to it: how many bytes it took; `None` while more are needed. TLS begins behind them.
///
/// # Errors
/// When the front-end has no TLS to offer.
pub fn parse_tls_answer(bytes: &[u8]) -> Result<Option<usize>, PageKiteError> {
    let status = if bytes.starts_with(b"HTTP/1.0") { "HTTP/1.0 200" } else { "HTTP/1.1 200" };
    Ok(answer(bytes, status)?.and_then(|_| split_block(bytes)).map(|(_, start)| start))
}

/// The fields of an answer whose first line begins with `status`.
pub(super) fn answer(bytes: &[u8], status: &str) -> Result<Option<Fields>, PageKiteError> {
    let known = bytes.len().min(status.len());
    if bytes.get(..known) != status.as_bytes().get(..known) {
        let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
        return Err(PageKiteError::NotFrontEnd(shown(&String::from_utf8_lossy(line))));
    }
    let Some((end, _)) = split_block(bytes) else {
        return if bytes.len() > MAX_HEAD { Err(PageKiteError::HeadTooLarge) } else { Ok(None) };
    };
    let head = bytes.get(..end).unwrap_or_default();
    let line = memchr::memchr(b'\n', head).unwrap_or(head.len());
    Fields::parse(head.get(line..).unwrap_or_default()).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_are_told_apart_as_soon_as_they_can_be() {
        assert_eq!(recognise(probe_request()), Some(Arrival::Probe));
        assert_eq!(recognise(b"CONNECT PageKite:1 HTTP/1.0\r\n"), Some(Arrival::Tunnel));
        for open in [&b""[..], b"H", b"HEAD /ping HTTP/1.1\r\nHost: ping", b"CONNECT PageKite:1"] {
            assert_eq!(recognise(open), None, "{open:?}");
        }
        for other in [&b"GET"[..], b"HEAD /pong", b"CONNECT a:443 HTTP/1.1", b"\x16\x03\x01"] {
            assert_eq!(recognise(other), Some(Arrival::Other), "{other:?}");
        }
        assert_eq!(recognise(b"HEAD /ping HTTP/1.1\r\nHost: a.example\r\n\r\n"), Some(Arrival::Other));
    }

    #[test]
    fn probes_are_answered() {
        let answer = probe_answer("abc", true);
        assert_eq!(parse_probe(answer.as_bytes()), Ok(Some(Probe { uuid: Some("abc".into()), overloaded: true })));
        for cut in 0..answer.len() {
            assert_eq!(parse_probe(&answer.as_bytes()[..cut]), Ok(None), "cut at {cut}");
        }
        assert!(matches!(parse_probe(b"HTTP/1.1 200 OK\r\n\r\n"), Err(PageKiteError::NotFrontEnd(_))));
    }

    #[test]
    fn connect_requests_name_a_host_and_a_port() {
        let connect = |text: &str| parse_connect(text.as_bytes());
        let request = "CONNECT Kite.lab.test:22 HTTP/1.1\r\nHost: x\r\n\r\n";
        let wanted = Connect { host: "kite.lab.test".into(), port: 22, length: request.len() };
        assert_eq!(connect(&format!("{request}SSH-2.0")), Ok(Some(wanted)));
        for cut in 0..request.len() {
            assert_eq!(connect(&request[..cut]), Ok(None), "cut at {cut}");
        }
        for wrong in ["GET / HTTP/1.1\r\n\r\n", "CONNECT a HTTP/1.1\r\n\r\n", "CONNECT a:0 HTTP/1.1\r\n\r\n"] {
            assert!(connect(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse_tls_answer(CONNECT_ANSWER), Ok(Some(CONNECT_ANSWER.len())));
        let tls = tls_request("fe.example");
        assert_eq!(connect(&tls).unwrap().unwrap().host, "fe.example");
    }

    #[test]
    fn tls_begins_behind_the_answer() {
        assert_eq!(parse_tls_answer(b"HTTP/1.1 200 OK\r\n\r\n\x16"), Ok(Some(19)));
        assert_eq!(parse_tls_answer(b"HTTP/1.0 200"), Ok(None));
        assert!(parse_tls_answer(b"HTTP/1.1 503 Unavailable").is_err());
    }
}
