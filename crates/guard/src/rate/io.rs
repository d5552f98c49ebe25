use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use doorstep_net::BoxIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::gate::Gate;

/// The bytes of an upgraded connection, such as a WebSocket's, at the pace of two [`Gate`]s.
pub(super) struct PacedIo {
    io: BoxIo,
    down: Gate,
    up: Gate,
    /// Bytes that passed the gate down and are not written yet.
    allowed: usize,
    /// Bytes read whose time is not over yet: how many come is known only after a read, so it is the next that waits.
    owed: usize,
}

impl PacedIo {
    pub(super) fn new(io: BoxIo, down: Gate, up: Gate) -> Self {
        Self { io, down, up, allowed: 0, owed: 0 }
    }
}

impl AsyncRead for PacedIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.owed > 0 {
            ready!(this.up.poll_pass(cx, this.owed));
            this.owed = 0;
        }
        let room = buf.remaining().min(this.up.slice());
        let mut slice = ReadBuf::new(buf.initialize_unfilled_to(room));
        ready!(Pin::new(&mut this.io).poll_read(cx, &mut slice))?;
        this.owed = slice.filled().len();
        buf.advance(this.owed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for PacedIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if bytes.is_empty() {
            return Pin::new(&mut this.io).poll_write(cx, bytes);
        }
        if this.allowed == 0 {
            let slice = bytes.len().min(this.down.slice());
            ready!(this.down.poll_pass(cx, slice));
            this.allowed = slice;
        }
        let most = this.allowed.min(bytes.len());
        let written = ready!(Pin::new(&mut this.io).poll_write(cx, bytes.get(..most).unwrap_or(bytes)))?;
        this.allowed = this.allowed.saturating_sub(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
