use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use doorstep_proto::tunnel::limits::{BEAT, DATAGRAM_QUEUE, DATAGRAM_QUEUE_BYTES};
use doorstep_proto::tunnel::{Code, DataInput, DataLink, DataOutput, Open, OpenError, Role, Sharing, TunnelError};

use super::Traffic;
use super::limits::{COPIED, PIECE, UNHEARD};
use super::wire::Wire;
use crate::OpenFailed;

/// A data connection, as its [`Link`](super::Link) and its streams share it.
pub(super) struct State {
    pub role: Role,
    pub sharing: Sharing,
    pub machine: DataLink,
    /// What the greeting left over.
    rest: Bytes,
    /// Gone when the connection is.
    pub wire: Option<Wire>,
    pub slots: BTreeMap<u32, Slot>,
    /// Streams that nobody took yet.
    pub opened: VecDeque<(u32, Open)>,
    /// A stream is over, and nobody was told yet.
    pub freed: bool,
    /// The machine was told that its consumer is behind.
    pub paused: bool,
    pub over: Option<TunnelError>,
    /// Bytes of the exclusive stream that were sent since the peer's last ones.
    pub unheard: u64,
    pub traffic: Traffic,
    /// Slots that are no flows of datagrams.
    pub byte_streams: usize,
    /// Streams that wait for their end's being sent.
    pub closing: usize,
    link: Option<Waker>,
}

/// What one stream's handle needs besides the machine.
#[derive(Default)]
pub(super) struct Slot {
    pub datagrams: bool,
    pub accepted: bool,
    /// What came and was not read yet: within the window on shared connections, one piece on exclusive ones.
    pub inbox: VecDeque<Bytes>,
    /// Small pieces that came after those in the inbox, in one.
    pub tail: BytesMut,
    pub finished: bool,
    /// Its user waits for the end's being sent.
    pub closing: bool,
    pub failed: Option<TunnelError>,
    pub reader: Option<Waker>,
    pub writer: Option<Waker>,
}

