use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};

use super::encode::kind;
use super::fields::Reader;
use super::limits::{HEADER, MAX_DATA, MAX_INVITATION, MAX_MESSAGE, MAX_PROBES};
use super::message::{
    Claim, Frame, Grant, Hello, Open, ProbeAsk, ProbeKind, ProbeOutcome, Purpose, SessionId, Sharing, VERSION,
    VisitorTls, Welcome,
};
use super::{Code, TunnelError};

/// What the bytes of a connection say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    Frame(Frame),
    /// A piece of a stream, as it came: a DATA frame that arrives in parts is handed on in parts, never held back.
    Data {
        stream: u32,
        piece: Bytes,
    },
}

/// Cuts a connection's bytes into frames. Holds back at most one message of [`MAX_MESSAGE`] or one datagram.
#[derive(Debug, Default)]
pub struct Decoder {
    input: VecDeque<Bytes>,
    held: usize,
    inside: Option<Inside>,
}

#[derive(Clone, Copy, Debug)]
struct Inside {
    kind: u8,
    stream: u32,
    left: usize,
}

impl Decoder {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes as they came. They are not copied.
    pub fn feed(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.held += bytes.len();
            self.input.push_back(bytes);
        }
    }

    /// The next thing that is whole; `None` while more bytes are needed.
    ///
    /// # Errors
    /// Bytes that are not the protocol. The connection is over then.
    pub fn decode(&mut self) -> Result<Option<Decoded>, TunnelError> {
        loop {
            let inside = match self.inside {
                Some(inside) => inside,
                None => match self.header()? {
                    Some(inside) => *self.inside.insert(inside),
                    None => return Ok(None),
                },
            };
            if inside.kind == kind::DATA {
                match self.piece(inside) {
                    Some(piece) => return Ok(Some(Decoded::Data { stream: inside.stream, piece })),
                    None if inside.left == 0 => continue,
                    None => return Ok(None),
                }
            }
            if self.held < inside.left {
                return Ok(None);
            }
            let payload = self.take(inside.left);
            self.inside = None;
            if let Some(frame) = frame(inside.kind, inside.stream, payload)? {
                return Ok(Some(Decoded::Frame(frame)));
            }
        }
    }

    /// Inside of a DATA frame of which everything that was fed was handed on: its stream, and the bytes that are left.
    pub(super) fn ahead(&self) -> Option<(u32, usize)> {
        let inside = self.inside.filter(|inside| inside.kind == kind::DATA && self.held == 0)?;
        Some((inside.stream, inside.left))
    }

    /// Bytes of the frame that is [`ahead`](Self::ahead) were read past this decoder. Says whether it has as many.
    pub(super) fn skip(&mut self, bytes: usize) -> bool {
        let Some((stream, left)) = self.ahead().filter(|(_, left)| *left >= bytes) else { return bytes == 0 };
        self.inside = (left > bytes).then_some(Inside { kind: kind::DATA, stream, left: left - bytes });
        true
    }

    /// How many more bytes make the next header or message whole, at least 1.
    pub(super) fn needs(&self) -> usize {
        self.inside.map_or(HEADER, |inside| inside.left).saturating_sub(self.held).max(1)
    }

    /// Everything that was fed and not yet read.
    pub fn into_rest(mut self) -> Bytes {
        self.take(self.held)
    }

    fn header(&mut self) -> Result<Option<Inside>, TunnelError> {
        if self.held < HEADER {
            return Ok(None);
        }
        let mut header = self.take(HEADER);
        let word = header.get_u32();
        let (kind, left) = ((word >> 24) as u8, (word & 0x00ff_ffff) as usize);
        let stream = header.get_u32();
        let most = if matches!(kind, kind::DATA | kind::DATAGRAM) { MAX_DATA } else { MAX_MESSAGE };
        if left > most {
            return Err(TunnelError::new(Code::Oversized, format!("{left} bytes, at most {most}")));
        }
        Ok(Some(Inside { kind, stream, left }))
    }

    /// What is there of a DATA frame's payload.
    fn piece(&mut self, inside: Inside) -> Option<Bytes> {
        let piece = match self.input.front_mut() {
            Some(front) if inside.left > 0 => front.split_to(front.len().min(inside.left)),
            _ => {
                if inside.left == 0 {
                    self.inside = None;
                }
                return None;
            }
        };
        self.held -= piece.len();
        if self.input.front().is_some_and(Bytes::is_empty) {
            self.input.pop_front();
        }
        let left = inside.left - piece.len();
        self.inside = (left > 0).then_some(Inside { left, ..inside });
        Some(piece)
    }

    /// Takes `length` bytes, which are there; without a copy if they lie in one piece.
    fn take(&mut self, length: usize) -> Bytes {
        self.held -= length;
        if let Some(front) = self.input.front_mut()
            && front.len() >= length
        {
            let taken = front.split_to(length);
            if front.is_empty() {
                self.input.pop_front();
            }
            return taken;
        }
        let mut whole = BytesMut::with_capacity(length);
        while whole.len() < length {
            let Some(front) = self.input.front_mut() else { break };
            let part = front.split_to(front.len().min(length - whole.len()));
            whole.extend_from_slice(&part);
            if front.is_empty() {
                self.input.pop_front();
            }
        }
        whole.freeze()
    }
}

