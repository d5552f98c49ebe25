use std::collections::VecDeque;

use bytes::Bytes;

use crate::tunnel::limits::{DATAGRAM_QUEUE, DATAGRAM_QUEUE_BYTES, MAX_DATA, SEND_QUEUE, TURN, WINDOW};

/// One stream, or flow of datagrams, as one side sees it.
#[derive(Debug)]
pub(super) struct Stream {
    pub datagrams: bool,
    /// The peer may still send; we may still be given something to send.
    pub receiving: bool,
    pub sending: bool,
    /// Our end was sent.
    pub fin_sent: bool,
    queue: VecDeque<Bytes>,
    queued: usize,
    /// [`Stream::room`] was asked and there was too little: tell when there is more.
    pub wants_room: bool,
    /// It waits for its turn to send.
    pub in_turn: bool,
    /// Bytes that we may send; `None` on an exclusive connection.
    pub credit: Option<u64>,
    pub inbox: Inbox,
}

/// What a stream's receiver on a shared connection allowed, got and passed on.
#[derive(Debug)]
pub(super) struct Inbox {
    pub window: u32,
    /// Bytes that the peer may still send.
    pub allowed: u32,
    /// Bytes that were handed out and not yet consumed.
    pub held: u32,
    /// Bytes that were consumed and not yet granted anew.
    pub due: u32,
    /// The consumer left nothing unconsumed when the window was half used: more window would help it.
    pub eager: bool,
}

impl Stream {
    pub fn new(shared: bool, datagrams: bool) -> Self {
        Self {
            datagrams,
            receiving: true,
            sending: true,
            fin_sent: false,
            queue: VecDeque::new(),
            queued: 0,
            wants_room: false,
            in_turn: false,
            credit: shared.then_some(WINDOW.into()),
            inbox: Inbox { window: WINDOW, allowed: WINDOW, held: 0, due: 0, eager: false },
        }
    }

    /// Bytes that may be queued now.
    pub fn room(&self) -> usize {
        SEND_QUEUE.saturating_sub(self.queued)
    }

    pub fn push(&mut self, bytes: Bytes) {
        self.queued += bytes.len();
        self.queue.push_back(bytes);
    }

    /// Queues a datagram; the oldest ones make room for it.
    pub fn push_datagram(&mut self, payload: Bytes) {
        self.push(payload);
        while self.queue.len() > DATAGRAM_QUEUE || self.queued > DATAGRAM_QUEUE_BYTES {
            self.pop_datagram();
        }
    }

    pub fn pop_datagram(&mut self) -> Option<Bytes> {
        let first = self.queue.pop_front()?;
        self.queued -= first.len();
        Some(first)
    }

    /// The next piece to send, as far as credit goes.
    pub fn pop(&mut self) -> Option<Bytes> {
        let most = match self.credit {
            None => MAX_DATA,
            Some(credit) => usize::try_from(credit).unwrap_or(usize::MAX).min(TURN),
        };
        let front = self.queue.front_mut()?;
        if most == 0 {
            return None;
        }
        let piece = front.split_to(front.len().min(most));
        if front.is_empty() {
            self.queue.pop_front();
        }
        self.queued -= piece.len();
        if let Some(credit) = &mut self.credit {
            *credit -= piece.len() as u64;
        }
        Some(piece)
    }

    /// Something can be sent now: bytes within the credit, a datagram, or the end.
    pub fn ready(&self) -> bool {
        match self.queue.is_empty() {
            true => !self.sending && !self.fin_sent,
            false => self.datagrams || self.credit != Some(0),
        }
    }

    pub fn is_drained(&self) -> bool {
        self.queue.is_empty()
    }

    /// Nothing goes either way any more, and nothing that came is still held.
    pub fn is_over(&self) -> bool {
        !self.receiving && self.fin_sent && self.inbox.held == 0
    }

    pub fn queued(&self) -> usize {
        self.queued
    }
}
