use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::{DataLink, DataOutput};
use crate::tunnel::limits::SEND_QUEUE;
use crate::tunnel::{Frame, data_header, encode};

/// Payloads up to this size are copied behind their header, into one piece: cheaper than a second piece.
const COPIED: usize = 4 * 1024;

impl DataLink {
    /// The next bytes for the peer; ask when they can be written, so that streams take turns at the pace of the path.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Bytes> {
        let bytes = self.next_piece()?;
        self.sent = self.sent.max(now);
        Some(bytes)
    }

    fn next_piece(&mut self) -> Option<Bytes> {
        if let Some(payload) = self.started.take() {
            return Some(payload);
        }
        if !self.urgent.is_empty() {
            self.urgent_count = 0;
            self.reset_since = None;
            // A first small piece travels with the message that opens its stream.
            let mut out = std::mem::take(&mut self.urgent);
            self.append_turn(&mut out);
            return Some(out.freeze());
        }
        let mut out = BytesMut::new();
        self.append_turn(&mut out);
        (!out.is_empty()).then(|| out.freeze())
    }

    /// One stream's turn: its next piece, or its end, or both.
    fn append_turn(&mut self, out: &mut BytesMut) {
        while out.len() < COPIED && self.started.is_none() {
            let Some(stream) = self.turns.pop_front() else { return };
            self.append(stream, out);
            self.end_if_over(stream);
        }
    }

    fn append(&mut self, stream: u32, out: &mut BytesMut) {
        let Some(state) = self.streams.get_mut(&stream) else { return };
        state.in_turn = false;
        if state.datagrams {
            if let Some(payload) = state.pop_datagram() {
                encode(&Frame::Datagram { stream, payload }, out);
            }
        } else if let Some(piece) = state.pop() {
            out.extend_from_slice(&data_header(stream, piece.len()));
            match piece.len() <= COPIED {
                true => out.extend_from_slice(&piece),
                false => self.started = Some(piece),
            }
        }
        if !state.sending && state.is_drained() && !state.fin_sent && self.started.is_none() {
            state.fin_sent = true;
            encode(&Frame::Fin { stream }, out);
        }
        if state.wants_room && state.sending && state.room() >= SEND_QUEUE / 2 {
            state.wants_room = false;
            self.outputs.push_back(DataOutput::Writable { stream });
        }
        self.turn(stream);
    }
}
