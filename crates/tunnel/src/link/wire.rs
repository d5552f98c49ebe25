use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};

use super::Transport;
use super::limits::{LAST_WORDS, PIECES, VECTORED, WRITE};
use crate::limits::CONTROL_READ;

/// A connection's transport, with the few bytes that wait for it.
pub(crate) struct Wire {
    transport: Transport,
    /// Goes out in this order before anything else; at most [`WRITE`] bytes and what one call put behind them.
    out: VecDeque<Bytes>,
    queued: usize,
    /// Something was given to the transport that it may not have sent yet.
    dirty: bool,
    head: BytesMut,
}

impl Wire {
    pub fn new(transport: Transport) -> Self {
        Self { transport, out: VecDeque::new(), queued: 0, dirty: false, head: BytesMut::new() }
    }

    pub fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.transport.poll_read(cx, buf)
    }

    /// Whether [`push`](Self::push) may be called: enough for one write does not wait yet.
    pub fn has_room(&self) -> bool {
        self.queued < WRITE && self.out.len() < PIECES
    }

    pub fn push(&mut self, bytes: Bytes) {
        self.queued += bytes.len();
        self.out.push_back(bytes);
    }

    /// Something waits to be sent.
    pub fn is_dirty(&self) -> bool {
        self.dirty || !self.out.is_empty() || self.transport.wants_write()
    }

    /// Writes what `head` puts in front and the first `length` bytes of `payload` as one; call after
    /// [`poll_flush`](Self::poll_flush) was ready. What the transport does not take at once is kept, so that a frame is never
    /// cut. Says what `head` says: false, and nothing is written.
    pub fn write_now(
        &mut self,
        cx: &mut Context<'_>,
        head: impl FnOnce(&mut BytesMut) -> bool,
        payload: &[IoSlice<'_>],
        length: usize,
    ) -> io::Result<bool> {
        self.head.clear();
        if !head(&mut self.head) {
            return Ok(false);
        }
        self.dirty = true;
        let mut bufs = [IoSlice::new(&[]); 1 + VECTORED];
        bufs[0] = IoSlice::new(&self.head);
        let (mut count, mut left) = (1, length);
        for (slot, part) in bufs[1..].iter_mut().zip(payload) {
            *slot = IoSlice::new(&part[..part.len().min(left)]);
            left -= slot.len();
            count += 1;
        }
        let mut written = match self.transport.poll_write(cx, &bufs[..count])? {
            Poll::Ready(written) => written,
            Poll::Pending => 0,
        };
        for buf in &bufs[..count] {
            let taken = written.min(buf.len());
            written -= taken;
            if taken < buf.len() {
                self.out.push_back(Bytes::copy_from_slice(&buf[taken..]));
                self.queued += buf.len() - taken;
            }
        }
        Ok(true)
    }

    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            self.dirty = true;
            let mut bufs = [IoSlice::new(&[]); PIECES];
            let mut count = 0;
            for (slot, piece) in bufs.iter_mut().zip(&self.out) {
                *slot = IoSlice::new(piece);
                count += 1;
            }
            let written = ready!(self.transport.poll_write(cx, &bufs[..count]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
        if self.dirty || self.transport.wants_write() {
            ready!(self.transport.poll_flush(cx))?;
            self.dirty = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads what is there, at most [`CONTROL_READ`] bytes, and sends what waits meanwhile. `None`: the connection is over.
    /// Cancel-safe.
    pub async fn read(&mut self) -> Option<Bytes> {
        poll_fn(|cx| {
            if let Poll::Ready(Err(_)) = self.poll_flush(cx) {
                return Poll::Ready(None);
            }
            let mut buf = [0; CONTROL_READ];
            let read = ready!(self.poll_read(cx, &mut buf)).unwrap_or(0);
            Poll::Ready((read > 0).then(|| Bytes::copy_from_slice(&buf[..read])))
        })
        .await
    }

    /// Sends what waits, as far as it is taken in time, and says goodbye.
    pub async fn finish(&mut self) {
        let flushed = poll_fn(|cx| self.poll_flush(cx));
        let _ = tokio::time::timeout(LAST_WORDS, flushed).await;
        poll_fn(|cx| {
            self.close(cx);
            Poll::Ready(())
        })
        .await;
    }

    pub fn keep_short(&self) {
        self.transport.keep_short();
    }

    pub fn round_trip(&self) -> Option<Duration> {
        self.transport.round_trip()
    }

    pub fn close(&mut self, cx: &mut Context<'_>) {
        self.transport.close(cx);
    }

    fn advance(&mut self, mut written: usize) {
        self.queued -= written;
        while let Some(front) = self.out.front_mut() {
            if written < front.len() {
                front.advance(written);
                return;
            }
            written -= front.len();
            self.out.pop_front();
        }
    }
}