/// The time of the runtime, so that tests can hold it.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl State {
    pub fn new(role: Role, sharing: Sharing, wire: Wire, rest: Bytes) -> Self {
        let now = now();
        Self {
            role,
            sharing,
            machine: DataLink::new(now, role, sharing),
            rest,
            wire: Some(wire),
            slots: BTreeMap::new(),
            opened: VecDeque::new(),
            freed: false,
            paused: false,
            over: None,
            unheard: 0,
            traffic: Traffic::default(),
            byte_streams: 0,
            closing: 0,
            link: None,
        }
    }

    /// What came with the greeting. Not before the connection is polled: claims are allowed until then.
    pub fn begin(&mut self) {
        if !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            self.machine.handle_input(now(), DataInput::Received(rest));
            self.settle();
        }
    }

    pub fn set_link(&mut self, waker: &Waker) {
        if !self.link.as_ref().is_some_and(|link| link.will_wake(waker)) {
            self.link = Some(waker.clone());
        }
    }

    /// Something is to be done that streams do not do themselves.
    pub fn wake_link(&mut self) {
        if let Some(link) = self.link.take() {
            link.wake();
        }
    }

    pub fn open(&mut self, open: Open) -> Result<u32, OpenError> {
        self.begin();
        let datagrams = open.datagrams;
        let stream = self.machine.open(now(), open);
        self.settle();
        let stream = stream?;
        self.add(stream, Slot { datagrams, ..Slot::default() });
        // It sends the OPEN if the stream's user has nothing to say first, and watches the connection more closely.
        self.wake_link();
        Ok(stream)
    }

    fn add(&mut self, stream: u32, slot: Slot) {
        self.byte_streams += usize::from(!slot.datagrams);
        self.slots.insert(stream, slot);
        self.unheard = 0;
        self.traffic.streams += 1;
    }

    /// The handle of a stream is gone.
    pub fn leave(&mut self, stream: u32, code: Code) {
        let Some(slot) = self.slots.remove(&stream) else { return };
        self.closing -= usize::from(slot.closing);
        self.byte_streams -= usize::from(!slot.datagrams);
        match self.machine.open_ends(stream) {
            (false, false) => {
                let held = slot.inbox.iter().map(Bytes::len).sum::<usize>() + slot.tail.len();
                self.machine.consumed(stream, held);
            }
            _ if self.sharing == Sharing::Exclusive && self.unheard > UNHEARD => self.machine.close(Code::Stalled),
            _ => {
                self.machine.reset(now(), stream, code);
                self.freed = true;
            }
        }
        self.settle();
        self.wake_link();
    }

    /// Distributes what the machine says.
    pub fn settle(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                DataOutput::Opened { stream, open } => {
                    self.add(stream, Slot { datagrams: open.datagrams, accepted: true, ..Slot::default() });
                    self.opened.push_back((stream, open));
                    self.wake_link();
                }
                DataOutput::Data { stream, piece } => self.data(stream, piece),
                DataOutput::Over { .. } => {
                    self.freed = true;
                    self.wake_link();
                }
                DataOutput::Closed(error) => {
                    self.over = Some(error);
                    self.wake_link();
                }
                DataOutput::Accepted { stream } => self.slot(stream, |slot| slot.accepted = true),
                DataOutput::Writable { stream } => self.slot(stream, |_| {}),
                DataOutput::Datagram { stream, payload } => {
                    self.traffic.received += payload.len() as u64;
                    self.slot(stream, |slot| slot.datagram(payload));
                }
                DataOutput::Finished { stream } => {
                    self.slot(stream, |slot| slot.finished = true);
                    self.wake_link();
                }
                DataOutput::Reset { stream, error } => {
                    self.slot(stream, |slot| slot.failed = Some(error));
                    self.freed = true;
                    self.wake_link();
                }
            }
        }
    }

    fn slot(&mut self, stream: u32, change: impl FnOnce(&mut Slot)) {
        if let Some(slot) = self.slots.get_mut(&stream) {
            change(slot);
            slot.wake();
        }
    }

    fn data(&mut self, stream: u32, piece: Bytes) {
        self.unheard = 0;
        self.traffic.received += piece.len() as u64;
        match self.slots.get_mut(&stream) {
            Some(slot) => {
                slot.data(piece);
                slot.reader.take().into_iter().for_each(Waker::wake);
            }
            None => self.machine.consumed(stream, piece.len()),
        }
    }

    /// Sends what waits. Ready when everything is with the kernel, or the connection is over.
    pub fn transmit(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let Some(wire) = &mut self.wire else { return Poll::Ready(()) };
            match ready!(wire.poll_flush(cx)) {
                Ok(()) if !self.machine.wants_transmit() => break,
                Ok(()) => {}
                Err(_) => {
                    self.lost();
                    return Poll::Ready(());
                }
            }
            let now = now();
            while wire.has_room()
                && let Some(bytes) = self.machine.poll_transmit(now)
            {
                wire.push(bytes);
            }
            self.settle();
            if self.closing > 0 {
                self.wake_closed();
            }
        }
        if self.sharing == Sharing::Exclusive {
            self.slots.values_mut().filter_map(|slot| slot.writer.take()).for_each(Waker::wake);
        }
        Poll::Ready(())
    }

    fn wake_closed(&mut self) {
        for (stream, slot) in &mut self.slots {
            if slot.closing && self.machine.end_is_sent(*stream) {
                slot.closing = false;
                self.closing -= 1;
                slot.writer.take().into_iter().for_each(Waker::wake);
            }
        }
    }

    /// The connection ended without a word.
    pub fn lost(&mut self) {
        self.wire = None;
        self.machine.handle_input(now(), DataInput::Closed);
        self.settle();
    }

    /// Whether the [`Link`](super::Link) reads: for all streams of a shared connection, between the streams of others.
    pub fn link_reads(&self) -> bool {
        let reads_itself = |slot: &Slot| !slot.finished && slot.failed.is_none();
        self.sharing == Sharing::Shared || !self.slots.values().any(reads_itself)
    }

    /// Reads a piece and hands it to the machine.
    pub fn read_piece(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(wire) = &mut self.wire else { return Poll::Pending };
        let mut buf = [0; PIECE];
        // Between streams little comes; once a stream is there it reads for itself.
        let most = if self.sharing == Sharing::Shared { PIECE } else { COPIED };
        match ready!(wire.poll_read(cx, &mut buf[..most])) {
            Ok(read) if read > 0 => self.received(&buf[..read]),
            _ => self.lost(),
        }
        Poll::Ready(())
    }

    pub fn received(&mut self, bytes: &[u8]) {
        self.machine.handle_input(now(), DataInput::Received(Bytes::copy_from_slice(bytes)));
        self.settle();
    }

    /// When to [`tick`](Self::tick). Where there is nothing to wait for now, there may be once a stream has sent what waits.
    pub fn next_tick(&self) -> Instant {
        self.machine.poll_timeout().unwrap_or_else(|| now() + BEAT)
    }

    /// The machine's time has come. What the socket holds is handed in before, so that nobody is found dead who is not.
    pub fn tick(&mut self, cx: &mut Context<'_>) {
        if self.sharing == Sharing::Exclusive && !self.link_reads() {
            match self.slots.values_mut().find_map(|slot| slot.reader.take()) {
                Some(reader) => {
                    let _ = self.read_piece(cx);
                    // Its place at the socket was taken.
                    reader.wake();
                }
                None => self.pause(true),
            }
        }
        self.machine.handle_timeout(now());
        self.settle();
    }

    pub fn pause(&mut self, paused: bool) {
        if std::mem::replace(&mut self.paused, paused) != paused {
            self.machine.handle_input(now(), if paused { DataInput::Paused } else { DataInput::Resumed });
        }
    }

    /// What a stream's user is told when it failed.
    pub fn error(&self, stream: u32) -> Option<io::Error> {
        let Some(slot) = self.slots.get(&stream) else { return Some(io::ErrorKind::ConnectionReset.into()) };
        let error = slot.failed.clone()?;
        let unreached = matches!(
            error.code,
            Code::DialRefused | Code::DialTimeout | Code::DialForbidden | Code::UnknownClaim | Code::TooManyStreams
        );
        Some(match self.role {
            Role::Relay if unreached && !slot.accepted => {
                let kind = match error.code {
                    Code::DialTimeout => io::ErrorKind::TimedOut,
                    _ => io::ErrorKind::ConnectionRefused,
                };
                io::Error::new(kind, OpenFailed { code: error.code, retriable: true })
            }
            _ => io::Error::new(io::ErrorKind::ConnectionReset, error),
        })
    }
}

