//! What a frame says: fields, an empty line, data.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::error::PageKiteError;
use super::fields::{Fields, shown, split_block};
use super::frame::FrameEncoder;
use super::limits::{MAX_DOMAIN, MAX_FRAME_FIELDS, MAX_PING, MAX_SID};

/// A stream's name, as the front-end chose it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sid(Arc<str>);

impl Sid {
    fn parse(text: &str) -> Option<Self> {
        let fine = (1..=MAX_SID).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        fine.then(|| Self(text.into()))
    }

    pub(super) fn numbered(number: u64) -> Self {
        Self(number.to_string().into())
    }
}

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a front-end says of a new stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// `http`, `https` (the visitor's own TLS, by its SNI), `websocket`, `raw`.
    pub protocol: String,
    /// The visitor's Host, SNI, or CONNECT target, lower-case.
    pub host: String,
    /// The port that the visitor asked for; 0 if unknown.
    pub port: u16,
    pub visitor: Option<SocketAddr>,
    /// The front-end ended the visitor's TLS.
    pub tls: bool,
}

/// Which halves of a stream are over, from the point of view of whoever says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Eof {
    /// `R`: nothing more is read there, so nothing more will be sent.
    pub sends_no_more: bool,
    /// `W`: nothing more can be written there, so nothing more should be sent.
    pub takes_no_more: bool,
}

impl Eof {
    pub const FINISHED: Self = Self { sends_no_more: true, takes_no_more: false };
    pub const GONE: Self = Self { sends_no_more: true, takes_no_more: true };
}

/// A frame from the other side, in whole.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    pub sid: Option<Sid>,
    /// No frame of a stream, or only about one.
    pub noop: bool,
    pub ping: Option<String>,
    pub pong: bool,
    /// The other side cannot unpack what we send: begin a new zlib stream.
    pub reset_zlib: bool,
    /// Kilobytes of the stream that left the other side, from the stream's start.
    pub acknowledged: Option<u64>,
    pub eof: Option<Eof>,
    pub opening: Option<Opening>,
    pub fields: Fields,
    pub data: Bytes,
}

impl Message {
    /// # Errors
    /// [`PageKiteError::Frame`].
    pub fn parse(mut payload: Bytes) -> Result<Self, PageKiteError> {
        let seen = payload.get(..payload.len().min(MAX_FRAME_FIELDS)).unwrap_or_default();
        let (end, start) = split_block(seen).ok_or(PageKiteError::Frame("no empty line after its fields"))?;
        let fields = Fields::parse(seen.get(..end).unwrap_or_default())?;
        let data = payload.split_off(start);
        let sid = match fields.first("SID") {
            Some(text) => Some(Sid::parse(text).ok_or(PageKiteError::Frame("a stream's name"))?),
            None => None,
        };
        let eof = fields.first("EOF").map(|halves| Eof {
            // A bare number means both.
            sends_no_more: halves.contains('R') || !halves.contains('W'),
            takes_no_more: halves.contains('W') || !halves.contains('R'),
        });
        Ok(Self {
            noop: fields.first("NOOP").is_some(),
            ping: fields.first("PING").map(|text| shown(text).chars().take(MAX_PING).collect()),
            pong: fields.first("PONG").is_some(),
            reset_zlib: fields.first("ZRST").is_some(),
            acknowledged: fields.first("SKB").and_then(|kilobytes| kilobytes.parse().ok()),
            opening: opening(&fields)?,
            sid,
            eof,
            data,
            fields,
        })
    }
}

fn opening(fields: &Fields) -> Result<Option<Opening>, PageKiteError> {
    let Some(protocol) = fields.first("Proto") else { return Ok(None) };
    let host = fields.first("Host").unwrap_or_default();
    // Some hosts come with their port.
    let host = host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(host, |(name, _)| name);
    if host.len() > MAX_DOMAIN || host.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return Err(PageKiteError::Frame("a stream's host"));
    }
    let number = |name| fields.first(name).and_then(|port| port.parse::<u16>().ok()).unwrap_or_default();
    let address = fields.first("RIP").and_then(|address| address.parse::<IpAddr>().ok());
    Ok(Some(Opening {
        protocol: shown(protocol).to_ascii_lowercase(),
        host: host.to_ascii_lowercase(),
        port: number("Port"),
        visitor: address.map(|address| SocketAddr::new(address.to_canonical(), number("RPort"))),
        tls: fields.first("RTLS").is_some_and(|tls| !tls.is_empty() && tls != "0"),
    }))
}

