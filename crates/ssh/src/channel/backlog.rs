use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use parking_lot::Mutex;
use tokio::io::ReadBuf;

use super::pace::{Level, Pace};
use crate::limits::{BACKLOG, BACKLOG_PIECES, BACKLOG_SHARE, SESSION_BACKLOG};

/// What arrived on a channel and waits for its reader. Filled by the session, which never waits for it.
pub(crate) struct Backlog {
    state: Mutex<State>,
    pace: Arc<Pace>,
}

#[derive(Default)]
struct State {
    pieces: VecDeque<Bytes>,
    bytes: usize,
    end: Option<End>,
    /// What the [`Pace`] knows of it.
    level: Level,
    /// Counted by the [`Pace`] as one that waits for an answer.
    awaiting: bool,
    /// Nobody reads any more.
    abandoned: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// How a channel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The other side has nothing more to send; it still reads.
    Finished,
    /// It is closed, both ways. `clean` where it had finished before.
    Closed { clean: bool },
}

/// The channel has more than it may have, and is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overfull;

impl Backlog {
    pub fn new(pace: Arc<Pace>) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), pace })
    }

    /// Bytes arrived.
    ///
    /// # Errors
    /// The channel is to be closed: its reader gets what is there, then an error.
    pub fn push(&self, bytes: &[u8]) -> Result<(), Overfull> {
        let mut state = self.state.lock();
        if state.end.is_some() || state.abandoned || bytes.is_empty() {
            return Ok(());
        }
        if std::mem::take(&mut state.awaiting) {
            self.pace.answered();
        }
        let crowded = state.bytes > BACKLOG_SHARE && self.pace.held() > SESSION_BACKLOG;
        if crowded || state.bytes + bytes.len() > BACKLOG || state.pieces.len() >= BACKLOG_PIECES {
            state.close(&self.pace);
            return Err(Overfull);
        }
        state.bytes += bytes.len();
        self.pace.holds(bytes.len());
        state.pieces.push_back(Bytes::copy_from_slice(bytes));
        state.level(&self.pace);
        if state.level == Level::NONE {
            self.pace.arrived();
        }
        wake(&mut state.reader);
        Ok(())
    }

    /// The other side has nothing more to send.
    pub fn finish(&self) {
        let mut state = self.state.lock();
        state.end.get_or_insert(End::Finished);
        wake(&mut state.reader);
    }

    /// The channel is closed, or its session over.
    pub fn close(&self) {
        self.state.lock().close(&self.pace);
    }

    /// The reader is gone. Says whether the channel still has to be closed.
    pub fn abandon(&self) -> bool {
        let mut state = self.state.lock();
        state.abandoned = true;
        state.pieces.clear();
        self.pace.lets_go(std::mem::take(&mut state.bytes));
        state.calm(&self.pace);
        !matches!(state.end, Some(End::Closed { .. }))
    }

    /// Ends when the channel is closed. For after it was abandoned.
    pub async fn closed(&self) {
        let _awaited = self.pace.opening();
        std::future::poll_fn(|cx| {
            let mut state = self.state.lock();
            if let Some(End::Closed { .. }) = state.end {
                return Poll::Ready(());
            }
            state.reader = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Bytes are about to be written to the channel.
    ///
    /// # Errors
    /// It is closed.
    pub fn writes(&self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut state = self.state.lock();
        if let Some(End::Closed { .. }) = state.end {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        state.writer = Some(cx.waker().clone());
        if state.level == Level::NONE && !std::mem::replace(&mut state.awaiting, true) {
            self.pace.awaits();
        }
        Ok(())
    }

    pub fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state.lock();
        let before = buf.remaining();
        while buf.remaining() > 0 {
            let Some(piece) = state.pieces.front_mut() else { break };
            let part = piece.len().min(buf.remaining());
            buf.put_slice(piece.get(..part).unwrap_or_default());
            piece.advance(part);
            let empty = piece.is_empty();
            state.bytes -= part;
            self.pace.lets_go(part);
            if empty {
                state.pieces.pop_front();
            }
        }
        state.level(&self.pace);
        if buf.remaining() < before || before == 0 {
            return Poll::Ready(Ok(()));
        }
        match state.end {
            None => {
                state.reader = Some(cx.waker().clone());
                Poll::Pending
            }
            Some(End::Finished | End::Closed { clean: true }) => Poll::Ready(Ok(())),
            Some(End::Closed { clean: false }) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
    }
}

impl State {
    fn level(&mut self, pace: &Pace) {
        let is_over = self.abandoned || matches!(self.end, Some(End::Closed { .. }));
        let level = if is_over { Level::NONE } else { Level::of(self.bytes, self.level) };
        if level != self.level {
            pace.backlog(std::mem::replace(&mut self.level, level), level);
        }
    }

    fn close(&mut self, pace: &Pace) {
        let clean = matches!(self.end, Some(End::Finished | End::Closed { clean: true }));
        self.end = Some(End::Closed { clean });
        self.calm(pace);
        wake(&mut self.reader);
        wake(&mut self.writer);
    }

    /// Nothing of this channel is to make the session pause, or keep it from it.
    fn calm(&mut self, pace: &Pace) {
        pace.backlog(std::mem::take(&mut self.level), Level::NONE);
        if std::mem::take(&mut self.awaiting) {
            pace.answered();
        }
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    async fn read(backlog: &Backlog, most: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; most];
        let mut buf = ReadBuf::new(&mut bytes);
        poll_fn(|cx| backlog.poll_read(cx, &mut buf)).await?;
        let filled = buf.filled().len();
        bytes.truncate(filled);
        Ok(bytes)
    }

    #[tokio::test]
    async fn what_arrived_is_read_before_the_end() {
        let backlog = Backlog::new(Arc::default());
        backlog.push(b"hello ").unwrap();
        backlog.push(b"world").unwrap();
        backlog.finish();
        backlog.close();
        assert_eq!(read(&backlog, 8).await.unwrap(), b"hello wo");
        assert_eq!(read(&backlog, 8).await.unwrap(), b"rld");
        assert_eq!(read(&backlog, 8).await.unwrap(), b"");
    }

    #[tokio::test]
    async fn a_channel_that_closes_unfinished_is_reset() {
        let backlog = Backlog::new(Arc::default());
        backlog.push(b"a").unwrap();
        backlog.close();
        assert_eq!(read(&backlog, 8).await.unwrap(), b"a");
        assert_eq!(read(&backlog, 8).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        poll_fn(|cx| Poll::Ready(backlog.writes(cx))).await.unwrap_err();
    }

    #[tokio::test]
    async fn a_reader_that_does_not_read_loses_the_channel() {
        let backlog = Backlog::new(Arc::default());
        let megabyte = vec![7; 1 << 20];
        for _ in 0..BACKLOG >> 20 {
            backlog.push(&megabyte).unwrap();
        }
        assert_eq!(backlog.push(b"one more"), Err(Overfull));
        let small = Backlog::new(Arc::default());
        let pieces = BACKLOG_PIECES;
        for _ in 0..pieces {
            small.push(b"x").unwrap();
        }
        assert_eq!(small.push(b"x"), Err(Overfull));
    }
}