impl Slot {
    fn wake(&mut self) {
        self.reader.take().into_iter().for_each(Waker::wake);
        self.writer.take().into_iter().for_each(Waker::wake);
    }

    fn data(&mut self, piece: Bytes) {
        if piece.len() < COPIED {
            self.tail.extend_from_slice(&piece);
        } else {
            if !self.tail.is_empty() {
                self.inbox.push_back(self.tail.split().freeze());
            }
            self.inbox.push_back(piece);
        }
    }

    fn datagram(&mut self, payload: Bytes) {
        if payload.is_empty() {
            return;
        }
        // A copy of its own: it may wait long, and must not keep its neighbours alive.
        self.inbox.push_back(Bytes::copy_from_slice(&payload));
        let mut held: usize = self.inbox.iter().map(Bytes::len).sum();
        while self.inbox.len() > DATAGRAM_QUEUE || held > DATAGRAM_QUEUE_BYTES {
            held -= self.inbox.pop_front().map_or(0, |oldest| oldest.len());
        }
    }

    /// Moves what waits to `buf`; says how much.
    pub fn take(&mut self, buf: &mut tokio::io::ReadBuf<'_>) -> usize {
        let before = buf.filled().len();
        if self.datagrams {
            if let Some(datagram) = self.inbox.pop_front() {
                buf.put_slice(&datagram[..datagram.len().min(buf.remaining())]);
            }
            return buf.filled().len() - before;
        }
        while buf.remaining() > 0 {
            if let Some(front) = self.inbox.front_mut() {
                let part = front.len().min(buf.remaining());
                buf.put_slice(&front[..part]);
                front.advance(part);
                if front.is_empty() {
                    self.inbox.pop_front();
                }
            } else if !self.tail.is_empty() {
                let part = self.tail.len().min(buf.remaining());
                buf.put_slice(&self.tail[..part]);
                self.tail.advance(part);
                if self.tail.is_empty() {
                    self.tail = BytesMut::new();
                }
            } else {
                break;
            }
        }
        buf.filled().len() - before
    }

    pub fn holds(&self) -> bool {
        !self.inbox.is_empty() || !self.tail.is_empty()
    }
}
