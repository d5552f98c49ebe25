use std::future::Future;
use std::io::{self, IoSlice};
use std::ops::{Deref, DerefMut};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use doorstep_http::Timer;
use doorstep_net::Io;
use tokio::io::{AsyncReadExt, AsyncWrite};

use crate::limits;

/// A connection to an upstream, with what is read and not yet used, and what is to be written. A handle: it moves from
/// hand to hand several times per request.
pub struct Connection(Box<Inner>);

/// What a [`Connection`] consists of.
pub struct Inner {
    pub io: Io,
    pub read: BytesMut,
    /// Written first: request heads and chunk sizes.
    pub out: Vec<u8>,
    out_at: usize,
    /// Written second: the body's own bytes.
    pub data: Bytes,
    /// Written last: the end of a chunk.
    pub tail: &'static [u8],
    /// Whether the kernel took any byte of the current request.
    pub wrote: bool,
    /// Whether it has carried a response before: only then a failure may mean no more than that it had grown stale.
    pub reused: bool,
    /// Whether the TLS layer may still hold bytes back.
    unflushed: bool,
    keep_for: Duration,
    /// Kept from request to request, so that each need not set up one of its own.
    pub timer: Timer,
}

impl Connection {
    pub fn new(io: Io) -> Self {
        Self(Box::new(Inner {
            io,
            read: BytesMut::new(),
            out: Vec::with_capacity(1024),
            out_at: 0,
            data: Bytes::new(),
            tail: b"",
            wrote: false,
            reused: false,
            unflushed: false,
            keep_for: limits::POOL_IDLE,
            timer: Timer::default(),
        }))
    }

    /// What [`Connection`] is a handle to.
    pub fn into_inner(self) -> Inner {
        *self.0
    }
}

impl Deref for Connection {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut Inner {
        &mut self.0
    }
}

impl Inner {
    /// How long it may wait for its next request.
    pub fn keep_for(&self) -> Duration {
        self.keep_for
    }

    /// Whether it is open and nothing unasked for has arrived. See [`Io::is_quiet`].
    pub fn is_quiet(&mut self, certain: bool) -> bool {
        self.read.is_empty() && self.io.is_quiet(certain)
    }

    /// Makes it ready for the next request.
    pub fn rest(&mut self) {
        self.out.clear();
        self.out_at = 0;
        if self.out.capacity() > limits::KEPT_WRITE_BUFFER {
            self.out = Vec::new();
        }
        if self.read.capacity() > limits::CROWDED_READ {
            self.read = BytesMut::new();
        }
        self.reused = true;
        self.wrote = false;
    }

    /// Whether all that was to be written is with the kernel.
    pub fn is_flushed(&self) -> bool {
        !self.unflushed && self.is_written()
    }

    fn is_written(&self) -> bool {
        self.out_at == self.out.len() && self.data.is_empty() && self.tail.is_empty()
    }

    /// Writes what is to be written, in as few system calls as it takes.
    pub fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_flushed() {
            return Poll::Ready(Ok(()));
        }
        while !self.is_written() {
            let head = self.out.get(self.out_at..).unwrap_or_default();
            let io = Pin::new(&mut self.io);
            let written = if self.data.is_empty() && self.tail.is_empty() {
                ready!(io.poll_write(cx, head))?
            } else {
                let parts = [IoSlice::new(head), IoSlice::new(&self.data), IoSlice::new(self.tail)];
                let first = parts.iter().position(|part| !part.is_empty()).unwrap_or(0);
                ready!(io.poll_write_vectored(cx, parts.get(first..).unwrap_or_default()))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.wrote = true;
            self.unflushed = true;
            self.advance(written);
        }
        self.out.clear();
        self.out_at = 0;
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        self.unflushed = false;
        Poll::Ready(Ok(()))
    }

    /// Reads once, up to `want` bytes, into the read buffer. Zero means that the peer has closed its side.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>, want: usize) -> Poll<io::Result<usize>> {
        let spare = self.read.capacity() - self.read.len();
        if spare < want.min(limits::LARGE_READ / 4) {
            self.read.reserve(want);
        }
        pin!(self.io.read_buf(&mut self.read)).poll(cx)
    }

    fn advance(&mut self, mut written: usize) {
        let head = written.min(self.out.len() - self.out_at);
        self.out_at += head;
        written -= head;
        let data = written.min(self.data.len());
        self.data.advance(data);
        written -= data;
        self.tail = self.tail.get(written..).unwrap_or_default();
    }
}
