//! A data connection, on either side.

mod direct;
mod receive;
mod stream;
mod transmit;

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::encode::encode;
use super::limits::{BEAT, IDLE_BEAT, MAX_DATA, MAX_MESSAGE, MAX_PENDING, MAX_STREAMS, RESET_LINGER, SILENCE, WINDOW};
use super::message::{Frame, Open, Sharing};
use super::{Code, Decoder, TunnelError};
use stream::Stream;

/// Which side a machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Takes streams for the claims that it allowed.
    Agent,
    /// Opens streams.
    Relay,
}

#[derive(Debug)]
pub enum DataInput {
    /// Bytes from the peer.
    Received(Bytes),
    /// The carrier reads no more, because a consumer of an exclusive connection's stream is behind. While it does not read,
    /// it cannot judge whether the peer is alive.
    Paused,
    /// It reads again.
    Resumed,
    /// The connection ended.
    Closed,
}

#[derive(Debug, PartialEq, Eq)]
pub enum DataOutput {
    /// Agent: a visitor. Dial the target of the claim; then [`DataLink::accept`], or [`DataLink::reset`] with the reason.
    Opened {
        stream: u32,
        open: Open,
    },
    /// Relay: the agent reached the target. Before this, a reset with a `Dial…` code means that the app got nothing.
    Accepted {
        stream: u32,
    },
    /// Bytes of a stream, in order. Tell [`DataLink::consumed`] when they were passed on.
    Data {
        stream: u32,
        piece: Bytes,
    },
    Datagram {
        stream: u32,
        payload: Bytes,
    },
    /// The peer sends no more; the other direction goes on.
    Finished {
        stream: u32,
    },
    /// The stream is over, both ways.
    Reset {
        stream: u32,
        error: TunnelError,
    },
    /// [`DataLink::room`] is there again, after it was too little.
    Writable {
        stream: u32,
    },
    /// Both ends are closed, everything was sent and consumed. An exclusive connection is free for the next stream.
    Over {
        stream: u32,
    },
    /// The connection is over, its streams were reset. Send what is still to be transmitted, then close it.
    Closed(TunnelError),
}

/// Why [`DataLink::open`] opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    #[error("the connection has all the streams that it may have")]
    Busy,
    #[error("the connection is over, or has used all its numbers")]
    Over,
    #[error("datagrams go over shared connections only")]
    Datagrams,
    #[error("only relays open streams")]
    Agent,
}

/// A data connection, after the greeting.
#[derive(Debug)]
pub struct DataLink {
    role: Role,
    sharing: Sharing,
    decoder: Decoder,
    streams: BTreeMap<u32, Stream>,
    /// Number of the last stream that was opened.
    last: u32,
    /// Claims that streams may be for, on the agent's side; true for those of datagrams.
    allowed: BTreeMap<u32, bool>,
    /// Frames that are sent before any stream's bytes, and how many they are.
    urgent: BytesMut,
    urgent_count: usize,
    /// The payload whose header was sent.
    started: Option<Bytes>,
    turns: VecDeque<u32>,
    /// Sum of the windows of the streams that are there.
    windows: u32,
    heard: Instant,
    sent: Instant,
    paused: bool,
    reset_since: Option<Instant>,
    closed: bool,
    outputs: VecDeque<DataOutput>,
}

impl DataLink {
    pub fn new(now: Instant, role: Role, sharing: Sharing) -> Self {
        Self {
            role,
            sharing,
            decoder: Decoder::new(),
            streams: BTreeMap::new(),
            last: 0,
            allowed: BTreeMap::new(),
            urgent: BytesMut::new(),
            urgent_count: 0,
            started: None,
            turns: VecDeque::new(),
            windows: 0,
            heard: now,
            sent: now,
            paused: false,
            reset_since: None,
            closed: false,
            outputs: VecDeque::new(),
        }
    }

    /// Agent: visitors may come for this claim. Everything else is refused without asking anybody.
    pub fn allow(&mut self, claim: u32, datagrams: bool) {
        self.allowed.insert(claim, datagrams);
    }

    /// Agent: no new streams for this claim.
    pub fn forbid(&mut self, claim: u32) {
        self.allowed.remove(&claim);
    }

    /// Relay: begins a stream. Bytes may follow at once.
    ///
    /// # Errors
    /// Where this connection cannot take it: try another one.
    pub fn open(&mut self, now: Instant, open: Open) -> Result<u32, OpenError> {
        if self.role == Role::Agent {
            return Err(OpenError::Agent);
        }
        if self.closed || self.last == u32::MAX {
            return Err(OpenError::Over);
        }
        if open.datagrams && self.sharing == Sharing::Exclusive {
            return Err(OpenError::Datagrams);
        }
        if self.streams.len() >= self.most_streams() {
            return Err(OpenError::Busy);
        }
        if self.streams.is_empty() {
            self.heard = self.heard.max(now);
        }
        self.last += 1;
        let stream = self.last;
        self.add(stream, open.datagrams);
        self.say(&Frame::Open { stream, open });
        if self.closed { Err(OpenError::Over) } else { Ok(stream) }
    }

    /// Agent: the target took the connection.
    pub fn accept(&mut self, stream: u32) {
        if self.role == Role::Agent && self.streams.contains_key(&stream) {
            self.say(&Frame::Accepted { stream });
        }
    }

    /// Bytes that [`send`](Self::send) takes now; 0 for a stream that is over. Where it is 0, [`DataOutput::Writable`] tells
    /// of more.
    pub fn room(&mut self, stream: u32) -> usize {
        let Some(stream) = self.streams.get_mut(&stream).filter(|stream| stream.sending && !stream.datagrams) else {
            return 0;
        };
        stream.wants_room |= stream.room() == 0;
        stream.room()
    }

