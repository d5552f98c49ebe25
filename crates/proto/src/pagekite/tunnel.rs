//! What both ends of a tunnel do once the handshake is over.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::{Buf, BytesMut};

use super::error::PageKiteError;
use super::fields::Fields;
use super::frame::{Frame, FrameDecoder, FrameEncoder};
use super::limits::{
    MAX_ANSWERS, MAX_EVENTS, MAX_HELD_BACK, MAX_OUTPUT, MAX_STREAM_UNREAD, MAX_STREAMS, MAX_TUNNEL_UNREAD, PING_EVERY,
    PING_PATIENCE, SEND_CHUNK,
};
use super::message::{
    Eof, Message, Opening, Sid, write_acknowledgement, write_data, write_eof, write_note, write_opening,
};
use super::stream::{Read, Stream, Waits};
use super::{End, Kite, Quota, StreamEvent};

/// What a tunnel tells the machine around it.
#[derive(Debug, PartialEq, Eq)]
pub enum Told {
    Stream(StreamEvent),
    Quota(Quota),
    Ended(End),
}

/// What a driver does with a machine that has a `tunnel`, beside its handshake.
macro_rules! drive {
    () => {
        /// Whether more should be read from the connection. If not, somebody must read from streams, take events or
        /// write output first.
        pub fn wants_input(&self) -> bool {
            self.tunnel.wants_input()
        }

        /// What is to be written to the connection.
        pub fn output(&self) -> &[u8] {
            &self.tunnel.out
        }

        /// So many bytes of [`Self::output`] were written.
        pub fn wrote(&mut self, bytes: usize) {
            self.tunnel.wrote(bytes);
        }

        /// Reads what came of a stream, at most a frame's data at a time. What is read is acknowledged, which brings
        /// more: read only what can be passed on.
        pub fn read(&mut self, sid: &Sid) -> Read {
            self.tunnel.read(sid)
        }

        /// Sends the beginning of `data`, as much as there is room for, and gives how much that was. A
        /// [`StreamEvent::Writable`] follows if it was not all, unless the stream takes no more.
        pub fn send(&mut self, sid: &Sid, data: &[u8]) -> usize {
            self.tunnel.send(sid, data)
        }

        /// Nothing more will be sent in a stream; it can still be read.
        pub fn finish(&mut self, sid: &Sid) {
            self.tunnel.finish(sid);
        }

        /// Gives a stream up, in both directions. No event of it follows.
        pub fn reset(&mut self, sid: &Sid) {
            self.tunnel.reset(sid);
        }

        /// Ends the tunnel in good order: write the rest of the output, then close the connection.
        pub fn close(&mut self) {
            self.tunnel.close();
        }

        /// The connection ended, or failed.
        pub fn hang_up(&mut self) {
            self.tunnel.hang_up();
        }

        #[cfg(test)]
        pub fn check(&self) {
            self.tunnel.check();
        }
    };
}
pub(super) use drive;

#[derive(Debug, Default)]
pub struct Tunnel {
    /// Came, and was not looked at.
    pub held: BytesMut,
    pub out: BytesMut,
    /// Whether what was held back are frames (and no longer a handshake).
    pub framed: bool,
    /// What the other side may open streams to; a front-end has none.
    pub kites: Vec<Kite>,
    pub encoder: FrameEncoder,
    /// Said in every pong.
    pub quota: Option<Quota>,
    decoder: FrameDecoder,
    streams: BTreeMap<Sid, Stream>,
    told: VecDeque<Told>,
    unread: usize,
    /// The largest `unread` of one stream, or more.
    crowded: usize,
    peer_acknowledges: bool,
    opened: u64,
    /// Streams that want to send more, in the order in which they came to want it.
    waiting: VecDeque<Sid>,
    /// Whether the other side is asked if it lives. A stock front-end without quotas ends the tunnel when it is.
    asks: bool,
    next_ping: Duration,
    silent_at: Option<Duration>,
    /// The connection ended while there was no room for all that had come.
    hung_up: bool,
    ended: bool,
}

impl Tunnel {
    /// `asks`: by pings; else the connection is only kept alive.
    pub fn new(asks: bool, now: Duration) -> Self {
        Self { asks, next_ping: now + PING_EVERY, ..Self::default() }
    }

    pub fn has_ended(&self) -> bool {
        self.ended
    }

