use bytes::{BufMut, BytesMut};

use super::fields::{put_address, put_bytes, put_text};
use super::limits::{HEADER, MAX_PROBES};
use super::message::{Claim, Frame, Hello, Open, ProbeAsk, ProbeKind, ProbeOutcome, Purpose, Sharing, Welcome};

/// Numbers of the frames. Above [`IGNORABLE`] a later version may add some that this one skips.
pub(super) mod kind {
    pub const HELLO: u8 = 1;
    pub const WELCOME: u8 = 2;
    pub const CLOSE: u8 = 3;
    pub const PING: u8 = 4;
    pub const PONG: u8 = 5;
    pub const CLAIM: u8 = 6;
    pub const GRANTED: u8 = 7;
    pub const DENIED: u8 = 8;
    pub const RELEASE: u8 = 9;
    pub const RENEW: u8 = 10;
    pub const POOL: u8 = 11;
    pub const GO_AWAY: u8 = 12;
    pub const OPEN: u8 = 16;
    pub const ACCEPTED: u8 = 17;
    pub const DATA: u8 = 18;
    pub const FIN: u8 = 19;
    pub const RESET: u8 = 20;
    pub const CREDIT: u8 = 21;
    pub const DATAGRAM: u8 = 22;
    pub const BEAT: u8 = 23;
    pub const OBSERVED: u8 = 32;
    pub const PROBED: u8 = 33;
    pub const IGNORABLE: u8 = 0x80;
}

fn header(kind: u8, stream: u32, length: usize) -> [u8; HEADER] {
    let [_, a, b, c] = (length as u32).to_be_bytes();
    let [d, e, f, g] = stream.to_be_bytes();
    [kind, a, b, c, d, e, f, g]
}

/// The header in front of `length` bytes of a stream, at most [`MAX_DATA`](super::limits::MAX_DATA).
pub fn data_header(stream: u32, length: usize) -> [u8; HEADER] {
    header(kind::DATA, stream, length)
}

/// Appends a frame to `out`.
pub fn encode(frame: &Frame, out: &mut BytesMut) {
    let start = out.len();
    out.put_slice(&[0; HEADER]);
    let (kind, stream) = payload(frame, out);
    let length = out.len() - start - HEADER;
    out[start..start + HEADER].copy_from_slice(&header(kind, stream, length));
}

/// Writes the payload; says the kind and what stands in the header as stream or claim.
fn payload(frame: &Frame, out: &mut BytesMut) -> (u8, u32) {
    match frame {
        Frame::Hello(hello) => {
            put_hello(out, hello);
            (kind::HELLO, 0)
        }
        Frame::Welcome(Welcome { version, session, agent, domain, software }) => {
            out.put_u16(*version);
            out.put_slice(&session.0);
            put_text(out, agent);
            put_text(out, domain);
            put_text(out, software);
            (kind::WELCOME, 0)
        }
        Frame::Close { code, detail } => {
            out.put_u16(*code);
            put_text(out, detail);
            (kind::CLOSE, 0)
        }
        Frame::Ping(number) => {
            out.put_u64(*number);
            (kind::PING, 0)
        }
        Frame::Pong(number) => {
            out.put_u64(*number);
            (kind::PONG, 0)
        }
        Frame::Claim { id, claim } => {
            put_claim(out, claim);
            (kind::CLAIM, *id)
        }
        Frame::Granted { id, grant } => {
            put_text(out, &grant.host);
            out.put_u16(grant.port);
            out.put_u32(u32::try_from(grant.lease.as_secs()).unwrap_or(u32::MAX));
            (kind::GRANTED, *id)
        }
        Frame::Denied { id, code, detail } => {
            out.put_u16(*code);
            put_text(out, detail);
            (kind::DENIED, *id)
        }
        Frame::Release { id } => (kind::RELEASE, *id),
        Frame::Renew { id } => (kind::RENEW, *id),
        Frame::Pool { exclusive, shared } => {
            out.put_u16(*exclusive);
            out.put_u16(*shared);
            (kind::POOL, 0)
        }
        Frame::GoAway { detail } => {
            put_text(out, detail);
            (kind::GO_AWAY, 0)
        }
        Frame::Open { stream, open } => {
            put_open(out, open);
            (kind::OPEN, *stream)
        }
        Frame::Accepted { stream } => (kind::ACCEPTED, *stream),
        Frame::Fin { stream } => (kind::FIN, *stream),
        Frame::Reset { stream, code } => {
            out.put_u16(*code);
            (kind::RESET, *stream)
        }
        Frame::Credit { stream, bytes } => {
            out.put_u32(*bytes);
            (kind::CREDIT, *stream)
        }
        Frame::Datagram { stream, payload } => {
            out.put_slice(payload);
            (kind::DATAGRAM, *stream)
        }
        Frame::Observed(address) => {
            put_address(out, *address);
            (kind::OBSERVED, 0)
        }
        Frame::Probed { index, outcome } => {
            put_outcome(out, outcome);
            (kind::PROBED, *index)
        }
        Frame::Beat => (kind::BEAT, 0),
    }
}