fn frame(kind: u8, stream: u32, payload: Bytes) -> Result<Option<Frame>, TunnelError> {
    let mut read = Reader(payload);
    Ok(Some(match kind {
        kind::HELLO => Frame::Hello(hello(&mut read)?),
        kind::WELCOME => Frame::Welcome(Welcome {
            version: read.u16()?,
            session: SessionId(read.array()?),
            agent: read.text()?,
            domain: read.text()?,
            software: read.text()?,
        }),
        kind::CLOSE => Frame::Close { code: read.u16()?, detail: read.text()? },
        kind::PING => Frame::Ping(read.u64()?),
        kind::PONG => Frame::Pong(read.u64()?),
        kind::CLAIM => Frame::Claim { id: stream, claim: claim(&mut read)? },
        kind::GRANTED => {
            let (host, port, lease) = (read.text()?, read.u16()?, Duration::from_secs(read.u32()?.into()));
            Frame::Granted { id: stream, grant: Grant { host, port, lease } }
        }
        kind::DENIED => Frame::Denied { id: stream, code: read.u16()?, detail: read.text()? },
        kind::RELEASE => Frame::Release { id: stream },
        kind::RENEW => Frame::Renew { id: stream },
        kind::POOL => Frame::Pool { exclusive: read.u16()?, shared: read.u16()? },
        kind::GO_AWAY => Frame::GoAway { detail: read.text()? },
        kind::OPEN => Frame::Open { stream, open: open(&mut read)? },
        kind::ACCEPTED => Frame::Accepted { stream },
        kind::FIN => Frame::Fin { stream },
        kind::RESET => Frame::Reset { stream, code: read.u16()? },
        kind::CREDIT => Frame::Credit { stream, bytes: read.u32()? },
        kind::DATAGRAM => Frame::Datagram { stream, payload: read.0 },
        kind::OBSERVED => Frame::Observed(read.address()?),
        kind::PROBED => Frame::Probed { index: stream, outcome: outcome(&mut read)? },
        kind::BEAT => Frame::Beat,
        kind::IGNORABLE.. => return Ok(None),
        other => return Err(TunnelError::new(Code::UnknownFrame, format!("kind {other}"))),
    }))
}

fn hello(read: &mut Reader) -> Result<Hello, TunnelError> {
    let versions = (read.u16()?, read.u16()?);
    if versions.0 > VERSION || versions.1 < VERSION {
        let detail = format!("the agent speaks {} to {}, the relay {VERSION}", versions.0, versions.1);
        return Err(TunnelError::new(Code::UnknownVersion, detail));
    }
    Ok(Hello {
        versions,
        exporter: read.array()?,
        key: read.array()?,
        signature: read.array()?,
        purpose: match read.u8()? {
            0 => Purpose::Control,
            1 => Purpose::Data { session: SessionId(read.array()?), sharing: Sharing::Exclusive },
            2 => Purpose::Data { session: SessionId(read.array()?), sharing: Sharing::Shared },
            3 => Purpose::Join { invitation: read.bytes(MAX_INVITATION)? },
            4 => Purpose::Probe { asks: asks(read)? },
            _ => return Err(TunnelError::new(Code::Malformed, "a connection for an unknown purpose")),
        },
        software: read.text()?,
    })
}

fn asks(read: &mut Reader) -> Result<Vec<ProbeAsk>, TunnelError> {
    let count = usize::from(read.u8()?);
    if count > MAX_PROBES {
        return Err(TunnelError::new(Code::TooMuch, format!("{count} probes at once, at most {MAX_PROBES}")));
    }
    let ask = |read: &mut Reader| {
        let port = read.u16()?;
        let kind = match read.u8()? {
            0 => ProbeKind::Connect,
            1 => ProbeKind::Http { host: read.text()?, nonce: read.text()? },
            2 => ProbeKind::Https { host: read.text()?, nonce: read.text()? },
            _ => return Err(TunnelError::new(Code::Malformed, "a probe of an unknown kind")),
        };
        Ok(ProbeAsk { port, kind })
    };
    (0..count).map(|_| ask(read)).collect()
}

fn outcome(read: &mut Reader) -> Result<ProbeOutcome, TunnelError> {
    Ok(match read.u8()? {
        0 => {
            let millis = read.u32()?;
            let certificate = if read.u8()? == 0 { None } else { Some(read.array()?) };
            ProbeOutcome::Answered { certificate, millis }
        }
        1 => ProbeOutcome::WrongAnswer,
        2 => ProbeOutcome::Refused,
        3 => ProbeOutcome::TimedOut,
        4 => ProbeOutcome::Unreachable,
        5 => ProbeOutcome::TlsFailed(read.text()?),
        6 => ProbeOutcome::Limited(read.u32()?),
        7 => ProbeOutcome::Forbidden,
        _ => return Err(TunnelError::new(Code::Malformed, "an unknown outcome of a probe")),
    })
}

fn claim(read: &mut Reader) -> Result<Claim, TunnelError> {
    Ok(match read.u8()? {
        1 => Claim::Http { name: read.text()?, label: read.text()? },
        2 => Claim::Tls { name: read.text()? },
        3 => Claim::Tcp { port: read.u16()? },
        4 => Claim::Udp { port: read.u16()? },
        _ => return Err(TunnelError::new(Code::Malformed, "a claim of an unknown kind")),
    })
}

fn open(read: &mut Reader) -> Result<Open, TunnelError> {
    let (claim, flags) = (read.u32()?, read.u8()?);
    let (visitor, local) = (read.address()?, read.address()?);
    let tls = match flags & 2 {
        0 => None,
        _ => Some(VisitorTls { version: read.u16()?, server_name: read.text()?, alpn: read.text()? }),
    };
    Ok(Open { claim, visitor, local, tls, datagrams: flags & 1 != 0 })
}