    pub fn end(&mut self, end: End) {
        if !self.ended {
            self.ended = true;
            self.held.clear();
            self.waiting.clear();
            self.tell(Told::Ended(end));
        }
    }

    pub fn take_in(&mut self, bytes: &[u8]) {
        if self.ended || self.hung_up {
            return;
        }
        self.silent_at = None;
        self.held.extend_from_slice(bytes);
        if self.held.len() > MAX_HELD_BACK.max(bytes.len()) {
            self.end(End::Broken(PageKiteError::Unheeded));
        }
    }

    /// Whether more should be read from the connection.
    pub fn wants_input(&self) -> bool {
        !self.ended && !self.hung_up && !self.is_full()
    }

    fn is_full(&self) -> bool {
        self.unread >= MAX_TUNNEL_UNREAD
            || self.crowded >= MAX_STREAM_UNREAD
            || self.out.len() >= MAX_OUTPUT + MAX_ANSWERS
            || self.told.len() >= MAX_EVENTS
    }

    /// Looks at frames that came, as far as there is room for what they bring. Stops at one about kites and gives its
    /// fields, since what comes after may depend on them.
    #[must_use]
    pub fn pump(&mut self) -> Option<Fields> {
        while self.framed && !self.ended {
            if self.hung_up {
                // Nobody takes it any more.
                self.out.clear();
            }
            if self.is_full() {
                return None;
            }
            let outcome = match self.decoder.decode(&mut self.held) {
                Ok(Frame::NeedMore) => {
                    if self.hung_up {
                        self.end_after_hang_up();
                    }
                    return None;
                }
                Ok(Frame::Close) => {
                    self.end(End::Closed);
                    return None;
                }
                Ok(Frame::Payload(payload)) => Message::parse(payload).map(|message| self.take_message(message)),
                Err(error) => Err(error),
            };
            match outcome {
                Ok(None) => {}
                Ok(note) => return note,
                Err(error) => self.end(End::Broken(error)),
            }
        }
        None
    }

    pub fn next_told(&mut self) -> Option<Told> {
        self.told.pop_front()
    }

    fn tell(&mut self, told: Told) {
        self.told.push_back(told);
    }

    fn tell_stream(&mut self, event: StreamEvent) {
        self.tell(Told::Stream(event));
    }

    fn take_message(&mut self, message: Message) -> Option<Fields> {
        if message.reset_zlib {
            self.encoder.reset();
        }
        if let Some(ping) = &message.ping {
            let quota = self.quota.as_ref().map(|quota| quota.lines("")).unwrap_or_default();
            self.note(&format!("PONG: {ping}\r\n{quota}"));
        }
        if let (Some(sid), Some(kilobytes)) = (&message.sid, message.acknowledged) {
            self.take_acknowledgement(sid, kilobytes);
        }
        if message.noop {
            if let Some(quota) = Quota::read(&message.fields, "") {
                self.tell(Told::Quota(quota));
            }
            return message.fields.any_begins("X-PageKite").then_some(message.fields);
        }
        let sid = message.sid.clone()?;
        if self.streams.contains_key(&sid) {
            self.take_data(&sid, message);
        } else if let Some(opening) = message.opening.clone() {
            self.take_opening(sid, opening, message);
        } else if message.eof.is_none() && !message.data.is_empty() {
            // A stream that we forgot. Its end is not answered, or the two would never stop.
            write_eof(&mut self.encoder, &mut self.out, &sid, Eof::GONE);
        }
        None
    }

    fn take_opening(&mut self, sid: Sid, opening: Opening, message: Message) {
        let fits = |kite: &&Kite| kite.fits(&opening.protocol, &opening.host, opening.port);
        let kite = self.kites.iter().filter(|kite| fits(kite).is_some()).max_by_key(fits).cloned();
        let Some(kite) = kite.filter(|_| self.streams.len() < MAX_STREAMS) else {
            write_eof(&mut self.encoder, &mut self.out, &sid, Eof::GONE);
            return;
        };
        self.streams.insert(sid.clone(), Stream::new(self.peer_acknowledges));
        self.tell_stream(StreamEvent::Opened { sid: sid.clone(), kite, opening });
        self.take_data(&sid, message);
    }