/// The versions come first and stay there in every version, so that strangers can tell each other.
fn put_hello(out: &mut BytesMut, hello: &Hello) {
    out.put_u16(hello.versions.0);
    out.put_u16(hello.versions.1);
    out.put_slice(&hello.exporter);
    out.put_slice(&hello.key);
    out.put_slice(&hello.signature);
    put_purpose(out, &hello.purpose);
    put_text(out, &hello.software);
}

pub(super) fn put_purpose(out: &mut BytesMut, purpose: &Purpose) {
    match purpose {
        Purpose::Control => out.put_u8(0),
        Purpose::Data { session, sharing } => {
            out.put_u8(match sharing {
                Sharing::Exclusive => 1,
                Sharing::Shared => 2,
            });
            out.put_slice(&session.0);
        }
        Purpose::Join { invitation } => {
            out.put_u8(3);
            put_bytes(out, invitation);
        }
        Purpose::Probe { asks } => {
            out.put_u8(4);
            let count = asks.len().min(MAX_PROBES);
            out.put_u8(count as u8);
            asks.iter().take(count).for_each(|ask| put_ask(out, ask));
        }
    }
}

fn put_ask(out: &mut BytesMut, ask: &ProbeAsk) {
    out.put_u16(ask.port);
    let (kind, texts) = match &ask.kind {
        ProbeKind::Connect => (0, None),
        ProbeKind::Http { host, nonce } => (1, Some((host, nonce))),
        ProbeKind::Https { host, nonce } => (2, Some((host, nonce))),
    };
    out.put_u8(kind);
    if let Some((host, nonce)) = texts {
        put_text(out, host);
        put_text(out, nonce);
    }
}

fn put_outcome(out: &mut BytesMut, outcome: &ProbeOutcome) {
    match outcome {
        ProbeOutcome::Answered { certificate, millis } => {
            out.put_u8(0);
            out.put_u32(*millis);
            out.put_u8(u8::from(certificate.is_some()));
            out.put_slice(certificate.as_ref().map_or(&[], |hash| hash.as_slice()));
        }
        ProbeOutcome::WrongAnswer => out.put_u8(1),
        ProbeOutcome::Refused => out.put_u8(2),
        ProbeOutcome::TimedOut => out.put_u8(3),
        ProbeOutcome::Unreachable => out.put_u8(4),
        ProbeOutcome::TlsFailed(why) => {
            out.put_u8(5);
            put_text(out, why);
        }
        ProbeOutcome::Limited(seconds) => {
            out.put_u8(6);
            out.put_u32(*seconds);
        }
        ProbeOutcome::Forbidden => out.put_u8(7),
    }
}

fn put_claim(out: &mut BytesMut, claim: &Claim) {
    match claim {
        Claim::Http { name, label } => {
            out.put_u8(1);
            put_text(out, name);
            put_text(out, label);
        }
        Claim::Tls { name } => {
            out.put_u8(2);
            put_text(out, name);
        }
        Claim::Tcp { port } => {
            out.put_u8(3);
            out.put_u16(*port);
        }
        Claim::Udp { port } => {
            out.put_u8(4);
            out.put_u16(*port);
        }
    }
}

fn put_open(out: &mut BytesMut, open: &Open) {
    out.put_u32(open.claim);
    out.put_u8(u8::from(open.datagrams) | u8::from(open.tls.is_some()) << 1);
    put_address(out, open.visitor);
    put_address(out, open.local);
    if let Some(tls) = &open.tls {
        out.put_u16(tls.version);
        put_text(out, &tls.server_name);
        put_text(out, &tls.alpn);
    }
}
