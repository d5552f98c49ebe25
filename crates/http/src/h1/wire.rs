use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use doorstep_net::{BoxIo, Io};
use doorstep_proto::http1::{BodyFraming, ChunkedDecoder};
use parking_lot::{Mutex, MutexGuard};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::rewind::Rewind;
use crate::limits::{BODY_BUFFER, MAX_PIPELINED};
use crate::pace::Pace;

/// A connection's bytes, shared between its task and the body of the request being served. Both run in the same task
/// most of the time, so the lock is free.
#[derive(Clone)]
pub(super) struct Wire(Arc<Mutex<Inner>>);

pub(super) struct Inner {
    pub io: Io,
    /// Read and not yet used. Empty and without memory while the connection idles.
    pub buffer: BytesMut,
    pub eof: bool,
    pub body: BodyState,
    /// The client waits for `100 Continue` before it sends its body.
    pub continue_due: bool,
    pub response_started: bool,
    /// Bytes of body read.
    pub received: u64,
    pub pace: Pace,
}

/// What is left of the current request's body.
pub(super) enum BodyState {
    Done,
    Length(u64),
    Chunked(ChunkedDecoder),
    /// Framing is lost or the client is gone.
    Failed,
}

const SCRATCH: usize = 16 * 1024;

thread_local! {
    /// Where idle connections read to, so that none of them holds a buffer.
    static SCRATCH_BUFFER: RefCell<Box<[u8; SCRATCH]>> = RefCell::new(Box::new([0; SCRATCH]));
}

impl Wire {
    pub(super) fn new(io: Io) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            io,
            buffer: BytesMut::new(),
            eof: false,
            body: BodyState::Done,
            continue_due: false,
            response_started: false,
            received: 0,
            pace: Pace::default(),
        })))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock()
    }

    /// Sets up for the body of the next request.
    pub(super) fn begin(&self, framing: BodyFraming, continue_due: bool) {
        let mut inner = self.lock();
        inner.body = match framing {
            BodyFraming::None | BodyFraming::UntilClose => BodyState::Done,
            BodyFraming::Length(length) => BodyState::Length(length),
            BodyFraming::Chunked => BodyState::Chunked(ChunkedDecoder::default()),
        };
        inner.continue_due = continue_due && !matches!(inner.body, BodyState::Done);
        inner.response_started = false;
        inner.received = 0;
        inner.pace = Pace::default();
    }

    /// The bytes both ways, those already read first. What is left here is dead.
    pub(super) fn take(&self) -> BoxIo {
        let mut inner = self.lock();
        let io = std::mem::replace(&mut inner.io, Io::Other(Box::new(tokio::io::empty())));
        inner.eof = true;
        inner.body = BodyState::Failed;
        Box::new(Rewind::new(std::mem::take(&mut inner.buffer).freeze(), io))
    }
}

impl Inner {
    pub(super) fn body_done(&self) -> bool {
        matches!(self.body, BodyState::Done)
    }

    /// Reads the start of a message, or whatever comes next, into the buffer. Ready with 0 at the end of the stream.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        SCRATCH_BUFFER.with_borrow_mut(|scratch| {
            let mut read = ReadBuf::new(&mut scratch[..]);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut read))?;
            let filled = read.filled();
            self.eof |= filled.is_empty();
            self.buffer.extend_from_slice(filled);
            Poll::Ready(Ok(filled.len()))
        })
    }

    /// Reads body bytes into the buffer, up to `expected` if that is known.
    pub(super) fn poll_fill_body(&mut self, cx: &mut Context<'_>, expected: Option<u64>) -> Poll<io::Result<usize>> {
        let room = expected.map_or(BODY_BUFFER, |left| usize::try_from(left).unwrap_or(usize::MAX).min(BODY_BUFFER));
        self.buffer.reserve(room.max(64));
        match tokio_util::io::poll_read_buf(Pin::new(&mut self.io), cx, &mut self.buffer) {
            Poll::Pending => {
                self.pace.waiting();
                Poll::Pending
            }
            Poll::Ready(result) => {
                self.pace.arrived(*result.as_ref().unwrap_or(&0));
                self.eof |= matches!(result, Ok(0));
                Poll::Ready(result)
            }
        }
    }

    /// While the response is being made: takes what the client sends ahead. Ready when the client has closed its side.
    pub(super) fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.eof {
            return Poll::Ready(());
        }
        while self.body_done() && self.buffer.len() < MAX_PIPELINED {
            match ready!(self.poll_fill(cx)) {
                Ok(0) => return Poll::Ready(()),
                Ok(_) => {}
                Err(_) => {
                    self.eof = true;
                    return Poll::Ready(());
                }
            }
        }
        Poll::Pending
    }

    /// Writes some of `parts`, in order. Ready with the number of bytes taken.
    pub(super) fn poll_write_parts(
        &mut self,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let io = Pin::new(&mut self.io);
        let taken = ready!(match parts {
            [one] => io.poll_write(cx, one),
            several => io.poll_write_vectored(cx, several),
        })?;
        Poll::Ready(if taken == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(taken) })
    }
}