/// Writes the frame that opens a stream, with its first `data`.
pub fn write_opening(encoder: &mut FrameEncoder, out: &mut BytesMut, sid: &Sid, opening: &Opening, data: &[u8]) {
    let Opening { protocol, host, port, visitor, tls } = opening;
    let mut head = format!("SID: {sid}\r\nProto: {protocol}\r\nHost: {host}\r\nPort: {port}\r\n");
    if let Some(visitor) = visitor {
        let address = match visitor.ip() {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        head.push_str(&format!("RIP: {address}\r\nRPort: {}\r\n", visitor.port()));
    }
    if *tls {
        head.push_str("RTLS: 1\r\n");
    }
    head.push_str("\r\n");
    encoder.encode(out, head.as_bytes(), data);
}

pub fn write_data(encoder: &mut FrameEncoder, out: &mut BytesMut, sid: &Sid, data: &[u8]) {
    encoder.encode(out, format!("SID: {sid}\r\n\r\n").as_bytes(), data);
}

pub fn write_eof(encoder: &mut FrameEncoder, out: &mut BytesMut, sid: &Sid, eof: Eof) {
    let halves = match (eof.takes_no_more, eof.sends_no_more) {
        (true, false) => "W",
        (false, true) => "R",
        _ => "WR",
    };
    encoder.encode(out, format!("SID: {sid}\r\nEOF: 1{halves}\r\n\r\n").as_bytes(), b"Bye!");
}

pub fn write_acknowledgement(encoder: &mut FrameEncoder, out: &mut BytesMut, sid: &Sid, kilobytes: u64) {
    encoder.encode(out, format!("NOOP: 1\r\nSID: {sid}\r\nSKB: {kilobytes}\r\n\r\n").as_bytes(), b"");
}

/// A frame that belongs to no stream. `lines` are whole fields with their line ends.
pub fn write_note(encoder: &mut FrameEncoder, out: &mut BytesMut, lines: &str) {
    encoder.encode(out, format!("NOOP: 1\r\n{lines}\r\n").as_bytes(), b"!");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pagekite::frame::{Frame, FrameDecoder};

    fn read(out: &mut BytesMut) -> Message {
        let Ok(Frame::Payload(payload)) = FrameDecoder::default().decode(out) else { panic!("no frame") };
        assert!(out.is_empty());
        Message::parse(payload).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let (mut encoder, mut out) = (FrameEncoder::default(), BytesMut::new());
        let sid = Sid::numbered(7);
        let opening = Opening {
            protocol: "http".into(),
            host: "kite.lab.test".into(),
            port: 443,
            visitor: Some("192.0.2.7:5000".parse().unwrap()),
            tls: true,
        };
        write_opening(&mut encoder, &mut out, &sid, &opening, b"GET");
        let message = read(&mut out);
        assert_eq!((message.sid.as_ref(), message.opening), (Some(&sid), Some(opening)));
        assert_eq!((&message.data[..], message.noop), (&b"GET"[..], false));
        for eof in [Eof::FINISHED, Eof::GONE, Eof { sends_no_more: false, takes_no_more: true }] {
            write_eof(&mut encoder, &mut out, &sid, eof);
            assert_eq!(read(&mut out).eof, Some(eof));
        }
        write_acknowledgement(&mut encoder, &mut out, &sid, 41);
        let message = read(&mut out);
        assert_eq!((message.acknowledged, message.noop, message.opening), (Some(41), true, None));
    }

    /// Seen on the wire between stock programs.
    #[test]
    fn frames_of_the_stock_front_end() {
        let payload =
            "SID: 21\r\nProto: raw\r\nHost: kite.lab.test\r\nPort: 22\r\nRIP: 127.0.0.1\r\nRPort: 56402\r\n\r\n";
        let opening = Message::parse(payload.into()).unwrap().opening.unwrap();
        assert_eq!((opening.protocol.as_str(), opening.port, opening.tls), ("raw", 22, false));
        assert_eq!(opening.visitor.unwrap().to_string(), "127.0.0.1:56402");
        let message = Message::parse("NOOP: 1\r\nPING: 12.5\r\n\r\n!".into()).unwrap();
        assert_eq!((message.ping.as_deref(), message.noop, &message.data[..]), (Some("12.5"), true, &b"!"[..]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged(bytes: Vec<u8>, fields in "((SID|Proto|Host|EOF|SKB|PING|RIP): [ -~]{0,40}\r\n){0,6}") {
            let _ = Message::parse([fields.as_bytes(), b"\r\n", &bytes].concat().into());
            let _ = Message::parse(bytes.into());
        }
    }
}