    fn take_data(&mut self, sid: &Sid, message: Message) {
        let Some(stream) = self.streams.get_mut(sid) else { return };
        let eof = message.eof;
        let mut readable = false;
        if eof.is_none() && !message.data.is_empty() && !stream.peer_finished {
            self.unread += message.data.len();
            stream.arrive(message.data);
            self.crowded = self.crowded.max(stream.unread);
            readable = true;
            if let Some(kilobytes) = stream.acknowledgement() {
                write_acknowledgement(&mut self.encoder, &mut self.out, sid, kilobytes);
            }
        }
        if eof.is_some_and(|eof| eof.sends_no_more) && !stream.peer_finished {
            stream.peer_finished = true;
            readable = true;
        }
        if readable && !std::mem::replace(&mut stream.announced, true) {
            self.told.push_back(Told::Stream(StreamEvent::Readable(sid.clone())));
        }
        if eof.is_some_and(|eof| eof.takes_no_more) && !stream.finished {
            stream.finished = true;
            if !stream.peer_finished {
                write_eof(&mut self.encoder, &mut self.out, sid, Eof::FINISHED);
            }
            self.told.push_back(Told::Stream(StreamEvent::Stopped(sid.clone())));
        }
        self.settle(sid);
    }

    fn take_acknowledgement(&mut self, sid: &Sid, kilobytes: u64) {
        self.peer_acknowledges = true;
        let Some(stream) = self.streams.get_mut(sid) else { return };
        stream.acknowledge(kilobytes);
        if stream.waits == Waits::Window && stream.window() > 0 {
            stream.waits = Waits::Output;
            self.waiting.push_back(sid.clone());
            self.wake();
        }
    }

    /// Says good-bye to a stream of which both halves are over, and forgets it once it was read.
    fn settle(&mut self, sid: &Sid) {
        let Some(stream) = self.streams.get_mut(sid) else { return };
        if stream.peer_finished && stream.finished && !std::mem::replace(&mut stream.gone, true) {
            write_eof(&mut self.encoder, &mut self.out, sid, Eof::GONE);
        }
        // The reader is told of the end by its own read.
        if stream.is_over() && !stream.announced {
            self.streams.remove(sid);
            self.tell_stream(StreamEvent::Closed(sid.clone()));
        }
    }

    /// Opens a stream with the first of its `data`; gives its name and how many bytes went with it.
    pub fn open(&mut self, opening: &Opening, data: &[u8]) -> Option<(Sid, usize)> {
        if self.ended || self.streams.len() >= MAX_STREAMS || self.out.len() >= MAX_OUTPUT {
            return None;
        }
        self.opened += 1;
        let sid = Sid::numbered(self.opened);
        let first = data.get(..data.len().min(SEND_CHUNK)).unwrap_or_default();
        write_opening(&mut self.encoder, &mut self.out, &sid, opening, first);
        let mut stream = Stream::new(self.peer_acknowledges);
        stream.sent(first.len());
        self.streams.insert(sid.clone(), stream);
        let more = self.send(&sid, data.get(first.len()..).unwrap_or_default());
        Some((sid, first.len() + more))
    }

    /// Sends as much of `data` as there is room for; a `Writable` event follows if that was not all.
    pub fn send(&mut self, sid: &Sid, data: &[u8]) -> usize {
        let Some(stream) = self.streams.get_mut(sid).filter(|stream| !self.ended && !stream.finished) else { return 0 };
        let mut taken = 0;
        while let Some(rest) = data.get(taken..).filter(|rest| !rest.is_empty()) {
            let room = stream.window().min(MAX_OUTPUT.saturating_sub(self.out.len())).min(SEND_CHUNK);
            let Some(chunk) = rest.get(..room.min(rest.len())).filter(|chunk| !chunk.is_empty()) else { break };
            write_data(&mut self.encoder, &mut self.out, sid, chunk);
            stream.sent(chunk.len());
            taken += chunk.len();
        }
        if taken < data.len() && stream.waits == Waits::Not {
            stream.waits = if stream.window() == 0 { Waits::Window } else { Waits::Output };
            if stream.waits == Waits::Output {
                self.waiting.push_back(sid.clone());
            }
        }
        taken
    }

    pub fn read(&mut self, sid: &Sid) -> Read {
        let Some(stream) = self.streams.get_mut(sid) else { return Read::Gone };
        let Some(data) = stream.next() else {
            stream.announced = false;
            let finished = stream.peer_finished;
            if self.ended {
                self.streams.remove(sid);
                return if finished { Read::Finished } else { Read::Gone };
            }
            self.settle(sid);
            return if finished { Read::Finished } else { Read::Empty };
        };
        if let Some(kilobytes) = stream.acknowledgement().filter(|_| !stream.peer_finished && !self.ended) {
            write_acknowledgement(&mut self.encoder, &mut self.out, sid, kilobytes);
        }
        self.unread -= data.len();
        self.recount();
        Read::Data(data)
    }

