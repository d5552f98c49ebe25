use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::limits::{AWAITING, IN_USE, PAUSE, PAUSE_SLICE};

/// Decides how eagerly a session's socket is read, and can end it.
#[derive(Default)]
pub(crate) struct Pace {
    state: Mutex<State>,
    /// Bytes that the backlogs of all channels hold.
    held: AtomicUsize,
}

#[derive(Default)]
struct State {
    /// Channels with a backlog.
    congested: usize,
    /// Until when another channel counts as in use.
    in_use: Option<Instant>,
    /// Channels without a backlog that were written to and have not answered, and until when that counts.
    awaiting: usize,
    awaited: Option<Instant>,
    ended: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pace {
    /// The session is to end: its socket fails from now on.
    pub fn end(&self) {
        let mut state = self.state.lock();
        state.ended = true;
        wake(&mut state.reader);
        wake(&mut state.writer);
    }

    pub fn is_ended(&self) -> bool {
        self.state.lock().ended
    }

    /// One more channel has a backlog, or one fewer.
    pub fn congested(&self, more: bool) {
        let mut state = self.state.lock();
        state.congested = if more { state.congested + 1 } else { state.congested.saturating_sub(1) };
        if state.congested == 0 {
            wake(&mut state.reader);
        }
    }

    /// A channel without a backlog got bytes.
    pub fn arrived(&self) {
        self.state.lock().in_use = Some(Instant::now() + IN_USE);
    }

    /// A channel without a backlog waits for an answer to what was written to it.
    pub fn awaits(&self) {
        let mut state = self.state.lock();
        state.awaiting += 1;
        state.awaited = Some(Instant::now() + AWAITING);
        wake(&mut state.reader);
    }

    /// One that waited waits no more.
    pub fn answered(&self) {
        let mut state = self.state.lock();
        state.awaiting = state.awaiting.saturating_sub(1);
    }

    /// Bytes that the backlogs of all channels hold.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    pub fn holds(&self, bytes: usize) {
        self.held.fetch_add(bytes, Ordering::Relaxed);
    }

    pub fn lets_go(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }

    #[cfg(test)]
    fn pauses(&self) -> bool {
        self.state.lock().pauses()
    }
}

impl State {
    fn pauses(&self) -> bool {
        let later = |until: Option<Instant>| until.is_some_and(|until| until > Instant::now());
        self.congested > 0 && !later(self.in_use) && !(self.awaiting > 0 && later(self.awaited))
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

/// A session's socket, read as its [`Pace`] says.
pub(crate) struct Paced<S> {
    socket: S,
    pace: Arc<Pace>,
    pause: Option<Pin<Box<Sleep>>>,
    /// What may be read before the next pause.
    slice: usize,
}

impl<S> Paced<S> {
    pub fn new(socket: S, pace: Arc<Pace>) -> Self {
        Self { socket, pace, pause: None, slice: 0 }
    }

    /// Ready when the socket may be read.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        {
            let mut state = self.pace.state.lock();
            if state.ended {
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
            state.reader = Some(cx.waker().clone());
            if !state.pauses() {
                self.pause = None;
                return Poll::Ready(Ok(()));
            }
        }
        if self.slice > 0 {
            return Poll::Ready(Ok(()));
        }
        let pause = self.pause.get_or_insert_with(|| Box::pin(tokio::time::sleep(PAUSE)));
        std::task::ready!(pause.as_mut().poll(cx));
        self.pause = None;
        self.slice = PAUSE_SLICE;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        std::task::ready!(this.poll_turn(cx))?;
        let before = buf.filled().len();
        std::task::ready!(Pin::new(&mut this.socket).poll_read(cx, buf))?;
        this.slice = this.slice.saturating_sub(buf.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        {
            let mut state = this.pace.state.lock();
            if state.ended {
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
            state.writer = Some(cx.waker().clone());
        }
        Pin::new(&mut this.socket).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn pauses_only_while_no_other_channel_is_in_use() {
        let pace = Pace::default();
        assert!(!pace.pauses());
        pace.congested(true);
        assert!(pace.pauses());
        pace.awaits();
        assert!(!pace.pauses(), "a visitor waits for an answer");
        pace.answered();
        assert!(pace.pauses());
        pace.arrived();
        assert!(!pace.pauses(), "another channel is in use");
        pace.congested(false);
        assert!(!pace.pauses());
    }

    #[tokio::test]
    async fn a_pause_ends_when_the_backlog_is_gone() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let pace = Arc::new(Pace::default());
        let mut paced = Paced::new(ours, pace.clone());
        pace.congested(true);
        theirs.write_all(b"x").await.unwrap();
        let mut byte = [0];
        let mut read = std::pin::pin!(paced.read(&mut byte));
        let early = std::future::poll_fn(|cx| Poll::Ready(read.as_mut().poll(cx))).await;
        assert!(early.is_pending());
        pace.congested(false);
        assert_eq!(read.await.unwrap(), 1);
    }

    #[tokio::test]
    async fn an_ended_session_wakes_its_reader() {
        let (ours, _theirs) = tokio::io::duplex(64);
        let pace = Arc::new(Pace::default());
        let mut paced = Paced::new(ours, pace.clone());
        let reading = tokio::spawn(async move { paced.read_u8().await });
        tokio::task::yield_now().await;
        pace.end();
        assert!(reading.await.unwrap().is_err());
    }
}
