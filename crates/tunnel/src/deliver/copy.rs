//! Bytes both ways, each way until its end.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use doorstep_net::Io;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::scratch;
use crate::limits::{COPY, COPY_SLOW};

/// Copies between a visitor and an app until both are finished, or one of them breaks off; then the other learns it.
pub async fn both_ways(mut visitor: Io, mut app: Io) {
    let mut to_app = Half::default();
    let mut to_visitor = Half::default();
    let broken = poll_fn(|cx| {
        if let Poll::Ready(Err(Broke::Source)) = to_app.poll(cx, &mut visitor, &mut app) {
            return Poll::Ready(true);
        }
        // An app that reads no more may still have its answer under way: that direction decides.
        match to_visitor.poll(cx, &mut app, &mut visitor) {
            Poll::Ready(Err(_)) => Poll::Ready(true),
            Poll::Ready(Ok(())) if to_app.is_over() => Poll::Ready(to_app.broke),
            _ => Poll::Pending,
        }
    });
    if broken.await
        && let Io::Tcp(app) = &app
    {
        // A reset: what came so far is not all there was, and the app must not think so.
        let _ = SockRef::from(app).set_linger(Some(Duration::ZERO));
    }
}

/// One direction.
struct Half {
    /// What was read and not yet written, from `written` on.
    held: Vec<u8>,
    written: usize,
    /// Bytes of the next read: few while the sink is slow, since they wait here.
    size: usize,
    unflushed: bool,
    ended: bool,
    over: bool,
    broke: bool,
}

impl Default for Half {
    fn default() -> Self {
        Self { held: vec![], written: 0, size: COPY_SLOW, unflushed: false, ended: false, over: false, broke: false }
    }
}

/// Which side of a direction failed.
enum Broke {
    Source,
    Sink,
}

impl Half {
    fn is_over(&self) -> bool {
        self.over
    }

    fn poll(&mut self, cx: &mut Context<'_>, from: &mut Io, to: &mut Io) -> Poll<Result<(), Broke>> {
        if self.over {
            return Poll::Ready(Ok(()));
        }
        let done = ready!(self.poll_on(cx, from, to));
        self.over = true;
        self.broke = done.is_err();
        self.held = Vec::new();
        Poll::Ready(done)
    }

    fn poll_on(&mut self, cx: &mut Context<'_>, from: &mut Io, to: &mut Io) -> Poll<Result<(), Broke>> {
        loop {
            while let Some(rest) = self.held.get(self.written..).filter(|rest| !rest.is_empty()) {
                self.written += ready!(write(cx, to, rest))?;
                self.unflushed = true;
            }
            if self.ended {
                return Pin::new(&mut *to).poll_shutdown(cx).map_err(|_| Broke::Sink);
            }
            if self.poll_piece(cx, from, to)?.is_pending() {
                if self.unflushed {
                    ready!(Pin::new(&mut *to).poll_flush(cx)).map_err(|_| Broke::Sink)?;
                    self.unflushed = false;
                }
                return Poll::Pending;
            }
        }
    }

    /// Reads once, and writes what the sink takes at once; the rest is held.
    fn poll_piece(&mut self, cx: &mut Context<'_>, from: &mut Io, to: &mut Io) -> Poll<Result<(), Broke>> {
        scratch::with(|buffer| {
            let mut read = ReadBuf::new(buffer.get_mut(..self.size).unwrap_or_default());
            ready!(Pin::new(from).poll_read(cx, &mut read)).map_err(|_| Broke::Source)?;
            let mut rest: &[u8] = read.filled();
            self.ended = rest.is_empty();
            while !rest.is_empty() {
                let Poll::Ready(taken) = write(cx, to, rest)? else { break };
                self.unflushed = true;
                rest = rest.get(taken..).unwrap_or_default();
            }
            self.size = if rest.is_empty() { COPY.min(self.size * 2) } else { COPY_SLOW };
            // A connection that keeps up holds no memory.
            self.held = rest.to_vec();
            self.written = 0;
            Poll::Ready(Ok(()))
        })
    }
}

/// Bytes that were written, at least one.
fn write(cx: &mut Context<'_>, to: &mut Io, bytes: &[u8]) -> Poll<Result<usize, Broke>> {
    match ready!(Pin::new(to).poll_write(cx, bytes)) {
        Ok(count @ 1..) => Poll::Ready(Ok(count)),
        Ok(0) | Err(_) => Poll::Ready(Err(Broke::Sink)),
    }
}
