use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use doorstep_net::Io;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::lent::Place;
use super::meter::{StreamPass, Way};
use crate::limits::RATE_TURN;

/// A stream to an agent, held to the agent's limits. What is read from it comes from the agent.
pub(super) struct Metered {
    io: Io,
    pass: StreamPass,
    place: Arc<Place>,
    /// Bytes moved at once: a turn where there is a rate, but never a part of a datagram.
    turn: usize,
    /// Until when each way has to pause: made when first needed.
    reading: Option<Pin<Box<Sleep>>>,
    writing: Option<Pin<Box<Sleep>>>,
}

impl Metered {
    pub fn new(io: Io, pass: StreamPass, place: Arc<Place>, datagrams: bool) -> Self {
        let turn = if pass.0.has_rate() && !datagrams { RATE_TURN } else { usize::MAX };
        Self { io, pass, place, turn, reading: None, writing: None }
    }

    fn cut(&self) -> io::Result<()> {
        match self.place.is_stopped() {
            true => Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the relay's owner switched this name off")),
            false => Ok(()),
        }
    }

    fn moved(&mut self, way: Way, bytes: usize) {
        if bytes == 0 {
            return;
        }
        if let Some(next) = self.pass.0.moved(way, bytes) {
            let next = Instant::from_std(next);
            let pause = match way {
                Way::In => &mut self.writing,
                Way::Out => &mut self.reading,
            };
            match pause {
                Some(pause) => pause.as_mut().reset(next),
                None => *pause = Some(Box::pin(tokio::time::sleep_until(next))),
            }
        }
    }
}

fn poll_pause(pause: &mut Option<Pin<Box<Sleep>>>, cx: &mut Context<'_>) -> Poll<()> {
    match pause {
        Some(sleep) if !sleep.is_elapsed() => sleep.as_mut().poll(cx),
        _ => Poll::Ready(()),
    }
}

impl AsyncRead for Metered {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.cut()?;
        ready!(poll_pause(&mut self.reading, cx));
        let turn = self.turn;
        let read = if buf.remaining() <= turn {
            let before = buf.filled().len();
            ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
            buf.filled().len() - before
        } else {
            let mut part = ReadBuf::new(buf.initialize_unfilled_to(turn));
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut part))?;
            let read = part.filled().len();
            buf.advance(read);
            read
        };
        self.moved(Way::Out, read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.cut()?;
        ready!(poll_pause(&mut self.writing, cx));
        let turn = buf.len().min(self.turn);
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, &buf[..turn]))?;
        self.moved(Way::In, written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let total: usize = bufs.iter().map(|buf| buf.len()).sum();
        if total > self.turn {
            let first = bufs.iter().find(|buf| !buf.is_empty()).map_or(&[][..], |buf| &buf[..]);
            return self.poll_write(cx, first);
        }
        self.cut()?;
        ready!(poll_pause(&mut self.writing, cx));
        let written = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, bufs))?;
        self.moved(Way::In, written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
