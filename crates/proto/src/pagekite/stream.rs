//! One stream of a tunnel: what came and was not read, what may be sent.

use std::collections::VecDeque;

use bytes::Bytes;

use super::limits::{ACK_AHEAD, ACK_EVERY, SEND_WINDOW};

/// What a stream gives to whoever reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    Data(Bytes),
    /// Nothing for the moment; a `Readable` event follows.
    Empty,
    /// The other side sends no more, and all of it was read.
    Finished,
    /// There is no such stream (any more).
    Gone,
}

#[derive(Debug, Default)]
pub struct Stream {
    arrived: VecDeque<Bytes>,
    /// Bytes in `arrived`.
    pub unread: usize,
    read: u64,
    /// Kilobytes that the other side was told of.
    told: Option<u64>,
    sent: u64,
    /// Bytes that the other side says it passed on; `None` from one that has not said so ever.
    acknowledged: Option<u64>,
    /// The other side sends no more.
    pub peer_finished: bool,
    /// We send no more, and said so.
    pub finished: bool,
    /// We said that the stream is over in both directions.
    pub gone: bool,
    /// A `Readable` event is under way.
    pub announced: bool,
    pub waits: Waits,
}

/// What somebody who wanted to send more waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Waits {
    #[default]
    Not,
    /// For the other side to acknowledge.
    Window,
    /// For output to be written; the stream stands in the tunnel's queue then.
    Output,
}

impl Stream {
    /// `acknowledges`: the other side is known to acknowledge what it gets.
    pub fn new(acknowledges: bool) -> Self {
        Self { acknowledged: acknowledges.then_some(0), ..Self::default() }
    }

    pub fn arrive(&mut self, data: Bytes) {
        self.unread += data.len();
        self.arrived.push_back(data);
    }

    pub fn next(&mut self) -> Option<Bytes> {
        let data = self.arrived.pop_front()?;
        self.unread -= data.len();
        self.read += data.len() as u64;
        Some(data)
    }

    /// Kilobytes to acknowledge, when it is time to: what was read, and the first of what was not.
    pub fn acknowledgement(&mut self) -> Option<u64> {
        let good = self.read + (self.unread as u64).min(ACK_AHEAD);
        let kilobytes = good / 1024;
        let due = match self.told {
            None => true,
            Some(told) if told == kilobytes => false,
            Some(told) => good - told * 1024 >= ACK_EVERY || self.arrived.is_empty(),
        };
        due.then(|| *self.told.insert(kilobytes))
    }

    /// Takes in what the other side says it passed on. More than was sent cannot be.
    pub fn acknowledge(&mut self, kilobytes: u64) {
        let bytes = kilobytes.saturating_mul(1024).min(self.sent);
        self.acknowledged = Some(self.acknowledged.unwrap_or_default().max(bytes));
    }

    /// Bytes that may be sent as far as this stream is concerned.
    pub fn window(&self) -> usize {
        if self.finished {
            return 0;
        }
        let Some(acknowledged) = self.acknowledged else { return usize::MAX };
        usize::try_from(SEND_WINDOW.saturating_sub(self.sent - acknowledged)).unwrap_or(usize::MAX)
    }

    pub fn sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    /// Nothing can come or go any more, and all was read.
    pub fn is_over(&self) -> bool {
        self.peer_finished && self.finished && self.arrived.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_are_rare_and_complete() {
        let mut stream = Stream::new(false);
        assert_eq!((stream.acknowledgement(), stream.acknowledgement()), (Some(0), None));
        let mut told = Vec::new();
        for _ in 0..51 {
            stream.arrive(vec![0; 2048].into());
            told.extend(stream.acknowledgement());
        }
        // Nobody reads: no more than that.
        assert_eq!(told, [16, 32, 48, 64]);
        told = std::iter::from_fn(|| stream.next().map(|_| stream.acknowledgement())).flatten().collect();
        assert_eq!(told, [80, 96, 102]);
        assert_eq!(stream.unread, 0);
    }

    #[test]
    fn the_window_is_what_was_not_acknowledged() {
        let mut stream = Stream::new(true);
        let all = SEND_WINDOW as usize;
        assert_eq!(stream.window(), all);
        stream.sent(all);
        assert_eq!(stream.window(), 0);
        stream.acknowledge(2);
        stream.acknowledge(1);
        assert_eq!(stream.window(), 2048);
        stream.acknowledge(u64::MAX);
        assert_eq!(stream.window(), all);
        assert_eq!(Stream::new(false).window(), usize::MAX);
    }
}
