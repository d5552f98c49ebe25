use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::board::Traffic;
use super::shared::Shared;
use crate::link::LinkStream;

/// A visitor's stream that counts.
pub(super) struct Metered {
    stream: LinkStream,
    count: Count,
}

/// One stream that is open.
pub(super) struct Count(Arc<Shared>);

impl Count {
    pub fn new(session: &Arc<Shared>) -> Self {
        session.stream_opened();
        let traffic = &session.agent.board.traffic;
        traffic.streams.fetch_add(1, Ordering::Relaxed);
        traffic.streams_total.fetch_add(1, Ordering::Relaxed);
        Self(session.clone())
    }

    fn traffic(&self) -> &Traffic {
        &self.0.agent.board.traffic
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.traffic().streams.fetch_sub(1, Ordering::Relaxed);
        self.0.stream_closed();
    }
}

impl Metered {
    pub fn new(stream: LinkStream, count: Count) -> Self {
        Self { stream, count }
    }

    fn wrote(&self, done: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = done {
            self.count.traffic().bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        done
    }
}

impl AsyncRead for Metered {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let done = Pin::new(&mut self.stream).poll_read(cx, buf);
        let bytes = buf.filled().len() - before;
        if bytes > 0 {
            self.count.traffic().bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        done
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(done)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(done)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