    /// Sends bytes. Says whether they were taken: not more than [`room`](Self::room), not after [`finish`](Self::finish).
    #[must_use]
    pub fn send(&mut self, stream: u32, bytes: Bytes) -> bool {
        if bytes.len() > self.room(stream) {
            return false;
        }
        if let Some(state) = self.streams.get_mut(&stream)
            && !bytes.is_empty()
        {
            state.push(bytes);
            self.turn(stream);
        }
        true
    }

    /// Sends a datagram; where too many wait, the oldest is dropped. Says whether it was taken.
    pub fn send_datagram(&mut self, stream: u32, payload: Bytes) -> bool {
        let Some(state) = self.streams.get_mut(&stream) else { return false };
        if !state.datagrams || !state.sending || payload.len() > MAX_DATA {
            return false;
        }
        state.push_datagram(payload);
        self.turn(stream);
        true
    }

    /// No more will be sent on this stream; what was queued still goes out.
    pub fn finish(&mut self, stream: u32) {
        if let Some(state) = self.streams.get_mut(&stream)
            && state.sending
        {
            state.sending = false;
            self.turn(stream);
        }
    }

    /// Ends a stream at once, both ways; nothing more is said about it.
    pub fn reset(&mut self, now: Instant, stream: u32, code: Code) {
        if self.remove(stream) {
            self.say(&Frame::Reset { stream, code: code.number() });
            self.reset_since.get_or_insert(now);
        }
    }

    /// So many bytes of a stream were passed on, which makes room for more of them on a shared connection.
    pub fn consumed(&mut self, stream: u32, bytes: usize) {
        if self.sharing == Sharing::Exclusive {
            return;
        }
        let Some(state) = self.streams.get_mut(&stream) else { return };
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(state.inbox.held);
        state.inbox.held -= bytes;
        state.inbox.due += bytes;
        self.grant(stream);
        self.end_if_over(stream);
    }

    /// Ends the connection; both sides reset the streams on it.
    pub fn close(&mut self, code: Code) {
        self.fail(code.into(), true);
    }

    /// Streams that are not over.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Bytes that are held in this machine.
    pub fn held(&self) -> usize {
        let queued: usize = self.streams.values().map(Stream::queued).sum();
        queued + self.urgent.len() + self.started.as_ref().map_or(0, Bytes::len)
    }

    /// Hand in what has been received before this: a machine that slept would find everybody dead otherwise.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.closed {
            return;
        }
        if self.dead_at().is_some_and(|at| now >= at) {
            self.fail(Code::Silent.into(), true);
        } else if self.stalled_at().is_some_and(|at| now >= at) {
            self.fail(Code::Stalled.into(), true);
        } else if self.beat_at().is_some_and(|at| now >= at) {
            self.say(&Frame::Beat);
        }
    }

    pub fn poll_output(&mut self) -> Option<DataOutput> {
        self.outputs.pop_front()
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.closed {
            return None;
        }
        [self.dead_at(), self.stalled_at(), self.beat_at()].into_iter().flatten().min()
    }

    /// With streams on it, a connection is watched. A side that does not read cannot watch.
    fn dead_at(&self) -> Option<Instant> {
        (!self.paused && !self.streams.is_empty()).then(|| self.heard + SILENCE)
    }

    fn stalled_at(&self) -> Option<Instant> {
        self.reset_since.filter(|_| self.sharing == Sharing::Exclusive).map(|since| since + RESET_LINGER)
    }

    /// What waits to be sent is a sign of life itself, as soon as it can be sent.
    fn beat_at(&self) -> Option<Instant> {
        self.urgent.is_empty().then(|| self.sent + if self.streams.is_empty() { IDLE_BEAT } else { BEAT })
    }

    fn most_streams(&self) -> usize {
        match self.sharing {
            Sharing::Exclusive => 1,
            Sharing::Shared => MAX_STREAMS,
        }
    }

    fn add(&mut self, stream: u32, datagrams: bool) {
        self.windows += WINDOW;
        self.streams.insert(stream, Stream::new(self.sharing == Sharing::Shared, datagrams));
    }

    fn remove(&mut self, stream: u32) -> bool {
        let removed = self.streams.remove(&stream);
        self.windows -= removed.as_ref().map_or(0, |state| state.inbox.window);
        removed.is_some()
    }

    fn end_if_over(&mut self, stream: u32) {
        if self.streams.get(&stream).is_some_and(Stream::is_over) {
            self.remove(stream);
            self.outputs.push_back(DataOutput::Over { stream });
        }
    }

    fn turn(&mut self, stream: u32) {
        if let Some(state) = self.streams.get_mut(&stream)
            && !state.in_turn
            && state.ready()
        {
            state.in_turn = true;
            self.turns.push_back(stream);
        }
    }

    fn say(&mut self, frame: &Frame) {
        if self.closed {
            return;
        }
        if self.urgent_count >= MAX_PENDING || self.urgent.len() > MAX_PENDING * 128 + MAX_MESSAGE {
            return self.fail(TunnelError::new(Code::TooMuch, "the other side reads no answers"), true);
        }
        self.urgent_count += 1;
        encode(frame, &mut self.urgent);
    }

    fn fail(&mut self, error: TunnelError, tell: bool) {
        if self.closed {
            return;
        }
        self.closed = true;
        self.urgent.clear();
        self.turns.clear();
        if tell {
            encode(&Frame::Close { code: error.code.number(), detail: error.detail.clone() }, &mut self.urgent);
        } else {
            self.started = None;
        }
        for stream in std::mem::take(&mut self.streams).into_keys() {
            self.outputs.push_back(DataOutput::Reset { stream, error: error.clone() });
        }
        self.windows = 0;
        self.outputs.push_back(DataOutput::Closed(error));
    }
}
