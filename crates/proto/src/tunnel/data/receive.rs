use std::time::Instant;

use super::{DataInput, DataLink, DataOutput, Role};
use crate::tunnel::limits::{MAX_GROWN, MAX_STREAMS, MAX_WINDOW};
use crate::tunnel::{Code, Decoded, Frame, Sharing, TunnelError};

fn unexpected(what: &str) -> TunnelError {
    TunnelError::new(Code::Unexpected, what)
}

impl DataLink {
    pub fn handle_input(&mut self, now: Instant, input: DataInput) {
        if self.closed {
            return;
        }
        match input {
            DataInput::Received(bytes) => {
                self.heard = self.heard.max(now);
                self.decoder.feed(bytes);
                self.read(now);
            }
            DataInput::Paused => self.paused = true,
            DataInput::Resumed => {
                self.paused = false;
                self.heard = self.heard.max(now);
            }
            DataInput::Closed => self.fail(Code::Lost.into(), false),
        }
    }

    fn read(&mut self, now: Instant) {
        while !self.closed {
            let done = match self.decoder.decode() {
                Ok(None) => return,
                Ok(Some(Decoded::Data { stream, piece })) => self.data(stream, piece),
                Ok(Some(Decoded::Frame(frame))) => self.frame(now, frame),
                Err(error) => Err(error),
            };
            if let Err(error) = done {
                self.fail(error, true);
            }
        }
    }

    fn frame(&mut self, now: Instant, frame: Frame) -> Result<(), TunnelError> {
        match frame {
            Frame::Beat => {}
            Frame::Open { stream, open } => return self.opened(now, stream, open),
            Frame::Accepted { stream } if self.role == Role::Relay => {
                if self.known(stream)? {
                    self.outputs.push_back(DataOutput::Accepted { stream });
                }
            }
            Frame::Fin { stream } => {
                if self.known(stream)? {
                    self.receiving(stream)?.receiving = false;
                    self.outputs.push_back(DataOutput::Finished { stream });
                    self.end_if_over(stream);
                }
            }
            Frame::Reset { stream, code } => {
                if self.known(stream)? {
                    self.remove(stream);
                    self.outputs.push_back(DataOutput::Reset { stream, error: Code::from_number(code).into() });
                }
            }
            Frame::Credit { stream, bytes } => {
                if self.known(stream)? {
                    let state = self.receiving_or_not(stream)?;
                    let Some(credit) = &mut state.credit else { return Err(unexpected("credit without need")) };
                    *credit += u64::from(bytes);
                    if *credit > u64::from(MAX_WINDOW) {
                        return Err(TunnelError::new(Code::FlowControl, "more credit than there is"));
                    }
                    self.turn(stream);
                }
            }
            Frame::Datagram { stream, payload } => {
                if self.known(stream)? {
                    if !self.receiving(stream)?.datagrams {
                        return Err(unexpected("a datagram on a stream of bytes"));
                    }
                    self.outputs.push_back(DataOutput::Datagram { stream, payload });
                }
            }
            Frame::Close { code, detail } => self.fail(TunnelError::new(Code::from_number(code), detail), false),
            _ => return Err(unexpected("on a data connection")),
        }
        Ok(())
    }

    fn data(&mut self, stream: u32, piece: bytes::Bytes) -> Result<(), TunnelError> {
        if !self.known(stream)? {
            return Ok(());
        }
        let shared = self.sharing == Sharing::Shared;
        let state = self.receiving(stream)?;
        if state.datagrams {
            return Err(unexpected("bytes on a flow of datagrams"));
        }
        if shared {
            let length = u32::try_from(piece.len()).unwrap_or(u32::MAX);
            let inbox = &mut state.inbox;
            let left = inbox.allowed.checked_sub(length);
            inbox.allowed = left.ok_or_else(|| TunnelError::new(Code::FlowControl, "bytes without credit"))?;
            // Everything before this piece was passed on although much of the window is used: the reader waits for us.
            inbox.eager |= inbox.held == 0 && inbox.allowed < inbox.window / 2;
            inbox.held += length;
        }
        self.outputs.push_back(DataOutput::Data { stream, piece });
        Ok(())
    }

    fn opened(&mut self, now: Instant, stream: u32, open: crate::tunnel::Open) -> Result<(), TunnelError> {
        if self.role == Role::Relay {
            return Err(unexpected("an agent opens no streams"));
        }
        if stream <= self.last {
            return Err(unexpected("a stream's number was used before"));
        }
        self.last = stream;
        let exclusive = self.sharing == Sharing::Exclusive;
        if exclusive && (open.datagrams || !self.streams.is_empty()) {
            return Err(unexpected("a second stream, or datagrams, on an exclusive connection"));
        }
        let refusal = match self.allowed.get(&open.claim) {
            Some(datagrams) if *datagrams == open.datagrams => None,
            _ => Some(Code::UnknownClaim),
        };
        // Streams whose last bytes are not consumed yet are over for the relay, and still held here.
        let full = self.streams.len() >= 2 * MAX_STREAMS;
        if let Some(code) = refusal.or(full.then_some(Code::TooManyStreams)) {
            self.say(&Frame::Reset { stream, code: code.number() });
            self.reset_since.get_or_insert(now);
            return Ok(());
        }
        self.add(stream, open.datagrams);
        self.outputs.push_back(DataOutput::Opened { stream, open });
        Ok(())
    }

    /// Grants what was consumed when it is worth a frame; to a reader that keeps up, more and more.
    pub(super) fn grant(&mut self, stream: u32) {
        let spare = MAX_GROWN.saturating_sub(self.windows);
        let Some(state) = self.streams.get_mut(&stream).filter(|state| state.receiving) else { return };
        let inbox = &mut state.inbox;
        if inbox.due < inbox.window / 2 {
            return;
        }
        let more = match std::mem::take(&mut inbox.eager) {
            true => inbox.window.min(MAX_WINDOW - inbox.window).min(spare),
            false => 0,
        };
        inbox.window += more;
        let bytes = std::mem::take(&mut inbox.due) + more;
        inbox.allowed += bytes;
        self.windows += more;
        self.say(&Frame::Credit { stream, bytes });
    }

    /// Whether the stream is there. One that was there before is over, and what still comes for it is nobody's.
    fn known(&self, stream: u32) -> Result<bool, TunnelError> {
        match stream {
            0 => Err(unexpected("stream 0")),
            later if later > self.last => Err(unexpected("a stream that was never opened")),
            there => Ok(self.streams.contains_key(&there)),
        }
    }

    fn receiving(&mut self, stream: u32) -> Result<&mut super::Stream, TunnelError> {
        let state = self.receiving_or_not(stream)?;
        if state.receiving { Ok(state) } else { Err(unexpected("something after the end of a stream")) }
    }

    fn receiving_or_not(&mut self, stream: u32) -> Result<&mut super::Stream, TunnelError> {
        self.streams.get_mut(&stream).ok_or_else(|| unexpected("no such stream"))
    }
}
