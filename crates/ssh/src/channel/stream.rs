use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use doorstep_net::BoxFuture;
use russh::{ChannelId, ChannelMsg, ChannelWriteHalf};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime;

use super::Backlog;
use crate::limits::LINGER;

/// A channel as a stream of bytes. Shutting it down ends our direction; dropping it ends both.
pub(crate) struct ChannelStream {
    backlog: Arc<Backlog>,
    writer: Pin<Box<dyn AsyncWrite + Send>>,
    finished: bool,
    /// Gets rid of the channel; told whether our direction was ended before.
    end: Option<Box<dyn FnOnce(bool) -> BoxFuture<'static, ()> + Send>>,
    /// Where that is done.
    runtime: runtime::Handle,
}

impl ChannelStream {
    /// `backlog` is the one that the session fills. `held` is let go when the channel is closed; it hears of channels that
    /// this side had to close.
    pub fn new<S, H>(backlog: Arc<Backlog>, half: ChannelWriteHalf<S>, held: H) -> Self
    where
        S: From<(ChannelId, ChannelMsg)> + Send + Sync + 'static,
        H: Held,
    {
        let writer = Box::pin(writer(&half));
        let ending = backlog.clone();
        let end = Box::new(|finished| -> BoxFuture<'static, ()> { Box::pin(end(ending, half, held, finished)) });
        Self { backlog, writer, finished: false, end: Some(end), runtime: runtime::Handle::current() }
    }
}

/// What a channel holds on to.
pub(crate) trait Held: Send + 'static {
    /// The other side did not close the channel in time.
    fn reset(&self) {}
}

impl Held for () {}

/// Leaves it to the other side to close, which it does when both directions are over: of a channel that this side closes,
/// russh keeps some kilobytes until the session ends.
async fn end<S, H>(backlog: Arc<Backlog>, half: ChannelWriteHalf<S>, held: H, finished: bool)
where
    S: From<(ChannelId, ChannelMsg)> + Send + Sync + 'static,
    H: Held,
{
    // Errors mean that the session is over, and then it has no channels.
    if !finished && half.eof().await.is_err() {
        return;
    }
    if tokio::time::timeout(LINGER, backlog.closed()).await.is_err() {
        held.reset();
        let _ = half.close().await;
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
        if let Some(end) = self.end.take().filter(|_| open) {
            self.runtime.spawn(end(self.finished));
        }
    }
}
