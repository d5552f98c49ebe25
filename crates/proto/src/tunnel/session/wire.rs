use std::time::Instant;

use bytes::{Bytes, BytesMut};

use crate::tunnel::limits::{MAX_MESSAGE, MAX_PENDING, SILENCE};
use crate::tunnel::{Code, Decoded, Decoder, Frame, TunnelError, encode};

/// What both ends of a control connection have: frames in, frames out, and whether the other side is alive.
#[derive(Debug)]
pub(super) struct Wire {
    decoder: Decoder,
    out: BytesMut,
    heard: Instant,
    pub closed: bool,
}

impl Wire {
    pub fn new(now: Instant) -> Self {
        Self { decoder: Decoder::new(), out: BytesMut::new(), heard: now, closed: false }
    }

    pub fn feed(&mut self, now: Instant, bytes: Bytes) {
        self.heard = self.heard.max(now);
        self.decoder.feed(bytes);
    }

    pub fn next(&mut self) -> Result<Option<Frame>, TunnelError> {
        match self.decoder.decode()? {
            Some(Decoded::Frame(frame)) => Ok(Some(frame)),
            Some(Decoded::Data { .. }) => Err(TunnelError::new(Code::Unexpected, "data on the control connection")),
            None => Ok(None),
        }
    }

    /// # Errors
    /// When the peer makes us say more than it reads.
    pub fn send(&mut self, frame: &Frame) -> Result<(), TunnelError> {
        if self.out.len() > MAX_PENDING * 64 + MAX_MESSAGE {
            return Err(TunnelError::new(Code::TooMuch, "the other side reads no answers"));
        }
        encode(frame, &mut self.out);
        Ok(())
    }

    /// The last word, if it was ours to say.
    pub fn close(&mut self, error: &TunnelError) {
        self.closed = true;
        encode(&Frame::Close { code: error.code.number(), detail: error.detail.clone() }, &mut self.out);
    }

    pub fn transmit(&mut self) -> Option<Bytes> {
        (!self.out.is_empty()).then(|| self.out.split().freeze())
    }

    pub fn dead_at(&self) -> Instant {
        self.heard + SILENCE
    }
}