    fn recount(&mut self) {
        if self.crowded >= MAX_STREAM_UNREAD {
            self.crowded = self.streams.values().map(|stream| stream.unread).max().unwrap_or_default();
        }
    }

    /// No more will be sent.
    pub fn finish(&mut self, sid: &Sid) {
        let Some(stream) = self.streams.get_mut(sid).filter(|_| !self.ended) else { return };
        if !std::mem::replace(&mut stream.finished, true) {
            write_eof(&mut self.encoder, &mut self.out, sid, Eof::FINISHED);
        }
        self.settle(sid);
    }

    /// Ends a stream in both directions at once. No event of it follows.
    pub fn reset(&mut self, sid: &Sid) {
        let Some(stream) = self.streams.remove(sid) else { return };
        if !stream.gone && !self.ended {
            write_eof(&mut self.encoder, &mut self.out, sid, Eof::GONE);
        }
        if stream.waits == Waits::Output {
            self.waiting.retain(|waiting| waiting != sid);
        }
        self.unread -= stream.unread;
        self.recount();
        self.told.retain(|told| !matches!(told, Told::Stream(event) if event.sid() == sid));
    }

    pub fn note(&mut self, lines: &str) {
        write_note(&mut self.encoder, &mut self.out, lines);
    }

    /// So much of the output was written.
    pub fn wrote(&mut self, bytes: usize) {
        self.out.advance(bytes.min(self.out.len()));
        self.wake();
    }

    fn wake(&mut self) {
        if self.ended || self.out.len() > MAX_OUTPUT / 2 {
            return;
        }
        while let Some(sid) = self.waiting.pop_front() {
            if let Some(stream) = self.streams.get_mut(&sid) {
                stream.waits = Waits::Not;
                self.tell_stream(StreamEvent::Writable(sid));
            }
        }
    }

    pub fn deadline(&self) -> Option<Duration> {
        let deadline = self.silent_at.map_or(self.next_ping, |at| at.min(self.next_ping));
        (!self.ended && self.framed && !self.hung_up).then_some(deadline)
    }

    pub fn tick(&mut self, now: Duration) {
        if self.ended || !self.framed || self.hung_up {
            return;
        }
        if self.silent_at.is_some_and(|at| at <= now) {
            if self.wants_input() {
                return self.end(End::Broken(PageKiteError::Silent));
            }
            // Nobody reads, so nothing can be heard.
            self.silent_at = Some(now + PING_PATIENCE);
        }
        if self.next_ping <= now {
            self.ping(now);
        }
    }

    pub fn ping(&mut self, now: Duration) {
        if self.ended || !self.framed {
            return;
        }
        if self.asks {
            self.note(&format!("PING: {:.4}\r\n", now.as_secs_f64()));
            self.silent_at.get_or_insert(now + PING_PATIENCE);
        } else {
            self.note("");
        }
        self.next_ping = now + PING_EVERY;
    }

    pub fn close(&mut self) {
        if !self.ended {
            if self.framed {
                self.encoder.encode_close(&mut self.out);
            }
            self.end(End::Closed);
        }
    }

    /// The connection ended. What came before that is still looked at, once there is room.
    pub fn hang_up(&mut self) {
        self.hung_up = true;
        self.out.clear();
        if !self.framed || !self.is_full() {
            self.end_after_hang_up();
        }
    }

    fn end_after_hang_up(&mut self) {
        let whole = self.framed && self.held.is_empty();
        self.end(if whole { End::Closed } else { End::Broken(PageKiteError::Cut) });
    }

    #[cfg(test)]
    pub fn check(&self) {
        let unread: usize = self.streams.values().map(|stream| stream.unread).sum();
        assert_eq!(unread, self.unread);
        assert!(self.streams.values().all(|stream| stream.unread <= self.crowded));
        assert!(self.out.len() <= MAX_OUTPUT + MAX_ANSWERS + super::limits::MAX_FRAME, "{} bytes", self.out.len());
        assert!(self.waiting.len() <= MAX_STREAMS);
    }
}
