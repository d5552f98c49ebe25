use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use doorstep_net::BoxFuture;
use russh::{ChannelId, ChannelMsg, ChannelWriteHalf};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime;

use super::Backlog;

/// A channel as a stream of bytes. Shutting it down ends our direction; dropping it closes the channel.
pub(crate) struct ChannelStream {
    backlog: Arc<Backlog>,
    writer: Pin<Box<dyn AsyncWrite + Send>>,
    finished: bool,
    /// Closes the channel; taken when that was done.
    close: Option<BoxFuture<'static, ()>>,
    /// Where that is done.
    runtime: runtime::Handle,
}

impl ChannelStream {
    /// `backlog` is the one that the session fills. `held` is let go when the channel is closed.
    pub fn new<S, H>(backlog: Arc<Backlog>, half: ChannelWriteHalf<S>, held: H) -> Self
    where
        S: From<(ChannelId, ChannelMsg)> + Send + Sync + 'static,
        H: Send + 'static,
    {
        let writer = Box::pin(writer(&half));
        let close = Box::pin(async move {
            // A session that is over has no channels.
            let _ = half.close().await;
            drop(held);
        });
        Self { backlog, writer, finished: false, close: Some(close), runtime: runtime::Handle::current() }
    }
}

fn writer<S>(half: &ChannelWriteHalf<S>) -> impl AsyncWrite + Send + 'static
where
    S: From<(ChannelId, ChannelMsg)> + Send + Sync + 'static,
{
    half.make_writer()
}

impl AsyncRead for ChannelStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.backlog.poll_read(cx, buf)
    }
}

impl AsyncWrite for ChannelStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.backlog.writes(cx)?;
        self.writer.as_mut().poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.finished {
            return Poll::Ready(Ok(()));
        }
        // Where it is closed already, there is nothing left to say.
        if self.backlog.writes(cx).is_ok() {
            std::task::ready!(self.writer.as_mut().poll_shutdown(cx))?;
        }
        self.finished = true;
        Poll::Ready(Ok(()))
    }
}

impl Drop for ChannelStream {
    fn drop(&mut self) {
        let open = self.backlog.abandon();
        if let Some(close) = self.close.take().filter(|_| open) {
            self.runtime.spawn(close);
        }
    }
}
